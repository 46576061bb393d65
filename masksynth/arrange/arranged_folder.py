"""Arrange the answer or the batches in a folder, and write them as a new folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import structs

from masksynth.arrange.apply import arranged_batch, arranged_merged, copies
from masksynth.arrange.best_order import Arrangement, arrange
from masksynth.backends import Limits
from masksynth.export.answer_folder import SOLUTION, is_answer_file, read_merged, write_answer
from masksynth.export.solution_record import solution_record
from masksynth.files import check_folder, write_to_disk, writing_folder
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch, batch_hash
from masksynth.pack.packed_folder import MANIFEST, PackedFolder, open_packed
from masksynth.pack.write_folder import batch_content, check_target, write_manifest
from masksynth.subject.folders import check_batch
from masksynth.tasks import MergedTask
from masksynth.tasks.parse_json import parse

Report = Callable[[int, Mask, Arrangement], None]
"""Called with the index of a batch, its mask and its arrangement."""


@dataclass(frozen=True)
class ArrangeOptions:
    """Options for arranging masks; see `masksynth.arrange.arrange`.

    Parameters
    ----------
    block_size : int
    exact : bool
    limits : Limits
    """

    block_size: int = 128
    exact: bool = False
    limits: Limits = field(default_factory=Limits)

    def arrange(self, mask: Mask, **more: Any) -> Arrangement:
        """Return the arrangement of a mask."""
        return arrange(mask, self.block_size, exact=self.exact, limits=self.limits, **more)


def arrange_answer(
    folder: Path, output: Path | None, options: ArrangeOptions, report: Report, force: bool = False
) -> None:
    """Arrange the answer in a folder.

    Parameters
    ----------
    folder : Path
    output : Path, optional
        New folder to which the arranged answer is written.
    options : ArrangeOptions
    report : callable
    force : bool
        Replace an answer in ``output``.

    Raises
    ------
    InvalidInstance
        If the folder cannot be read, or ``output`` is not empty and ``force`` is False.
    """
    if output is not None:
        check_folder(output, force, [folder], is_answer_file)
    merged = read_merged(folder)
    arrangement = options.arrange(merged.mask, alike=copies(merged))
    report(0, merged.mask, arrangement)
    if output is not None:
        write_arranged(folder, output, arranged_merged(merged, arrangement.order), force)


def write_arranged(folder: Path, output: Path, merged: MergedTask, force: bool = False) -> Path:
    """Write an arranged merged task as an answer; status, objective and certificate are those in ``folder``."""
    record: Any = parse((folder / SOLUTION).read_bytes())
    return write_answer(output, {**record, **solution_record(merged)}, merged, force, [folder])


def arrange_packed(
    folder: Path,
    output: Path | None,
    options: ArrangeOptions,
    report: Report,
    batch: int | None = None,
    force: bool = False,
) -> None:
    """Arrange the batches of a packed folder.

    Parameters
    ----------
    folder : Path
    output : Path, optional
        New folder to which all arranged batches are written.
    options : ArrangeOptions
    report : callable
    batch : int, optional
        Index of the one batch to arrange [default: all].
    force : bool
        Replace a packed folder in ``output``.

    Raises
    ------
    InvalidInstance
        If the folder cannot be read, has no such batch, or ``output`` is not empty and ``force`` is False.
    MasksynthError
        If ``output`` cannot be written; nothing is left there.
    """
    packed = open_packed(folder)
    if batch is not None:
        check_batch(packed, batch)
    arranged = _arranged(packed, range(len(packed)) if batch is None else (batch,), options, report)
    if output is None:
        for _ in arranged:
            pass
    else:
        write_packed(packed, output, arranged, force)


def _arranged(
    packed: PackedFolder, numbers: range | tuple[int, ...], options: ArrangeOptions, report: Report
) -> Iterator[tuple[str, PackedBatch]]:
    """Yield the file name and the arranged batch of each of some batches, one at a time."""
    for number in numbers:
        batch = packed[number]
        arrangement = options.arrange(batch.mask)
        report(number, batch.mask, arrangement)
        yield packed.manifest.batches[number].file, arranged_batch(batch, arrangement.order)


def write_packed(
    packed: PackedFolder, output: Path, batches: Iterator[tuple[str, PackedBatch]], force: bool = False
) -> Path:
    """Write batches with the manifest of ``packed`` as a new folder and return its absolute path.

    Parameters
    ----------
    packed : PackedFolder
    output : Path
    batches : iterator of (str, PackedBatch)
        File name and content of each batch.
    force : bool
        Replace a packed folder, and nothing else.

    Raises
    ------
    InvalidInstance
        If the target is a file, or a folder that is not empty and ``force`` is False.
    MasksynthError
        If it cannot be written; nothing is left.
    """
    digests = {}
    check_target(output, force, [packed.path])
    with writing_folder(output, force, lambda name: True, [packed.path], "the batches") as draft:
        for name, batch in batches:
            digests[name] = batch_hash(batch)
            write_to_disk(draft / name, batch_content(batch, digests[name]))
        entries = [structs.replace(entry, hash=digests[entry.file]) for entry in packed.manifest.batches]
        write_manifest(draft / MANIFEST, packed.manifest.head(), lambda: entries)
    return Path(os.path.abspath(output)).resolve()
