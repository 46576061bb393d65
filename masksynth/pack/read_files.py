"""Read files of samples: JSON lines, plain or gzipped, or Parquet; in blocks, parsed by columns.

The JSON parser leaves the per-token lists of each line as raw text; they are concatenated and read by numpy in one
call, so that no token becomes a Python object. A block that cannot be read like this is read again line by line, which
finds the line that is wrong.
"""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import IO, Annotated, Any, cast

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr
from masksynth.mask.typing import AnyArray
from masksynth.pack.check_samples import Columns, assemble, list_names, table_of
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS, SampleTable
from masksynth.pack.text_lines import Line, group_lines, read_chunks, read_lines, unpack_chunks
from masksynth.pack.token_masks import MASKS, Lists
from masksynth.tasks.parse_json import decode_text

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
STDIN = "<stdin>"
INSTANCE = re.compile(rb'\s*\{\s*"masksynth"\s*:')
"""Beginning of an instance file; looked for only if a file does not contain samples."""
ABSENT = msgspec.Raw()
NAME = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
SHORT = 32
"""Lists of at most this many bytes stay in a text whose keys are checked."""


def read_samples(
    source: str | Path | IO[bytes], token_fields: Sequence[str] = TOKEN_FIELDS, key_fields: Sequence[str] = KEY_FIELDS
) -> Iterator[SampleTable]:
    """Yield the samples of a file as checked tables of up to 1,024 samples.

    Parameters
    ----------
    source : path, "-" or binary stream
        JSON lines, gzip of JSON lines, or Parquet (needs ``masksynth[parquet]``), recognized by the first bytes; "-" is
        stdin.
    token_fields, key_fields : sequence of str
        Names of the optional per-token lists to carry.

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
    is_stdin = sys.stdin is not None and stream is getattr(sys.stdin, "buffer", None)
    name = STDIN if is_stdin else str(getattr(stream, "name", "<stream>"))
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
        chunks = unpack_chunks(buffered, name) if head.startswith(GZIP) else read_chunks(buffered)
        decoder = _Decoder(tuple(token_fields), tuple(key_fields))
        empty = True
        for lines in group_lines(read_lines(chunks, name)):
            empty = False
            table = _read_by_columns(lines, name, decoder, token_fields, key_fields)
            yield _read_by_lines(lines, name, token_fields, key_fields) if table is None else table
        if empty:
            raise InvalidInstance("the file contains no sample", "", "give one JSON object per line", name)
    except InvalidInstance:
        if INSTANCE.match(head):
            remedy = 'give one JSON object with "input_ids" a line'
            raise InvalidInstance("is an instance, not samples", "", remedy, name) from None
        raise
    finally:
        if buffered is not stream:
            buffered.detach()


class _Decoder:
    """Decode lines by msgspec with per-token lists as raw text; ``lists`` has a getter for each but ``input_ids``."""

    def __init__(self, token_fields: tuple[str, ...], key_fields: tuple[str, ...]) -> None:
        attributes = {f"x{i}": name for i, name in enumerate(list_names(token_fields, key_fields))}
        self.lists = {name: attrgetter(attribute) for attribute, name in attributes.items()}
        self.read_lists = attrgetter("input_ids", *attributes)
        fields: list[Any] = [("input_ids", msgspec.Raw), ("id", NAME, None), ("group", NAME, None)]
        fields += [("weight", float | None, None), ("segments", Any, None)]
        fields += [(attribute, msgspec.Raw, ABSENT) for attribute in attributes]
        shape = msgspec.defstruct("Line", fields, rename=attributes)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode


def _read_by_columns(
    lines: list[Line],
    name: str,
    decoder: _Decoder,
    token_fields: Sequence[str],
    key_fields: Sequence[str],
) -> SampleTable | None:
    """Return the table of a block of lines, None if they must be read one by one."""
    try:
        rows = [decoder.decode(line) for _, line in lines]
        for (_, line), row in zip(lines, rows, strict=True):
            check_keys(line, map(bytes, decoder.read_lists(row)))
    except (msgspec.MsgspecError, InvalidInstance, ValueError, RecursionError):
        return None
    tokens = _numbers([bytes(row.input_ids) for row in rows], np.int64)
    if tokens is None:
        return None
    lists = _read_lists(rows, decoder, tokens[1], token_fields)
    if lists is None:
        return None
    columns = Columns(
        ids=[row.id for row in rows],
        groups=[row.group for row in rows],
        place=[f"{name}:{number}" for number, _ in lines],
        weight=[1.0 if row.weight is None else row.weight for row in rows],
        lengths=tokens[1],
        tokens=tokens[0],
        lists=lists,
        segments=[row.segments for row in rows],
    )
    return assemble(columns, token_fields, key_fields)


def _read_lists(
    rows: list[Any], decoder: _Decoder, lengths: list[int], token_fields: Sequence[str]
) -> dict[str, Lists] | None:
    """Return the per-token lists of decoded lines by name; None if they must be read line by line.

    Parameters
    ----------
    rows : list
        Decoded lines.
    decoder : _Decoder
    lengths : list of int
        Number of tokens of each line.
    token_fields : sequence of str
        Names of the lists of real numbers.
    """
    lists: dict[str, Lists] = {}
    for field, read_raw in decoder.lists.items():
        raws = list(map(read_raw, rows))
        if raws.count(ABSENT) == len(raws):
            continue
        texts = list(map(bytes, raws))
        given = [i for i, text in enumerate(texts) if text and text != b"null"]
        if not given:
            continue
        dtype = np.float64 if field in token_fields else np.int64
        numbers = _numbers([texts[i] for i in given], dtype, field in MASKS)
        if numbers is None or numbers[1] != [lengths[i] for i in given]:
            return None
        cut = indptr(numbers[1])
        columns: list[AnyArray | None] = [None] * len(rows)
        for k, i in enumerate(given):
            columns[i] = numbers[0][cut[k] : cut[k + 1]]
        lists[field] = columns
    return lists


def check_keys(line: bytes, lists: Iterable[bytes]) -> None:
    """Refuse a JSON text that gives a key twice in one object, or is not UTF-8.

    Numbers contain no quotes, so the strings of a text are every second piece between quotes. If two of them are equal,
    or there is an escape, the text is decoded without its long ``lists`` of numbers, which contain no keys.

    Parameters
    ----------
    line : bytes
        The text.
    lists : iterable of bytes
        Parts of it that are lists of numbers.

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
    """Return all numbers of raw JSON lists, and the length of each list; None unless all are flat lists of numbers.

    Parameters
    ----------
    texts : sequence of bytes
        A JSON list each.
    dtype : type
        ``np.int64`` or ``np.float64``; null is NaN in the latter.
    mask : bool
        Whether the entries may be booleans.
    """
    inner = [text[1:-1] for text in texts]
    lengths = [text.count(b",") + 1 if text and not text.isspace() else 0 for text in inner]
    if mask and any(b"e" in text for text in inner):  # true, false
        # a mixture of booleans and numbers is left to the slow reader, which refuses it
        if any(b"e" in text and text.count(b"e") != length for text, length in zip(inner, lengths, strict=True)):
            return None
        inner = [text.replace(b"true", b"1").replace(b"false", b"0") for text in inner]
    joined = b",".join(text for text, length in zip(inner, lengths, strict=True) if length)
    if dtype is np.float64:
        joined = joined.replace(b"null", b"nan")
    with warnings.catch_warnings():
        # invalid numbers: older versions of numpy stop with a warning, newer ones raise
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values: AnyArray = np.fromstring(joined, dtype, sep=",") if joined else np.zeros(0, dtype)
        except (ValueError, DeprecationWarning):
            return None
    complete = len(values) == sum(lengths) and all(text.startswith(b"[") for text in texts)
    if not complete or (dtype is np.float64 and np.isinf(values).any()):
        return None
    if dtype is np.int64 and len(values) and max(-int(values.min()), int(values.max())) >= 2**62:
        return None  # fromstring saturates what does not fit into 64 bits
    return values, lengths


def _read_by_lines(lines: list[Line], name: str, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    """Return the table of a block of lines, read one by one; raise for the first line that is wrong."""
    rows = []
    for number, line in lines:
        source = f"{name}:{number}"
        rows.append((source, _decode_line(line, source)))
        table_of(rows[-1:], token_fields, key_fields)
    return table_of(rows, token_fields, key_fields)


def _decode_line(line: bytes, source: str) -> Any:
    """Return the value of a line."""
    try:
        # strict where Python's own reader takes NaN and halves of surrogate pairs
        msgspec.json.decode(line, type=msgspec.Raw)
        return decode_text(line.decode())
    except InvalidInstance as error:
        raise error.within(source=source) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        words = {RecursionError: "nested too deeply", UnicodeDecodeError: "is not UTF-8 text"}.get(
            type(error), str(error)
        )
        raise InvalidInstance(
            words, "", "give one JSON object per line; NaN and Infinity are not JSON", source
        ) from None
