"""Read rows of chats: JSON lines, plain or gzipped, Parquet, ``datasets.Dataset``, or mappings."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.pack.read_files import GZIP, PARQUET, STDIN, find_half
from masksynth.pack.read_run import Place, places_of, prefix_of
from masksynth.pack.text_lines import lines_of, read_blocks, read_chunks, unpack_chunks
from masksynth.tasks.parse_json import decode_text

ROWS = 256
"""Rows of a Parquet file that are held at a time."""


class Row(NamedTuple):
    """One row: where it was read (``file:line``), the id that it has by default, and its fields."""

    place: str
    name: str
    fields: Mapping[str, Any]


def read_rows(rows: Any) -> Iterator[Row]:
    """Yield the rows of some files, of a data set, or of an iterable of mappings.

    Parameters
    ----------
    rows : path, glob, "-", binary stream, list of these, or iterable of mappings
        A row without an id is named by its number: ``#7``, or ``FILE#7`` if there are several files. Parquet and
        ``datasets.Dataset`` fill the missing keys of objects with None, which is removed.

    Raises
    ------
    InvalidInstance
        Naming file and line, for anything that is not a JSON object, a damaged file, or a file without rows.

    Examples
    --------
    >>> [row.name for row in read_rows([{"id": 5, "messages": []}, {"messages": []}])]
    ['#1', '#2']
    """
    places = places_of(rows)
    if places is not None:
        yield from chain.from_iterable(_read_file(place, prefix_of(place, places)) for place in places)
        return
    if not isinstance(rows, Iterable) or isinstance(rows, Mapping):
        fact = f"expected rows of chats, got {type(rows).__name__}"
        raise InvalidInstance(fact, "", "give a path, a binary stream, or an iterable of mappings")
    clean = remove_nones if type(rows).__module__.partition(".")[0] == "datasets" else _unchanged
    number = 0
    for number, fields in enumerate(rows, 1):
        yield _row(f"rows:{number}", f"#{number}", clean(fields))
    if not number:
        raise InvalidInstance("there is no row", "", "give at least one")


def _row(place: str, name: str, fields: Any) -> Row:
    if not isinstance(fields, Mapping):
        fact = f"a row is an object, not {type(fields).__name__}"
        raise InvalidInstance(fact, "$", 'give {"messages": [...]}', place)
    return Row(place, name, fields)


def _unchanged(value: Any) -> Any:
    return value


def remove_nones(value: Any) -> Any:
    """Return a value in which the keys of objects that are None are removed, at any depth.

    Examples
    --------
    >>> remove_nones({"city": "Rome", "unit": None, "days": [{"a": None}, None]})
    {'city': 'Rome', 'days': [{}, None]}
    """
    if isinstance(value, Mapping):
        return {key: remove_nones(item) for key, item in value.items() if item is not None}
    return [remove_nones(item) for item in value] if isinstance(value, list) else value


@contextmanager
def _open(place: Place) -> Iterator[tuple[IO[bytes], str]]:
    """Yield a buffered stream and its name."""
    if isinstance(place, (str, Path)) and str(place) != "-":
        with open(place, "rb") as file:
            yield file, str(place)
        return
    if isinstance(place, (str, Path)) and (sys.stdin is None or sys.stdin.closed):
        raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", STDIN)
    stream: Any = sys.stdin.buffer if isinstance(place, (str, Path)) else place
    is_stdin = sys.stdin is not None and stream is getattr(sys.stdin, "buffer", None)
    name = STDIN if is_stdin else str(getattr(stream, "name", "<stream>"))
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(stream)
    try:
        yield buffered, name
    finally:
        if buffered is not stream:
            buffered.detach()


def _read_file(place: Place, prefix: str) -> Iterator[Row]:
    """Yield the rows of a file."""
    with _open(place) as (stream, name):
        head = cast(Any, stream).peek(4)
        empty = True
        for number, fields in (_parquet_rows if head.startswith(PARQUET) else _json_rows)(stream, name, head):
            empty = False
            yield _row(f"{name}:{number}", f"{prefix}{number}", fields)
        if empty:
            raise InvalidInstance("the file contains no row", "", "give one JSON object per line", name)


def _json_rows(stream: IO[bytes], name: str, head: bytes) -> Iterator[tuple[int, Any]]:
    chunks = unpack_chunks(stream, name) if head.startswith(GZIP) else read_chunks(stream)
    for block in read_blocks(chunks, name):
        for number, line in lines_of(block):
            yield number, _decode(line, f"{name}:{number}")


def _decode(line: bytes, place: str) -> Any:
    """Return the value of a line of JSON."""
    try:
        if b"\\u" in line and (half := find_half(line)) is not None:
            raise ValueError(f"a string has {half}, which is half of a character")
        return decode_text(line.decode())
    except InvalidInstance as error:
        raise error.within(source=place) from None
    except (ValueError, RecursionError) as error:
        kinds: dict[type[Exception], str] = {
            RecursionError: "nested too deeply",
            UnicodeDecodeError: "is not UTF-8 text",
        }
        words = kinds.get(type(error), str(error))
        words = f"not JSON: column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else words
        raise InvalidInstance(words, "", "give one JSON object per line", place) from None


def _parquet_rows(stream: IO[bytes], name: str, head: bytes) -> Iterator[tuple[int, Any]]:
    if find_spec("pyarrow") is None:
        raise Unsupported(f"{name} is a Parquet file, and reading it needs pyarrow: pip install 'masksynth[parquet]'")
    if not stream.seekable():
        raise Unsupported(f"{name}: Parquet cannot be read from a pipe; name the file")
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream.seek(0)
    number = 0
    try:
        for batch in pq.ParquetFile(stream).iter_batches(ROWS):
            for number, fields in enumerate(cast(Sequence[Any], batch.to_pylist()), number + 1):  # noqa: B020
                yield number, remove_nones(fields)
    except (pa.ArrowException, OSError) as error:
        fact = f"cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise InvalidInstance(fact, "", "write the file again", name) from None
