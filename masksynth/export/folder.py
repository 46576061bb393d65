"""An answer's folder: written whole or not at all, and read back with every disagreement named.

The four file names are constants and ``flex_mask.py`` is copied byte for byte, so that no name or input of an instance ever becomes a
path or code.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance, MasksynthError, WrongAnswer
from masksynth.export.arrays import mask_of, merged_arrays, need
from masksynth.export.formats import npz_bytes, read_npz, read_safetensors, safetensors_bytes, same_arrays
from masksynth.export.record import json_text, merged_task, read_record, solution_record
from masksynth.tasks import MergedTask
from masksynth.tasks.canonical import canonical

SOLUTION, SAFETENSORS, NPZ, FLEX_MASK = "solution.json", "mask.safetensors", "mask.npz", "flex_mask.py"
FILES = (SOLUTION, SAFETENSORS, NPZ, FLEX_MASK)
"""The files of an answer; ``mask.npz`` only where the mask is stored dense."""


def flex_mask_source() -> bytes:
    """The text of ``flex_mask.py``, the same for every answer."""
    return resources.files("masksynth").joinpath("torch", FLEX_MASK).read_bytes()


def answer_files(record: Mapping[str, Any], merged: MergedTask) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file of an answer; equal answers give equal bytes."""
    yield SOLUTION, json_text(record).encode("ascii")
    arrays = merged_arrays(merged)
    yield SAFETENSORS, safetensors_bytes(arrays)
    if "mask" in arrays:
        yield NPZ, npz_bytes(arrays)
    yield FLEX_MASK, flex_mask_source()


def write_answer(folder: str | Path, record: Mapping[str, Any], merged: MergedTask, force: bool = False) -> Path:
    """Write an answer as a folder, atomically.

    The files go to a hidden sibling folder, reach the disk, are read back and compared with ``merged``, and the folder is renamed. A
    process that is killed leaves no half folder at the target; at most the hidden sibling stays, and the next run removes it.

    Parameters
    ----------
    folder : path
        The target; its parent is made if it does not exist.
    record : mapping
        The content of solution.json: ``solution_record(merged)`` and whatever the solver adds.
    merged : MergedTask
    force : bool
        Replace a folder that holds something. Files in it that are not an answer's are kept.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    InvalidInstance
        If the target is a file, or a non-empty folder without ``force``.
    MasksynthError
        If the disk is full or the place is not writable; nothing is left.
    """
    target = Path(os.path.abspath(folder))
    try:
        target = target.resolve()
        check_target(target, force)
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        with _draft(target) as draft:
            for name, content in answer_files(record, merged):
                _write(draft / name, content)
            _sync(draft)
            if not same_merged(solution_of(draft), merged):
                raise InvalidInstance(
                    "the record given is not the record of the merged task", remedy="start it from solution_record(merged)"
                )
            check_target(target, force)
            _replace(target, draft)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MasksynthError(f"{target}: the answer cannot be written: {reason}; nothing was left there, choose another folder") from error
    return target


def read_merged(folder: str | Path) -> MergedTask:
    """Read the merged task of an answer's folder.

    Raises
    ------
    InvalidInstance
        If a file is missing, unreadable or malformed.
    WrongAnswer
        If the files disagree: a content hash that does not match, or arrays that differ between solution.json, mask.safetensors and
        mask.npz.
    """
    return solution_of(Path(folder))


def solution_of(folder: Path) -> MergedTask:
    """The merged task of a folder whose files agree."""
    try:
        record = read_record((folder / SOLUTION).read_bytes())
        arrays = read_safetensors(folder / SAFETENSORS)
        merged = merged_task(record, mask_of(arrays, len(need(arrays, "position_ids", int, 1))))
    except OSError as error:
        raise InvalidInstance(f"cannot be read: {error.strerror}", remedy="name a folder written by solve", source=str(folder)) from None
    except InvalidInstance as error:
        raise error.within(source=str(folder)) from None
    if len(merged.positions) != merged.mask.size:
        raise WrongAnswer("files", f"{SOLUTION} has {len(merged.positions)} positions, {SAFETENSORS} has {merged.mask.size}")
    if name := same_arrays(merged_arrays(merged), arrays):
        raise WrongAnswer("files", f"{SOLUTION} and {SAFETENSORS} disagree in {name!r}")
    if "mask" in arrays and (name := same_arrays(arrays, read_npz(folder / NPZ))):
        raise WrongAnswer("files", f"{SAFETENSORS} and {NPZ} disagree in {name!r}")
    return merged


def same_merged(left: MergedTask, right: MergedTask) -> bool:
    """Whether two merged tasks have the same mask and the same record, 1, 1.0 and true being three values."""
    return left.mask == right.mask and canonical(solution_record(left)) == canonical(solution_record(right))


def check_target(target: Path, force: bool) -> None:
    """Refuse a target that is a file, the current folder or above it, or a non-empty folder without ``force``."""
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise InvalidInstance("is a file", "", "choose another folder", source=str(target))
    if Path.cwd().is_relative_to(target):
        raise InvalidInstance("is the current folder or above it", "", "name a folder in it", source=str(target))
    if not force and target.is_dir() and any(target.iterdir()):
        raise InvalidInstance(
            "the folder is not empty", "", "choose another folder or give --force (in Python force=True)", source=str(target)
        )


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A locked hidden sibling of the target, removed if the block fails. The lock ends with the process, however it ends."""
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    handle = os.open(draft, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.chmod(0o777 & ~_umask())
        yield draft
    except BaseException:
        _remove_answer(draft)
        raise
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _remove_stale(target: Path) -> None:
    """Remove the drafts of killed runs: those that nobody holds locked."""
    for draft in target.parent.iterdir():
        if draft.name.startswith(f".{target.name}.") and draft.name.endswith(".partial"):
            with suppress(OSError):
                handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove_answer(draft)
                finally:
                    os.close(handle)


def _remove_answer(folder: Path) -> None:
    """Remove an answer's own files, and the folder if nothing else is in it."""
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(target: Path, draft: Path) -> None:
    """Give the draft the target's name; what else the old folder held moves along."""
    if target.is_dir() and any(target.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".replaced", dir=target.parent))
        target.rename(aside)
        draft.rename(target)
        _remove_answer(aside)
        for entry in aside.iterdir() if aside.exists() else ():
            entry.rename(target / entry.name)
        with suppress(OSError):
            aside.rmdir()
    else:
        draft.rename(target)
    _sync(target.parent)
