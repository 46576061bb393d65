"""Files of samples: JSON lines, plain or gzipped, or Parquet; read in blocks, parsed by columns.

Per-token lists are cut out of each line as raw text by the JSON parser, joined, and read by numpy in one call, so that no token becomes a
Python object. Whatever that fast road cannot read goes to the slow one, which finds the line and says what is wrong with it.
"""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.pack.intake import BLOCK, assemble, table_of
from masksynth.pack.samples import KEY_FIELDS, TOKEN_FIELDS, SampleTable, offsets

CHUNK = 1 << 22
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
STDIN = "<stdin>"
REQUIRED = ("id", "input_ids", "labels", "group", "weight", "segments")
Line = tuple[int, bytes]


def read_samples(
    source: str | Path | IO[bytes], token_fields: Sequence[str] = TOKEN_FIELDS, key_fields: Sequence[str] = KEY_FIELDS
) -> Iterator[SampleTable]:
    """The samples of a file as checked tables of up to 1,024 samples.

    Parameters
    ----------
    source : path, "-" or binary stream
        JSON lines, gzip of JSON lines, or Parquet (needs ``masksynth[parquet]``), told apart by their first bytes; "-" is stdin.
    token_fields, key_fields : sequence of str
        Which optional per-token lists to carry.

    Raises
    ------
    InvalidInstance
        Naming file and line, for anything that is not a sample, a truncated file, or a file without samples.
    """
    if isinstance(source, (str, Path)) and str(source) != "-":
        with open(source, "rb") as file:
            yield from _tables(file, str(source), token_fields, key_fields)
        return
    stream: IO[bytes] = sys.stdin.buffer if isinstance(source, (str, Path)) else source
    name = STDIN if stream is sys.stdin.buffer else str(getattr(stream, "name", "<stream>"))
    yield from _tables(stream, name, token_fields, key_fields)


def _tables(stream: IO[bytes], name: str, token_fields: Sequence[str], key_fields: Sequence[str]) -> Iterator[SampleTable]:
    buffered: Any = stream
    if not hasattr(stream, "peek"):
        buffered = io.BufferedReader(cast(Any, stream))
    try:
        head = buffered.peek(4)
        if head.startswith(PARQUET):
            from masksynth.pack.parquet import parquet_tables

            yield from parquet_tables(buffered, name, token_fields, key_fields)
            return
        plain: Any = gzip.GzipFile(fileobj=buffered, mode="rb") if head.startswith(GZIP) else buffered
        decoder = _Decoder(tuple(token_fields), tuple(key_fields))
        empty = True
        for lines in _blocks(_lines(plain, name)):
            empty = False
            table = _fast(lines, name, decoder, token_fields, key_fields)
            yield _slow(lines, name, token_fields, key_fields) if table is None else table
        if empty:
            raise InvalidInstance("the file holds no sample", "", "give one JSON object a line", name)
    finally:
        if buffered is not stream:
            buffered.detach()


def _lines(stream: Any, name: str) -> Iterator[Line]:
    """(number from 1, text) of every line that is not blank."""
    rest, number = b"", 0
    try:
        while chunk := stream.read1(CHUNK):
            if not number and not rest:
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                number += 1
                if line and not line.isspace():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fact = f"the gzip stream is damaged or cut off in this line: {error}"
        raise InvalidInstance(fact, "", "copy or write the file again", f"{name}:{number + 1}") from None
    if rest and not rest.isspace():
        yield number + 1, rest


