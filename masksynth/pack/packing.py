"""Pack samples into a folder of merged batches, window by window."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.pack.batch import PackedBatch
from masksynth.pack.journal import Record, read_records
from masksynth.pack.label_layout import LabelLayout, choose_layout
from masksynth.pack.merge_batches import batches_of, choose_grouping
from masksynth.pack.open_crew import choose_jobs, open_crew
from masksynth.pack.pack_window import PackedWindow, checksum_window, drop_long, keep_bytes, pack_window
from masksynth.pack.packed_folder import Options
from masksynth.pack.read_run import Samples, places_of, read_run, run_here
from masksynth.pack.run_summary import Summary
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS
from masksynth.pack.stream_windows import WINDOW, Window, windows
from masksynth.pack.table_parts import Part
from masksynth.pack.write_folder import (
    draft_of,
    finish_folder,
    number_entries,
    open_draft_folder,
    store_batch,
    write_window,
)
from masksynth.tasks.canonical import shown
from masksynth.verify.packs import check_packed
from masksynth.verify.position_labels import check_labels
from masksynth.versions import versions
from masksynth.workers.ordered import Call, Crew, WorkerDied
from masksynth.workers.pool import LocalPool, Pool

LENGTH = 32768
Progress = Callable[[str], None]


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
    layout: LabelLayout = "loss-edges",
) -> Iterator[PackedBatch]:
    """Yield the merged batches of some samples; nothing is written.

    All work is done in this process: to send a batch from another one takes 2 to 7 times as long as to merge it here.
    Large files are better packed once, by `pack_samples` with ``jobs``, and read again by `open_packed`.

    Parameters
    ----------
    samples : path, glob, "-", binary stream, list of these, or iterable of mappings
    max_length, window, token_fields, key_fields, skip_long, split_groups, separate_groups, layout
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
    grouping, layout = choose_grouping(split_groups, separate_groups), choose_layout(layout)
    for each in windows(read_run(samples, token_fields, key_fields), window):
        table, _ = drop_long(each.table, max_length, skip_long)
        for part, chosen, batch in batches_of(table, max_length, grouping, layout=layout):
            check_packed(batch, part, chosen)
            check_labels(batch, layout)
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
    layout: LabelLayout = "loss-edges",
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Progress = lambda _: None,
    chats: Mapping[str, Any] | None = None,
) -> Summary:
    """Pack training samples into merged batches that train exactly like the separate samples.

    Two tokens become one position iff they are equivalent: equal identity (token id, position, kind, additional keys)
    and equal rows (``docs/theory.md``, section 3). For causal samples that is the trie of the samples of a batch. Each
    batch is checked against its samples before it is written, and the number of positions is compared with a lower
    bound for all distributions of a window's samples over batches (``docs/theory.md``, section 12).

    Parameters
    ----------
    samples : path, glob, "-", binary stream, list of these, or iterable of mappings
        JSON lines, gzip or Parquet, one file after another; or mappings with ``input_ids``, ``labels`` (or
        ``completion_mask`` or ``assistant_masks``) and, optionally, ``id``, ``group``, ``weight``, ``segments``,
        ``attention_mask``, token fields and keys.
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
    layout : {"loss-edges", "next-token", "next-token-unweighted"}
        Whether a position has any number of labels, one label with a weight (one position for each token and next
        token), or one label of one sample, for losses that take no weights.
    resume : bool
        Continue an unfinished run with the same samples and options after its last complete window.
    force : bool
        Replace a packed folder, or begin an unfinished run again.
    jobs : int, optional
        Number of worker processes that parse, merge and check; with 1 all is done in this process. The result is the
        same for any number. Default: 1; with an executor, the number of its workers.
    executor : concurrent.futures.Executor, optional
        Where jobs run instead of worker processes of this machine, for instance ``client.get_executor()`` of Dask. It
        is not shut down.
    progress : callable
        Called with one line of text after each window.
    chats : mapping, optional
        How the samples were tokenized, stored in the manifest.

    Returns
    -------
    Summary

    Raises
    ------
    InvalidInstance
        Naming file and line of a malformed sample, of a repeated id, or of labels that are already shifted;
        complete windows before it are kept for ``resume``.
    MasksynthError
        If the folder cannot be written, or workers die of one window again and again.
    """
    _check_options(max_length, window, token_fields, key_fields)
    choose_grouping(split_groups, separate_groups)
    options = Options(
        max_length=int(max_length),
        window=int(window),
        token_fields=(*TOKEN_FIELDS, *token_fields),
        key_fields=(*KEY_FIELDS, *key_fields),
        skip_long=bool(skip_long),
        version=versions()["masksynth"],
        split_groups=bool(split_groups),
        separate_groups=bool(separate_groups),
        layout=choose_layout(layout),
        chats=None if chats is None else dict(chats),
    )
    summary = Summary(max_length, int(window), missing={*token_fields, *key_fields}, layout=options.layout)
    target = None if output is None else Path(os.path.abspath(output)).resolve()
    with _explain_errors(samples, target), ExitStack() as stack:
        count = choose_jobs(jobs, executor)
        folder, done = None, 0
        if target is not None:
            inputs = [place for place in places_of(samples) or () if isinstance(place, (str, Path)) and place != "-"]
            settings = msgspec.to_builtins(options)
            folder, done = stack.enter_context(open_draft_folder(target, settings, resume, force, inputs))
        with open_crew(count, executor, folder) as (crew, parsing):
            parts = read_run(samples, token_fields, key_fields, parsing._replace(seconds=summary.seconds))
            with closing(cast(Generator[Part, None, None], parts)):
                for each in _pack_windows(windows(parts, window), folder, done, options, summary, crew):
                    progress(_progress_line(each))
        if folder is not None and target is not None:
            finish_folder(folder, target, options, summary.skipped, force)
    return summary


