"""Pack: samples in, a folder of merged batches out, window by window."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import IO, Any, cast

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.export.blocks import block_counts
from masksynth.files import Content
from masksynth.pack.batch import PackedBatch, batch_hash
from masksynth.pack.check_samples import tables_of
from masksynth.pack.costs import Shape, separate_pairs
from masksynth.pack.dimensions import refuse_other_dimensions
from masksynth.pack.journal import Record, checksum_of, read_records
from masksynth.pack.merge_batches import batches_of, refuse_long, too_long
from masksynth.pack.packed_folder import Entry, Options
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import IGNORED, KEY_FIELDS, TOKEN_FIELDS, SampleTable, without
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
from masksynth.verify.packs import check_packed
from masksynth.versions import versions

LENGTH = 32768
Progress = Callable[[str], None]
Samples = str | Path | IO[bytes] | Iterable[Mapping[str, Any]]


@dataclass
class Summary:
    """What a run read, wrote and saved.

    Parameters
    ----------
    max_length : int
    counts : mapping of str to int
        Samples, tokens, positions, pairs, blocks, ..., summed over all windows.
    seconds : dict
        ``read``, ``merge``, ``check`` and ``write``, of this run.
    scattered, cut : dict
        Groups merged in parts since a window ended between their samples; groups in several batches since they did not fit into one.
    skipped : list
        Samples left out because they are too long.
    missing : set
        Fields that were asked for and that no sample has.
    """

    max_length: int
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("read", "merge", "check", "write"), 0.0))
    scattered: dict[str | int, None] = field(default_factory=dict)
    cut: dict[str | int, None] = field(default_factory=dict)
    skipped: list[str | int] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def record(self, shape: Shape | None = None) -> dict[str, Any]:
        """The summary for programs."""
        c = self.counts
        result: dict[str, Any] = {
            **{
                name: c[name]
                for name in ("samples", "tokens", "live_tokens", "positions", "loss_edges", "batches", "groups")
            },
            "max_length": self.max_length,
            "ratio": round(c["tokens"] / c["positions"], 4) if c["positions"] else None,
            "pairs": {"separate": c["pairs_separate"], "merged": c["pairs_merged"]},
            "padding": c["batches"] * self.max_length - c["positions"],
            "blocks": {"size": 128, "full": c["blocks_full"], "partial": c["blocks_partial"], "all": c["blocks_all"]},
            "scattered_groups": list(self.scattered),
            "cut_groups": list(self.cut),
            "skipped_samples": self.skipped,
            "ignored_first_labels": c["first_labels"],
            "missing_fields": sorted(self.missing),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }
        if shape is not None:
            result["flops"] = {
                "separate": shape.flops(c["tokens"], c["loss_edges"], c["pairs_separate"]),
                "merged": shape.flops(c["positions"], c["labelled_positions"], c["pairs_merged"]),
            }
        return result


def pack_batches(
    samples: Samples,
    *,
    max_length: int = LENGTH,
    window: int = WINDOW,
    token_fields: Sequence[str] = (),
    key_fields: Sequence[str] = (),
    skip_long: bool = False,
) -> Iterator[PackedBatch]:
    """The merged batches of some samples, one by one, nothing written.

    Parameters
    ----------
    samples : path, "-", binary stream, or iterable of mappings
        See ``pack_samples``.

    Examples
    --------
    >>> rows = [{"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"id": "b", "input_ids": [1, 2, 4], "labels": [-100, -100, 4]}]
    >>> [batch] = pack_batches(rows)
    >>> batch.input_ids.tolist(), batch.loss_label.tolist(), batch.loss_sample.tolist()
    ([1, 2], [2, 3, 4], [0, 0, 1])
    """
    _check_options(max_length, window, token_fields, key_fields)
    for each in windows(_tables(samples, token_fields, key_fields), window):
        table, _ = _fitting(each.table, max_length, skip_long)
        for part, chosen, batch in batches_of(table, max_length):
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
    resume: bool = False,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> Summary:
    """Pack training samples into merged batches that train exactly like the separate samples.

    Two tokens become one position iff they are equivalent: equal identity (token id, position, kind, further keys) and equal rows
    (``docs/theory.md``, section 3). For causal samples that is the prefix tree of each group. Every batch is checked against its samples
    before it is written.

    Parameters
    ----------
    samples : path, "-", binary stream, or iterable of mappings
        JSON lines, gzip or Parquet; or mappings with ``input_ids``, ``labels`` (or ``completion_mask`` or ``assistant_masks``) and,
        optionally, ``id``, ``group``, ``weight``, ``segments``, ``attention_mask``, per-token fields and keys.
    output : path or None
        The folder to write: ``manifest.json`` and ``batch-00000.safetensors``, ... It appears when all is done. None: count only.
    max_length : int
        Most positions of a batch. A group that does not fit is cut between samples; what its parts share is repeated.
    window : int
        How many samples are held and merged at a time.
    token_fields, key_fields : sequence of str
        Further per-token lists to carry with the loss edges, and to count as parts of a token's identity, beside the usual ones.
    skip_long : bool
        Leave out, and list, samples with more live tokens than ``max_length``, instead of raising.
    resume : bool
        Go on after the last whole window of an unfinished run with the same samples and options.
    force : bool
        Replace a packed folder, or begin an unfinished run again.
    progress : callable
        Given one line of text now and then.

    Returns
    -------
    Summary

    Raises
    ------
    InvalidInstance
        Naming file and line of a malformed sample, of an id that was there before, or of labels that were shifted beforehand; whole windows
        before it are kept for ``resume``.
    MasksynthError
        If the disk is full or the place is not writable.
    """
    _check_options(max_length, window, token_fields, key_fields)
    target = None if output is None else Path(os.path.abspath(output)).resolve()
    fields, keys = (*TOKEN_FIELDS, *token_fields), (*KEY_FIELDS, *key_fields)
    options = Options(int(max_length), int(window), fields, keys, bool(skip_long), versions()["masksynth"])
    inputs = [samples] if isinstance(samples, (str, Path)) else []
    summary = Summary(max_length, missing={*token_fields, *key_fields})
    try:
        with (
            _nowhere()
            if target is None
            else open_draft_folder(target, msgspec.to_builtins(options), resume, force, inputs) as (
                folder,
                done,
            )
        ):
            old = read_records(folder) if folder is not None and done else iter(())
            number = 0
            for number, each in enumerate(
                _timed(windows(_tables(samples, token_fields, key_fields), window), summary.seconds), 1
            ):
                if number <= done:
                    record = next(old)
                    if record.checksum != checksum_of(each.table):
                        fact = f"window {number} of the unfinished run held other samples"
                        raise InvalidInstance(fact, "", "give the same file, or --force to begin again", str(folder))
                else:
                    record = _do_window(folder, each, summary.counts["batches"], max_length, skip_long, summary.seconds)
                _add(summary, record)
                c = summary.counts
                progress(
                    f"{c['samples']:,} samples, {c['tokens']:,} tokens -> {c['positions']:,} positions in {c['batches']:,} batches"
                )
            if done > number:
                raise InvalidInstance(
                    "the unfinished run had read more samples", "", "give the same file, or --force", str(folder)
                )
            if folder is not None and target is not None:
                finish_folder(folder, target, options, summary.skipped, force)
    except OSError as error:
        kept = (
            ""
            if target is None or not draft_of(target).exists()
            else f"; finish what is in {draft_of(target)} with --resume"
        )
        raise MasksynthError(f"{error.filename or target or samples}: {error.strerror or error}{kept}") from error
    return summary


@contextmanager
def _nowhere() -> Iterator[tuple[None, int]]:
    yield None, 0


def _check_options(max_length: int, window: int, *fields: Sequence[str]) -> None:
    if any(isinstance(names, str) for names in fields):
        raise InvalidInstance("token_fields and key_fields are lists of names, not one name", "", 'give ["name"]')
    for name, value in (("max_length", max_length), ("window", window)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InvalidInstance(f"{name} is {shown(value)}, not an integer", "", "give a positive integer")
        if value < 1:
            raise InvalidInstance(f"{name} {value} is not positive", "", "give a positive number")


def _tables(samples: Samples, token_fields: Sequence[str], key_fields: Sequence[str]) -> Iterator[SampleTable]:
    fields, keys = (*TOKEN_FIELDS, *token_fields), (*KEY_FIELDS, *key_fields)
    if isinstance(samples, (str, Path)):
        tables = read_samples(samples, fields, keys)
    elif hasattr(samples, "read"):
        tables = read_samples(cast(IO[bytes], samples), fields, keys)
    else:
        tables = _some(tables_of(samples, fields, keys))
    return refuse_shifted_labels(refuse_repeated_ids(refuse_other_dimensions(tables, key_fields)))


def _some(tables: Iterator[SampleTable]) -> Iterator[SampleTable]:
    first = next(tables, None)
    if first is None:
        raise InvalidInstance("there is no sample", "", "give at least one")
    return chain([first], tables)


def _timed(items: Iterator[Window], seconds: dict[str, float]) -> Iterator[Window]:
    """The windows, with the time that reading them took."""
    while True:
        start = perf_counter()
        item = next(items, None)
        seconds["read"] += perf_counter() - start
        if item is None:
            return
        yield item


def _fitting(table: SampleTable, max_length: int, skip_long: bool) -> tuple[SampleTable, list[str | int]]:
    long = too_long(table, max_length)
    if long.any() and not skip_long:
        refuse_long(table, long, max_length)
    return without(table, long), [table.ids[s] for s in np.flatnonzero(long).tolist()]


def _do_window(
    folder: Path | None, window: Window, first: int, max_length: int, skip_long: bool, seconds: dict[str, float]
) -> Record:
    """Merge and check one window, and write it if there is a folder."""
    start = perf_counter()
    table, skipped = _fitting(window.table, max_length, skip_long)
    counts: Counter[str] = Counter(samples=len(table), tokens=len(table.tokens), pairs_separate=separate_pairs(table))
    counts["first_labels"] = int(np.count_nonzero(table.first_label != IGNORED))
    counts["groups"] = len({(type(group), group) for group in table.groups if group is not None})
    entries: list[Entry] = []
    contents: list[Content] = []
    for part, chosen, batch in batches_of(table, max_length):
        merged = perf_counter()
        check_packed(batch, part, chosen)
        checked = perf_counter()
        _count(counts, batch)
        digest = None if folder is None else batch_hash(batch)
        entries.append(entry_of_batch(first + len(entries), part, chosen, batch, digest))
        contents += [] if folder is None else [batch_content(batch, digest)]
        end = perf_counter()
        for name, value in (("merge", merged - start), ("check", checked - merged), ("write", end - checked)):
            seconds[name] += value
        start = end
    places = Counter(group for entry in entries for group in set(entry.groups or ()) if group is not None)
    cut = [group for group, times in places.items() if times > 1]
    record = Record(
        checksum_of(window.table),
        entries,
        dict(counts),
        list(window.scattered),
        cut,
        skipped,
        [*table.fields, *table.keys],
    )
    if folder is not None:
        write_window(folder, record, contents)
    seconds["write"] += perf_counter() - start
    return record


def _count(counts: Counter[str], batch: PackedBatch) -> None:
    labelled = int(np.count_nonzero(np.bincount(batch.loss_position, minlength=1)))
    blocks = block_counts(batch.mask)
    counts.update(
        positions=batch.positions,
        live_tokens=len(batch.sample_position),
        loss_edges=len(batch.loss_label),
        labelled_positions=labelled,
        pairs_merged=batch.mask.pairs,
        blocks_full=blocks.full,
        blocks_partial=blocks.partial,
        blocks_all=blocks.all,
    )


def _add(summary: Summary, record: Record) -> None:
    summary.counts.update(record.counts)
    summary.counts["batches"] += len(record.batches)
    summary.scattered.update(dict.fromkeys(record.scattered))
    summary.cut.update(dict.fromkeys(record.cut))
    summary.missing -= set(record.fields)
    summary.skipped += record.skipped
