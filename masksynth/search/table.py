"""Write results as flat columns: for pandas, as Parquet and as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.files import check_file, writing_file
from masksynth.search.result import Result

BLOCK = 10_000
"""Number of results written at a time."""
INSTALL = "a Parquet file needs pyarrow; pip install 'masksynth[parquet]', or name a .csv file"


def _text(value: str | None) -> str | None:
    """Return a string that UTF-8 can encode: lone surrogates, from undecodable file names, become escapes."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _size(objective: str, part: str) -> Callable[[Result], Any]:
    return lambda result: result.objective[objective][part] if objective in result.objective else None


COLUMNS: dict[str, tuple[str, Callable[[Result], Any]]] = {
    "instance": ("string", lambda result: _text(result.instance)),
    "hash": ("string", lambda result: result.hash),
    "backend": ("string", lambda result: _text(result.backend)),
    "layers": ("int64", lambda result: result.layers),
    "sparse": ("bool", lambda result: result.sparse),
    "status": ("string", lambda result: result.status),
    "proved": ("bool", lambda result: result.proved),
    "positions": ("int64", _size("positions", "value")),
    "positions_bound": ("int64", _size("positions", "bound")),
    "edges": ("int64", _size("edges", "value")),
    "edges_bound": ("int64", _size("edges", "bound")),
    "winner": ("string", lambda result: _text(result.winner)),
    "seconds": ("float64", lambda result: float(result.seconds)),
    "error": ("string", lambda result: _text(result.error)),
    "versions": ("string", lambda result: json.dumps(dict(result.versions), sort_keys=True)),
    "limits": ("string", lambda result: json.dumps(dict(result.limits), sort_keys=True)),
    "folder": ("string", lambda result: _text(result.folder)),
}
"""Name of a column -> its type in Parquet, and its value for one result."""


def columns(results: Iterable[Result]) -> dict[str, list[Any]]:
    """Return results as columns of equal length, with None for missing values, for ``pandas.DataFrame``.

    ``positions`` and ``edges`` are the values reached, ``positions_bound`` and ``edges_bound`` the proved bounds;
    ``versions`` and ``limits`` are JSON.

    Examples
    --------
    >>> sizes = {"positions": {"value": 3, "bound": 3}}
    >>> result = Result("a", "00", "auto", None, False, "OPTIMAL", sizes, "cpsat", 0.5, None, {}, {})
    >>> table = columns([result])
    >>> table["positions"], table["edges"], table["proved"]
    ([3], [None], [True])
    """
    table: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for result in results:
        for name, (_, value) in COLUMNS.items():
            table[name].append(value(result))
    return table


def check_table(path: str | Path, force: bool = False) -> None:
    """Raise, before any work is done, if a table cannot be written to a file.

    Raises
    ------
    InvalidInstance
        If the file does not end in .parquet or .csv, or already exists and ``force`` is False.
    Unsupported
        For Parquet without pyarrow.
    """
    target = Path(path)
    if target.suffix.lower() not in (".parquet", ".csv"):
        raise InvalidInstance(f"ends in {target.suffix!r:.40}", "", "name a .parquet or .csv file", str(target))
    check_file(target, force)
    if target.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise Unsupported(INSTALL)


def write_table(path: str | Path, results: Iterable[Result], force: bool = False) -> int:
    """Write results as Parquet or CSV, by the suffix of the file, atomically.

    Parameters
    ----------
    path : path
        Ends in .parquet (needs pyarrow) or .csv.
    results : iterable of Result
        10,000 of them are held at a time.
    force : bool
        Replace a file that is there.

    Returns
    -------
    int
        Rows.

    Raises
    ------
    InvalidInstance, Unsupported
        As `check_table`.
    MasksynthError
        If the disk refuses; nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> result = Result("a", "00", "auto", None, False, "UNKNOWN", {}, "cpsat", 0.5, None, {}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(f"{folder}/results.csv", [result]), Path(folder, "results.csv").read_text().splitlines()[1][:37]
    (1, 'a,00,auto,,false,UNKNOWN,false,,,,,cp')
    """
    check_table(path, force)
    write = _write_csv if Path(path).suffix.lower() == ".csv" else _write_parquet
    with writing_file(path, force, what="the table") as draft:
        rows = write(draft, _blocks(results))
    return rows


def _blocks(results: Iterable[Result]) -> Iterator[dict[str, list[Any]]]:
    rest = iter(results)
    while block := list(islice(rest, BLOCK)):
        yield columns(block)


def _write_csv(path: Path, blocks: Iterable[dict[str, list[Any]]]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for block in blocks:
            for row in zip(*block.values(), strict=True):
                table.writerow([str(value).lower() if isinstance(value, bool) else value for value in row])
                rows += 1
    return rows


def _write_parquet(path: Path, blocks: Iterable[dict[str, list[Any]]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, (kind, _) in COLUMNS.items()])
    rows = 0
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema) as writer:
        for block in blocks:
            writer.write_batch(pa.RecordBatch.from_pydict(block, schema=schema))
            rows += len(block["instance"])
    return rows