def _blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Blocks of at most 1,024 lines and about 4 MiB."""
    block: list[Line] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line[1])
        if len(block) == BLOCK or size >= CHUNK:
            yield block
            block, size = [], 0
    if block:
        yield block


class _Decoder:
    """A msgspec decoder of lines whose per-token lists stay raw text; attribute ``x<i>`` holds optional list i."""

    def __init__(self, token_fields: tuple[str, ...], key_fields: tuple[str, ...]) -> None:
        self.optional = (*token_fields, *key_fields)
        for name in self.optional:
            if name in REQUIRED or self.optional.count(name) > 1:
                raise InvalidInstance(f"{name!r} cannot be a further per-token field", "", "it has a meaning of its own")
        names = {f"x{i}": name for i, name in enumerate(self.optional)}
        fields: list[Any] = [("id", str | int), ("input_ids", msgspec.Raw), ("labels", msgspec.Raw)]
        fields += [("group", str | int | None, None), ("weight", float | None, None), ("segments", Any, None)]
        fields += [(attribute, msgspec.Raw, msgspec.Raw()) for attribute in names]
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(msgspec.defstruct("Line", fields, rename=names)).decode


def _fast(lines: list[Line], name: str, decoder: _Decoder, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable | None:
    """The table of a block of lines, or None where something needs the slow road."""
    try:
        rows = [decoder.decode(line) for _, line in lines]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    tokens = _numbers([row.input_ids for row in rows], np.int64)
    labels = _numbers([row.labels for row in rows], np.int64)
    if tokens is None or labels is None or tokens[1] != labels[1]:
        return None
    extra: dict[str, list[NDArray[Any] | None]] = {}
    for number, field in enumerate(decoder.optional):
        raw = [getattr(row, f"x{number}") for row in rows]
        given = [i for i, text in enumerate(raw) if len(bytes(text)) and bytes(text) != b"null"]
        if given:
            columns = _numbers([raw[i] for i in given], np.float64 if field in token_fields else np.int64)
            if columns is None or columns[1] != [tokens[1][i] for i in given]:
                return None
            cut = offsets(columns[1])
            extra[field] = [None] * len(rows)
            for k, i in enumerate(given):
                extra[field][i] = columns[0][cut[k] : cut[k + 1]]
    return assemble(
        ids=[row.id for row in rows],
        groups=[row.group for row in rows],
        place=[f"{name}:{number}" for number, _ in lines],
        weight=[1.0 if row.weight is None else row.weight for row in rows],
        lengths=tokens[1],
        tokens=tokens[0],
        labels=labels[0],
        fields={field: extra[field] for field in token_fields if field in extra},
        keys={field: extra[field] for field in key_fields if field in extra},
        segments=[row.segments for row in rows],
    )


def _numbers(texts: Sequence[Any], dtype: type) -> tuple[NDArray[Any], list[int]] | None:
    """All numbers of raw JSON lists and the length of each list; None if any of them is not a flat list of numbers."""
    inner = [bytes(text)[1:-1] for text in texts]
    lengths = [text.count(b",") + 1 if text and not text.isspace() else 0 for text in inner]
    joined = b",".join(text for text, length in zip(inner, lengths, strict=True) if length)
    if dtype is np.float64:
        joined = joined.replace(b"null", b"nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # older numpy warns where it stops at what is not a number, newer raises
        try:
            values: NDArray[Any] = np.fromstring(joined, dtype, sep=",") if joined else np.zeros(0, dtype)
        except (ValueError, DeprecationWarning):
            return None
    whole = len(values) == sum(lengths) and all(bytes(text)[:1] == b"[" for text in texts)
    if not whole or (dtype is np.int64 and len(values) and max(-int(values.min()), int(values.max())) >= 2**62):
        return None
    return values, lengths


def _slow(lines: list[Line], name: str, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    """The same by one object a line, which finds the line at fault."""
    rows = []
    for number, line in lines:
        place = f"{name}:{number}"
        try:
            rows.append((place, msgspec.json.decode(line)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            words = {RecursionError: "nested too deeply", UnicodeDecodeError: "is not UTF-8 text"}.get(type(error), str(error))
            raise InvalidInstance(words, "", "give one JSON object a line; NaN and Infinity are not JSON", place) from None
        table_of(rows[-1:], token_fields, key_fields)
    return table_of(rows, token_fields, key_fields)
