"""Files of samples: JSON lines, plain or gzipped, or Parquet; read in blocks, parsed by columns.

Per-token lists are cut out of each line as raw text by the JSON parser, joined, and read by numpy in one call, so that no token becomes a
Python object. Whatever that fast road cannot read goes to the slow one, which finds the line and says what is wrong with it.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import IO, Annotated, Any, cast

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr
from masksynth.mask.typing import AnyArray
from masksynth.pack.check_samples import BLOCK, Columns, assemble, list_names, table_of
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS, SampleTable
from masksynth.pack.token_masks import MASKS, Lists
from masksynth.tasks.parse_json import decode_text

CHUNK = 1 << 22
MAX_LINE = 1 << 29
"""Longest line that is read (512 MiB)."""
MAX_UNPACKED = 1 << 30
"""Bytes to which any gzip file may unpack (1 GiB)."""
MAX_RATIO = 200
"""A larger gzip file may unpack to this many times its size."""
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
STDIN = "<stdin>"
INSTANCE = re.compile(rb'\s*\{\s*"masksynth"\s*:')
"""How the file of an instance begins, once it has turned out to hold no samples."""
ABSENT = msgspec.Raw()
NAME = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
SHORT = 32
"""Lists of up to so many bytes stay in a text whose keys are checked."""
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
    if isinstance(source, (str, Path)):
        if sys.stdin is None or sys.stdin.closed:
            raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", STDIN)
        stream: IO[bytes] = sys.stdin.buffer
    else:
        stream = source
    own = sys.stdin is not None and stream is getattr(sys.stdin, "buffer", None)
    name = STDIN if own else str(getattr(stream, "name", "<stream>"))
    yield from _tables(stream, name, token_fields, key_fields)


def _tables(
    stream: IO[bytes], name: str, token_fields: Sequence[str], key_fields: Sequence[str]
) -> Iterator[SampleTable]:
    buffered: Any = stream
    if not hasattr(stream, "peek"):
        buffered = io.BufferedReader(cast(Any, stream))
    try:
        head = bytes(buffered.peek(4))
        if head.startswith(PARQUET):
            from masksynth.pack.parquet import parquet_tables

            yield from parquet_tables(buffered, name, token_fields, key_fields)
            return
        chunks = _unpacked_chunks(buffered, name) if head.startswith(GZIP) else iter(lambda: buffered.read1(CHUNK), b"")
        decoder = _Decoder(tuple(token_fields), tuple(key_fields))
        empty = True
        for lines in _blocks(_lines(chunks, name)):
            empty = False
            table = _fast(lines, name, decoder, token_fields, key_fields)
            yield _slow(lines, name, token_fields, key_fields) if table is None else table
        if empty:
            raise InvalidInstance("the file holds no sample", "", "give one JSON object a line", name)
    except InvalidInstance:
        if INSTANCE.match(head):
            remedy = 'give one JSON object with "input_ids" a line'
            raise InvalidInstance("is an instance, not samples", "", remedy, name) from None
        raise
    finally:
        if buffered is not stream:
            buffered.detach()


class _Counted:
    """A binary stream that counts the bytes read from it."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.count = stream, 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size)
        self.count += len(data)
        return data


class _Damaged(Exception):
    """A gzip stream that cannot be unpacked, or not to its end."""


