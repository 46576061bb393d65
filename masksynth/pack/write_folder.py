"""The folder of a packing run: batches and a journal in a hidden draft, which is renamed to the target at the end.

A run that is killed, refused or out of disk space leaves the draft with complete windows only, and a run with
``resume`` continues after the last of them. The journal has one line of settings and one line for each window, written
after the batches of the window have reached the disk.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from safetensors.numpy import save

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.export.formats import sorted_metadata
from masksynth.files import Content, check_folder, lock_names, make_folder, replace_folder, write_to_disk
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import BATCH_HASH, PackedBatch, batch_hash, stored_arrays
from masksynth.pack.journal import JOURNAL, Record, append_record, open_journal, read_records
from masksynth.pack.packed_folder import MANIFEST, Entry, Options, manifest_hash, manifest_head
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.visibility import describe_segments

BATCH_FILE = re.compile(r"batch-(w\d+-)?\d{5,}\.safetensors")
"""Names of batches, and of those of a window that is not in the journal yet."""


TABLES = "tables-"
"""Start of the name of the folder in a draft in which tables wait for their window."""


def draft_of(target: Path) -> Path:
    """Return the folder in which an unfinished run keeps its batches."""
    return target.parent / f".{target.name}.partial"


@contextmanager
def open_draft_folder(
    target: Path, settings: Mapping[str, Any], resume: bool, force: bool, inputs: Sequence[str | Path] = ()
) -> Iterator[tuple[Path, int]]:
    """Yield the draft of a target, locked, and the number of windows that it already contains.

    Parameters
    ----------
    target : Path
    settings : mapping
        Options of the run; an unfinished run with other options is not continued.
    resume : bool
        Continue an unfinished run.
    force : bool
        Replace a packed folder, and discard an unfinished run unless ``resume``.
    inputs : sequence of paths
        Files that may not be replaced.

    Raises
    ------
    InvalidInstance
        If the target is taken, an unfinished run exists (without ``resume`` or ``force``) or has other settings, or
        another process is writing to it.
    """
    check_target(target, force, inputs)
    folder = draft_of(target)
    with _lock_draft(target, force) as is_new:
        if not (is_new or resume or force):
            remedy = "give --resume to finish it, or --force to begin again"
            raise InvalidInstance("an unfinished run exists", "", remedy, str(folder))
        if not resume:
            _remove_own_files(folder)
        windows, batches = open_journal(folder, settings)
        _keep_batches(folder, batches)
        yield folder, windows


def check_target(target: Path, force: bool, inputs: Sequence[str | Path] = ()) -> None:
    """Refuse a target that is taken; ``force`` replaces a packed folder and nothing else."""
    check_folder(target, force, inputs, lambda name: True)
    if not target.is_dir():
        return
    if others := sorted(file.name for file in target.iterdir() if not _is_own_file(file)):
        fact = f"contains {others[0]!r}, which was not written by `masksynth pack`"
        raise InvalidInstance(fact, "", "choose another folder", str(target))


@contextmanager
def _lock_draft(target: Path, force: bool) -> Iterator[bool]:
    """Lock the draft of a target, made if it does not exist, and remove it at the end if it contains no batch.

    Names change only while the folder above is locked: a run that finds a draft finds it either locked or left by a run
    that has ended, and removes no draft but its own. The lock ends with the process.

    Yields
    ------
    bool
        Whether the draft is new.
    """
    folder = draft_of(target)
    with ExitStack() as stack:
        try:
            make_folder(target.parent)
            with lock_names(target.parent):
                check_target(target, force)  # another run may have finished since the first check
                is_new = not folder.exists()
                folder.mkdir(exist_ok=True)
                handle = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for tables in folder.glob(f"{TABLES}*"):  # of a run that was killed
                    shutil.rmtree(tables)
        except BlockingIOError:
            remedy = "wait for it, or choose another folder"
            raise InvalidInstance("another run is writing there", "", remedy, str(folder)) from None
        except OSError as error:
            fact = f"{target}: the batches cannot be written: {error.strerror or error}; choose another folder"
            raise MasksynthError(fact) from error
        try:
            yield is_new
        finally:
            with lock_names(target.parent):
                if _is_named(handle, folder) and not list(folder.glob("batch-*.safetensors")):
                    _remove_own_files(folder)
                    folder.rmdir()


def _is_named(handle: int, folder: Path) -> bool:
    """Return whether a path leads to an open folder, which was not renamed."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def _remove_own_files(folder: Path) -> None:
    for file in folder.iterdir():
        if _is_own_name(file.name) and file.is_file():
            file.unlink()


def _is_own_name(name: str) -> bool:
    """Return whether `masksynth pack` writes files of this name."""
    return name in (MANIFEST, JOURNAL) or BATCH_FILE.fullmatch(name) is not None


