"""Represent and infer the rule of a mask table: all earlier tokens of a sample, a window of them, or a chunk."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import Int64Array

AGREE = 0.75
"""Least share of observed rows that a window or a chunk must explain."""


class TableRule(NamedTuple):
    """State which tokens of its sample a token may attend to in one table, by their index in the sample.

    Parameters
    ----------
    kind : str
        ``"full"``, ``"window"`` (key > query - width) or ``"chunk"`` (key // width = query // width).
    width : int
        Tokens of the window or the chunk; 0 for ``"full"``.
    certain : bool
        False if all observed rows begin at the same token, so that context may be missing as well.
    """

    kind: str = "full"
    width: int = 0
    certain: bool = True

    def lowest(self, index: Int64Array) -> Int64Array:
        """Return the index of the first token that the tokens at ``index`` may attend to.

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
        """Return the index after the last token that the tokens at ``index`` may attend to."""
        if self.kind == "chunk":
            return index - index % self.width + self.width
        return np.full_like(index, np.iinfo(np.int32).max)

    def __str__(self) -> str:
        if self.kind == "full":
            return "full"
        return f"window of {self.width} tokens" if self.kind == "window" else f"chunks of {self.width} tokens"


FULL = TableRule()


def infer_rule(
    index: Int64Array, lowest: Int64Array, sample: Int64Array, elsewhere: Int64Array | None = None
) -> TableRule:
    """Return the rule that explains most observed rows of causal samples, ``FULL`` without evidence.

    A window needs observed rows that begin at two different tokens after the first, and so do chunks. If the rows of
    several samples all begin at the same token, these may be chunks or may have lost the same beginning: the rule is
    then not certain. Rows of one sample that all begin at one token are chunks if another table has what they lack.

    Parameters
    ----------
    index : (R,) int64
        Index of each observed token in its sample.
    lowest : (R,) int64
        Index of the first token of the sample in its row.
    sample : (R,) int64
        The sample of each token.
    elsewhere : (R,) int64, optional
        Index of the first token of the sample in its row of some other table.

    Examples
    --------
    >>> index = np.arange(10)
    >>> sample = np.zeros(10, np.int64)
    >>> str(infer_rule(index, np.maximum(index - 3, 0), sample)), str(infer_rule(index, index // 4 * 4, sample))
    ('window of 4 tokens', 'chunks of 4 tokens')
    >>> str(infer_rule(index, np.where(index < 6, 0, 6), sample))
    'full'
    >>> str(infer_rule(index, np.where(index < 6, 0, 6), sample, np.zeros(10, np.int64)))
    'chunks of 6 tokens'
    """
    cut = lowest > 0
    if not cut.any():
        return FULL
    lengths = Counter((index - lowest + 1)[cut].tolist())
    rules = [TableRule("window", width) for width, _ in lengths.most_common(4)]
    begins = Counter(lowest[cut].tolist())
    rules += [
        TableRule("chunk", width) for width in sorted(_chunk_widths([begin for begin, _ in begins.most_common(16)]))
    ]
    best, share = FULL, float((lowest == 0).mean())
    for rule in rules:
        agrees = rule.lowest(index) == lowest
        explained = agrees & cut
        certain = len(np.unique(lowest[explained])) > 1
        if rule.kind == "chunk" and elsewhere is not None and agrees.all():
            certain = certain or bool((elsewhere < lowest)[explained].all())
        evidence = certain or (rule.kind == "chunk" and len(np.unique(sample[explained])) > 1)
        if evidence and agrees.mean() > max(share, AGREE):
            best, share = rule._replace(certain=certain), float(agrees.mean())
    return best


def _chunk_widths(begins: list[int]) -> set[int]:
    """Return widths of chunks that may begin at the given tokens: greatest common divisors of two of them."""
    return {int(np.gcd(a, b)) for a in begins for b in begins} - {1}
