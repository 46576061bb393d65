"""Read the lines of a text stream, plain or gzipped, in blocks and within limits."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from typing import Any, cast

from masksynth.errors import InvalidInstance

BLOCK = 1024
"""Maximum number of lines of a block, and of samples of a table."""
CHUNK = 1 << 22
"""Bytes that are read at a time, and about the size of a block."""
MAX_LINE = 1 << 29
"""Longest line that is read (512 MiB)."""
MAX_UNPACKED = 1 << 30
"""Bytes to which any gzip file may unpack (1 GiB)."""
MAX_RATIO = 200
"""A larger gzip file may unpack to this many times its size."""
Line = tuple[int, bytes]
"""Number of a line, counted from 1, and its text."""


def read_chunks(stream: Any) -> Iterator[bytes]:
    """Return an iterator over the content of a binary stream."""
    return iter(lambda: stream.read1(CHUNK), b"")


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


def read_lines(chunks: Iterator[bytes], name: str) -> Iterator[Line]:
    """Yield (number from 1, text) of each line that is not blank, in time linear in the bytes, however long a line is.

    Parameters
    ----------
    chunks : iterator of bytes
    name : str
        Named in messages.

    Raises
    ------
    InvalidInstance
        If a line is longer than ``MAX_LINE``, or the gzip stream is damaged.
    """
    begun: list[bytes] = []  # the pieces of a line whose end has not been read yet
    size, number, first = 0, 0, True
    try:
        for chunk in chunks:
            text = chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
            first = False
            if not begun and text.isspace():
                number += text.count(b"\n")
                continue
            *complete, rest = text.split(b"\n")
            if complete:
                complete[0] = b"".join((*begun, complete[0]))
                begun, size = [], 0
            for line in complete:
                number += 1
                if line and not line.isspace():
                    yield number, line
            begun += [rest] if rest else []
            size += len(rest)
            if size > MAX_LINE:
                fact = f"the line is longer than {MAX_LINE} bytes"
                remedy = "give one JSON object per line, and split longer samples"
                raise InvalidInstance(fact, "", remedy, f"{name}:{number + 1}")
    except _Damaged as error:
        fact = f"the gzip stream is damaged or cut off in this line: {error}"
        raise InvalidInstance(fact, "", "copy or write the file again", f"{name}:{number + 1}") from None
    last = b"".join(begun)
    if last and not last.isspace():
        yield number + 1, last


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
