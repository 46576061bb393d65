"""The batches of a packed folder as a torch ``Dataset``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.packed_folder import open_packed
from masksynth.torch.join_batches import without_samples


class Silent(int):
    """Index of a batch that is run without its samples: it has no loss edges, so every loss over it is 0."""


class PackedDataset(Dataset[PackedBatch]):
    """The batches of a packed folder, each read when it is indexed.

    Picklable, and safe in the workers of a ``DataLoader``: it holds the manifest only.

    Parameters
    ----------
    folder : str or Path
        Written by ``masksynth pack``.

    Raises
    ------
    InvalidInstance
        If the folder has no manifest or a batch is malformed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = open_packed(folder)

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, number: int) -> PackedBatch:
        if not 0 <= number < len(self):
            raise IndexError(f"batch index out of range: expected 0 <= index < {len(self)}, got {number}")
        batch = self.folder[int(number)]
        return without_samples(batch) if isinstance(number, Silent) else batch

    @property
    def positions(self) -> Int64Array:
        """Number of positions of each batch, from the manifest."""
        return np.array([entry.positions for entry in self.folder.manifest.batches], np.int64)

    def pairs(self) -> Int64Array:
        """Return the number of allowed (query, key) pairs of each batch; reads every batch once."""
        return np.array([self[number].mask.pairs for number in range(len(self))], np.int64)
