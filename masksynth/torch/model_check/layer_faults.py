"""Known ways in which the layers of a model get wrong masks, each as the mask that every layer then has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.intervals import query_of_interval
from masksynth.mask.typing import Int64Array
from masksynth.torch.model_check.failure_masks import causal_mask, document_bounds, mask_of_intervals
from masksynth.torch.model_check.known_failures import FAILURES
from masksynth.torch.models.reach import Reach
from masksynth.torch.window_rows import cut_mask

OWN_TABLE = "pass each layer its own mask: Collator(model=model) makes them, or a mapping by layer type"
PADDING = (
    "the mask, and every position attends to the padding",
    "let filling positions attend to themselves only, and no other position attend to them",
)
MAX_LAYERS = 16
"""Largest number of layers, evenly spaced, in which another layer's table is tried."""


@dataclass(frozen=True)
class LayerFault:
    """The mask of each layer under a known failure.

    Parameters
    ----------
    name : str
        A name of ``FAILURES``.
    likeness, remedy : str
        Description of how the model behaves, and what to do.
    masks : tuple of Mask
        One table for each layer.
    """

    name: str
    likeness: str
    remedy: str
    masks: tuple[Mask, ...]


@dataclass(frozen=True)
class RightLayers:
    """The right mask of each layer.

    Parameters
    ----------
    masks : tuple of Mask
        The mask of each layer.
    full : Mask
        The mask of layers without a window or chunk.
    index : (N,) int64
        The index of each position's token in its sample, which windows count.
    types : tuple of str
        The name of each layer; empty if there are none.
    reaches : tuple of Reach
        The window or chunk of each layer; empty if unknown.
    """

    masks: tuple[Mask, ...]
    full: Mask
    index: Int64Array
    types: tuple[str, ...] = ()
    reaches: tuple[Reach, ...] = ()

    def name_layer(self, layer: int) -> str:
        """Return ``layer 3 (sliding_attention)``."""
        return f"layer {layer}" + (f" ({self.types[layer]})" if self.types else "")

    def reach_of(self, layer: int) -> Reach | None:
        """Return the window or chunk of a layer; if unknown, the window that cuts its mask from the full one."""
        if self.reaches:
            return self.reaches[layer]
        mask = self.masks[layer]
        # within an interval the index rises: its first key is the farthest
        distance = self.index[query_of_interval(mask)] - self.index[mask.key_start]
        reach = Reach(window=max(1, int(distance.max(initial=0)) + 1))
        return reach if cut_mask(self.full, self.index, reach) == mask else None


def distinct_masks(masks: Sequence[Mask]) -> list[Mask]:
    """Return the masks without repeats, in order of first appearance.

    Examples
    --------
    >>> len(distinct_masks([causal_mask(2), causal_mask(2)]))
    1
    """
    distinct: list[Mask] = []
    for mask in masks:
        if not any(mask is other or mask == other for other in distinct):
            distinct.append(mask)
    return distinct


def faults_of_equal_flow(right: RightLayers) -> Iterator[LayerFault]:
    """Yield faults under which the same inputs may reach the same outputs: wrong windows, tables in wrong layers."""
    yield from _faults_of_windows(right)
    yield from _faults_of_tables(right)


def _faults_of_windows(right: RightLayers) -> Iterator[LayerFault]:
    """Yield windows that are dropped, or off by one."""
    limited = [
        not (mask is right.full or mask == right.full) or _is_limited(right, layer)
        for layer, mask in enumerate(right.masks)
    ]
    if any(limited):
        remedy = "pass windowed layers the mask cut to their window, as Collator(model=model) makes it"
        yield LayerFault(
            "window dropped",
            "the mask without the windows or chunks of its layers",
            remedy,
            (right.full,) * len(right.masks),
        )
        for step, words in ((1, "one more"), (-1, "one less")):
            if (masks := _change_windows(right, limited, step)) is not None:
                likeness = (
                    f"windows that reach one token {'further' if step > 0 else 'less far'} than they should: off by one"
                )
                yield LayerFault(
                    f"window {words}",
                    likeness,
                    "in a window of W, token q attends to the tokens i with q - i < W",
                    masks,
                )


