"""Read the samples of a run, from one or several files or from Python, as a stream of checked parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import IO, Any, NamedTuple, TypeVar, cast

from masksynth.errors import InvalidInstance
from masksynth.files import match_files
from masksynth.pack.check_samples import tables_of
from masksynth.pack.dimensions import refuse_other_dimensions
from masksynth.pack.freed_memory import keep_freed_memory
from masksynth.pack.read_files import Source, block_tables, read_parts
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS, SampleTable
from masksynth.pack.screening import refuse_repeated_ids, refuse_shifted_labels
from masksynth.pack.table_parts import Part, Store, Stored, keep_table, load_text, part_of, remove_with
from masksynth.pack.text_lines import Block
from masksynth.workers.ordered import Call, read_ahead

BLOCKS_AHEAD = 2
"""Blocks that are read and unpacked ahead of those that are given to workers."""
Place = str | Path | IO[bytes]
Samples = Place | Iterable[Place] | Iterable[Mapping[str, Any]]
Run = Callable[[Iterable[Any], int], Iterator[Any]]
"""Runs the calls among some items, some of them ahead, and yields their results in order: `Crew.map` or `run_here`."""
T = TypeVar("T")


class Parsed(NamedTuple):
    """The samples of a block up to its first invalid line, the error there if there is one, and the time it took."""

    parts: list[Part]
    error: InvalidInstance | None
    seconds: float


def run_here(items: Iterable[Any], ahead: int) -> Iterator[Any]:
    """Yield the result of each call, made in this process when it is needed, and each other item as it is."""
    for item in items:
        yield item.function(*item.arguments) if isinstance(item, Call) else item


class Parsing(NamedTuple):
    """Where lines are parsed, and how texts and tables get there and back.

    Parameters
    ----------
    run : callable
        `run_here` or `Crew.map`.
    ahead : int
        How many blocks are on their way at a time.
    store : callable
        How the table of a block is returned.
    send : callable
        How the text of a block is handed over: as it is, or stored in a file.
    seconds : dict
        The time that reading takes is added to ``read``.
    """

    run: Run
    ahead: int
    store: Store
    send: Callable[[bytes], bytes | Stored]
    seconds: dict[str, float]

    def add(self, seconds: float) -> None:
        """Add to the time that reading takes."""
        self.seconds["read"] = self.seconds.get("read", 0.0) + seconds


HERE = Parsing(run_here, 1, keep_table, bytes, {})


def places_of(samples: Samples) -> list[Place] | None:
    """Return the files and streams of a run, globs expanded in sorted order; None if the samples come from Python.

    Raises
    ------
    InvalidInstance
        If a glob matches no file.

    Examples
    --------
    >>> places_of("samples.jsonl"), places_of([{"input_ids": [1], "labels": [-100]}])
    (['samples.jsonl'], None)
    """
    if isinstance(samples, (str, Path)) or hasattr(samples, "read"):
        return _expand(cast(Place, samples))
    is_list = isinstance(samples, Sequence) and len(samples) > 0
    if is_list and all(isinstance(each, (str, Path)) or hasattr(each, "read") for each in samples):
        return [place for each in samples for place in _expand(cast(Place, each))]
    return None


def _expand(place: Place) -> list[Place]:
    """Return the files that a glob matches, anything else as it is."""
    if not isinstance(place, str) or place == "-" or os.path.lexists(place):
        return [place]
    return list(match_files(place)) or [place]


def read_run(
    samples: Samples, token_fields: Sequence[str], key_fields: Sequence[str], where: Parsing = HERE
) -> Iterator[Part]:
    """Yield checked parts of the samples of a run.

    Parameters
    ----------
    samples : path, "-", binary stream, list of these, or iterable of mappings
    token_fields, key_fields : sequence of str
        Additional per-token lists.
    where : Parsing
    """
    fields, keys = (*TOKEN_FIELDS, *token_fields), (*KEY_FIELDS, *key_fields)
    places = places_of(samples)
    if places is not None:
        parts = _parts_of_files(places, fields, keys, where)
    elif isinstance(samples, Iterable):
        tables = tables_of(cast(Iterable[Mapping[str, Any]], samples), fields, keys)
        parts = (remove_with(part_of(table, where.store)) for table in _timed(_refuse_none(tables), where))
    else:
        fact = f"expected samples, got {type(samples).__name__}"
        raise InvalidInstance(fact, "", "give a path, a binary stream, or an iterable of mappings")
    return refuse_shifted_labels(refuse_repeated_ids(refuse_other_dimensions(parts, key_fields)))


def _parts_of_files(
    places: Sequence[Place], fields: Sequence[str], keys: Sequence[str], where: Parsing
) -> Iterator[Part]:
    """Yield the parts of files, one after another; ids of samples without one name the file if there are several."""
    pieces: Iterator[tuple[Source, Block | SampleTable]] = chain.from_iterable(
        read_parts(place, fields, keys, prefix_of(place, places)) for place in places
    )
    pieces = _timed(pieces, where)
    if where.run is not run_here and all(
        _is_file(place) for place in places
    ):  # a pipe may never end, and is not to hold the exit
        pieces = read_ahead(pieces, BLOCKS_AHEAD)
    for result in where.run((_call_of(source, piece, where) for source, piece in pieces), where.ahead):
        if isinstance(result, Part):
            yield result
            continue
        where.add(result.seconds)
        yield from map(remove_with, result.parts)
        if result.error is not None:
            raise result.error


def _call_of(source: Source, piece: Block | SampleTable, where: Parsing) -> Call | Part:
    if isinstance(piece, SampleTable):
        return remove_with(part_of(piece, where.store))
    arguments = (source, piece.number, where.send(piece.text), where.store)
    return Call(f"{source.name}: lines from {piece.number}", parse_block, arguments)


def parse_block(source: Source, number: int, text: bytes | Stored, store: Store) -> Parsed:
    """Parse and check a block of lines, the first of which has a number in its file."""
    keep_freed_memory()
    start, parts = perf_counter(), list[Part]()
    try:
        for table in block_tables(source, Block(number, load_text(text))):
            parts.append(part_of(table, store))
    except InvalidInstance as error:
        return Parsed(parts, error, perf_counter() - start)
    return Parsed(parts, None, perf_counter() - start)


def prefix_of(place: Place, places: Sequence[Place]) -> str:
    """Return the start of the ids of samples without one, which name the file if there are several.

    Examples
    --------
    >>> prefix_of("a.jsonl", ["a.jsonl"]), prefix_of("a.jsonl", ["a.jsonl", "b.jsonl"])
    ('#', 'a.jsonl#')
    """
    return "#" if len(places) == 1 else f"{_name_of(place)}#"


def _name_of(place: Place) -> str:
    return str(place) if isinstance(place, (str, Path)) else str(getattr(place, "name", "<stream>"))


def _is_file(place: Place) -> bool:
    """Return whether a place is a regular file."""
    return os.path.isfile(_name_of(place))


def _timed(items: Iterator[T], where: Parsing) -> Iterator[T]:
    """Yield the items, and add the time that making them takes."""
    while True:
        start = perf_counter()
        item = next(items, None)
        where.add(perf_counter() - start)
        if item is None:
            return
        yield item


def _refuse_none(tables: Iterator[SampleTable]) -> Iterator[SampleTable]:
    first = next(tables, None)
    if first is None:
        raise InvalidInstance("there is no sample", "", "give at least one")
    return chain([first], tables)
