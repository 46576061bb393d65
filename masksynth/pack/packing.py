"""Pack samples into a folder of merged batches, window by window."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import IO, Any, cast

import msgspec
import numpy as np

from masksynth.errors import Contradiction, InvalidInstance, MasksynthError
from masksynth.files import Content
from masksynth.pack.batch import PackedBatch, batch_hash
from masksynth.pack.check_samples import tables_of
from masksynth.pack.dimensions import refuse_other_dimensions
from masksynth.pack.journal import Record, checksum_of, read_records
from masksynth.pack.merge_batches import batches_of, choose_grouping, is_too_long, refuse_long
from masksynth.pack.packed_folder import Entry, Options
from masksynth.pack.read_files import read_samples
from masksynth.pack.run_summary import Summary, count_batch, count_samples
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS, SampleTable, drop_samples
from masksynth.pack.screening import refuse_repeated_ids, refuse_shifted_labels
from masksynth.pack.stream_windows import WINDOW, Window, windows
from masksynth.pack.write_folder import (
    batch_content,
    draft_of,
    entry_of_batch,
    finish_folder,
    open_draft_folder,
    write_window,
)
from masksynth.tasks.canonical import shown
from masksynth.verify.pack_bounds import bound_positions
from masksynth.verify.packs import check_packed
from masksynth.versions import versions

LENGTH = 32768
Progress = Callable[[str], None]
Samples = str | Path | IO[bytes] | Iterable[Mapping[str, Any]]


def pack_batches(
    samples: Samples,
    *,
    max_length: int = LENGTH,
    window: int = WINDOW,
    token_fields: Sequence[str] = (),
    key_fields: Sequence[str] = (),
    skip_long: bool = False,
    split_groups: bool = False,
    separate_groups: bool = False,
) -> Iterator[PackedBatch]:
    """Yield the merged batches of some samples; nothing is written.

    Parameters
    ----------
    samples : path, "-", binary stream, or iterable of mappings
    max_length, window, token_fields, key_fields, skip_long, split_groups, separate_groups
        As for `pack_samples`.

    Examples
    --------
    >>> rows = [
    ...     {"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, 3]},
    ...     {"id": "b", "input_ids": [1, 2, 4], "labels": [-100, -100, 4]},
    ... ]
    >>> [batch] = pack_batches(rows)
    >>> batch.input_ids.tolist(), batch.loss_label.tolist(), batch.loss_sample.tolist()
    ([1, 2], [2, 3, 4], [0, 0, 1])
    """
    _check_options(max_length, window, token_fields, key_fields)
    grouping = choose_grouping(split_groups, separate_groups)
    for each in windows(_read_tables(samples, token_fields, key_fields), window):
        table, _ = _drop_long(each.table, max_length, skip_long)
        for part, chosen, batch in batches_of(table, max_length, grouping):
            check_packed(batch, part, chosen)
            yield batch


def pack_samples(
    samples: Samples,
    output: str | Path | None,
    *,
    max_length: int = LENGTH,
    window: int = WINDOW,
    token_fields: Sequence[str] = (),
    key_fields: Sequence[str] = (),
    skip_long: bool = False,
    split_groups: bool = False,
    separate_groups: bool = False,
    resume: bool = False,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> Summary:
    """Pack training samples into merged batches that train exactly like the separate samples.

    Two tokens become one position iff they are equivalent: equal identity (token id, position, kind, additional keys)
    and equal rows (``docs/theory.md``, section 3). For causal samples that is the trie of the samples of a batch. Each
    batch is checked against its samples before it is written, and the number of positions is compared with a lower
    bound for all distributions of a window's samples over batches (``docs/theory.md``, section 12).

    Parameters
    ----------
    samples : path, "-", binary stream, or iterable of mappings
        JSON lines, gzip or Parquet; or mappings with ``input_ids``, ``labels`` (or ``completion_mask`` or
        ``assistant_masks``) and, optionally, ``id``, ``group``, ``weight``, ``segments``, ``attention_mask``, token
        fields and keys.
    output : path or None
        The folder to write: ``manifest.json`` and ``batch-00000.safetensors``, ... It appears at the end of the run.
        None: only count.
    max_length : int
        Maximum number of positions in a batch. A group that fits is in one batch; one that does not is distributed
        over several, and what its parts share is repeated.
    window : int
        Number of samples that are held and merged at a time.
    token_fields : sequence of str
        Additional per-token lists of numbers to carry with the loss edges.
    key_fields : sequence of str
        Additional per-token lists of integers that are part of a token's identity.
    skip_long : bool
        Leave out, and list, samples with more live tokens than ``max_length``, instead of raising.
    split_groups : bool
        Distribute each sample on its own, so that fewer positions may be needed; groups may be in several batches.
    separate_groups : bool
        Share no position between samples of different groups.
    resume : bool
        Continue an unfinished run with the same samples and options after its last complete window.
    force : bool
        Replace a packed folder, or begin an unfinished run again.
    progress : callable
        Called with one line of text after each window.

    Returns
    -------
    Summary

    Raises
    ------
    InvalidInstance
        Naming file and line of a malformed sample, of a repeated id, or of labels that are already shifted;
        complete windows before it are kept for ``resume``.
    MasksynthError
        If the folder cannot be written.
    """
    _check_options(max_length, window, token_fields, key_fields)
    target = None if output is None else Path(os.path.abspath(output)).resolve()
    fields, keys = (*TOKEN_FIELDS, *token_fields), (*KEY_FIELDS, *key_fields)
    choose_grouping(split_groups, separate_groups)
    options = Options(
        max_length=int(max_length),
        window=int(window),
        token_fields=fields,
        key_fields=keys,
        skip_long=bool(skip_long),
        version=versions()["masksynth"],
        split_groups=bool(split_groups),
        separate_groups=bool(separate_groups),
    )
    inputs = [samples] if isinstance(samples, (str, Path)) else []
    summary = Summary(max_length, int(window), missing={*token_fields, *key_fields})
    try:
        settings = msgspec.to_builtins(options)
        with (
            _no_folder() if target is None else open_draft_folder(target, settings, resume, force, inputs) as (
                folder,
                done,
            )
        ):
            stream = windows(_read_tables(samples, token_fields, key_fields), window)
            _pack_windows(_timed(stream, summary.seconds), folder, done, options, summary, progress)
            if folder is not None and target is not None:
                finish_folder(folder, target, options, summary.skipped, force)
    except OSError as error:
        kept = ""
        if target is not None and draft_of(target).exists():
            kept = f"; finish what is in {draft_of(target)} with --resume"
        raise MasksynthError(f"{error.filename or target or samples}: {error.strerror or error}{kept}") from error
    return summary


@contextmanager
def _no_folder() -> Iterator[tuple[None, int]]:
    yield None, 0


def _check_options(max_length: int, window: int, *fields: Sequence[str]) -> None:
    if any(isinstance(names, str) for names in fields):
        raise InvalidInstance("token_fields and key_fields are lists of names, not one name", "", 'give ["name"]')
    for name, value in (("max_length", max_length), ("window", window)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InvalidInstance(f"{name}: expected an integer, got {shown(value)}", "", "give a positive integer")
        if value < 1:
            raise InvalidInstance(f"{name}: expected a positive integer, got {value}", "")


def _read_tables(samples: Samples, token_fields: Sequence[str], key_fields: Sequence[str]) -> Iterator[SampleTable]:
    """Yield checked tables of the samples of a run."""
    fields, keys = (*TOKEN_FIELDS, *token_fields), (*KEY_FIELDS, *key_fields)
    if isinstance(samples, (str, Path)):
        tables = read_samples(samples, fields, keys)
    elif hasattr(samples, "read"):
        tables = read_samples(cast(IO[bytes], samples), fields, keys)
    elif not isinstance(samples, Iterable):
        fact = f"expected samples, got {type(samples).__name__}"
        raise InvalidInstance(fact, "", "give a path, a binary stream, or an iterable of mappings")
    else:
        tables = _refuse_none(tables_of(samples, fields, keys))
    return refuse_shifted_labels(refuse_repeated_ids(refuse_other_dimensions(tables, key_fields)))


def _refuse_none(tables: Iterator[SampleTable]) -> Iterator[SampleTable]:
    first = next(tables, None)
    if first is None:
        raise InvalidInstance("there is no sample", "", "give at least one")
    return chain([first], tables)


def _timed(items: Iterator[Window], seconds: dict[str, float]) -> Iterator[Window]:
    """Yield the windows, and add the time that reading them takes to ``seconds["read"]``."""
    while True:
        start = perf_counter()
        item = next(items, None)
        seconds["read"] += perf_counter() - start
        if item is None:
            return
        yield item


def _pack_windows(
    stream: Iterable[Window], folder: Path | None, done: int, options: Options, summary: Summary, progress: Progress
) -> None:
    """Pack the windows of a run after the first ``done``, which must be those in the journal of ``folder``."""
    finished = read_records(folder) if folder is not None and done else iter(())
    number = 0
    for number, window in enumerate(stream, 1):
        if number <= done:
            record = next(finished)
            if record.checksum != checksum_of(window.table):
                fact = f"window {number} of the unfinished run held other samples"
                raise InvalidInstance(fact, "", "give the same file, or --force to begin again", str(folder))
        else:
            record = _pack_window(folder, window, options, summary)
        summary.add(record)
        c = summary.counts
        read = f"{c['samples']:,} samples, {c['tokens']:,} tokens"
        progress(f"{read} -> {c['positions']:,} positions in {c['batches']:,} batches")
    if done > number:
        fact = "the unfinished run had read more samples"
        raise InvalidInstance(fact, "", "give the same file, or --force", str(folder))


def _drop_long(table: SampleTable, max_length: int, skip_long: bool) -> tuple[SampleTable, list[str | int]]:
    """Return the samples that fit into a batch, and the ids of the others; raise for these unless ``skip_long``."""
    long = is_too_long(table, max_length)
    if long.any() and not skip_long:
        refuse_long(table, long, max_length)
    return drop_samples(table, long), [table.ids[s] for s in np.flatnonzero(long).tolist()]


def _bound_window(table: SampleTable, options: Options, positions: int) -> Counter[str]:
    """Return lower bounds on the positions of a window, in which ``positions`` are sufficient."""
    split, separate = options.split_groups, options.separate_groups
    free, kept = bound_positions(table, options.max_length, split, separate, positions)
    if kept > positions:
        raise Contradiction("masksynth.verify", kept, "masksynth.pack", positions, "positions of a window")
    return Counter(windows=1, bound_free=free, bound_kept=kept)


def _pack_window(folder: Path | None, window: Window, options: Options, summary: Summary) -> Record:
    """Merge and check one window, and write it if there is a folder; add the time to the summary's ``seconds``."""
    start, seconds = perf_counter(), summary.seconds
    table, skipped = _drop_long(window.table, options.max_length, options.skip_long)
    counts = count_samples(table)
    grouping = choose_grouping(options.split_groups, options.separate_groups)
    entries: list[Entry] = []
    contents: list[Content] = []
    for part, chosen, batch in batches_of(table, options.max_length, grouping):
        merged = perf_counter()
        check_packed(batch, part, chosen)
        checked = perf_counter()
        counts += count_batch(batch)
        digest = None if folder is None else batch_hash(batch)
        number = summary.counts["batches"] + len(entries)
        entries.append(entry_of_batch(number, part, chosen, batch, digest))
        contents += [] if folder is None else [batch_content(batch, digest)]
        end = perf_counter()
        for name, value in (("merge", merged - start), ("check", checked - merged), ("write", end - checked)):
            seconds[name] += value
        start = end
    counts += _bound_window(table, options, counts["positions"])
    bounded = perf_counter()
    seconds["check"] += bounded - start
    start = bounded
    batches_of_group = Counter(group for entry in entries for group in set(entry.groups or ()) if group is not None)
    record = Record(
        checksum=checksum_of(window.table),
        batches=entries,
        counts=dict(counts),
        scattered=list(window.scattered),
        cut=[group for group, count in batches_of_group.items() if count > 1],
        skipped=skipped,
        fields=[*table.fields, *table.keys],
    )
    if folder is not None:
        write_window(folder, record, contents)
    seconds["write"] += perf_counter() - start
    return record
