"""Merge, check and encode one window: the unit of work of a packing run, in this process or in a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, cast

import numpy as np

from masksynth.errors import Contradiction
from masksynth.files import Content
from masksynth.pack.batch import batch_hash
from masksynth.pack.journal import Record, checksum_of
from masksynth.pack.label_layout import LabelLayout
from masksynth.pack.merge_batches import (
    batches_of,
    choose_grouping,
    count_shared_positions,
    is_too_long,
    refuse_long,
)
from masksynth.pack.packed_folder import Entry, Options
from masksynth.pack.run_summary import STEPS, count_batch, count_samples
from masksynth.pack.sample_columns import SampleTable, drop_samples
from masksynth.pack.search_batches import Search
from masksynth.pack.stream_windows import Window
from masksynth.pack.write_folder import batch_content, entry_of_batch
from masksynth.verify.pack_bounds import Bounds, Unpriced, count_bounds, price_bounds
from masksynth.verify.packs import check_packed
from masksynth.verify.position_labels import check_labels

EFFORT = 1_500_000
"""Most effort of the search for fewer positions in a window: one to two seconds, and none where a bound is met."""
EFFORT_OF_TOKEN = 8
"""Most effort for each token of the window, so that a small window is not searched for longer than a large one."""
TOKENS = 8
"""Tokens of the window for each unit of effort, about as long as the rest of its work, after which batches within
0.05 % of the bound are kept."""


Keep = Callable[[int, Content], bytes | str]


class PackedWindow(NamedTuple):
    """A window that is merged and checked.

    Parameters
    ----------
    record : Record
        Its batches are numbered from 0.
    contents : sequence of bytes or str
        The files of its batches, or their names in the draft of the run; empty if they are not to be written.
    seconds : dict
        As in `masksynth.pack.Summary`.
    """

    record: Record
    contents: Sequence[bytes | str]
    seconds: dict[str, float]


def pack_window(window: Window, options: Options, keep: Keep | None) -> PackedWindow:
    """Merge and check one window.

    Parameters
    ----------
    window : Window
    options : Options
    keep : callable, optional
        Takes the number of a batch in the window and its file, as soon as it is checked, and returns what
        ``contents`` is to have: `keep_bytes`, or `masksynth.pack.write_folder.store_batch` with a folder and the number
        of the window. None: the files are not needed.

    Raises
    ------
    InvalidInstance
        Naming a sample that is longer than a batch, unless these are to be skipped.
    """
    start, seconds = perf_counter(), dict.fromkeys(STEPS, 0.0)
    whole = window.table
    seconds["read"] = perf_counter() - start
    start = perf_counter()
    table, skipped = drop_long(whole, options.max_length, options.skip_long)
    counts = count_samples(table)
    seconds["merge"] = perf_counter() - start
    entries, contents, of_batches = _pack_batches(table, options, keep, seconds)
    counts += of_batches
    start = perf_counter()
    batches_of_group = Counter(group for entry in entries for group in set(entry.groups or ()) if group is not None)
    record = Record(
        checksum=checksum_of(whole),
        batches=entries,
        counts=dict(counts),
        scattered=list(window.scattered),
        cut=[group for group, count in batches_of_group.items() if count > 1],
        skipped=skipped,
        fields=[*table.fields, *table.keys],
    )
    seconds["write"] += perf_counter() - start
    return PackedWindow(record, contents, seconds)


def _pack_batches(
    table: SampleTable, options: Options, keep: Keep | None, seconds: dict[str, float]
) -> tuple[list[Entry], list[bytes | str], Counter[str]]:
    """Return the entries of a window's batches, what is kept of their files, and their counts; add to ``seconds``."""
    begin, before = perf_counter(), sum(seconds.values())
    how = (options.split_groups, options.separate_groups, options.layout)
    bounds = WindowBounds(table, options.max_length, *how)
    search = search_of_window(table, bounds)
    grouping = choose_grouping(options.split_groups, options.separate_groups)
    entries: list[Entry] = []
    contents: list[bytes | str] = []
    counts: Counter[str] = Counter()
    for part, chosen, batch in batches_of(table, options.max_length, grouping, search, options.layout):
        merged = perf_counter()
        check_packed(batch, part, chosen)
        check_labels(batch, options.layout)
        checked = perf_counter()
        counts += count_batch(batch)
        if options.layout != "loss-edges":
            counts["positions_loss_edges"] += count_shared_positions(part, chosen, grouping)
        digest = None if keep is None else batch_hash(batch)
        if keep is not None:
            contents.append(keep(len(entries), batch_content(batch, digest)))
        entries.append(entry_of_batch(len(entries), part, chosen, batch, digest))
        seconds["check"] += checked - merged
        seconds["write"] += perf_counter() - checked
    free, kept = bounds.raise_to(counts["positions"])
    counts += Counter(windows=1, bound_free=free, bound_kept=kept)
    seconds["check"] += bounds.seconds
    seconds["search"] += search.seconds
    # what the other steps leave
    seconds["merge"] += perf_counter() - begin - (sum(seconds.values()) - before)
    return entries, contents, counts


def search_of_window(table: SampleTable, bounds: WindowBounds) -> Search:
    """Return the search for batches of the samples of a window, whose effort is counted by its tokens."""
    tokens = len(table.tokens)
    return Search(min(EFFORT, EFFORT_OF_TOKEN * tokens), tokens // TOKENS, bounds.count)


@dataclass
class WindowBounds:
    """Lower bounds on the positions of a window, computed when they are first needed.

    Parameters
    ----------
    table : SampleTable
    limit : int
        Most positions of a batch.
    split, separate : bool
        As for `masksynth.verify.pack_bounds.bound_positions`.
    layout : str
    counted : Unpriced, optional
        The bounds without prices, once they are known.
    seconds : float
        Time that they have taken.
    """

    table: SampleTable
    limit: int
    split: bool = False
    separate: bool = False
    layout: LabelLayout = "loss-edges"
    counted: Unpriced | None = None
    seconds: float = 0.0

    def count(self, positions: int) -> int:
        """Return a lower bound without prices; ``positions`` are sufficient."""
        if self.counted is None:
            start, how = perf_counter(), (self.split, self.separate, positions, self.layout)
            self.counted = count_bounds(self.table, self.limit, *how)
            self.seconds += perf_counter() - start
        return self.counted.bounds.kept

    def raise_to(self, positions: int) -> Bounds:
        """Return all lower bounds, raised by prices while they are below ``positions``, which are sufficient."""
        self.count(positions)
        start = perf_counter()
        bounds = price_bounds(cast(Unpriced, self.counted), positions)
        self.seconds += perf_counter() - start
        if bounds.kept > positions:
            raise Contradiction("masksynth.verify", bounds.kept, "masksynth.pack", positions, "positions of a window")
        return bounds


def keep_bytes(_: int, content: Content) -> bytes:
    """Return the file of a batch as bytes, which can be sent from another machine."""
    return content if isinstance(content, bytes) else b"".join(cast(Iterable[bytes], content))


def checksum_window(window: Window) -> int:
    """Return the checksum of a window's samples."""
    return checksum_of(window.table)


def drop_long(table: SampleTable, max_length: int, skip_long: bool) -> tuple[SampleTable, list[str | int]]:
    """Return the samples that fit into a batch, and the ids of the others; raise for these unless ``skip_long``."""
    long = is_too_long(table, max_length)
    if long.any() and not skip_long:
        refuse_long(table, long, max_length)
    return drop_samples(table, long), [table.ids[s] for s in np.flatnonzero(long).tolist()]
