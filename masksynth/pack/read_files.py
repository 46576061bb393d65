"""Read files of samples: JSON lines, plain or gzipped, or Parquet; in blocks, parsed by columns.

A line that `masksynth.pack.parse_lines` cannot decide is read by Python's reader and checked field by field, which
finds what is wrong with it.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.pack.check_samples import list_names, table_of
from masksynth.pack.parse_lines import LineParser
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS, SampleTable, join, select
from masksynth.pack.text_lines import Block, Line, group_lines, lines_of, read_blocks, read_chunks, unpack_chunks
from masksynth.tasks.parse_json import decode_text

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
STDIN = "<stdin>"
ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""An escape: a surrogate pair, half of one, or another."""
INSTANCE = re.compile(rb'\s*\{\s*"masksynth"\s*:')
"""Beginning of an instance file; looked for only if a file does not contain samples."""


class Source(NamedTuple):
    """A file of samples and what is read from it.

    Parameters
    ----------
    name : str
        Named in messages.
    token_fields, key_fields : sequence of str
        Names of the optional per-token lists to carry.
    prefix : str
        Start of the ids of samples without one; the number of the line follows.
    """

    name: str
    token_fields: Sequence[str]
    key_fields: Sequence[str]
    prefix: str


def read_samples(
    source: str | Path | IO[bytes],
    token_fields: Sequence[str] = TOKEN_FIELDS,
    key_fields: Sequence[str] = KEY_FIELDS,
    prefix: str = "#",
) -> Iterator[SampleTable]:
    """Yield the samples of a file as checked tables of up to 1,024 samples.

    Parameters
    ----------
    source : path, "-" or binary stream
        JSON lines, gzip of JSON lines, or Parquet (needs ``masksynth[parquet]``), recognized by the first bytes; "-" is
        stdin.
    token_fields, key_fields : sequence of str
        Names of the optional per-token lists to carry.
    prefix : str
        Start of the ids of samples without one; the number of the line follows.

    Raises
    ------
    InvalidInstance
        Naming file and line, for anything that is not a sample, a truncated file, or a file without samples.
    """
    for file, item in read_parts(source, token_fields, key_fields, prefix):
        yield from block_tables(file, item) if isinstance(item, Block) else [item]


def read_parts(
    source: str | Path | IO[bytes], token_fields: Sequence[str], key_fields: Sequence[str], prefix: str = "#"
) -> Iterator[tuple[Source, Block | SampleTable]]:
    """Yield the parts of a file: blocks of lines that are still to be parsed, or the tables of a Parquet file."""
    if isinstance(source, (str, Path)) and str(source) != "-":
        with open(source, "rb") as file:
            yield from _parts(file, Source(str(source), token_fields, key_fields, prefix))
        return
    if isinstance(source, (str, Path)):
        if sys.stdin is None or sys.stdin.closed:
            raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", STDIN)
        stream: IO[bytes] = sys.stdin.buffer
    else:
        stream = source
    is_stdin = sys.stdin is not None and stream is getattr(sys.stdin, "buffer", None)
    name = STDIN if is_stdin else str(getattr(stream, "name", "<stream>"))
    yield from _parts(stream, Source(name, token_fields, key_fields, prefix))


def _parts(stream: IO[bytes], source: Source) -> Iterator[tuple[Source, Block | SampleTable]]:
    buffered: Any = stream
    if not hasattr(stream, "peek"):
        buffered = io.BufferedReader(cast(Any, stream))
    try:
        head = bytes(buffered.peek(4))
        if head.startswith(PARQUET):
            from masksynth.pack.parquet import parquet_tables

            yield from ((source, table) for table in parquet_tables(buffered, *source))
            return
        list_names(source.token_fields, source.key_fields)
        chunks = unpack_chunks(buffered, source.name) if head.startswith(GZIP) else read_chunks(buffered)
        empty = True
        for block in read_blocks(chunks, source.name):
            empty = empty and block.text.isspace()
            yield source, block
        if empty:
            raise InvalidInstance("the file contains no sample", "", "give one JSON object per line", source.name)
    finally:
        if buffered is not stream:
            buffered.detach()


def block_tables(source: Source, block: Block) -> Iterator[SampleTable]:
    """Yield the checked tables of a block of lines, of up to 1,024 samples each."""
    parser = LineParser(source.token_fields, source.key_fields)
    try:
        for lines in group_lines(lines_of(block)):
            yield _table_of_lines(lines, source, parser)
    except InvalidInstance:
        if block.number == 1 and INSTANCE.match(block.text):
            remedy = 'give one JSON object with "input_ids" a line'
            raise InvalidInstance("is an instance, not samples", "", remedy, source.name) from None
        raise


def _table_of_lines(lines: Sequence[Line], source: Source, parser: LineParser) -> SampleTable:
    """Return the table of some lines; those that the parser leaves undecided are read by `_read_by_lines`."""
    rows = [parser.parse(line) for _, line in lines]
    places = [f"{source.name}:{number}" for number, _ in lines]
    decided = [i for i, row in enumerate(rows) if row is not None]
    undecided = [i for i, row in enumerate(rows) if row is None]
    parsed = [row for row in rows if row is not None]
    if not undecided:
        return parser.table(parsed, places, source.prefix)
    if not decided:
        return _read_by_lines(lines, source)
    try:
        others = _read_by_lines([lines[i] for i in undecided], source)
        table = join([parser.table(parsed, [places[i] for i in decided], source.prefix), others])
    except InvalidInstance:
        return _read_by_lines(lines, source)  # raises for the first line that is wrong
    return select(table, np.argsort([*decided, *undecided]))


def _read_by_lines(lines: Sequence[Line], source: Source) -> SampleTable:
    """Return the table of some lines, read one by one; raise for the first line that is wrong."""
    rows = []
    for number, line in lines:
        place = f"{source.name}:{number}"
        rows.append((place, _decode_line(line, place)))
        table_of(rows[-1:], *source[1:])
    return table_of(rows, *source[1:])


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
        if isinstance(error, msgspec.MsgspecError) and (half := find_half(line)) is not None:
            words = f"a string has {half}, which is half of a character"
        raise InvalidInstance(
            words, "", "give one JSON object per line; NaN and Infinity are not JSON", source
        ) from None


def find_half(line: bytes) -> str | None:
    r"""Return the first escape in a line that is one half of a surrogate pair without the other; None if there is none.

    Examples
    --------
    >>> find_half(rb'{"text": "\ud83d\ude00 \ud83d"}'), find_half(rb'{"text": "\ud83d\ude00 \\ud83d"}')
    ('\\ud83d', None)
    """
    for escape in ESCAPES.finditer(line):
        if escape["half"]:
            return "\\" + escape["half"].decode()
    return None
