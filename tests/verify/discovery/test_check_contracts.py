"""The checker of contracts accepts the expanding hole and refuses each single change of it that matters."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from masksynth.mask import Mask
from masksynth.verify.discovery import BrokenContract, verify_contracts
from tests.discover.hole import answer_of_hole
from tests.verify.discovery import naive


def test_the_hole_keeps_its_contracts():
    contracts, merged = answer_of_hole(9, (2, 5, 9))
    assert verify_contracts(contracts, merged).targets == 9


def test_every_changed_pair_is_judged_by_what_it_does():
    contracts, merged = answer_of_hole(5, (1, 3, 5))
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
    contracts, merged = answer_of_hole(5, (1, 3, 5))
    wrong = merged.updated.copy()
    wrong[1, merged.loss_edges[0].position] = False
    with pytest.raises(BrokenContract, match="has read another"):
        verify_contracts(contracts, replace(merged, updated=wrong))


@pytest.mark.parametrize(
    ("field", "number"), [("label", 5), ("label", -1), ("position", 10), ("position", -1), ("task", 1)]
)
def test_a_loss_edge_that_names_nothing_is_refused(field, number):
    contracts, merged = answer_of_hole(5, (1, 3, 5))
    edges = (*merged.loss_edges[:-1], merged.loss_edges[-1]._replace(**{field: number}))
    with pytest.raises(BrokenContract, match=f"loss edge 4 names the {field} {number}"):
        verify_contracts(contracts, replace(merged, loss_edges=edges))
