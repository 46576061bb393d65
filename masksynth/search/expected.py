"""A manifest of expectations as the old side of a comparison: what `instances/manifest.json` promises, held against a run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from masksynth.errors import InvalidInstance
from masksynth.search.book import read_results
from masksynth.search.compare import Change, Comparison, changes_between, compare, in_order
from masksynth.search.matching import Known, known, latest
from masksynth.search.result import Result

HARD = ("large", "open")
"""Sizes of instances that a short search need not solve: what is found may be worse than what is known, but must not contradict it."""


@dataclass(frozen=True)
class Expectation:
    """One entry of a manifest.

    Parameters
    ----------
    file : str
        Path in the folder of the manifest.
    status : str
        OPTIMAL, FEASIBLE, INFEASIBLE, or INVALID: the file is refused.
    positions, edges, bound : int or None
        The least positions; the fewest edges known, and the proved bound on them. None: nothing is promised.
    message : str or None
        What the error of an INVALID file must contain.
    size : str
        ``large`` and ``open``: not expected of a short search (`HARD`).
    folder : str
        Where the manifest lies; set when it is read.
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
        """The file."""
        return Path(self.folder, self.file)


@dataclass(frozen=True)
class _Asked:
    """What an instance file itself asks."""

    layers: int | None = None
    sparse: bool = False


def expectations(path: str | Path) -> list[Expectation]:
    """The entries of a manifest; keys that are not those of `Expectation` say where an entry is from.

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

    place = Path(path)
    try:
        entries = msgspec.json.decode(place.read_bytes(), type=list[Expectation], strict=True)
    except (msgspec.DecodeError, UnicodeError) as error:
        remedy = 'give a list of objects with "file" and "status", as in instances/manifest.json'
        raise InvalidInstance(f"not a manifest: {error}", "", remedy, str(place)) from None
    folder = os.path.realpath(place.parent)
    return [replace(entry, folder=folder) for entry in entries]


def compare_expected(expected: Sequence[Expectation], results: Iterable[Result], complete: bool = False) -> Comparison:
    """Hold a run against a manifest.

    A result belongs to the entry whose file it names: by its resolved path, else by the longest ``file`` at its end,
    since the run may have been elsewhere. Every backend of a run is held against the same entry. A result that asks
    something else than the file (``layers``, ``sparse``), or names no entry, is counted as new and says nothing.

    Parameters
    ----------
    expected : sequence of Expectation
        See `expectations`.
    results : iterable of Result
    complete : bool
        Whether entries without a result are named as missing, not only counted.

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
    for line in latest(map(known, results)):
        named = _entry_of(line.instance, files.get(PurePath(line.instance).name, []))
        if named is None or _asks_otherwise(line, named):
            new += 1
            continue
        compared += 1
        met.add(named.file)
        changes += _broken(named, line)
    missing = [entry for entry in expected if entry.file not in met]
    changes += [
        Change(str(entry.path), "", "missing", f"{entry.status} expected, not run") for entry in missing if complete
    ]
    return Comparison(in_order(changes), compared, len(missing), new)


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
    """Whether a file begins as a manifest does, with ``[``."""
    with open(path, "rb") as file:
        return file.read(1) == b"["


def unpromised_failures(expected: Sequence[Expectation], results: Iterable[Result]) -> int:
    """How many results are failures that no entry of the manifest expects (those of status INVALID do).

    Examples
    --------
    >>> gone = Result("b.json", None, "auto", None, False, None, {}, None, 0.0, "no such file", {}, {})
    >>> unpromised_failures([Expectation("b.json", "INVALID", folder="/suite")], [gone]), unpromised_failures([], [gone])
    (0, 1)
    """
    failed = [result.instance for result in results if result.error is not None]
    named = (
        _entry_of(name, [entry for entry in expected if PurePath(entry.file).name == PurePath(name).name])
        for name in failed
    )
    return sum(entry is None or entry.status != "INVALID" for entry in named)


def _entry_of(label: str, entries: Sequence[Expectation]) -> Expectation | None:
    """The entry that a result names."""
    if not entries:
        return None
    place = Path(os.path.realpath(label))
    for entry in entries:
        if Path(os.path.realpath(entry.path)) == place:
            return entry
    ends = [entry for entry in entries if _ends_with(PurePath(label), PurePath(entry.file))]
    return max(ends, key=lambda entry: len(PurePath(entry.file).parts), default=None)


def _ends_with(path: PurePath, end: PurePath) -> bool:
    return path.parts[-len(end.parts) :] == end.parts


def _asks_otherwise(line: Known, entry: Expectation) -> bool:
    """Whether a result with an answer is not to the file's own question."""
    if line.error is not None:
        return False
    asked = _asked(entry.path)
    return asked is not None and (line.layers, line.sparse) != (asked.layers, asked.sparse)


def _asked(path: Path) -> _Asked | None:
    """What a file asks; None if it cannot be read."""
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=_Asked)
    except (OSError, msgspec.DecodeError, UnicodeError):
        return None


def _broken(entry: Expectation, line: Known) -> list[Change]:
    """Where a result does not keep the promise of its entry."""
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
    changes = changes_between(_promise(entry, line), line)
    return [
        change for change in changes if entry.size not in HARD or change.kind != "regression" or line.error is not None
    ]


def _promise(entry: Expectation, line: Known) -> Known:
    """An entry as an old result of the same question."""
    sizes = [("positions", entry.positions, entry.positions), ("edges", entry.edges, entry.bound)]
    told = tuple((name, value, bound) for name, value, bound in sizes if value is not None and bound is not None)
    return line._replace(status=entry.status, sizes=told, seconds=None, error=None)
