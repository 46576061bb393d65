"""Distribute batches over ranks: shuffled by seed and epoch, each once in an epoch, resumable within an epoch.

torch's ``DistributedSampler`` repeats or drops batches if the number of ranks does not divide theirs, and does not
resume. Here every batch is trained once in an epoch, and a rank without a batch in the last round runs a silent one
(``Silent``), so that no rank waits for another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch.utils.data import Sampler

from masksynth.errors import InvalidInstance
from masksynth.torch.packed_dataset import PackedDataset, Silent


class SamplerState(TypedDict):
    """State of a ``PackedSampler``: ``trained`` counts the batches of the epoch that all ranks have finished."""

    seed: int
    epoch: int
    trained: int
    batches: int
    grain: int


class PackedSampler(Sampler[int]):
    """Yield the batches of one rank, in order: the ``sampler`` of a ``DataLoader``.

    Round i consists of the batches i R, ..., i R + R - 1 of the epoch's order, one for each of R ranks. All ranks have
    the same number of rounds; in the last one some may get a silent batch, which has positions and no loss edges.

    A checkpoint counts what was trained, not what the loader's workers have prefetched: call ``advance()`` after each
    batch (or ``advance(k)`` after an optimizer step of k batches). The state is valid for any number of ranks: the rest
    of the epoch is distributed again.

    Parameters
    ----------
    dataset : PackedDataset
    rank, ranks : int, optional
        This rank and the number of ranks; by default those of the initialised process group, or 0 of 1.
    seed : int
        Seed of the shuffles.
    shuffle : bool
        Whether to shuffle; otherwise batches come in the folder's order.
    costs : sequence of float, optional
        One number per batch (``dataset.positions``, ``dataset.pairs()``): batches of similar cost are trained in one
        round, so that ranks wait less for one another. Rounds are still shuffled.

    Raises
    ------
    InvalidInstance
        If the rank is not below the number of ranks, or the number of costs is not that of batches.

    Examples
    --------
    >>> sampler = PackedSampler(range(5), rank=1, ranks=2, shuffle=False)
    >>> list(sampler), len(sampler)
    ([1, 3, 0], 3)
    >>> type(list(sampler)[-1]).__name__
    'Silent'
    >>> sampler.advance()
    >>> list(sampler), sampler.state_dict()["trained"]
    ([3, 0], 2)
    """

    def __init__(
        self,
        dataset: PackedDataset | Sequence[Any],
        rank: int | None = None,
        ranks: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        costs: Sequence[float] | NDArray[Any] | None = None,
    ) -> None:
        self.batches, self.seed, self.shuffle = len(dataset), seed, shuffle
        self.ranks = (dist.get_world_size() if _started() else 1) if ranks is None else ranks
        self.rank = (dist.get_rank() if _started() else 0) if rank is None else rank
        if not 0 <= self.rank < self.ranks:
            raise InvalidInstance(f"rank: expected 0 <= rank < {self.ranks}, got {self.rank}", "")
        self.costs = None if costs is None else np.asarray(costs, np.float64)
        if self.costs is not None and self.costs.shape != (self.batches,):
            fact = f"costs: expected shape [{self.batches}], got {list(self.costs.shape)}"
            raise InvalidInstance(fact, "", "use dataset.positions")
        sizes = dataset.positions if isinstance(dataset, PackedDataset) else np.zeros(self.batches)
        self._filler = Silent(np.argmin(sizes)) if self.batches else Silent(0)
        self.epoch, self._begin, self._done, self._grain = 0, 0, 0, self.ranks

    def __len__(self) -> int:
        """Return the number of rounds that are left in this epoch."""
        return max(0, -(-(self.batches - self._begin) // self.ranks) - self._done)

    def __iter__(self) -> Iterator[int]:
        order = self.order()[self._begin :].tolist()
        rounds = -(-len(order) // self.ranks)
        for index in range(self._done * self.ranks + self.rank, rounds * self.ranks, self.ranks):
            yield order[index] if index < len(order) else self._filler

    def order(self) -> NDArray[np.int64]:
        """Return every batch of this epoch once, round after round."""
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(self.batches) if self.shuffle else np.arange(self.batches)
        if self.costs is None or self._grain == 1:
            return order
        order = order[np.argsort(-self.costs[order], kind="stable")]
        in_rounds = self.batches // self._grain * self._grain  # batches of complete rounds
        rounds = order[:in_rounds].reshape(-1, self._grain)
        if self.shuffle:
            rounds = random.permuted(random.permutation(rounds), axis=1)
        return np.concatenate([rounds.ravel(), order[in_rounds:]])

    def advance(self, batches: int = 1) -> None:
        """Record that this rank, and so every rank, has trained ``batches`` more batches of this epoch.

        Raises
        ------
        InvalidInstance
            If the epoch has fewer left.
        """
        if not 0 <= batches <= len(self):
            fact = f"batches: expected at most {len(self)}, which are left in epoch {self.epoch}, got {batches}"
            raise InvalidInstance(fact, "", "call set_epoch first")
        self._done += batches

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; the current epoch continues where it was."""
        if epoch != self.epoch:
            self.epoch, self._begin, self._done, self._grain = epoch, 0, 0, self.ranks

    def state_dict(self) -> SamplerState:
        """Return the state needed to resume: plain numbers, the same on every rank."""
        trained = min(self._begin + self._done * self.ranks, self.batches)
        return SamplerState(seed=self.seed, epoch=self.epoch, trained=trained, batches=self.batches, grain=self._grain)

    def load_state_dict(self, state: SamplerState) -> None:
        """Resume from a state, on any number of ranks; ``shuffle`` and ``costs`` must be the same as when it was saved.

        Raises
        ------
        InvalidInstance
            If the state is of another folder, or is not a state.
        """
        for name in SamplerState.__annotations__:
            if not isinstance(state, Mapping) or name not in state:
                got = f"one without {name}" if isinstance(state, Mapping) else type(state).__name__
                raise InvalidInstance(
                    f"expected the state of a sampler, got {got}", "", "pass what state_dict returned"
                )
        if state["batches"] != self.batches or not 0 <= state["trained"] <= self.batches:
            fact = (
                f"the state has trained {state['trained']} of {state['batches']} batches, the folder has {self.batches}"
            )
            raise InvalidInstance(fact, "", "resume with the folder it was saved with")
        self.seed, self.epoch, self._grain = state["seed"], state["epoch"], state["grain"]
        self._begin, self._done = state["trained"], 0


def _started() -> bool:
    return dist.is_available() and dist.is_initialized()