def _faults_of_tables(right: RightLayers) -> Iterator[LayerFault]:
    """Yield tables in the wrong layers."""
    tables = distinct_masks(right.masks)
    if len(tables) < 2:
        return
    number = [next(index for index, table in enumerate(tables) if table == mask) for mask in right.masks]
    swapped = tuple(tables[len(tables) - 1 - index] for index in number)
    yield LayerFault("tables swapped", "the tables of the layers swapped", OWN_TABLE, swapped)
    for index, table in enumerate(tables):
        words = f"the table of {right.name_layer(number.index(index))} in every layer"
        yield LayerFault("one table", words, OWN_TABLE, (table,) * len(right.masks))
    for layer in sampled_layers(len(right.masks)):
        for index in range(len(tables)):
            if index != number[layer]:
                words = f"the table of {right.name_layer(number.index(index))} in {right.name_layer(layer)}"
                masks = (*right.masks[:layer], tables[index], *right.masks[layer + 1 :])
                yield LayerFault("wrong table", words, OWN_TABLE, masks)


def sampled_layers(count: int) -> list[int]:
    """Return the layers in which another table is tried.

    Examples
    --------
    >>> sampled_layers(3), len(sampled_layers(80))
    ([0, 1, 2], 16)
    """
    return sorted(set(np.linspace(0, count - 1, min(count, MAX_LAYERS)).round().astype(int).tolist()))


def _is_limited(right: RightLayers, layer: int) -> bool:
    return bool(right.reaches) and right.reaches[layer].limited


def _change_windows(right: RightLayers, limited: Sequence[bool], step: int) -> tuple[Mask, ...] | None:
    """Return the masks with every window or chunk longer by ``step`` tokens; None if no window is changed."""
    masks, changed = [], False
    for layer, mask in enumerate(right.masks):
        reach = right.reach_of(layer) if limited[layer] else None
        size = None if reach is None else (reach.window if reach.window is not None else reach.chunk)
        if reach is None or size is None or size + step < 1:
            masks.append(mask)
            continue
        other = Reach(reach.kind, size + step) if reach.window is not None else Reach(reach.kind, None, size + step)
        masks.append(cut_mask(right.full, right.index, other))
        changed = True
    return tuple(masks) if changed else None


def faults_of_other_flow(right: RightLayers, position_ids: Int64Array, padding: Int64Array) -> Iterator[LayerFault]:
    """Yield faults that let outputs depend on other inputs: masks that a stack makes itself, with the model's windows.

    Parameters
    ----------
    right : RightLayers
    position_ids : (N,) int64
    padding : (P,) int64
        Positions of no sample, which pad the sequence.
    """
    size, order = len(position_ids), np.arange(len(position_ids))
    begin, _ = document_bounds(np.append(True, np.diff(position_ids) != 1)[:size])
    by_stack = {"causal": causal_mask(size), "documents": mask_of_intervals(begin, order + 1)}
    for name, mask in by_stack.items():
        index = order if name == "causal" else order - begin
        cut = [
            cut_mask(mask, index, right.reaches[layer]) if right.reaches else mask for layer in range(len(right.masks))
        ]
        yield LayerFault(name, *FAILURES[name], tuple(cut))
        if any(_is_limited(right, layer) for layer in range(len(right.masks))):
            yield LayerFault(
                name, f"{FAILURES[name][0]}, without the model's windows", FAILURES[name][1], (mask,) * len(right.masks)
            )
    everything = mask_of_intervals(np.zeros_like(order), np.full_like(order, size))
    yield LayerFault("no mask", *FAILURES["no mask"], (everything,) * len(right.masks))
    if len(padding):
        yield LayerFault("padding attended", *PADDING, tuple(_with_keys(mask, padding) for mask in right.masks))


def _with_keys(mask: Mask, keys: Int64Array) -> Mask:
    """Return the mask with the given keys allowed in every row; makes an N x N array."""
    dense = mask.dense()
    dense[:, keys] = True
    return Mask.from_dense(dense)
