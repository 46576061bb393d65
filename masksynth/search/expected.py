"""Compare a run with a manifest of expected results, such as `instances/manifest.json`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from masksynth.errors import InvalidInstance
from masksynth.search.book import read_results
from masksynth.search.compare import Change, Comparison, changes_between, compare, sort_changes
from masksynth.search.matching import Line, latest_lines, line_from
from masksynth.search.result import Result

HARD = ("large", "open")
"""Sizes of instances that a short search need not solve: its results may be worse, but must not contradict."""


@dataclass(frozen=True)
class Expectation:
    """One entry of a manifest.

    Parameters
    ----------
    file : str
        Path in the folder of the manifest.
    status : str
        OPTIMAL, FEASIBLE, INFEASIBLE, or INVALID: the file is rejected.
    positions, edges, bound : int or None
        The least number of positions; the fewest known edges and the proved bound on them. None: no expectation.
    message : str or None
        What the error of an INVALID file must contain.
    size : str
        ``large`` and ``open``: not expected of a short search (`HARD`).
    folder : str
        Folder of the manifest; set when it is read.
    """

    file: str
    status: Literal["OPTIMAL", "FEASIBLE", "INFEASIBLE", "INVALID"]
    positions: int | None = None
    edges: int | None = None
    bound: int | None = None
    message: str | None = None
    size: str = "small"
    folder: str = ""

    def __post_init__(self) -> None:
        if self.edges is not None and self.bound is not None and self.bound > self.edges:
            raise ValueError(f"{self.file}: expected a bound of at most the {self.edges} edges known, got {self.bound}")

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self.folder, self.file)


@dataclass(frozen=True)
class _FileQuestion:
    """Depth and sparseness of an instance file."""

    layers: int | None = None
    sparse: bool = False


def expectations(path: str | Path) -> list[Expectation]:
    """Read the entries of a manifest; keys that are not fields of `Expectation` are ignored.

    Raises
    ------
    InvalidInstance
        If the file is not a list of such entries.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "manifest.json").write_text('[{"file": "a.json", "status": "OPTIMAL", "positions": 3}]')
    ...     [entry] = expectations(f"{folder}/manifest.json")
    >>> entry.file, entry.positions, entry.edges
    ('a.json', 3, None)
    """
    import msgspec

    manifest = Path(path)
    try:
        entries = msgspec.json.decode(manifest.read_bytes(), type=list[Expectation], strict=True)
    except (msgspec.DecodeError, UnicodeError) as error:
        remedy = 'give a list of objects with "file" and "status", as in instances/manifest.json'
        raise InvalidInstance(f"not a manifest: {error}", "", remedy, str(manifest)) from None
    folder = os.path.realpath(manifest.parent)
    return [replace(entry, folder=folder) for entry in entries]


def compare_expected(expected: Sequence[Expectation], results: Iterable[Result], complete: bool = False) -> Comparison:
    """Compare a run with a manifest.

    A result belongs to the entry whose file it names: by its resolved path, else by the longest ``file`` at the end of
    its path, since the run may have used another folder. Each backend of a run is compared with the same entry. A
    result that answers another question than the file (``layers``, ``sparse``), or has no entry, is only counted as
    new.

    Parameters
    ----------
    expected : sequence of Expectation
        See `expectations`.
    results : iterable of Result
    complete : bool
        Whether entries without a result are listed as missing, not only counted.

    Examples
    --------
    >>> entry = Expectation("a.json", "OPTIMAL", positions=3, folder="/suite")
    >>> size = {"positions": {"value": 4, "bound": 4}}
    >>> wrong = Result("suite/a.json", "00", "cpsat", None, False, "OPTIMAL", size, "cpsat", 1.5, None, {}, {})
    >>> compare_expected([entry], [wrong]).changes[0].what
    'positions: 3 was proved optimal, now 4 is'
    """
    files: dict[str, list[Expectation]] = defaultdict(list)
    for entry in expected:
        files[PurePath(entry.file).name].append(entry)
    changes: list[Change] = []
    met: set[str] = set()
    compared = new = 0
    for line in latest_lines(map(line_from, results)):
        named = _entry_of(line.instance, files.get(PurePath(line.instance).name, []))
        if named is None or _is_other_question(line, named):
            new += 1
            continue
        compared += 1
        met.add(named.file)
        changes += _violations(named, line)
    missing = [entry for entry in expected if entry.file not in met]
    changes += [
        Change(str(entry.path), "", "missing", f"{entry.status} expected, not run") for entry in missing if complete
    ]
    return Comparison(sort_changes(changes), compared, len(missing), new)


def compare_with(path: str | Path, results: Iterable[Result]) -> Comparison:
    """Compare results with a file: a manifest if it begins with ``[``, else results of an earlier run.

    Raises
    ------
    InvalidInstance
        If it is neither.
    OSError
        If it cannot be read.
    """
    return compare_expected(expectations(path), results) if is_manifest(path) else compare(read_results(path), results)


def is_manifest(path: str | Path) -> bool:
    """Return whether a file begins with ``[``, as a manifest does."""
    with open(path, "rb") as file:
        return file.read(1) == b"["


def unpromised_failures(expected: Sequence[Expectation], results: Iterable[Result]) -> int:
    """Count the failures that no entry of the manifest expects (entries of status INVALID expect one).

    Examples
    --------
    >>> gone = Result("b.json", None, "auto", None, False, None, {}, None, 0.0, "no such file", {}, {})
    >>> unpromised_failures([Expectation("b.json", "INVALID", folder="/suite")], [gone])
    0
    >>> unpromised_failures([], [gone])
    1
    """
    failed = [result.instance for result in results if result.error is not None]
    named = (
        _entry_of(name, [entry for entry in expected if PurePath(entry.file).name == PurePath(name).name])
        for name in failed
    )
    return sum(entry is None or entry.status != "INVALID" for entry in named)


def _entry_of(label: str, entries: Sequence[Expectation]) -> Expectation | None:
    """Return the entry that a result belongs to."""
    if not entries:
        return None
    path = Path(os.path.realpath(label))
    for entry in entries:
        if Path(os.path.realpath(entry.path)) == path:
            return entry
    ends = [entry for entry in entries if _ends_with(PurePath(label), PurePath(entry.file))]
    return max(ends, key=lambda entry: len(PurePath(entry.file).parts), default=None)


def _ends_with(path: PurePath, end: PurePath) -> bool:
    return path.parts[-len(end.parts) :] == end.parts


def _is_other_question(line: Line, entry: Expectation) -> bool:
    """Return whether a result answers another question than that of the file."""
    if line.error is not None:
        return False
    question = _read_question(entry.path)
    return question is not None and (line.layers, line.sparse) != (question.layers, question.sparse)


def _read_question(path: Path) -> _FileQuestion | None:
    """Read depth and sparseness of an instance file; None if it cannot be read."""
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=_FileQuestion)
    except (OSError, msgspec.DecodeError, UnicodeError):
        return None


def _violations(entry: Expectation, line: Line) -> list[Change]:
    """Return the changes of a result against its entry."""
    name = (line.instance, line.backend)
    if entry.status == "INVALID":
        wanted = " ".join((entry.message or "").split())
        if line.error is None:
            return [Change(*name, "regression", f"INVALID expected ({wanted}), now {line.status}")]
        return (
            []
            if wanted in line.error
            else [Change(*name, "regression", f"the error should say: {wanted}; it says: {line.error}")]
        )
    changes = changes_between(_expected_line(entry, line), line)
    return [
        change for change in changes if entry.size not in HARD or change.kind != "regression" or line.error is not None
    ]


def _expected_line(entry: Expectation, line: Line) -> Line:
    """Return an entry as an earlier result of the same question."""
    sizes = [("positions", entry.positions, entry.positions), ("edges", entry.edges, entry.bound)]
    given = tuple((name, value, bound) for name, value, bound in sizes if value is not None and bound is not None)
    return line._replace(status=entry.status, sizes=given, seconds=None, error=None)
