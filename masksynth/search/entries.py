"""Turn paths, folders, globs, instances and sweeps into entries that can be sent to a worker."""

from __future__ import annotations

import glob
import inspect
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from masksynth import catalog
from masksynth.errors import InvalidInstance
from masksynth.files import match_files
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import MAX_BYTES, loads

MANIFEST = "manifest.json"
"""File of expected results in a folder of instances; never an instance."""
READ_LIMIT = 2**20
"""Largest file in bytes that the parent process reads to describe an instance whose worker died."""


@dataclass(frozen=True)
class Built:
    """An instance that the worker builds from a family of the catalogue."""

    family: str
    parameters: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Unreadable:
    """The reason why there is no instance."""

    reason: str


@dataclass(frozen=True)
class Entry:
    """One instance of a batch.

    Parameters
    ----------
    name : str
        Path, or name of the instance.
    content : bytes or Instance or Built or Unreadable
        The text of its file, the instance itself, how it is built, or why it is missing.
    """

    name: str
    content: bytes | Instance | Built | Unreadable


def instance_in(entry: Entry) -> Instance:
    """Return the instance of an entry.

    Raises
    ------
    InvalidInstance
        If it is invalid.

    Examples
    --------
    >>> instance_in(next(sweep("butterfly", n=8))).name
    'butterfly-8'
    """
    content = entry.content
    if isinstance(content, Unreadable):
        raise InvalidInstance(content.reason, "", source=entry.name)
    if isinstance(content, Built):
        return catalog.FAMILIES[content.family](**dict(content.parameters))
    return content if isinstance(content, Instance) else loads(content, entry.name)


def describe_instance(entry: Entry) -> Instance | None:
    """Read the instance of a worker that could not report it; None if reading it may fail here as well."""
    if isinstance(entry.content, Built) or (isinstance(entry.content, bytes) and len(entry.content) > READ_LIMIT):
        return None
    try:
        return instance_in(entry)
    except Exception:
        return None


def sweep(family: str, **parameters: Any) -> Iterator[Entry]:
    """Yield the instances of a catalogue family for all combinations of parameters, built when they are solved.

    Parameters
    ----------
    family : str
        One of `masksynth.catalog.FAMILIES`.
    **parameters
        A range, list or iterator gives all its values; anything else, tuples included, is one value. Only the first
        parameter may have infinitely many.

    Raises
    ------
    InvalidInstance
        If there is no such family or parameter.

    Examples
    --------
    >>> [entry.name for entry in sweep("prefix_lm", n=range(4, 6), P=[1, 2])]
    ['prefix_lm(n=4, P=1)', 'prefix_lm(n=4, P=2)', 'prefix_lm(n=5, P=1)', 'prefix_lm(n=5, P=2)']
    """
    if family not in list(catalog.FAMILIES):
        raise InvalidInstance(f"unknown family {family!r}", "", f"choose from {', '.join(catalog.FAMILIES)}")
    allowed = list(inspect.signature(catalog.FAMILIES[family]).parameters)
    for name in parameters:
        if name not in allowed:
            raise InvalidInstance(f"{family} has no parameter {name!r}", "", f"its parameters are {', '.join(allowed)}")
    return (
        _built(family, combination)
        for combination in _combinations([(name, _values(value)) for name, value in parameters.items()])
    )


def _values(value: Any) -> Iterable[Any]:
    return (value,) if isinstance(value, (tuple, str, bytes)) or not isinstance(value, Iterable) else value


def _combinations(parameters: list[tuple[str, Iterable[Any]]]) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Yield all combinations of values, the last parameter varying fastest; only the first may be infinite."""
    if not parameters:
        yield ()
        return
    (name, values), *others = parameters
    others = [(other, choices if isinstance(choices, Sequence) else list(choices)) for other, choices in others]
    for value in values:
        for rest in _combinations(others):
            yield ((name, value), *rest)


def _built(family: str, parameters: tuple[tuple[str, Any], ...]) -> Entry:
    return Entry(f"{family}({', '.join(f'{name}={value!r}' for name, value in parameters)})", Built(family, parameters))


def entries(instances: Any) -> Iterator[Entry]:
    """Yield the entries of a batch, in order, each read when it is needed.

    Parameters
    ----------
    instances : path, glob, Instance, Entry, or an iterable of these
        A folder means all ``*.json`` files below it in the order of their paths, without ``manifest.json``.

    Raises
    ------
    InvalidInstance
        If ``instances`` is a path that does not exist, or has another type.
    """
    if isinstance(instances, (str, os.PathLike)):
        return map(_read, paths(os.fspath(instances)))
    if isinstance(instances, Instance):
        return iter([Entry(instances.name, instances)])
    if isinstance(instances, Entry):
        return iter([instances])
    if not isinstance(instances, Iterable) or isinstance(instances, (bytes, bytearray)):
        raise InvalidInstance(
            f"expected instances, got {type(instances).__name__}", "", "give paths, a folder, a glob or instances"
        )
    return itertools.chain.from_iterable(map(_element_entries, instances, itertools.count()))


def paths(place: str) -> list[str]:
    """Return the instance files of a path, folder or glob, sorted.

    Raises
    ------
    InvalidInstance
        If there are none.
    """
    if os.path.isdir(place):
        files = _below(place)
    elif os.path.lexists(place) or not glob.has_magic(place):
        files = [place] if os.path.lexists(place) else []
    else:
        files = [path for path in match_files(place) if os.path.basename(path) != MANIFEST]
    if not files:
        nothing = "no *.json below this folder" if os.path.isdir(place) else "no such file"
        raise InvalidInstance(nothing, "", "name instance files, folders or globs", place)
    return files


def _below(folder: str) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        folders.sort()
        found += [os.path.join(root, file) for file in files if file.endswith(".json") and file != MANIFEST]
    return sorted(found)


def _element_entries(thing: Any, number: int) -> Iterator[Entry]:
    """Yield the entries of one element of an iterable; an invalid element becomes an entry with the reason."""
    try:
        if isinstance(thing, (str, os.PathLike, Instance, Entry)):
            return entries(thing)
        reason = f"expected instances, got {type(thing).__name__}"
    except InvalidInstance as error:
        return iter([Entry(str(thing), Unreadable(f"{error.fact}; {error.remedy}"))])
    return iter([Entry(f"#{number}", Unreadable(reason))])


def _read(path: str) -> Entry:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    try:
        # O_NONBLOCK: a pipe without a writer must not stop the batch
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return Entry(name, Unreadable("not a regular file"))
            return Entry(name, stream.read(MAX_BYTES + 1))
    except OSError as error:
        return Entry(name, Unreadable(error.strerror or str(error)))
