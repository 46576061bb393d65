"""Make the merged call of a call: read its rows, merge them, and prepare the model's masks and position ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.mask.csr import segment_sums
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.torch.folding.call_arguments import Call
from masksynth.torch.folding.merged_masks import model_mask
from masksynth.torch.folding.merged_rows import (
    MergedRows,
    cheapest_cut,
    cut_forest,
    lay_out_rows,
    padded_length,
    sequence_forest,
)
from masksynth.torch.folding.model_facts import ModelFacts
from masksynth.torch.folding.token_rows import TokenRows, packed_starts, read_rows, varlen_starts
from masksynth.torch.folding.unfold_outputs import Unfolding
from masksynth.torch.models.architecture import Architecture

Masks = Callable[[Tensor, Tensor, Tensor], Any]
"""(token ids, position ids, parents), each ``[k, N]`` -> the mask of a module that is not of transformers."""


DENSE_LIMITS = tuple(MAX_DENSE >> shift for shift in range(4))
"""Limits of merged rows under dense masks, if none is given: the one that costs least is taken."""


@dataclass(frozen=True)
class Limits:
    """When a call is merged.

    Parameters
    ----------
    max_length : int or None
        Most positions of a merged row.
    min_ratio : float
        Fewest tokens per position of a merged call.
    """

    max_length: int | None
    min_ratio: float


def check_limit(max_length: object) -> None:
    """Raise if a largest number of positions is no positive integer."""
    if max_length is not None and not (type(max_length) is int and max_length > 0):
        raise InvalidInstance(f"max_length: expected a positive integer, got {max_length!r}", "")


@dataclass(frozen=True, eq=False)
class Merged:
    """A merged call.

    Parameters
    ----------
    arguments : dict
        All arguments, by name.
    unfolding : Unfolding
        How its output becomes that of the rows.
    places : (U,) int64 array
        ``row * N + position`` of each real token.
    tokens, positions : int
        Real tokens of the call, and positions of the merged one.
    """

    arguments: dict[str, Any]
    unfolding: Unfolding
    places: Int64Array
    tokens: int
    positions: int


def merge_rows(
    call: Call, rows: TokenRows, facts: ModelFacts | None, masks: Masks | None, limits: Limits
) -> Merged | str:
    """Return the merged call of some rows of a call, or the reason why it passes through.

    Parameters
    ----------
    call : Call
    rows : TokenRows
    facts : ModelFacts or None
        Of the backbone, if it is of transformers.
    masks : callable or None
        Makes the mask where there are no facts.
    limits : Limits
    """
    record = None if facts is None else facts.record()
    windows = record is not None and any(reach.limited for reach in record.layers)
    table, forest = sequence_forest(rows, windows)
    dense = record is not None and record.attention in ("sdpa", "eager")
    if windows and record is not None and record.attention == "varlen" and _has_holes(rows):
        return "holes"  # varlen kernels count the tokens of a window, the model its columns
    if dense and limits.max_length is None and facts is not None and facts.width is not None:
        forest, cut = cheapest_cut(forest, DENSE_LIMITS, facts.width)
    else:
        forest, cut = cut_forest(forest, limits.max_length or (MAX_DENSE if dense else None))
    sizes = segment_sums(forest.length - forest.shared, cut).tolist()
    if len(rows.tokens) < limits.min_ratio * sum(sizes) or not sum(sizes):
        return "ratio"
    if dense and max(sizes) > MAX_DENSE:
        return "length"
    width = max(sizes)
    last = _position_to_keep(call, rows, record)
    width += last is not None  # filling that has the last position id
    width = padded_length(width) if record is not None and record.attention == "flex" else width
    if record is not None and record.position_limit is not None and width > record.position_limit:
        return "length"
    merged = lay_out_rows(rows, table, forest, cut, width)
    if last is not None:
        merged.positions[:, int(np.argmin(sizes)), -1] = last
    return _merged_call(call, rows, merged, record, masks)


def _has_holes(rows: TokenRows) -> bool:
    """Return whether the index by which windows count does not rise by 1 somewhere in a row."""
    steps = np.diff(rows.index, prepend=0)
    steps[rows.offset[:-1]] = 1
    return bool((steps != 1).any())


def read_call_rows(call: Call, facts: ModelFacts | None) -> TokenRows | str:
    """Return the rows of a call as the model would compute them, or the reason why it passes through."""
    ids = call.ids.cpu().numpy().astype(np.int64, copy=False)
    mask = None if call.mask is None else call.mask.cpu().numpy() != 0
    if call.positions is None:
        _check_stated_starts(call, None)
        given = (
            facts.default_positions(ids, mask) if facts else np.broadcast_to(np.arange(ids.shape[1]), (1, *ids.shape))
        )
        return read_rows(ids, mask, given)
    given = call.positions.cpu().numpy().astype(np.int64, copy=False)
    given = np.broadcast_to(given, (*given.shape[:-2], *ids.shape))
    given = given[None] if given.ndim == 2 else given
    starts = packed_starts(given[0]) if mask is None else None
    if starts is not None and len(given) > 1:
        return "argument position_ids"
    _check_stated_starts(call, starts)
    rows = read_rows(ids, mask, given, starts)
    _check_separation(call, rows, starts, facts)
    return rows


def _check_stated_starts(call: Call, starts: BoolArray | None) -> None:
    """Raise if arguments of varlen attention begin packed rows elsewhere than position ids do."""
    cumulative, number = (None if part is None else part.cpu().numpy() for part in (call.lengths, call.row_numbers))
    stated = varlen_starts(cumulative, number, (call.ids.shape[0], call.ids.shape[1]))
    if stated is None:
        return
    if starts is None:
        starts = np.zeros(stated.shape, bool)
        starts[:, 0] = True
    if not np.array_equal(stated, starts):
        name = "seq_idx" if call.lengths is None else "cu_seq_lens_q"
        fact = f"{name} describes {int(stated.sum())} packed rows, position_ids restart at {int(starts.sum())} places"
        raise Unsupported(f"{fact}; pass position_ids that restart at each row, and attention_mask=None")


def _check_separation(call: Call, rows: TokenRows, starts: BoolArray | None, facts: ModelFacts | None) -> None:
    """Raise if packed rows are not kept apart by the model."""
    if starts is not None and facts is not None and len(rows) > len(call.ids):
        facts.require_separation(call.use_cache, len(call.ids))
    if call.mask is not None and len(rows.positions) == 1:
        within = np.ones(len(rows.tokens), bool)
        within[rows.offset[:-1]] = False
        if (np.diff(rows.positions[0], prepend=0)[within] <= 0).any():
            fact = "position_ids restart within a row that has an attention_mask, so its parts attend to one another"
            raise Unsupported(f"{fact}; for packed rows pass attention_mask=None")


def _position_to_keep(call: Call, rows: TokenRows, record: Architecture | None) -> int | None:
    """Return the largest position id of the call if rotary frequencies depend on it and no real token has it."""
    if record is None or record.rope_limit is None:
        return None
    largest = call.ids.shape[1] - 1 + record.first_position if call.positions is None else int(call.positions.max())
    return largest if largest > int(rows.positions.max(initial=0)) else None


def _merged_call(
    call: Call, rows: TokenRows, merged: MergedRows, record: Architecture | None, masks: Masks | None
) -> Merged:
    device = call.ids.device

    def tensor(array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    ids, positions = tensor(merged.ids).to(call.ids.dtype), tensor(merged.positions)
    positions = positions if call.positions is not None and call.positions.ndim == 3 else positions[0]
    if record is not None:
        mask = model_mask(merged, record, device)
    else:
        mask = masks(ids, positions, tensor(merged.parent)) if masks is not None else None
    arguments = {**call.others, **call.types_of(ids)}
    arguments |= {"input_ids": ids, "position_ids": positions, "attention_mask": mask}
    if record is not None:
        arguments["use_cache"] = False
    place = None if rows.complete else tensor(rows.place)
    unfolding = Unfolding(rows.shape, merged.shape, place, tensor(merged.place))
    return Merged(arguments, unfolding, merged.place, len(rows.tokens), merged.live)
