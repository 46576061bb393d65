"""The expanding hole by its definition, pair by pair, not by the construction that is tested."""

import numpy as np

from masksynth.contracts.families import leave_one_out
from masksynth.discover.as_answer import to_merged
from masksynth.discover.structure import Reads, Structure


def expanding_hole(n, reach):
    """Return the structure: queries 0 .. n - 1, raw keys n .. 2n - 1."""
    reads = []
    for layer, far in enumerate(reach, start=1):
        last, near = layer == len(reach), reach[layer - 2] if layer > 1 else n
        raw = [(k, n + j) for k in range(n) for j in range(n) if k != j and (last or abs(j - k) <= far)]
        mixed = [(k, j) for k in range(n) for j in range(n) if near < abs(j - k) and (last or abs(j - k) <= far - near)]
        reads.append(Reads.of_pairs(*np.array(raw + mixed).T, 2 * n))
    return Structure(np.concatenate([np.full(n, -1), np.arange(n)]), tuple(reads), np.arange(n), "hole")


def answer_of_hole(n, reach):
    """Return the contracts and the merged task."""
    contracts = leave_one_out(n=n, layers=len(reach))
    return contracts, to_merged(expanding_hole(n, reach), contracts)[1]
