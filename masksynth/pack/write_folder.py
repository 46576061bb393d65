"""The folder of a run: batches and a journal in a hidden sibling, which gets its name when all is done.

A run that is killed, refused or out of disk leaves the sibling with whole windows only, and a run with ``resume`` goes on after the last
of them. The journal has one line of settings and one for each window, written after the window's batches have reached the disk.
"""

from __future__ import annotations

import fcntl
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import save

from masksynth.errors import InvalidInstance
from masksynth.export.formats import sorted_metadata
from masksynth.files import check_folder
from masksynth.pack.batch import BATCH_HASH, PackedBatch, batch_arrays, batch_hash
from masksynth.pack.packed_folder import MANIFEST, Entry, Options, manifest_hash, manifest_head
from masksynth.pack.sample_columns import Ints, SampleTable
from masksynth.pack.visibility import described

JOURNAL = "journal.jsonl"
Content = Iterable[bytes | memoryview]


class Record(msgspec.Struct):
    """One window: a checksum of its samples, its batches, and what it adds to the summary."""

    checksum: int
    batches: list[Entry]
    counts: dict[str, int]
    scattered: list[str | int]
    cut: list[str | int]
    skipped: list[str | int]
    fields: list[str]


def checksum(table: SampleTable) -> int:
    """CRC-32 of the samples of a window: everything that is packed."""
    names = [sorted(table.fields), sorted(table.keys)]
    text = msgspec.json.encode([table.ids, table.groups, names, table.segments if any(table.segments) else None])
    crc = zlib.crc32(text)
    for values in (table.weight, table.offset, table.tokens.astype(np.int32), table.labels.astype(np.int32)):
        crc = zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data, crc)
    for name in sorted((*table.fields, *table.keys)):
        crc = zlib.crc32(np.ascontiguousarray(table.fields.get(name, table.keys.get(name))).view(np.uint8).data, crc)
    return crc


def partial_of(target: Path) -> Path:
    """Where an unfinished run keeps its batches."""
    return target.parent / f".{target.name}.partial"


