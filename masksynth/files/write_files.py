"""Write a file, completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.files.drafts import open_draft, sync
from masksynth.files.paths import FORCE, Paths, check_inputs

Content = bytes | Iterable[bytes | memoryview]


def check_file(path: str | Path, force: bool, inputs: Paths = ()) -> None:
    """Refuse a path to which no file can be written, before any work is done.

    Parameters
    ----------
    path : path
    force : bool
        Whether an existing file may be replaced.
    inputs : iterable of paths
        Files that may not be replaced.

    Raises
    ------
    InvalidInstance
        If it is a folder, an input, not a regular file, or exists and ``force`` is False.
    """
    if os.path.isdir(path):
        raise InvalidInstance("is a folder", "", "choose another name", str(path))
    check_inputs(path, inputs)
    if os.path.lexists(path) and not force:
        raise InvalidInstance("already exists", "", f"choose another name {FORCE}", str(path))
    if os.path.exists(path) and not os.path.isfile(path):
        raise InvalidInstance("is not a regular file", "", "choose another name", str(path))


def write_file(
    path: str | Path, content: Content, force: bool = False, inputs: Paths = (), what: str = "the file"
) -> None:
    """Write a file, completely or not at all.

    Parameters
    ----------
    path : path
        A link is followed; parents are made.
    content : bytes, or iterable of bytes
        Written one after another; if the iterable raises, nothing is left.
    force, inputs
        As for `check_file`.
    what : str
        Names the content in errors.

    Raises
    ------
    InvalidInstance
        As `check_file`, also if another run has written the file in the meantime.
    MasksynthError
        If the file cannot be written; nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(f"{folder}/new/a.txt", b"one")
    ...     write_file(f"{folder}/new/a.txt", [b"t", b"wo"], force=True)
    ...     Path(folder, "new/a.txt").read_bytes(), os.listdir(f"{folder}/new")
    (b'two', ['a.txt'])
    """
    with writing_file(path, force, inputs, what) as draft:
        write_to_disk(draft, content)


def write_to_disk(path: Path, content: Content) -> None:
    """Write a file of a draft and wait until it is on the disk; what fails is removed."""
    try:
        with path.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        if path.is_file():  # never a device such as /dev/full
            path.unlink()
        raise


@contextmanager
def writing_file(path: str | Path, force: bool = False, inputs: Paths = (), what: str = "the file") -> Iterator[Path]:
    """Yield an empty draft that is renamed to the file at the end of the block, or removed if the block fails.

    Parameters and errors are those of `write_file`.
    """
    check_file(path, force, inputs)
    target = Path(os.path.realpath(path))
    try:
        with ExitStack() as stack:
            handle, draft = open_draft(target)
            stack.callback(os.close, handle)
            stack.callback(draft.unlink, missing_ok=True)
            yield draft
            sync(draft)
            _rename_file(draft, target, force, path)
    except OSError as error:
        reason = error.strerror or error
        raise MasksynthError(f"{path}: {what} cannot be written: {reason}; choose another place") from error


def _rename_file(draft: Path, target: Path, force: bool, path: str | Path) -> None:
    """Rename a draft to its target; without ``force`` only if the target does not exist."""
    if force:
        os.replace(draft, target)
    else:
        try:
            os.link(draft, target)  # unlike a rename, this fails if another run has written the target
        except FileExistsError:
            raise InvalidInstance("already exists", "", f"choose another name {FORCE}", str(path)) from None
        except OSError:  # a file system without hard links
            check_file(target, force)
            os.replace(draft, target)
    sync(target.parent)