def _unpacked_chunks(stream: Any, name: str) -> Iterator[bytes]:
    """Yield the content of a gzip stream, until it is larger than its size allows."""
    packed = _Counted(stream)
    file, size = gzip.GzipFile(fileobj=cast(Any, packed), mode="rb"), 0
    while True:
        try:
            chunk = file.read1(CHUNK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _Damaged(str(error)) from None
        if not chunk:
            return
        size += len(chunk)
        if size > max(MAX_UNPACKED, MAX_RATIO * packed.count):
            limit = max(MAX_UNPACKED, MAX_RATIO * packed.count)
            fact = f"{packed.count} bytes of gzip unpack to more than {limit} bytes"
            rule = f"the limit is {MAX_UNPACKED} bytes or {MAX_RATIO} times the packed size"
            raise InvalidInstance(fact, "", f"{rule}; if the file is right, unpack it first", name)
        yield chunk


def _lines(chunks: Iterator[bytes], name: str) -> Iterator[Line]:
    """Yield (number from 1, text) of every line that is not blank, in time linear in the bytes, however long a line is."""
    begun: list[bytes] = []  # the pieces of a line whose end has not been read yet
    size, number, first = 0, 0, True
    try:
        for chunk in chunks:
            text = chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
            first = False
            if not begun and text.isspace():
                number += text.count(b"\n")
                continue
            *whole, rest = text.split(b"\n")
            if whole:
                whole[0] = b"".join((*begun, whole[0]))
                begun, size = [], 0
            for line in whole:
                number += 1
                if line and not line.isspace():
                    yield number, line
            begun += [rest] if rest else []
            size += len(rest)
            if size > MAX_LINE:
                fact, remedy = (
                    f"the line is longer than {MAX_LINE} bytes",
                    "give one JSON object a line, and split longer samples",
                )
                raise InvalidInstance(fact, "", remedy, f"{name}:{number + 1}")
    except _Damaged as error:
        fact = f"the gzip stream is damaged or cut off in this line: {error}"
        raise InvalidInstance(fact, "", "copy or write the file again", f"{name}:{number + 1}") from None
    last = b"".join(begun)
    if last and not last.isspace():
        yield number + 1, last


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
    """Decode lines by msgspec with per-token lists as raw text; ``lists`` has a getter of each beside ``input_ids``."""

    def __init__(self, token_fields: tuple[str, ...], key_fields: tuple[str, ...]) -> None:
        attributes = {f"x{i}": name for i, name in enumerate(list_names(token_fields, key_fields))}
        self.lists = {name: attrgetter(attribute) for attribute, name in attributes.items()}
        self.read_lists = attrgetter("input_ids", *attributes)
        fields: list[Any] = [("input_ids", msgspec.Raw), ("id", NAME, None), ("group", NAME, None)]
        fields += [("weight", float | None, None), ("segments", Any, None)]
        fields += [(attribute, msgspec.Raw, ABSENT) for attribute in attributes]
        shape = msgspec.defstruct("Line", fields, rename=attributes)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode


def _fast(
    lines: list[Line],
    name: str,
    decoder: _Decoder,
    token_fields: Sequence[str],
    key_fields: Sequence[str],
) -> SampleTable | None:
    """The table of a block of lines, or None where something needs the slow road."""
    try:
        rows = [decoder.decode(line) for _, line in lines]
        for (_, line), row in zip(lines, rows, strict=True):
            check_keys(line, map(bytes, decoder.read_lists(row)))
    except (msgspec.MsgspecError, InvalidInstance, ValueError, RecursionError):
        return None
    tokens = _numbers([bytes(row.input_ids) for row in rows], np.int64)
    if tokens is None:
        return None
    lists: dict[str, Lists] = {}
    for field, read_raw in decoder.lists.items():
        raws = list(map(read_raw, rows))
        if raws.count(ABSENT) == len(raws):
            continue
        raw = list(map(bytes, raws))
        given = [i for i, text in enumerate(raw) if text and text != b"null"]
        if given:
            dtype = np.float64 if field in token_fields else np.int64
            columns = _numbers([raw[i] for i in given], dtype, field in MASKS)
            if columns is None or columns[1] != [tokens[1][i] for i in given]:
                return None
            cut = indptr(columns[1])
            each: list[AnyArray | None] = [None] * len(rows)
            for k, i in enumerate(given):
                each[i] = columns[0][cut[k] : cut[k + 1]]
            lists[field] = each
    given_columns = Columns(
        ids=[row.id for row in rows],
        groups=[row.group for row in rows],
        place=[f"{name}:{number}" for number, _ in lines],
        weight=[1.0 if row.weight is None else row.weight for row in rows],
        lengths=tokens[1],
        tokens=tokens[0],
        lists=lists,
        segments=[row.segments for row in rows],
    )
    return assemble(given_columns, token_fields, key_fields)


def check_keys(line: bytes, lists: Iterable[bytes]) -> None:
    """Refuse a JSON text that gives a key twice in one object, or is not UTF-8.

    Numbers hold no quotes, so the strings of a text are every second piece between quotes, and cutting them out is cheap. Where
    two of them are equal, or one may hide behind an escape, the text is decoded without its long ``lists`` of numbers: no key
    is in them, and keys that are equal stay equal.

    Raises
    ------
    InvalidInstance
        If a key is repeated, or may be.
    ValueError, RecursionError
        If the text cannot be decoded.

    Examples
    --------
    >>> check_keys(b'{"a": [1, 2], "b": "a"}', [])
    >>> check_keys(b'{"a": [1, 2], "a" : 1}', [])
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $: key 'a' is repeated in one object; keep one of them
    """
    if not line.isascii():
        line.decode()
    if b"\\" not in line:
        strings = line.split(b'"')[1::2]
        if len(set(strings)) == len(strings):
            return
    for text in lists:
        line = line.replace(text, b"[]") if len(text) > SHORT else line
    decode_text(line.decode())


def _numbers(texts: Sequence[bytes], dtype: type, mask: bool = False) -> tuple[AnyArray, list[int]] | None:
    """All numbers of raw JSON lists and the length of each list; None if any of them is not a flat list of numbers."""
    inner = [text[1:-1] for text in texts]
    lengths = [text.count(b",") + 1 if text and not text.isspace() else 0 for text in inner]
    if mask and any(b"e" in text for text in inner):  # true, false
        if any(b"e" in text and text.count(b"e") != length for text, length in zip(inner, lengths, strict=True)):
            return None
        inner = [text.replace(b"true", b"1").replace(b"false", b"0") for text in inner]
    joined = b",".join(text for text, length in zip(inner, lengths, strict=True) if length)
    if dtype is np.float64:
        joined = joined.replace(b"null", b"nan")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error", DeprecationWarning
        )  # older numpy warns where it stops at what is not a number, newer raises
        try:
            values: AnyArray = np.fromstring(joined, dtype, sep=",") if joined else np.zeros(0, dtype)
        except (ValueError, DeprecationWarning):
            return None
    whole = len(values) == sum(lengths) and all(text.startswith(b"[") for text in texts)
    if not whole or (dtype is np.float64 and np.isinf(values).any()):
        return None
    if dtype is np.int64 and len(values) and max(-int(values.min()), int(values.max())) >= 2**62:
        return None
    return values, lengths


def _slow(lines: list[Line], name: str, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    """The same by one object a line, which finds the line at fault."""
    rows = []
    for number, line in lines:
        place = f"{name}:{number}"
        rows.append((place, _decoded(line, place)))
        table_of(rows[-1:], token_fields, key_fields)
    return table_of(rows, token_fields, key_fields)


def _decoded(line: bytes, place: str) -> Any:
    """The value of a line."""
    try:
        # strict where Python's own reader takes NaN and halves of surrogate pairs
        msgspec.json.decode(line, type=msgspec.Raw)
        return decode_text(line.decode())
    except InvalidInstance as error:
        raise error.within(source=place) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        words = {RecursionError: "nested too deeply", UnicodeDecodeError: "is not UTF-8 text"}.get(
            type(error), str(error)
        )
        raise InvalidInstance(words, "", "give one JSON object a line; NaN and Infinity are not JSON", place) from None
