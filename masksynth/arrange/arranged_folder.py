"""Folders arranged: an answer's, or all batches of a packed one; written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import structs

from masksynth.arrange.apply import arranged_batch, arranged_merged, copies
from masksynth.arrange.best_order import Arrangement, arrange
from masksynth.backends import Limits
from masksynth.errors import InvalidInstance
from masksynth.export.answer_folder import SOLUTION, read_merged, write_answer
from masksynth.export.solution_record import solution_record
from masksynth.files import check_folder, writing_folder
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch, batch_hash
from masksynth.pack.packed_folder import MANIFEST, PackedFolder, open_packed
from masksynth.pack.write_folder import batch_content, write_manifest, write_whole
from masksynth.tasks import MergedTask
from masksynth.tasks.parse_json import parse

Told = Callable[[int, Mask, Arrangement], None]
"""Hears the number of a batch, its mask and its arrangement."""


def is_packed(folder: Path) -> bool:
    """Whether a folder is a packed one (True) or an answer's (False).

    Raises
    ------
    InvalidInstance
        If it is neither.
    """
    for name, packed in ((MANIFEST, True), (SOLUTION, False)):
        if (folder / name).is_file():
            return packed
    fact = f"holds neither {MANIFEST} nor {SOLUTION}"
    raise InvalidInstance(fact, "", "name a folder written by masksynth pack or by masksynth solve -o", str(folder))


def arrange_answer(folder: Path, output: Path | None, block_size: int, exact: bool, limits: Limits, told: Told) -> None:
    """Arrange the answer in a folder; with ``output``, write the arranged answer there.

    Raises
    ------
    InvalidInstance
        If the folder cannot be read, or ``output`` is not empty.
    """
    if output is not None:
        check_folder(output, False, [folder])
    merged = read_merged(folder)
    found = arrange(merged.mask, block_size, exact=exact, alike=copies(merged), limits=limits)
    told(0, merged.mask, found)
    if output is not None:
        write_arranged(folder, output, arranged_merged(merged, found.order))


def write_arranged(folder: Path, output: Path, merged: MergedTask) -> Path:
    """Write an arranged merged task as an answer with the record of the one in ``folder``: status, objective and certificate stay."""
    record: Any = parse((folder / SOLUTION).read_bytes())
    return write_answer(output, {**record, **solution_record(merged)}, merged)


def arrange_packed(
    folder: Path,
    output: Path | None,
    block_size: int,
    exact: bool,
    limits: Limits,
    told: Told,
    batch: int | None = None,
) -> None:
    """Arrange the batches of a packed folder, or one of them; with ``output``, write all of them there.

    Raises
    ------
    InvalidInstance
        If the folder cannot be read, has no such batch, or ``output`` is not empty.
    MasksynthError
        If ``output`` cannot be written; nothing is left there.
    """
    packed = open_packed(folder)
    if batch is not None and not 0 <= batch < len(packed):
        raise InvalidInstance(
            f"has {len(packed)} batches, no batch {batch}", "", f"name one of 0..{len(packed) - 1}", str(folder)
        )
    numbers = range(len(packed)) if batch is None else (batch,)
    arranged = _arranged(packed, numbers, block_size, exact, limits, told)
    if output is None:
        for _ in arranged:
            pass
    else:
        write_packed(packed, output, arranged)


def _arranged(
    packed: PackedFolder, numbers: range | tuple[int, ...], block_size: int, exact: bool, limits: Limits, told: Told
) -> Iterator[tuple[str, PackedBatch]]:
    """(file name, arranged batch) of each batch, one at a time."""
    for number in numbers:
        batch = packed[number]
        found = arrange(batch.mask, block_size, exact=exact, limits=limits)
        told(number, batch.mask, found)
        yield packed.manifest.batches[number].file, arranged_batch(batch, found.order)


def write_packed(packed: PackedFolder, output: Path, batches: Iterator[tuple[str, PackedBatch]]) -> Path:
    """Write batches with the manifest of ``packed`` as a new folder; it gets its name when all files have reached the disk.

    Raises
    ------
    InvalidInstance
        If the target is a file or a folder that is not empty.
    MasksynthError
        If it cannot be written; nothing is left.
    """
    digests = {}
    with writing_folder(output, inputs=[packed.path], what="the batches") as draft:
        for name, batch in batches:
            digests[name] = batch_hash(batch)
            write_whole(draft / name, batch_content(batch, digests[name]))
        entries = [structs.replace(entry, hash=digests[entry.file]) for entry in packed.manifest.batches]
        write_manifest(draft / MANIFEST, packed.manifest.head(), lambda: entries)
    return Path(os.path.abspath(output)).resolve()