@contextmanager
def _explain_errors(samples: Samples, target: Path | None) -> Iterator[None]:
    """Say what is kept of a run whose workers died, or that could not read or write a file."""
    try:
        yield
    except WorkerDied as error:
        kept = "" if target is None else "; complete windows are kept for --resume"
        remedy = "; if memory is short, give fewer --jobs or a smaller --window"
        raise WorkerDied(f"{error}{kept}{remedy}") from None
    except OSError as error:
        kept = ""
        if target is not None and draft_of(target).exists():
            kept = f"; finish what is in {draft_of(target)} with --resume"
        raise MasksynthError(f"{error.filename or target or samples}: {error.strerror or error}{kept}") from error


def _progress_line(summary: Summary) -> str:
    c = summary.counts
    read = f"{c['samples']:,} samples, {c['tokens']:,} tokens"
    return f"{read} -> {c['positions']:,} positions in {c['batches']:,} batches"


def _check_options(max_length: int, window: int, *fields: Sequence[str]) -> None:
    if any(isinstance(names, str) for names in fields):
        raise InvalidInstance("token_fields and key_fields are lists of names, not one name", "", 'give ["name"]')
    for name, value in (("max_length", max_length), ("window", window)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InvalidInstance(f"{name}: expected an integer, got {shown(value)}", "", "give a positive integer")
        if value < 1:
            raise InvalidInstance(f"{name}: expected a positive integer, got {value}", "")


def _pack_windows(
    stream: Iterable[Window], folder: Path | None, done: int, options: Options, summary: Summary, crew: Crew | None
) -> Iterator[Summary]:
    """Pack the windows of a run after the first ``done``, which must be those in the journal of ``folder``.

    Yields the summary after each window.
    """
    finished = read_records(folder) if folder is not None and done else iter(())
    run, ahead = (run_here, 1) if crew is None else (crew.map, crew.pool.room + 1)
    calls = _calls_of(stream, done, options, folder, None if crew is None else crew.pool)
    number = 0
    for number, result in enumerate(run(calls, ahead), 1):
        if isinstance(result, int):
            record = next(finished)
            if record.checksum != result:
                fact = f"window {number} of the unfinished run held other samples"
                raise InvalidInstance(fact, "", "give the same file, or --force to begin again", str(folder))
        else:
            record = _keep_window(folder, result, summary)
        summary.add(record)
        yield summary
    if done > number:
        fact = "the unfinished run had read more samples"
        raise InvalidInstance(fact, "", "give the same file, or --force", str(folder))


def _calls_of(
    stream: Iterable[Window], done: int, options: Options, folder: Path | None, pool: Pool | None
) -> Iterator[Call]:
    """Yield the call that packs each window, or returns its checksum if it is among the first ``done``.

    Batches are written where they are merged if that is this machine; other machines send them.
    """
    is_remote = pool is not None and not isinstance(pool, LocalPool)
    for number, window in enumerate(stream, 1):
        first, last = window.parts[0].ids[0], window.parts[-1].ids[-1]
        label = f"window {number}, samples {shown(first)} to {shown(last)}"
        if number <= done:
            yield Call(label, checksum_window, (window,))
        else:
            store = None if folder is None else keep_bytes if is_remote else partial(store_batch, folder, number)
            yield Call(label, pack_window, (window, options, store))


def _keep_window(folder: Path | None, packed: PackedWindow, summary: Summary) -> Record:
    """Return the record of a window with its batches numbered in the run; write it if there is a folder."""
    start, record = perf_counter(), packed.record
    record.batches = number_entries(record.batches, summary.counts["batches"])
    if folder is not None:
        write_window(folder, record, packed.contents)
    for step, value in packed.seconds.items():
        summary.seconds[step] += value
    summary.seconds["write"] += perf_counter() - start
    return record
