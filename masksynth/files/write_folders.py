"""Write a folder, completely or not at all; files in it that the writer does not write are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.files.drafts import REPLACED, hidden_prefix, hidden_siblings, lock_names, open_draft, sync
from masksynth.files.paths import FORCE, Paths, check_inputs


def _replaces_nothing(name: str) -> bool:
    return False


def check_folder(
    target: Path, force: bool, inputs: Paths = (), ours: Callable[[str], bool] = _replaces_nothing
) -> None:
    """Refuse a folder that cannot be written, before any work is done.

    Parameters
    ----------
    target : Path
    force : bool
        Whether the folder may contain something.
    inputs : iterable of paths
        Files and folders that may not be replaced.
    ours : callable
        Whether a file of this name is replaced.

    Raises
    ------
    InvalidInstance
        If it is a file, the current folder or above it, an input, or not empty and ``force`` is False.
    """
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise InvalidInstance("is a file", "", "choose another folder", str(target))
    if Path.cwd().is_relative_to(target):
        raise InvalidInstance("is the current folder or above it", "", "name a folder in it", str(target))
    entries = _entries(target)
    if entries and not force:
        raise InvalidInstance("the folder is not empty", "", f"choose another folder {FORCE}", str(target))
    given = tuple(inputs)
    check_inputs(target, given)
    if given:
        for entry in (entry for entry in entries if ours(entry.name)):
            for file in (entry, *entry.rglob("*")):
                check_inputs(file, given)


def _entries(folder: Path) -> list[Path]:
    """Return what a folder contains, sorted; nothing if it does not exist, or vanishes in the meantime."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # the latter is reported, with a remedy, when the folder is made
        return []


@contextmanager
def writing_folder(
    folder: str | Path,
    force: bool = False,
    ours: Callable[[str], bool] = _replaces_nothing,
    inputs: Paths = (),
    what: str = "the files",
) -> Iterator[Path]:
    """Yield an empty draft that is renamed to the folder at the end of the block, or removed if the block fails.

    Parameters
    ----------
    folder : path
        The target; its parents are made.
    force : bool
        Write to a folder that contains something. Its files that are ``ours`` are replaced, all others are kept.
    ours : callable
        Whether the writer of this folder may have written a file of this name.
    inputs : iterable of paths
        Files that may not be replaced.
    what : str
        Names the content in errors.

    Raises
    ------
    InvalidInstance
        As `check_folder`, also if another run has filled the target in the meantime.
    MasksynthError
        If the folder cannot be written; nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with writing_folder(f"{place}/new/out") as draft:
    ...         _ = (draft / "a.txt").write_bytes(b"one")
    ...     os.listdir(f"{place}/new"), os.listdir(f"{place}/new/out")
    (['out'], ['a.txt'])
    """
    target, inputs = Path(os.path.abspath(folder)), tuple(inputs)
    try:
        target = target.resolve()
        check_folder(target, force, inputs, ours)
        handle, draft = open_draft(target, is_folder=True)
        try:
            yield draft
            replace_folder(draft, target, force, ours, inputs)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        reason = error.strerror or str(error)
        fact = f"{target}: {what} cannot be written: {reason}; nothing was left there, choose another folder"
        raise MasksynthError(fact) from error


def replace_folder(
    draft: Path, target: Path, force: bool, ours: Callable[[str], bool] = _replaces_nothing, inputs: Paths = ()
) -> None:
    """Rename a draft to its target; what else an existing target contains is moved into the new folder.

    Parameters and errors are those of `writing_folder`.
    """
    sync(draft)
    with lock_names(target.parent):
        check_folder(target, force, inputs, ours)
        if _entries(target):
            target.rename(target.with_name(f"{hidden_prefix(target)}{token_hex(4)}{REPLACED}"))
        draft.rename(target)
        _move_kept_files(target, ours)
        sync(target.parent)


def _move_kept_files(target: Path, ours: Callable[[str], bool]) -> None:
    """Move the files that are not ``ours`` from replaced folders, also those of a killed run, into the target."""
    for replaced in hidden_siblings(target, REPLACED):
        for entry in _entries(replaced):
            if not ours(entry.name) and not os.path.lexists(target / entry.name):
                entry.rename(target / entry.name)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        with suppress(OSError):
            replaced.rmdir()
