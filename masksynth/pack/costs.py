"""Costs of a batch, and of its samples one by one: attended pairs and FLOPs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.pack.sample_columns import SampleTable

SHAPE = ("layers", "hidden", "intermediate", "vocabulary", "kv")


@dataclass(frozen=True)
class Shape:
    """The shape of a decoder.

    Parameters
    ----------
    layers : int
    hidden, intermediate : int
        Width of the residual stream, and of the gated MLP.
    vocabulary : int
    kv : int
        Width of keys and values; less than ``hidden`` if heads share them.
    """

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    kv: int

    def flops(self, tokens: int, labels: int, pairs: int) -> int:
        """Return the FLOPs of a training step: three times those of the forward pass, a multiply-add counted as two.

        In each layer a token takes 2 (2 h^2 + 2 h kv + 3 h m) for queries, output, keys, values and a gated MLP, and an
        attended pair 4 h for scores and values; a position with labels takes 2 h V for the logits.

        Parameters
        ----------
        tokens, labels, pairs : int
            Number of tokens, of positions with labels, and of attended pairs.
        """
        h = self.hidden
        token = 2 * self.layers * (2 * h * h + 2 * h * self.kv + 3 * h * self.intermediate)
        return 3 * (tokens * token + pairs * 4 * h * self.layers + labels * 2 * h * self.vocabulary)


def shape_of(text: str) -> Shape:
    """Return the shape in a string such as ``layers=32,hidden=4096,intermediate=11008,vocabulary=32000``.

    ``kv`` may be left out; it is then ``hidden``.

    Examples
    --------
    >>> shape_of("layers=2,hidden=8,intermediate=32,vocabulary=100").kv
    8
    """
    given: dict[str, int] = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        if name not in SHAPE or not value.isdecimal() or int(value) < 1:
            raise InvalidInstance(f"expected NAME=N in a shape, got {item!r}", "", f"give {'=N,'.join(SHAPE)}=N")
        given[name] = int(value)
    if missing := [name for name in SHAPE[:-1] if name not in given]:
        raise InvalidInstance(f"the shape does not define {', '.join(missing)}", "", f"give {'=N,'.join(SHAPE)}=N")
    return Shape(**{"kv": given["hidden"], **given})


def separate_pairs(table: SampleTable) -> int:
    """Return the number of attended pairs of all samples, each in a pass of its own."""
    length = np.diff(table.offset)
    causal = length[np.array([segments is None for segments in table.segments], bool)]
    pairs = int((causal * (causal + 1) // 2).sum())
    for segments in table.segments:
        for segment in segments or ():
            n = segment.length
            pairs += n * sum(segments[s].length for s in segment.sees) if segments else 0
            pairs += {"causal": n * (n + 1) // 2, "full": n * n, "self": n}[segment.within]
    return pairs
