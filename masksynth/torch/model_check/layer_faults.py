"""Ways in which the layers of a model get other masks than they should, each as the mask that every layer then has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.torch.model_check.expected_dependence import causal_mask
from masksynth.torch.model_check.known_failures import documents, one_interval
from masksynth.torch.models.reach import Reach
from masksynth.torch.window_rows import cut_mask

Int64Array = NDArray[np.int64]
ONE_TABLE_EACH = "give each layer its own mask: Collator(model=model) makes them, or a mapping by layer type"
PADDING = (
    "the mask, and every position sees the filling: padding attended",
    "let filling positions see themselves only, and let nothing else see them",
)
LAYERS_TRIED = 16
"""In so many layers, evenly chosen, another layer's table is tried."""


@dataclass(frozen=True)
class LayerFault:
    """What each layer attends by under a known failure.

    Parameters
    ----------
    name : str
        A name of ``FAILURES``.
    likeness, remedy : str
        What the model behaves like, and what to do.
    masks : tuple of Mask
        One table for each layer.
    """

    name: str
    likeness: str
    remedy: str
    masks: tuple[Mask, ...]


@dataclass(frozen=True)
class RightLayers:
    """What each layer should attend by.

    Parameters
    ----------
    masks : tuple of Mask
        One table for each layer.
    full : Mask
        What layers without a window or chunk attend by.
    index : (N,) int64
        The index of each position's token in its sample, which windows count.
    types : tuple of str
        What each layer is called; empty where nothing names them.
    reaches : tuple of Reach
        The window or chunk of each layer; empty where nothing says it.
    """

    masks: tuple[Mask, ...]
    full: Mask
    index: Int64Array
    types: tuple[str, ...] = ()
    reaches: tuple[Reach, ...] = ()

    def name_layer(self, layer: int) -> str:
        """Return a layer in words."""
        return f"layer {layer}" + (f" ({self.types[layer]})" if self.types else "")

    def reach_of(self, layer: int) -> Reach | None:
        """Return the window or chunk of a layer.

        Where nothing says it, the window that makes its mask of the full one, if one does.
        """
        if self.reaches:
            return self.reaches[layer]
        mask = self.masks[layer]
        query = np.repeat(np.arange(mask.size), np.diff(mask.row_offset[0]))
        back = (
            self.index[query] - self.index[mask.key_start]
        )  # within an interval the index rises: its first key is the farthest
        reach = Reach(window=max(1, int(back.max(initial=0)) + 1))
        return reach if cut_mask(self.full, self.index, reach) == mask else None


def tables_of(masks: Sequence[Mask]) -> list[Mask]:
    """Return the different masks among some, in order of appearance.

    Examples
    --------
    >>> len(tables_of([causal_mask(2), causal_mask(2)]))
    1
    """
    different: list[Mask] = []
    for mask in masks:
        if not any(mask is other or mask == other for other in different):
            different.append(mask)
    return different


def faults_of_equal_flow(right: RightLayers) -> Iterator[LayerFault]:
    """Yield the faults that may leave which inputs reach which outputs as it is.

    These are windows and tables in the wrong layers.
    """
    tables = tables_of(right.masks)
    limited = [not (mask is right.full or mask == right.full) for mask in right.masks]
    limited = [here or _is_limited(right, layer) for layer, here in enumerate(limited)]
    if any(limited):
        remedy = "give windowed layers the mask cut to their window: Collator(model=model) does"
        yield LayerFault(
            "window dropped",
            "the mask without the windows or chunks of its layers",
            remedy,
            (right.full,) * len(right.masks),
        )
        for step, words in ((1, "one more"), (-1, "one less")):
            if (moved := _stepped(right, limited, step)) is not None:
                likeness = (
                    f"windows that reach one token {'further' if step > 0 else 'less far'} than they should: off by one"
                )
                yield LayerFault(f"window {words}", likeness, "a window of W sees the tokens i with q - i < W", moved)
    if len(tables) < 2:
        return
    number = [next(at for at, table in enumerate(tables) if table == mask) for mask in right.masks]
    swapped = tuple(tables[len(tables) - 1 - at] for at in number)
    yield LayerFault("tables swapped", "the tables of the layers swapped", ONE_TABLE_EACH, swapped)
    for at, table in enumerate(tables):
        words = f"the table of {right.name_layer(number.index(at))} in every layer"
        yield LayerFault("one table", words, ONE_TABLE_EACH, (table,) * len(right.masks))
    for layer in layers_tried(len(right.masks)):
        for at in range(len(tables)):
            if at != number[layer]:
                words = f"the table of {right.name_layer(number.index(at))} in {right.name_layer(layer)}"
                masks = (*right.masks[:layer], tables[at], *right.masks[layer + 1 :])
                yield LayerFault("wrong table", words, ONE_TABLE_EACH, masks)


def layers_tried(count: int) -> list[int]:
    """Return the layers in which another table is tried.

    Examples
    --------
    >>> layers_tried(3), len(layers_tried(80))
    ([0, 1, 2], 16)
    """
    return sorted(set(np.linspace(0, count - 1, min(count, LAYERS_TRIED)).round().astype(int).tolist()))


def _is_limited(right: RightLayers, layer: int) -> bool:
    return bool(right.reaches) and right.reaches[layer].limited


def _stepped(right: RightLayers, limited: Sequence[bool], step: int) -> tuple[Mask, ...] | None:
    """Return the masks with every window or chunk one longer or shorter.

    None where that is no window, or none is known.
    """
    masks, some = [], False
    for layer, mask in enumerate(right.masks):
        reach = right.reach_of(layer) if limited[layer] else None
        size = None if reach is None else (reach.window if reach.window is not None else reach.chunk)
        if reach is None or size is None or size + step < 1:
            masks.append(mask)
            continue
        moved = Reach(reach.kind, size + step) if reach.window is not None else Reach(reach.kind, None, size + step)
        masks.append(cut_mask(right.full, right.index, moved))
        some = True
    return tuple(masks) if some else None


def faults_of_other_flow(right: RightLayers, position_ids: Int64Array, padding: Int64Array) -> Iterator[LayerFault]:
    """Yield the faults that let outputs depend on other inputs.

    These are masks that a stack makes by itself, with the model's windows.

    Parameters
    ----------
    right : RightLayers
    position_ids : (N,) int64
    padding : (P,) int64
        Positions of no sample, which fill the sequence up.
    """
    from masksynth.torch.model_check.known_failures import FAILURES

    size, order = len(position_ids), np.arange(len(position_ids))
    begin = documents(np.append(True, np.diff(position_ids) != 1)[:size])[0]
    by_stack = {"causal": causal_mask(size), "documents": one_interval(begin, order + 1)}
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
    everything = one_interval(np.zeros_like(order), np.full_like(order, size))
    yield LayerFault("no mask", *FAILURES["no mask"], (everything,) * len(right.masks))
    if len(padding):
        yield LayerFault("padding attended", *PADDING, tuple(_with_keys(mask, padding) for mask in right.masks))


def _with_keys(mask: Mask, keys: Int64Array) -> Mask:
    """Return the mask with some keys allowed in every row; makes an array of N x N."""
    dense = mask.dense()
    dense[:, keys] = True
    return Mask.from_dense(dense)
