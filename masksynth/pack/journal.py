"""The journal of a packing run: a line of settings and a line for each complete window."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.files import write_to_disk
from masksynth.pack.packed_folder import Entry
from masksynth.pack.sample_columns import SampleTable

JOURNAL = "journal.jsonl"
AGAIN = "give --force to begin again"


class Record(msgspec.Struct):
    """One window: a checksum of its samples, its batches, and what it adds to the summary of the run.

    Parameters
    ----------
    checksum : int
        See `checksum_of`.
    batches : list of Entry
    counts : dict of str to int
    scattered, cut, skipped : list
        As in `masksynth.pack.Summary`.
    fields : list of str
        Optional fields that some sample has.
    """

    checksum: int
    batches: list[Entry]
    counts: dict[str, int]
    scattered: list[str | int]
    cut: list[str | int]
    skipped: list[str | int]
    fields: list[str]


def checksum_of(table: SampleTable) -> int:
    """Return the CRC-32 of everything in a window that is packed."""
    names = [sorted(table.fields), sorted(table.keys)]
    text = msgspec.json.encode([table.ids, table.groups, names, table.segments if any(table.segments) else None])
    crc = zlib.crc32(text)
    for values in (table.weight, table.offset, table.tokens.astype(np.int32), table.labels.astype(np.int32)):
        crc = zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data, crc)
    for name in sorted((*table.fields, *table.keys)):
        crc = zlib.crc32(np.ascontiguousarray(table.fields.get(name, table.keys.get(name))).view(np.uint8).data, crc)
    return crc


def open_journal(folder: Path, settings: Mapping[str, Any]) -> tuple[int, set[str]]:
    """Return the number of complete windows in a draft, and the names of their batches.

    A journal is created in a draft without one, and cut to complete lines otherwise.

    Raises
    ------
    InvalidInstance
        If the run was begun with other settings, or the journal is damaged.
    """
    path = folder / JOURNAL
    first = msgspec.json.encode(dict(settings)) + b"\n"
    if not path.exists():
        write_to_disk(path, first)
        return 0, set()
    with path.open("r+b") as file:
        begun = file.readline()
        if begun.endswith(b"\n") and begun != first:
            fact = f"the run was begun with {begun.decode().strip()}, not {first.decode().strip()}"
            raise InvalidInstance(fact, "", "give the same options, or --force to begin again", str(path))
        complete, windows = len(begun), 0
        batches: set[str] = set()
        for line in file:
            if not line.endswith(b"\n"):
                break
            batches.update(entry.file for entry in _record(line, path).batches)
            complete, windows = complete + len(line), windows + 1
        file.truncate(complete)
    return windows, batches


def read_records(folder: Path) -> Iterator[Record]:
    """Yield the windows of a journal, one by one."""
    with (folder / JOURNAL).open("rb") as file:
        next(file, None)  # the settings
        for line in file:
            yield _record(line, folder / JOURNAL)


def append_record(folder: Path, record: Record) -> None:
    """Append a window to the journal and wait until it is on the disk."""
    with (folder / JOURNAL).open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _record(line: bytes, path: Path) -> Record:
    try:
        return msgspec.json.decode(line, type=Record)
    except msgspec.MsgspecError as error:
        raise InvalidInstance(f"the journal is damaged: {error}", "", AGAIN, str(path)) from None
