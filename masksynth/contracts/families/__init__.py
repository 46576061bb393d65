"""Families of contracts, one function each; every parameter has a default.

>>> from masksynth.contracts import families
>>> families.leave_one_out(n=64).name
'leave_one_out-64'
>>> len(families.FAMILIES)
16
"""

from __future__ import annotations

from collections.abc import Callable

from masksynth.contracts.families.spatial import (
    all_but_row_and_column,
    leave_ball_out_graph,
    leave_ball_out_grid,
    leave_ball_out_tree,
    neighbourhood,
    tree_complement,
)
from masksynth.contracts.families.tokens import (
    block_two_stream,
    causal,
    leave_ball_out,
    leave_block_out,
    leave_fold_out,
    leave_one_out,
    windows,
)
from masksynth.contracts.families.visible import any_order, masked_diffusion, visible_sets
from masksynth.contracts.model import Contracts

_FUNCTIONS: tuple[Callable[..., Contracts], ...] = (
    leave_one_out,
    leave_block_out,
    leave_fold_out,
    leave_ball_out,
    leave_ball_out_grid,
    leave_ball_out_tree,
    leave_ball_out_graph,
    neighbourhood,
    all_but_row_and_column,
    tree_complement,
    causal,
    windows,
    any_order,
    visible_sets,
    masked_diffusion,
    block_two_stream,
)

FAMILIES: dict[str, Callable[..., Contracts]] = {function.__name__: function for function in _FUNCTIONS}
"""Name of a family -> its function."""

__all__ = ["FAMILIES", *FAMILIES]
