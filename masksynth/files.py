"""The one writer of files and folders, and the rules that stand once.

* Parents are made.
* A target that is there is refused without ``force``; with it, only what the writer itself writes gives way.
* An input is never replaced, whatever ``force`` says: not through links, relative paths or hard links either.
* A target is there whole or not at all: drafts lie beside it under a hidden name, reach the disk, and get its name at
  once. Of two runs without ``force`` the second is refused, and takes nothing away from the first.
* A draft that a kill has left is removed by the next run with the same target. Drafts are locked, so none in use is
  removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from masksynth.errors import InvalidInstance, MasksynthError

SUFFIX = ".partial"
OTHER = "choose another name or give --force (in Python force=True)"


def is_same(left: str | Path, right: str | Path) -> bool:
    """Return whether two paths lead to one file or folder, by links and relative paths too.

    Examples
    --------
    >>> is_same("masksynth", "./masksynth/../masksynth"), is_same("no such file", "/")
    (True, False)
    """
    try:
        return os.path.samefile(left, right)
    except (OSError, ValueError):
        return os.path.realpath(left) == os.path.realpath(right)


def check_inputs(target: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write to one of the inputs.

    Parameters
    ----------
    target : path
    inputs : iterable of paths
        ``-`` is stdin: the file that was redirected to it, if it is one.

    Raises
    ------
    InvalidInstance
        If the target is one of them.
    """
    for given in inputs:
        if _is_stdin(target) if str(given) == "-" else is_same(target, given):
            raise InvalidInstance("is the input, which is never replaced", "", "choose another name", str(target))


def _is_stdin(target: str | Path) -> bool:
    """Return whether stdin reads from the target."""
    try:
        return os.path.samestat(os.fstat(0), os.stat(target))
    except (OSError, ValueError):
        return False


