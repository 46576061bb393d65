"""Sequences of 64 elements: characters of the help topics that ship with Python, or images of digits, 8 x 8 pixels."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Data:
    """Sequences of n elements.

    Parameters
    ----------
    train, test : (S, n) uint8
        Sequences; those of ``test`` come from other texts or images.
    symbols : int
        Size of the vocabulary.
    """

    train: Tensor
    test: Tensor
    symbols: int


def load_text(n: int = 64) -> Data:
    """Return windows of the topics of ``help()``; every tenth topic is held out."""
    from pydoc_data.topics import topics

    return windows_of([topics[name] for name in sorted(topics)], n)


def load_library(n: int) -> Data:
    """Return windows of the source files of the standard library; every tenth file is held out."""
    folder = Path(os.__file__).parent
    paths = sorted(path for path in folder.rglob("*.py") if "site-packages" not in path.parts)
    return windows_of([path.read_text(encoding="utf-8", errors="replace") for path in paths], n)


def windows_of(texts: list[str], n: int) -> Data:
    """Return windows of n characters, in training overlapping by half; every tenth text is held out."""
    counts = Counter(character for text in texts for character in text)
    common = sorted(counts, key=lambda character: (-counts[character], character))[:80]
    number = {character: index for index, character in enumerate(common)}
    codes = [np.array([number.get(character, len(common)) for character in text], np.uint8) for text in texts]

    def windows(chosen: list[np.ndarray], step: int) -> Tensor:
        parts = [np.lib.stride_tricks.sliding_window_view(code, n)[::step] for code in chosen if len(code) >= n]
        return torch.from_numpy(np.concatenate(parts))

    train = [code for index, code in enumerate(codes) if index % 10]
    return Data(windows(train, n // 2), windows(codes[::10], n), len(common) + 1)


def load_digits() -> Data:
    """Return the images of scikit-learn: 64 pixels of 17 levels; every tenth image is held out."""
    from sklearn.datasets import load_digits as read

    pixels = torch.from_numpy(read().data.astype(np.uint8))
    held = torch.arange(len(pixels)) % 10 == 0
    return Data(pixels[~held], pixels[held], 17)
