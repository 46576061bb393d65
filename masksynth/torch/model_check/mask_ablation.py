"""Remove single pairs of the masks that a callable is given: where a mask is used, the output of the query moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from masksynth.torch.model_check.changed_arguments import MASK_NAMES
from masksynth.torch.model_check.compare_outputs import row_distances
from masksynth.torch.model_check.input_dependence import Dependence
from masksynth.torch.model_check.uniform_attention import UniformAttention

PAIRS = 2
"""Number of pairs of each table that are removed, one at a time: the most distant pair, and random ones."""


class UnusedPair(NamedTuple):
    """An allowed pair of a mask whose removal moves nothing.

    Parameters
    ----------
    query, key : int
    table : str
        The argument that holds the mask.
    """

    query: int
    key: int
    table: str


def find_unused_pair(observed: Dependence, random: np.random.Generator) -> tuple[UnusedPair | None, int]:
    """Return an allowed pair of a mask in the call whose removal moves no output, and the number of removed pairs.

    It is (None, 0) for a call without masks. Before a pair is called unused it is tried again under uniform attention,
    since a sharp softmax gives allowed keys weights of 0.
    """
    removed = 0
    for path, mask in iterate_masks(observed.box.inputs, observed.mask.size):
        for query, key in _choose_pairs(mask, random):
            removed += 1
            changed = {path[0]: _remove_pair(observed.box.inputs, path, query, key)}
            if _moves(observed, changed, query):
                continue
            with UniformAttention():
                if not _moves(observed, changed, query):
                    return UnusedPair(query, key, ".".join(path)), removed
    return None, removed


def iterate_masks(inputs: Mapping[str, Any], size: int) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yield (path, mask) of each (N, N) mask among the arguments of a call, alone or in a mapping by layer type.

    Examples
    --------
    >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    >>> [path for path, _ in iterate_masks({"attention_mask": {"full": mask, "window": mask}}, 2)]
    [('attention_mask', 'full'), ('attention_mask', 'window')]
    """
    for name in MASK_NAMES:
        value = inputs.get(name)
        parts: dict[tuple[str, ...], Any] = {(name,): value}
        if isinstance(value, Mapping):
            parts = {(name, key): part for key, part in value.items()}
        for path, part in parts.items():
            if isinstance(part, Tensor) and part.shape[-2:] == (size, size) and part.numel() == size * size:
                yield path, part


def _choose_pairs(mask: Tensor, random: np.random.Generator) -> list[tuple[int, int]]:
    """Return some allowed pairs of different positions."""
    square = mask.reshape(mask.shape[-2:]).cpu()
    if square.dtype == torch.bool:
        allowed = square
    elif square.is_floating_point() and float(square.min()) < 0:  # an additive mask
        allowed = square == 0
    else:
        allowed = square > 0
    queries, keys = (index.numpy() for index in allowed.nonzero(as_tuple=True))
    different = np.flatnonzero(queries != keys)
    if not len(different):
        return []
    farthest = different[np.argmax(np.abs(queries - keys)[different])]
    chosen = dict.fromkeys([int(farthest), *random.permutation(different).tolist()])  # without repeats, in order
    return [(int(queries[index]), int(keys[index])) for index in list(chosen)[:PAIRS]]


def _remove_pair(inputs: Mapping[str, Any], path: tuple[str, ...], query: int, key: int) -> Any:
    """Return the argument with one pair of one of its masks removed."""
    value = inputs[path[0]]
    mask: Tensor = value if len(path) == 1 else value[path[1]]
    other = mask.clone()
    other[..., query, key] = mask.min() if mask.is_floating_point() else 0
    return other if len(path) == 1 else {**value, path[1]: other}


def _moves(observed: Dependence, changed: Mapping[str, Any], query: int) -> bool:
    rows = slice(query, query + 1)
    base, other = observed.box.run()[rows], observed.box.run(**changed)[rows]
    return bool(row_distances(other, base)[0] > observed.least)