@contextmanager
def draft(
    target: Path, settings: Mapping[str, Any], resume: bool, force: bool, inputs: Sequence[str | Path] = ()
) -> Iterator[tuple[Path, int]]:
    """The hidden sibling of a target, locked, and how many windows it already holds.

    Raises
    ------
    InvalidInstance
        If the target holds something, an unfinished run lies beside it (without ``resume`` or ``force``), another process is at work on it,
        or it was begun with other settings.
    """
    _check_target(target, force, inputs)
    folder = partial_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = _made(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with _locked(handle, folder):
            if not (new or resume or force):
                remedy = "give --resume to finish it, or --force to begin again"
                raise InvalidInstance("an unfinished run lies there", "", remedy, str(folder))
            if not resume:
                _clear(folder)
            yield folder, _journal(folder, settings)
    finally:
        os.close(handle)


def _check_target(target: Path, force: bool, inputs: Sequence[str | Path] = ()) -> None:
    """Refuse a target that is taken; ``force`` replaces a packed folder, and nothing else."""
    check_folder(target, force, inputs, lambda name: True)
    if target.is_dir() and (others := sorted(file.name for file in target.iterdir() if not _ours(file))):
        raise InvalidInstance(f"holds {others[0]!r}, which no packing wrote", "", "choose another folder", str(target))


def _made(folder: Path) -> bool:
    """Make a folder; False if it was there."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


@contextmanager
def _locked(handle: int, folder: Path) -> Iterator[None]:
    """The folder locked while this process works on it, and removed at the end if no batch is in it. The lock ends with the process."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), folder.stat()):  # the other run has finished between the two steps
            raise FileNotFoundError
    except OSError:
        raise InvalidInstance(
            "another run is writing there", "", "wait for it, or choose another folder", str(folder)
        ) from None
    try:
        yield
    finally:
        if folder.exists() and not list(folder.glob("batch-*.safetensors")):
            _clear(folder)
            folder.rmdir()


def _clear(folder: Path) -> None:
    for file in folder.glob("*"):
        if _ours(file):
            file.unlink()


def _ours(file: Path) -> bool:
    """Whether a packing wrote this file."""
    if re.fullmatch(r"batch-\d{5,}\.safetensors(\.part)?|journal\.jsonl(\.part)?|manifest\.json\.part", file.name):
        return file.is_file()
    if file.name != MANIFEST or not file.is_file():
        return False
    try:
        return b'"masksynth_pack"' in file.read_bytes()[:64]
    except OSError:
        return False


def _journal(folder: Path, settings: Mapping[str, Any]) -> int:
    """The number of windows that are done; batches of none of them are removed, and the journal is cut to whole lines."""
    path = folder / JOURNAL
    first = msgspec.json.encode(dict(settings)) + b"\n"
    if not path.exists():
        _remove_others(folder, set())
        write_whole(path, [first])
        return 0
    with path.open("r+b") as file:
        begun = file.readline()
        if begun.endswith(b"\n") and begun != first:
            fact = f"the run was begun with {begun.decode().strip()}, not {first.decode().strip()}"
            raise InvalidInstance(fact, "", "give the same options, or --force to begin again", str(path))
        whole, windows = len(begun), 0
        known: set[str] = set()
        for line in file:
            if not line.endswith(b"\n"):
                break
            known.update(entry.file for entry in _record(line, path).batches)
            whole, windows = whole + len(line), windows + 1
        file.truncate(whole)
    _remove_others(folder, known)
    if missing := sorted(name for name in known if not (folder / name).exists()):
        raise InvalidInstance(f"{missing[0]} is missing", "", "give --force to begin again", str(folder))
    return windows


def _remove_others(folder: Path, known: set[str]) -> None:
    for file in folder.glob("batch-*"):
        if file.name not in known and _ours(file):
            file.unlink()


def _record(line: bytes, path: Path) -> Record:
    try:
        return msgspec.json.decode(line, type=Record)
    except msgspec.MsgspecError as error:
        raise InvalidInstance(
            f"the journal is damaged: {error}", "", "give --force to begin again", str(path)
        ) from None


def records_of(folder: Path) -> Iterator[Record]:
    """The windows of a journal, one by one."""
    with (folder / JOURNAL).open("rb") as file:
        next(file, None)
        for line in file:
            yield _record(line, folder / JOURNAL)


def write_window(folder: Path, record: Record, batches: Sequence[Content]) -> None:
    """Write the batches of a window, wait until they are on the disk, and enter the window into the journal."""
    for entry, content in zip(record.batches, batches, strict=True):
        write_whole(folder / entry.file, content)
    with (folder / JOURNAL).open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: Content) -> None:
    """Write a file under another name and rename it, so that it is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def batch_content(batch: PackedBatch, digest: str | None = None) -> Content:
    """A batch as a safetensors file, its hash (``digest``, or computed here) in the metadata; equal batches give equal bytes."""
    return sorted_metadata(save(batch_arrays(batch), metadata={"schema": "1", BATCH_HASH: digest or batch_hash(batch)}))


def entry_of(number: int, table: SampleTable, samples: Ints, batch: PackedBatch, digest: str | None) -> Entry:
    """A batch's entry in the manifest, with its hash where it is written."""
    chosen = samples.tolist()
    groups = tuple(table.groups[s] for s in chosen)
    segments = tuple(None if (part := table.segments[s]) is None else described(part) for s in chosen)
    return Entry(
        file=f"batch-{number:05d}.safetensors",
        positions=batch.positions,
        samples=batch.samples,
        groups=groups if any(group is not None for group in groups) else None,
        segments=segments if any(part is not None for part in segments) else None,
        hash=digest,
    )


def write_manifest(path: Path, head: Mapping[str, Any], entries: Callable[[], Iterable[Entry]]) -> None:
    """Write a manifest, entry by entry, with its hash at the end; ``entries`` is called twice."""
    with path.open("wb") as file:
        file.write(msgspec.json.encode(head)[:-1] + b', "batches": [')
        for number, entry in enumerate(entries()):
            file.write((b",\n" if number else b"\n") + msgspec.json.encode(entry))
        file.write(b'\n], "hash": "%s"}\n' % manifest_hash(head, entries()).encode())
        file.flush()
        os.fsync(file.fileno())


def finish(folder: Path, target: Path, options: Options, skipped: Sequence[str | int], force: bool) -> None:
    """Write the manifest out of the journal and give the folder its name; what had the name goes last.

    Raises
    ------
    InvalidInstance
        If something has taken the target meanwhile; the run can then be finished elsewhere, or with ``force``.
    """
    part = folder / f"{MANIFEST}.part"
    head = manifest_head(options.max_length, options, tuple(skipped))
    write_manifest(part, head, lambda: (entry for record in records_of(folder) for entry in record.batches))
    part.rename(folder / MANIFEST)
    _check_target(target, force)
    aside = target.parent / f".{target.name}.replaced"
    if target.is_dir() and any(target.iterdir()):
        target.rename(aside)
    folder.rename(target)
    (target / JOURNAL).unlink()
    if aside.is_dir():
        _clear(aside)
        aside.rmdir()
    handle = os.open(target.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
