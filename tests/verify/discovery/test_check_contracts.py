"""The checker of contracts accepts the expanding hole and refuses each single change of it that matters."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from masksynth.contracts.families import leave_one_out
from masksynth.discover.as_answer import to_merged
from masksynth.discover.structure import Reads, Structure
from masksynth.mask import Mask
from masksynth.verify.discovery import BrokenContract, verify_contracts
from tests.verify.discovery import naive


def hole(n, reach):
    """Return the answer of the expanding hole, from its definition."""
    contracts = leave_one_out(n=n, layers=len(reach))
    reads = []
    for layer, far in enumerate(reach, start=1):
        last, near = layer == len(reach), reach[layer - 2] if layer > 1 else n
        raw = [(k, n + j) for k in range(n) for j in range(n) if k != j and (last or abs(j - k) <= far)]
        mixed = [(k, j) for k in range(n) for j in range(n) if near < abs(j - k) and (last or abs(j - k) <= far - near)]
        reads.append(Reads.of_pairs(*np.array(raw + mixed).T, 2 * n))
    elements = np.concatenate([np.full(n, -1), np.arange(n)])
    return contracts, to_merged(Structure(elements, tuple(reads), np.arange(n)), contracts)[1]


def test_the_hole_keeps_its_contracts():
    contracts, merged = hole(9, (2, 5, 9))
    assert verify_contracts(contracts, merged).targets == 9


def test_every_changed_pair_is_judged_by_what_it_does():
    contracts, merged = hole(5, (1, 3, 5))
    merged = replace(merged, updated=None)
    tables = merged.mask.dense()
    target = {edge.label: edge.position for edge in merged.loss_edges}
    refused = Counter()
    for index in np.ndindex(tables.shape):
        changed = tables.copy()
        changed[index] ^= True
        other = replace(merged, mask=Mask.from_dense(changed))
        if naive.is_right(contracts, other):
            verify_contracts(contracts, other)
            continue
        with pytest.raises(BrokenContract) as caught:
            verify_contracts(contracts, other)
        refused[caught.value.requirement] += 1
        if caught.value.requirement == "hide":
            way = caught.value.positions
            assert merged.positions[way[0]].input == caught.value.element
            assert way[-1] == target[caught.value.target]
            assert all(changed[:, q, k].any() for k, q in pairwise(way))
    assert all(refused[kind] > least for kind, least in (("hide", 20), ("rows", 50), ("need", 1))), refused


def test_a_position_that_is_only_read_reads_nothing():
    contracts, merged = hole(5, (1, 3, 5))
    wrong = merged.updated.copy()
    wrong[1, merged.loss_edges[0].position] = False
    with pytest.raises(BrokenContract, match="has read another"):
        verify_contracts(contracts, replace(merged, updated=wrong))