def _is_own_file(file: Path) -> bool:
    """Return whether `masksynth pack` wrote a file; other programs write a manifest.json too."""
    if not _is_own_name(file.name) or not file.is_file():
        return False
    try:
        return file.name != MANIFEST or b'"masksynth_pack"' in file.read_bytes()[:64]
    except OSError:
        return False


def _keep_batches(folder: Path, names: set[str]) -> None:
    """Remove the batches that are not in the journal; raise if one that is in it is missing."""
    for file in folder.glob("batch-*"):
        if file.name not in names and _is_own_name(file.name):
            file.unlink()
    if missing := sorted(name for name in names if not (folder / name).exists()):
        raise InvalidInstance(f"{missing[0]} is missing", "", "give --force to begin again", str(folder))


def store_batch(folder: Path, window: int, number: int, content: Content) -> str:
    """Write batch ``number`` of a window, whose number in the run is not known yet, to the disk; return its name."""
    name = f"batch-w{window}-{number:05d}.safetensors"
    write_to_disk(folder / name, content)
    return name


def write_window(folder: Path, record: Record, batches: Sequence[bytes | str]) -> None:
    """Give the batches of a window their names, on the disk, then append the window to the journal.

    Parameters
    ----------
    folder : Path
    record : Record
    batches : sequence of bytes or str
        The files, or their names if `store_batch` has written them.
    """
    for entry, content in zip(record.batches, batches, strict=True):
        if isinstance(content, str):
            (folder / content).replace(folder / entry.file)
        else:
            write_to_disk(folder / entry.file, content)
    append_record(folder, record)


def batch_content(batch: PackedBatch, digest: str | None = None) -> Content:
    """Return a batch as a safetensors file; equal batches give equal bytes.

    Parameters
    ----------
    batch : PackedBatch
    digest : str, optional
        Its hash, for the metadata [default: computed here].
    """
    return sorted_metadata(
        save(stored_arrays(batch), metadata={"schema": "1", BATCH_HASH: digest or batch_hash(batch)})
    )


def number_entries(entries: Sequence[Entry], first: int) -> list[Entry]:
    """Return the entries of a window with the names of its batches in the folder, the first of number ``first``."""
    return [
        msgspec.structs.replace(entry, file=f"batch-{number:05d}.safetensors")
        for number, entry in enumerate(entries, first)
    ]


def entry_of_batch(
    number: int, table: SampleTable, samples: Int64Array, batch: PackedBatch, digest: str | None
) -> Entry:
    """Return the entry of a batch in the manifest.

    Parameters
    ----------
    number : int
        Index of the batch in its folder.
    table : SampleTable
    samples : (s,) int64
        Indices of the batch's samples in the table.
    batch : PackedBatch
    digest : str, optional
        Hash of the batch; None if it is not written.
    """
    chosen = samples.tolist()
    groups = tuple(table.groups[s] for s in chosen)
    segments = tuple(None if (cut := table.segments[s]) is None else describe_segments(cut) for s in chosen)
    return Entry(
        file=f"batch-{number:05d}.safetensors",
        positions=batch.positions,
        samples=batch.samples,
        groups=groups if any(group is not None for group in groups) else None,
        segments=segments if any(cut is not None for cut in segments) else None,
        hash=digest,
    )


def write_manifest(path: Path, head: Mapping[str, Any], entries: Callable[[], Iterable[Entry]]) -> None:
    """Write a manifest entry by entry, its hash at the end.

    Parameters
    ----------
    path : Path
    head : mapping
        The manifest without batches and hash.
    entries : callable
        Returns the entries of the batches; called twice, so that they need not be held.
    """

    def content() -> Iterator[bytes]:
        yield msgspec.json.encode(head)[:-1] + b', "batches": ['
        for number, entry in enumerate(entries()):
            yield (b",\n" if number else b"\n") + msgspec.json.encode(entry)
        yield b'\n], "hash": "%s"}\n' % manifest_hash(head, entries()).encode()

    write_to_disk(path, content())


def finish_folder(folder: Path, target: Path, options: Options, skipped: Sequence[str | int], force: bool) -> None:
    """Write the manifest from the journal and rename the draft to its target, replacing a packed folder.

    Raises
    ------
    InvalidInstance
        If something has taken the target in the meantime; the run can then be finished elsewhere, or with ``force``.
    """
    head = manifest_head(options.max_length, options, tuple(skipped))

    def entries() -> Iterator[Entry]:
        for record in read_records(folder):
            yield from record.batches

    write_manifest(folder / MANIFEST, head, entries)
    for file in folder.glob("batch-w*.safetensors"):  # of a worker that died while another one did its window again
        file.unlink()
    check_target(target, force)
    replace_folder(folder, target, force, _is_own_name)
    (target / JOURNAL).unlink()
