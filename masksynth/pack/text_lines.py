"""Read the lines of a text stream, plain or gzipped, in blocks and within limits."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from isal import isal_zlib

from masksynth.errors import InvalidInstance

BLOCK = 1024
"""Maximum number of lines of a block, and of samples of a table."""
CHUNK = 1 << 22
"""Bytes that are read at a time, and about the size of a block."""
PACKED = 1 << 16
"""Bytes of a gzip stream that are read at a time: what they unpack to is lost if they are damaged."""
MAX_LINE = 1 << 29
"""Longest line that is read (512 MiB)."""
MAX_UNPACKED = 1 << 30
"""Bytes to which any gzip file may unpack (1 GiB)."""
MAX_RATIO = 200
"""A larger gzip file may unpack to this many times its size."""
UNPACK_ERROR = cast(type[Exception], isal_zlib.error)  # an instance in its stubs
Line = tuple[int, bytes]
"""Number of a line, counted from 1, and its text."""


def read_chunks(stream: Any) -> Iterator[bytes]:
    """Return an iterator over the content of a binary stream."""
    return iter(lambda: stream.read1(CHUNK), b"")


class _Damaged(Exception):
    """A gzip stream that cannot be unpacked, or not to its end."""


def unpack_chunks(stream: Any, name: str) -> Iterator[bytes]:
    """Yield the content of a gzip stream.

    Parameters
    ----------
    stream : binary stream
    name : str
        Named in messages.

    Raises
    ------
    InvalidInstance
        If it unpacks to more than ``MAX_UNPACKED`` bytes and more than ``MAX_RATIO`` times its size.
    """
    packed = size = 0
    member = _new_member()
    ended = True  # whether a member ended right before what comes next
    while data := stream.read1(PACKED):
        packed += len(data)
        while data:
            if ended and not (data := data.lstrip(b"\0")):  # padding between members
                break
            try:
                chunk = member.decompress(data, CHUNK)
            except UNPACK_ERROR as error:
                raise _Damaged(str(error)) from None
            ended = member.eof
            data = member.unused_data if ended else member.unconsumed_tail
            member = _new_member() if ended else member
            size += len(chunk)
            _check_size(size, packed, name)
            if chunk:
                yield chunk
    if not ended:
        raise _Damaged("it ends before its end mark")


def _new_member() -> Any:
    """Return a decompressor of one gzip member, which checks its CRC."""
    return isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)


def _check_size(size: int, packed: int, name: str) -> None:
    """Refuse a gzip stream that has unpacked to more than the limit."""
    limit = max(MAX_UNPACKED, MAX_RATIO * packed)
    if size > limit:
        fact = f"{packed} bytes of gzip unpack to more than {limit} bytes"
        rule = f"the limit is {MAX_UNPACKED} bytes or {MAX_RATIO} times the packed size"
        raise InvalidInstance(fact, "", f"{rule}; if the file is right, unpack it first", name)


class Block(NamedTuple):
    """Complete lines of a file: the number of the first one, counted from 1, and their text."""

    number: int
    text: bytes


def read_blocks(chunks: Iterator[bytes], name: str) -> Iterator[Block]:
    """Yield the lines of a text in blocks of about ``CHUNK`` bytes; the time is linear in the bytes.

    Parameters
    ----------
    chunks : iterator of bytes
    name : str
        Named in messages.

    Raises
    ------
    InvalidInstance
        If a line is longer than ``MAX_LINE``, or the gzip stream is damaged; the lines before it are yielded first.
    """
    pieces: list[bytes] = []  # what has been read since the last block
    size = complete = 0  # their bytes, and how many of them belong to complete lines
    number, first = 1, True
    try:
        for chunk in chunks:
            text = chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
            first = False
            if not pieces and text.isspace():
                number += text.count(b"\n")
                continue
            pieces.append(text)
            end = text.rfind(b"\n") + 1
            complete = size + end if end else complete
            size += len(text)
            too_long = size - complete > MAX_LINE
            if complete and (size >= CHUNK or too_long):
                joined = b"".join(pieces)
                yield Block(number, joined[:complete])
                number += joined.count(b"\n", 0, complete)
                pieces, size, complete = [joined[complete:]], size - complete, 0
            if too_long:
                fact = f"the line is longer than {MAX_LINE} bytes"
                remedy = "give one JSON object per line, and split longer samples"
                raise InvalidInstance(fact, "", remedy, f"{name}:{number}")
    except _Damaged as error:
        joined = b"".join(pieces)
        if complete:
            yield Block(number, joined[:complete])
        number += joined.count(b"\n")
        fact = f"the gzip stream is damaged or cut off in this line: {error}"
        raise InvalidInstance(fact, "", "copy or write the file again", f"{name}:{number}") from None
    if pieces:
        yield Block(number, b"".join(pieces))


def lines_of(block: Block) -> Iterator[Line]:
    """Yield (number, text) of each line of a block that is not blank."""
    for number, line in enumerate(block.text.split(b"\n"), block.number):
        if line and not line.isspace():  # stops at the first other byte
            yield number, line


def group_lines(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Yield the lines in blocks of at most 1,024 lines and about 4 MiB."""
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