def check_file(path: str | Path, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse, before any work is done, a place where no file can be written.

    Parameters
    ----------
    path : path
    force : bool
        Whether a file that is there may be replaced.
    inputs : iterable of paths
        Files that may not be replaced.

    Raises
    ------
    InvalidInstance
        If it is a folder, an input, there already without ``force``, or no regular file.
    """
    if os.path.isdir(path):
        raise InvalidInstance("is a folder", "", "choose another name", str(path))
    check_inputs(path, inputs)
    if os.path.lexists(path) and not force:
        raise InvalidInstance("is there already", "", OTHER, str(path))
    if os.path.exists(path) and not os.path.isfile(path):
        raise InvalidInstance("is not a regular file", "", "choose another name", str(path))


def write_file(
    path: str | Path,
    content: bytes | Iterable[bytes],
    force: bool = False,
    inputs: Iterable[str | Path] = (),
    what: str = "the file",
) -> None:
    """Write a file, whole or not at all.

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
        As `check_file`, also if another run has written the file meanwhile.
    MasksynthError
        If the disk refuses; nothing is left.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(f"{folder}/new/a.txt", b"one")
    ...     write_file(f"{folder}/new/a.txt", [b"t", b"wo"], force=True)
    ...     Path(folder, "new/a.txt").read_bytes(), os.listdir(f"{folder}/new")
    (b'two', ['a.txt'])
    """
    with writing_file(path, force, inputs, what) as draft, draft.open("wb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def writing_file(
    path: str | Path,
    force: bool = False,
    inputs: Iterable[str | Path] = (),
    what: str = "the file",
) -> Iterator[Path]:
    """Yield an empty draft, which gets the name of the file at the end of the block, or is removed if the block fails.

    Parameters and errors are those of `write_file`.
    """
    check_file(path, force, inputs)
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(target.parent):
            _remove_drafts(target)
            handle, name = tempfile.mkstemp(prefix=_prefix(target), suffix=SUFFIX, dir=target.parent)
            fcntl.flock(handle, fcntl.LOCK_EX)
        draft = Path(name)
        try:
            os.fchmod(handle, 0o666 & ~_umask())
            yield draft
            _sync(draft)
            _give_name(draft, target, force, path)
        finally:
            draft.unlink(missing_ok=True)
            os.close(handle)
    except OSError as error:
        reason = error.strerror or error
        raise MasksynthError(f"{path}: {what} cannot be written: {reason}; choose another place") from error


def _give_name(draft: Path, target: Path, force: bool, path: str | Path) -> None:
    """Give a draft its name; without ``force`` only if nobody else has taken it."""
    if force:
        os.replace(draft, target)
    else:
        try:
            os.link(draft, target)
        except FileExistsError:
            raise InvalidInstance("is there already", "", OTHER, str(path)) from None
        except OSError:  # a disk without hard links
            check_file(target, force)
            os.replace(draft, target)
    _sync(target.parent)


def _is_kept(name: str) -> bool:
    """Nothing that is there is the writer's own."""
    return False


def check_folder(
    target: Path,
    force: bool,
    inputs: Iterable[str | Path] = (),
    ours: Callable[[str], bool] = _is_kept,
) -> None:
    """Refuse a target that is a file, the current folder or above it, an input, or not empty without ``force``.

    Parameters
    ----------
    target : Path
    force : bool
        Whether a folder that holds something may be written to.
    inputs : iterable of paths
        Files and folders that may not be replaced.
    ours : callable
        Whether a file of this name is replaced with the folder.

    Raises
    ------
    InvalidInstance
        Naming the target.
    """
    target = target.resolve()
    with _alone_in(target.parent):
        _check_folder(target, force, inputs, ours)


def _check_folder(target: Path, force: bool, inputs: Iterable[str | Path], ours: Callable[[str], bool]) -> None:
    if target.exists() and not target.is_dir():
        raise InvalidInstance("is a file", "", "choose another folder", source=str(target))
    if Path.cwd().is_relative_to(target):
        raise InvalidInstance("is the current folder or above it", "", "name a folder in it", source=str(target))
    if not force and target.is_dir() and any(target.iterdir()):
        raise InvalidInstance(
            "the folder is not empty",
            "",
            "choose another folder or give --force (in Python force=True)",
            source=str(target),
        )
    given = tuple(inputs)
    check_inputs(target, given)
    if given and target.is_dir():
        for entry in filter(lambda entry: ours(entry.name), target.iterdir()):
            for file in (entry, *entry.rglob("*")):
                check_inputs(file, given)


@contextmanager
def writing_folder(
    folder: str | Path,
    force: bool = False,
    ours: Callable[[str], bool] = _is_kept,
    inputs: Iterable[str | Path] = (),
    what: str = "the files",
) -> Iterator[Path]:
    """Yield an empty draft, which gets the name of the folder at the end of the block, or is removed if the block fails.

    Parameters
    ----------
    folder : path
        The target; its parents are made.
    force : bool
        Write to a folder that holds something. Its files that are ``ours`` are replaced, all others are kept.
    ours : callable
        Whether the writer of this folder may have written a file of this name.
    inputs : iterable of paths
        Files that may not be replaced.
    what : str
        Names the content in errors.

    Raises
    ------
    InvalidInstance
        As `check_folder`, also if another run has filled the target meanwhile.
    MasksynthError
        If the disk refuses; nothing is left.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with writing_folder(f"{place}/new/out") as draft:
    ...         _ = (draft / "a.txt").write_bytes(b"one")
    ...     os.listdir(f"{place}/new"), os.listdir(f"{place}/new/out")
    (['out'], ['a.txt'])
    """
    target = Path(os.path.abspath(folder))
    inputs = tuple(inputs)
    try:
        target = target.resolve()
        check_folder(target, force, inputs, ours)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _draft_folder(target) as draft:
            yield draft
            _sync(draft)
            with _alone_in(target.parent):
                _check_folder(target, force, inputs, ours)
                _replace(target, draft, ours)
    except OSError as error:
        reason = error.strerror or str(error)
        said = f"{target}: {what} cannot be written: {reason}; nothing was left there, choose another folder"
        raise MasksynthError(said) from error


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """A locked hidden sibling of the target, removed if the block fails. The lock ends with the process."""
    with _alone_in(target.parent):
        _remove_drafts(target)
        draft = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=SUFFIX, dir=target.parent))
        handle = os.open(draft, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        draft.chmod(0o777 & ~_umask())
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.close(handle)


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """Hold the lock of a folder, for the moment in which names change in it."""
    with ExitStack() as stack:
        with suppress(OSError):  # a folder that cannot be read, a disk without locks: each rename is at once anyway
            handle = os.open(parent, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _replace(target: Path, draft: Path, ours: Callable[[str], bool]) -> None:
    """Give the draft the target's name; what else the old folder held moves along."""
    if target.is_dir() and any(target.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=".replaced", dir=target.parent))
        target.rename(aside)
        draft.rename(target)
        for entry in sorted(aside.iterdir()):
            if not ours(entry.name) and not os.path.lexists(target / entry.name):
                entry.rename(target / entry.name)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        with suppress(OSError):
            aside.rmdir()
    else:
        draft.rename(target)
    _sync(target.parent)


@contextmanager
def claimed(target: str | Path | None) -> Iterator[None]:
    """Keep other runs of this user away from a target while the block works; None: from nothing.

    The claim is a name that the system forgets with the process, so a kill leaves nothing behind. Where there are no such
    names (macOS) or machines share a disk, the first run to end wins and the other is refused then.

    Raises
    ------
    InvalidInstance
        If another run has the claim.

    Examples
    --------
    >>> with claimed("out"), claimed("other"), claimed(None):
    ...     pass
    """
    if target is None or not sys.platform.startswith("linux"):
        yield
        return
    place = os.path.realpath(target)
    name = sha256(f"{os.getuid()}:{place}".encode("utf-8", "surrogateescape")).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(f"\0masksynth-{name}")
        except OSError:
            remedy = "wait for it, or choose another place"
            raise InvalidInstance("another run is writing there", "", remedy, str(target)) from None
        yield


def _prefix(target: Path) -> str:
    return f".{target.name[:100]}."


def _remove_drafts(target: Path) -> None:
    """Remove the drafts of killed runs: those that nobody holds locked."""
    for draft in target.parent.glob(f"{_escaped(_prefix(target))}*{SUFFIX}"):
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


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
