"""Visibility rule of a mask table: all earlier tokens of a sample, a sliding window, or a chunk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import Int64Array


class TableRule(NamedTuple):
    """Rule for the tokens of its sample that a token sees in one table, by their index in the sample.

    Parameters
    ----------
    kind : str
        ``"full"``, ``"window"`` (key > query - width) or ``"chunk"`` (key // width = query // width).
    width : int
        Tokens of the window or the chunk; 0 for ``"full"``.
    certain : bool
        False if rows were seen to begin at one token alone, so that context may be missing just as well.
    """

    kind: str = "full"
    width: int = 0
    certain: bool = True

    def lowest(self, index: Int64Array) -> Int64Array:
        """Return the index of the first token that the tokens at ``index`` may see.

        Examples
        --------
        >>> index = np.arange(5)
        >>> TableRule("window", 2).lowest(index).tolist(), TableRule("chunk", 2).lowest(index).tolist()
        ([0, 0, 1, 2, 3], [0, 0, 2, 2, 4])
        """
        if self.kind == "window":
            return np.maximum(index - self.width + 1, 0)
        return index - index % self.width if self.kind == "chunk" else np.zeros_like(index)

    def beyond(self, index: Int64Array) -> Int64Array:
        """Return the index after the last token that the tokens at ``index`` may see."""
        if self.kind == "chunk":
            return index - index % self.width + self.width
        return np.full_like(index, np.iinfo(np.int32).max)

    def __str__(self) -> str:
        if self.kind == "full":
            return "full"
        return f"window of {self.width} tokens" if self.kind == "window" else f"chunks of {self.width} tokens"
