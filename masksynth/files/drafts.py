"""Drafts: hidden files and folders next to a target, locked while in use, removed by the next run after a kill."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex

DRAFT, REPLACED = ".partial", ".replaced"
"""Endings of the hidden names of a draft, and of a folder that is being replaced."""


def open_draft(target: Path, is_folder: bool = False) -> tuple[int, Path]:
    """Make an empty draft next to a target, locked until its handle is closed, and remove the drafts of killed runs.

    Parameters
    ----------
    target : Path
        Its parents are made.
    is_folder : bool
        Whether the draft is a folder.

    Returns
    -------
    handle : int
        Open file descriptor of the draft, which the caller closes.
    draft : Path
    """
    make_folder(target.parent)
    with lock_names(target.parent):
        _remove_drafts(target)
        draft = target.with_name(f"{hidden_prefix(target)}{token_hex(4)}{DRAFT}")
        if is_folder:
            draft.mkdir()
        handle = os.open(draft, os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle, draft


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless they exist.

    Raises
    ------
    NotADirectoryError
        If the folder or one above it is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def _remove_drafts(target: Path) -> None:
    """Remove the drafts of killed runs: those that no process holds locked."""
    for draft in hidden_siblings(target, DRAFT):
        with suppress(OSError):
            handle = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if stat.S_ISDIR(os.fstat(handle).st_mode):
                    shutil.rmtree(draft, ignore_errors=True)
                else:
                    draft.unlink()
            finally:
                os.close(handle)


def hidden_prefix(target: Path) -> str:
    """Return how the hidden names of a target begin."""
    return f".{target.name[:100]}."


def hidden_siblings(target: Path, ending: str) -> list[Path]:
    """Return the hidden files and folders that some run made for a target.

    Eight hexadecimal digits precede the suffix, so that drafts of a target ``out.v2`` are not mistaken for those of
    ``out``.
    """
    return sorted(target.parent.glob(f"{glob.escape(hidden_prefix(target))}{'[0-9a-f]' * 8}{ending}"))


@contextmanager
def lock_names(parent: Path) -> Iterator[None]:
    """Hold the lock of a folder while names change in it."""
    with ExitStack() as stack:
        with suppress(OSError):  # an unreadable folder, a file system without locks: each rename is atomic anyway
            handle = os.open(parent, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def sync(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
