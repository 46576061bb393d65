"""Infer the rule of a mask table: all earlier tokens of a sample, a window of them, or a chunk."""

from __future__ import annotations

from collections import Counter

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.subject.table_rule import TableRule

AGREE = 0.75
"""Least share of observed rows that a window or a chunk must explain."""


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
