"""Write files and folders, completely or not at all; every output of the package goes through this module.

* Parents are made.
* An existing target is refused without ``force``; with it, only files that the writer itself writes are replaced.
* An input is never replaced, with ``force`` or without, nor through links, relative paths or hard links.
* A target appears completely or not at all: drafts have a hidden name in the same folder, reach the disk, and are then
  renamed. Of two runs without ``force`` the second is refused and changes nothing.
* The next run with the same target removes what a killed run left. Drafts are locked, so those in use are kept.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from masksynth.errors import InvalidInstance, MasksynthError

DRAFT, REPLACED = ".partial", ".replaced"
"""Endings of the hidden names of a draft, and of a folder that is being replaced."""
FORCE = "or give --force (in Python force=True)"
Paths = Iterable[str | Path]
Content = bytes | Iterable[bytes | memoryview]


def is_same(left: str | Path, right: str | Path) -> bool:
    """Return whether two paths lead to the same file or folder, through links and relative paths too.

    Examples
    --------
    >>> is_same("masksynth", "./masksynth/../masksynth"), is_same("no such file", "/")
    (True, False)
    """
    try:
        return os.path.samefile(left, right)
    except (OSError, ValueError):
        return os.path.realpath(left) == os.path.realpath(right)


def match_files(pattern: str) -> list[str]:
    """Return the files that a glob matches, sorted, each once by its shortest path even if several links lead to it.

    Examples
    --------
    >>> match_files("no such file*")
    []
    """
    shortest: dict[str, str] = {}
    if glob.has_magic(pattern):
        for path in sorted(glob.iglob(pattern, recursive=True), key=lambda path: (len(path), path)):
            if os.path.isfile(path):
                shortest.setdefault(os.path.realpath(path), path)
    return sorted(shortest.values())


def check_inputs(target: str | Path, inputs: Paths) -> None:
    """Raise InvalidInstance if the target is one of the inputs; ``-`` is the file redirected to stdin, if any."""
    for path in inputs:
        if _is_stdin(target) if str(path) == "-" else is_same(target, path):
            raise InvalidInstance("is the input, which is never replaced", "", "choose another name", str(target))


def _is_stdin(target: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(0), os.stat(target))
    except (OSError, ValueError):
        return False


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
            _sync(draft)
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
    _sync(target.parent)


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
    _sync(draft)
    with lock_names(target.parent):
        check_folder(target, force, inputs, ours)
        if _entries(target):
            target.rename(target.with_name(f"{_prefix(target)}{token_hex(4)}{REPLACED}"))
        draft.rename(target)
        _move_kept_files(target, ours)
        _sync(target.parent)


def _move_kept_files(target: Path, ours: Callable[[str], bool]) -> None:
    """Move the files that are not ``ours`` from replaced folders, also those of a killed run, into the target."""
    for replaced in _siblings(target, REPLACED):
        for entry in _entries(replaced):
            if not ours(entry.name) and not os.path.lexists(target / entry.name):
                entry.rename(target / entry.name)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        with suppress(OSError):
            replaced.rmdir()


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
        draft = target.with_name(f"{_prefix(target)}{token_hex(4)}{DRAFT}")
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
    for draft in _siblings(target, DRAFT):
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


def _prefix(target: Path) -> str:
    return f".{target.name[:100]}."


def _siblings(target: Path, ending: str) -> list[Path]:
    """Return the hidden files and folders that some run made for a target.

    Eight hexadecimal digits precede the suffix, so that drafts of a target ``out.v2`` are not mistaken for those of
    ``out``.
    """
    return sorted(target.parent.glob(f"{glob.escape(_prefix(target))}{'[0-9a-f]' * 8}{ending}"))


@contextmanager
def lock_names(parent: Path) -> Iterator[None]:
    """Hold the lock of a folder while names change in it."""
    with ExitStack() as stack:
        with suppress(OSError):  # an unreadable folder, a file system without locks: each rename is atomic anyway
            handle = os.open(parent, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
