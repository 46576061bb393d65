"""Remove single pairs of the masks that a callable is given.

Where a mask is used, the output of the pair's query moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from masksynth.torch.model_check.comparison import distance
from masksynth.torch.model_check.input_dependence import Look
from masksynth.torch.model_check.other_calls import NAMES
from masksynth.torch.model_check.uniform_attention import Flat

PAIRS = 2
"""How many pairs of each table are removed, one at a time: the one that reaches farthest, and one at random."""


class UnusedPair(NamedTuple):
    """An allowed pair of a mask whose removal moves nothing.

    Parameters
    ----------
    query, key : int
    table : str
        Where the mask was passed.
    """

    query: int
    key: int
    table: str


def find_unused_pair(seen: Look, random: np.random.Generator) -> tuple[UnusedPair | None, int]:
    """Return an allowed pair of a mask in the call whose removal moves no output, and how many were removed.

    It is (None, 0) for a call without masks.

    Before a pair is called unused it is tried again with flat attention, since a sharp softmax gives allowed keys
    weights of 0.
    """
    removed = 0
    for path, mask in masks_of_call(seen.box.inputs, seen.mask.size):
        for query, key in _pairs(mask, random):
            removed += 1
            changed = {path[0]: _without(seen.box.inputs, path, query, key)}
            if _moves(seen, changed, query):
                continue
            with Flat():
                if not _moves(seen, changed, query):
                    return UnusedPair(query, key, ".".join(path)), removed
    return None, removed


def masks_of_call(inputs: Mapping[str, Any], size: int) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yield (path, mask) of each (N, N) mask among the arguments of a call, alone or in a mapping by layer type.

    Examples
    --------
    >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    >>> [path for path, _ in masks_of_call({"attention_mask": {"full": mask, "window": mask}}, 2)]
    [('attention_mask', 'full'), ('attention_mask', 'window')]
    """
    for name in NAMES:
        given = inputs.get(name)
        parts: dict[tuple[str, ...], Any] = {(name,): given}
        if isinstance(given, Mapping):
            parts = {(name, key): part for key, part in given.items()}
        tensors = ((path, part) for path, part in parts.items() if isinstance(part, Tensor))
        yield from (
            (path, part) for path, part in tensors if part.shape[-2:] == (size, size) and part.numel() == size * size
        )


def _pairs(mask: Tensor, random: np.random.Generator) -> list[tuple[int, int]]:
    """Return some allowed pairs of different positions."""
    flat = mask.reshape(mask.shape[-2:]).cpu()
    allowed = (
        flat
        if flat.dtype == torch.bool
        else (flat == 0 if flat.is_floating_point() and float(flat.min()) < 0 else flat > 0)
    )
    queries, keys = (part.numpy() for part in allowed.nonzero(as_tuple=True))
    different = np.flatnonzero(queries != keys)
    if not len(different):
        return []
    farthest = different[np.argmax(np.abs(queries - keys)[different])]
    chosen = dict.fromkeys([int(farthest), *random.permutation(different).tolist()])
    return [(int(queries[at]), int(keys[at])) for at in list(chosen)[:PAIRS]]


def _without(inputs: Mapping[str, Any], path: tuple[str, ...], query: int, key: int) -> Any:
    """Return the argument with one pair of one of its masks removed."""
    given = inputs[path[0]]
    mask: Tensor = given if len(path) == 1 else given[path[1]]
    other = mask.clone()
    other[..., query, key] = mask.min() if mask.is_floating_point() else 0
    return other if len(path) == 1 else {**given, path[1]: other}


def _moves(seen: Look, changed: Mapping[str, Any], query: int) -> bool:
    base = seen.box.run()
    return bool(distance(seen.box.run(**changed)[query : query + 1], base[query : query + 1])[0] > seen.least)
