"""Sequences of 64 elements: characters of the help topics that ship with Python, or images of digits, 8 x 8 pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Data:
    """Sequences of n elements.

    Parameters
    ----------
    train, test : (S, n) int64
        Sequences; those of ``test`` come from other texts or images.
    symbols : int
        Size of the vocabulary.
    """

    train: Tensor
    test: Tensor
    symbols: int


def load_text(n: int = 64) -> Data:
    """Return windows of the topics of ``help()``, in training overlapping by half; every tenth topic is held out."""
    from pydoc_data.topics import topics

    texts = [topics[name] for name in sorted(topics)]
    common = sorted(set("".join(texts)), key="".join(texts).count, reverse=True)[:80]
    number = {character: index for index, character in enumerate(common)}
    codes = [np.array([number.get(character, len(common)) for character in text]) for text in texts]

    def windows(chosen: list[np.ndarray], step: int) -> Tensor:
        parts = [np.lib.stride_tricks.sliding_window_view(code, n)[::step] for code in chosen if len(code) >= n]
        return torch.from_numpy(np.concatenate(parts))

    train = [code for index, code in enumerate(codes) if index % 10]
    return Data(windows(train, n // 2), windows(codes[::10], n), len(common) + 1)


def load_digits() -> Data:
    """Return the images of scikit-learn: 64 pixels of 17 levels; every tenth image is held out."""
    from sklearn.datasets import load_digits as read

    pixels = torch.from_numpy(read().data.astype(np.int64))
    held = torch.arange(len(pixels)) % 10 == 0
    return Data(pixels[~held], pixels[held], 17)
