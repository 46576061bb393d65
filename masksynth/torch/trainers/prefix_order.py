"""Orders of rows in which those of one micro-batch share prefixes: over an epoch, or within each optimizer step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler, Sampler

from masksynth.errors import InvalidInstance
from masksynth.pack.prefix import Forest
from masksynth.pack.row_batches import batches_of_rows, forest_of_rows, order_of_batches
from masksynth.pack.subforests import take_samples
from masksynth.torch.trainers.dataset_tokens import COLUMNS, column_names, read_tokens, token_columns


class EpochBatches(BatchSampler):
    """Batches of a sampler that shuffles by epoch; it stays reachable where the Trainer skips batches to resume."""

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch."""
        sampler: Any = self.sampler
        sampler.set_epoch(epoch)


class PrefixOrder(Sampler[int]):
    """Yield each row once: consecutive ``size`` rows share much, and these batches are shuffled by seed and epoch.

    Parameters
    ----------
    forest : Forest
        Of the rows.
    size : int
        Rows of a micro-batch.
    seed : int
    shuffle : bool
        Whether batches are shuffled; if not, they are in the order of their first rows.
    drop : int
        If rows are dropped at the end: the number whose multiple stays. Those that are dropped are drawn by lot in each
        epoch, before the others are put together.
    """

    def __init__(self, forest: Forest, size: int, seed: int = 0, shuffle: bool = True, drop: int = 1) -> None:
        self.forest, self.size, self.seed, self.shuffle, self.drop = forest, size, seed, shuffle, drop
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.forest.samples)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch]) if self.shuffle else None
        forest, count = self.forest, len(self)
        lot = np.arange(count) if random is None else random.permutation(count)
        kept, dropped = np.split(lot, [count - count % self.drop])
        if len(dropped):
            forest = take_samples(forest, np.sort(kept))
        batches, rest = batches_of_rows(forest, self.size, random)
        if random is None:
            batches.sort(key=min)  # by their first rows
        else:
            batches = [batches[index] for index in random.permutation(len(batches)).tolist()]
        yield from order_of_batches(batches, rest).tolist()
        yield from self.forest.samples[dropped].tolist()


class StepOrder(Sampler[int]):
    """Yield the rows of a sampler, each in its optimizer step, so that the step's micro-batches share much.

    Only rows of complete micro-batches change places, so that each counts as much for the loss as before.

    Parameters
    ----------
    sampler : Sampler
        The trainer's own, whose epochs are set through this one.
    dataset, columns
        As for `read_tokens`.
    size : int
        Rows of a micro-batch.
    step : int
        Rows of an optimizer step, of all processes.
    places : range
        The places of an epoch whose rows may change; the others keep theirs.
    """

    def __init__(self, sampler: Any, dataset: Any, columns: Sequence[str], size: int, step: int, places: range) -> None:
        self.sampler, self.dataset, self.columns = sampler, dataset, columns
        self.size, self.step, self.places = size, step, places

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        rows, begin = iter(self.sampler), 0
        while step := list(islice(rows, self.step)):
            free = [place for place in range(len(step)) if begin + place in self.places]
            free = free[: len(free) // self.size * self.size]
            for place, row in zip(free, self._together([step[place] for place in free]), strict=True):
                step[place] = row
            yield from step
            begin += len(step)

    def _together(self, rows: list[int]) -> list[int]:
        if len(rows) <= self.size:
            return rows
        forest = forest_of_rows(*read_tokens(self.dataset, self.columns, rows))
        order = order_of_batches(*batches_of_rows(forest, self.size))
        return [rows[index] for index in order.tolist()]


def prefix_batches(
    rows: Any, batch_size: int, *, seed: int = 0, shuffle: bool = True, drop_last: bool = False
) -> EpochBatches:
    """Return batches of rows that share prefixes, for a ``DataLoader`` of one's own: its ``batch_sampler``.

    Each row is in one batch of an epoch. Batches are shuffled by seed and epoch, which ``set_epoch`` sets. A loader
    that accelerate has prepared does so itself, and gives consecutive batches to different processes. Lightning sets
    epochs, too, but replaces the sampler on several processes.

    Parameters
    ----------
    rows : datasets.Dataset, map-style data set or sequence
        Rows with ``input_ids`` (or the columns of TRL's DPO, KTO and Reward trainers), or sequences of token ids.
    batch_size : int
        Rows of a batch; the last one may have fewer.
    seed : int
    shuffle : bool
        Whether to shuffle batches; if not, they are in the order of their first rows.
    drop_last : bool
        Whether a last batch with fewer rows is left out. Its rows are drawn by lot in each epoch.

    Raises
    ------
    InvalidInstance
        If rows have no token ids.

    Examples
    --------
    >>> rows = [[5, 6, 1], [7, 8, 1], [5, 6, 2], [7, 8, 2]]
    >>> batches = prefix_batches(rows, 2)
    >>> sorted(map(sorted, batches))
    [[0, 2], [1, 3]]
    """
    if batch_size < 1:
        raise InvalidInstance(f"batch_size: expected at least 1, got {batch_size}", "")
    if isinstance(rows, Sequence) and len(rows) and not hasattr(rows[0], "keys"):
        rows = [{"input_ids": row} for row in rows]
    forest = read_forest(rows)
    order = PrefixOrder(forest, batch_size, seed, shuffle, batch_size if drop_last else 1)
    return EpochBatches(order, batch_size, drop_last)


def read_forest(dataset: Any) -> Forest:
    """Return the prefix forest of all rows of a data set.

    Raises
    ------
    InvalidInstance
        If there are no rows, or rows without token ids.
    """
    columns = token_columns(dataset) if len(dataset) else None
    if columns is None:
        fact = f"expected rows with {' or '.join(' + '.join(names) for names in COLUMNS)}, got "
        got = "no rows" if not len(dataset) else f"a row with {', '.join(column_names(dataset)) or 'none of them'}"
        raise InvalidInstance(fact + got, "", "tokenize the rows first")
    return forest_of_rows(*read_tokens(dataset, columns))
