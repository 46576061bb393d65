"""What a batch costs, and what its samples would cost one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.pack.sample_columns import SampleTable

SHAPE = ("layers", "hidden", "intermediate", "vocabulary", "kv")


@dataclass(frozen=True)
class Shape:
    """A decoder's shape: layers, hidden width, width of the gated MLP, vocabulary, width of keys and values (less with shared heads)."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    kv: int

    def flops(self, tokens: int, labels: int, pairs: int) -> int:
        """Multiply-adds counted twice, forward and backward (three times forward).

        A token takes 2 (2 h^2 + 2 h kv + 3 h m) a layer for queries, output, keys, values and a gated MLP; an attended pair 4 h a layer for
        scores and values; a position with labels 2 h V for the logits.
        """
        h = self.hidden
        token = 2 * self.layers * (2 * h * h + 2 * h * self.kv + 3 * h * self.intermediate)
        return 3 * (tokens * token + pairs * 4 * h * self.layers + labels * 2 * h * self.vocabulary)


def shape_of(text: str) -> Shape:
    """A shape from ``layers=32,hidden=4096,intermediate=11008,vocabulary=32000`` (``kv`` defaults to ``hidden``).

    Examples
    --------
    >>> shape_of("layers=2,hidden=8,intermediate=32,vocabulary=100").kv
    8
    """
    given: dict[str, int] = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        if name not in SHAPE or not value.isdecimal() or int(value) < 1:
            raise InvalidInstance(f"{item!r} is not part of a shape", "", f"give {'=N,'.join(SHAPE)}=N")
        given[name] = int(value)
    if missing := [name for name in SHAPE[:-1] if name not in given]:
        raise InvalidInstance(f"the shape lacks {', '.join(missing)}", "", f"give {'=N,'.join(SHAPE)}=N")
    return Shape(**{"kv": given["hidden"], **given})


def separate_pairs(table: SampleTable) -> int:
    """Attended pairs of all samples, each run on its own."""
    length = np.diff(table.offset)
    causal = np.array([part is None for part in table.segments], bool)
    pairs = int((length[causal] * (length[causal] + 1) // 2).sum())
    for part in table.segments:
        for segment in part or ():
            n = segment.length
            pairs += n * sum(part[s].length for s in segment.sees) if part else 0
            pairs += {"causal": n * (n + 1) // 2, "full": n * n, "self": n}[segment.within]
    return pairs
