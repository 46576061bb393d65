"""An answer's folder: written completely or not at all, and read back with every disagreement named.

The four file names are constants and ``flex_mask.py`` is copied byte for byte, so that no name or input of an instance
ever becomes a path or code.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from masksynth.collector import paused_collector
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.formats import npz_bytes, read_npz, read_safetensors, safetensors_bytes, same_arrays
from masksynth.export.mask_arrays import mask_of, merged_arrays, need, updated_of
from masksynth.export.solution_record import json_text, merged_task, read_record, solution_record
from masksynth.export.stored_forms import PREFIX, check_form_arrays, form_arrays
from masksynth.files import write_to_disk, writing_folder
from masksynth.tasks import MergedTask
from masksynth.tasks.canonical import canonical

SOLUTION, SAFETENSORS, NPZ, FLEX_MASK = "solution.json", "mask.safetensors", "mask.npz", "flex_mask.py"
FILES = (SOLUTION, SAFETENSORS, NPZ, FLEX_MASK)
"""The files of an answer; ``mask.npz`` only where the mask is stored dense."""


def flex_mask_source() -> bytes:
    """Return the text of ``flex_mask.py``, the same for every answer."""
    return resources.files("masksynth").joinpath("torch", FLEX_MASK).read_bytes()


def answer_files(record: Mapping[str, Any], merged: MergedTask) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of each file of an answer; equal answers give equal bytes."""
    yield SOLUTION, json_text(record).encode("ascii")
    arrays = merged_arrays(merged) | form_arrays(merged.mask)
    yield SAFETENSORS, safetensors_bytes(arrays)
    if "mask" in arrays:
        yield NPZ, npz_bytes(arrays)
    yield FLEX_MASK, flex_mask_source()


@paused_collector()
def write_answer(
    folder: str | Path,
    record: Mapping[str, Any],
    merged: MergedTask,
    force: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Path:
    """Write an answer as a folder, atomically.

    The files are written to a hidden sibling folder, flushed to disk, read back and compared with ``merged``, and the
    folder is renamed. A process that is killed leaves no incomplete folder at the target; at most the hidden sibling
    stays, and the next run removes it.

    Parameters
    ----------
    folder : path
        The target; its parent is created if it does not exist.
    record : mapping
        The content of solution.json: ``solution_record(merged)`` and what the solver adds.
    merged : MergedTask
    force : bool
        Replace a folder that is not empty. Files in it that are not an answer's are kept.
    inputs : iterable of paths
        Files that may not be replaced.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    InvalidInstance
        If the target is a file, or a non-empty folder without ``force``.
    MasksynthError
        If the disk is full or the target is not writable; nothing is left behind.
    """
    with writing_folder(folder, force, is_answer_file, inputs, "the answer") as draft:
        for name, content in answer_files(record, merged):
            write_to_disk(draft / name, content)
        if not same_merged(solution_of(draft), merged):
            raise InvalidInstance(
                "the record given is not the record of the merged task", remedy="start it from solution_record(merged)"
            )
    return Path(os.path.abspath(folder)).resolve()


def is_answer_file(name: str) -> bool:
    """Return whether a file of an answer, or Python's cache of its module, has this name."""
    return name in (*FILES, "__pycache__")


@paused_collector()
def read_merged(folder: str | Path) -> MergedTask:
    """Read the merged task of an answer's folder.

    Raises
    ------
    InvalidInstance
        If a file is missing, unreadable or malformed.
    WrongAnswer
        If the files disagree: a content hash that does not match, arrays that differ between solution.json,
        mask.safetensors and mask.npz, or a stored form that is not the mask.
    """
    return solution_of(Path(folder))


def solution_of(folder: Path) -> MergedTask:
    """Return the merged task of a folder, after comparing its files."""
    try:
        record = read_record((folder / SOLUTION).read_bytes())
        arrays = read_safetensors(folder / SAFETENSORS)
        size = len(need(arrays, "position_ids", int, 1))
        merged = merged_task(record, mask_of(arrays, size))
        merged = replace(merged, updated=updated_of(arrays, size, merged.problem.layers))
    except OSError as error:
        raise InvalidInstance(
            f"cannot be read: {error.strerror}", remedy="name a folder written by solve", source=str(folder)
        ) from None
    except InvalidInstance as error:
        raise error.within(source=str(folder)) from None
    if len(merged.positions) != merged.mask.size:
        raise WrongAnswer(
            "files", f"{SOLUTION} has {len(merged.positions)} positions, {SAFETENSORS} has {merged.mask.size}"
        )
    stored = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    if name := same_arrays(merged_arrays(merged), stored):
        raise WrongAnswer("files", f"{SOLUTION} and {SAFETENSORS} disagree in {name!r}")
    if "mask" in arrays and (name := same_arrays(arrays, read_npz(folder / NPZ))):
        raise WrongAnswer("files", f"{SAFETENSORS} and {NPZ} disagree in {name!r}")
    check_form_arrays(arrays, merged.mask)
    return merged


def same_merged(left: MergedTask, right: MergedTask) -> bool:
    """Return whether two merged tasks have equal masks, updates and records; 1, 1.0 and true are three values."""
    updates = [{} if merged.updated is None else {"updated": merged.updated} for merged in (left, right)]
    records = [canonical(solution_record(merged)) for merged in (left, right)]
    return left.mask == right.mask and not same_arrays(*updates) and records[0] == records[1]
