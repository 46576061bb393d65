"""Contracts on 64 elements, on which constructions and searches are compared here and on the page on discovery."""

from __future__ import annotations

from masksynth.contracts import Contracts
from masksynth.contracts.families import (
    all_but_row_and_column,
    causal,
    leave_ball_out,
    leave_ball_out_grid,
    leave_block_out,
    leave_one_out,
    neighbourhood,
    tree_complement,
    windows,
)

LAYERS = 64
"""As many layers as a chain of prefixes takes, so that depth binds nowhere."""


def contracts_of_64() -> dict[str, Contracts]:
    """Return the contracts by name.

    Examples
    --------
    >>> {contracts.elements.count for contracts in contracts_of_64().values()}
    {64}
    """
    return {
        "leave-one-out": leave_one_out(n=64, layers=LAYERS),
        "causal prefix": causal(n=64, layers=LAYERS),
        **{f"window of {width}": windows(n=64, w=width, layers=LAYERS) for width in (4, 8, 16)},
        "all but i - 1 .. i + 1": leave_ball_out(n=64, radius=1, layers=LAYERS),
        "3 x 3 neighbourhood without its centre": neighbourhood(shape=(8, 8), radius=1, layers=LAYERS),
        "all but 3 x 3": leave_ball_out_grid(shape=(8, 8), radius=1, layers=LAYERS),
        "all but row and column": all_but_row_and_column(shape=(8, 8), layers=LAYERS),
        "leave-block-out, 8 blocks": leave_block_out(n=64, l=8, layers=LAYERS),
        "tree complement (heap)": tree_complement(n=64, layers=LAYERS),
    }
