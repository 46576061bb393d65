"""No batch has more holders of a class than the bound, and no distribution fewer batches that hold it."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from masksynth.verify.holder_bounds import count_holders
from masksynth.verify.holder_classes import classes_of_nodes
from tests.partitions import partitions
from tests.verify.test_set_bounds import systems

PAIRS_OF_DOCUMENTS = [{a, b} for a in range(4) for b in range(a)]
"""Six samples of pairs of four documents: no document is inside another one."""


def test_bounds_against_all_partitions():
    raised = []

    @settings(max_examples=150, deadline=None)
    @given(systems(), st.integers(0, 12))
    @example((PAIRS_OF_DOCUMENTS, [10] * 4), 9)  # some bound is above 1, whatever is drawn
    def check(system, more):
        sets, weight = system
        limit = max(sum(weight[node] for node in nodes) for nodes in sets) + more
        pairs = np.array([(node, unit) for unit, nodes in enumerate(sets) for node in nodes], np.int64)
        holdings = classes_of_nodes(pairs[:, 0], pairs[:, 1], np.array(weight))
        holders = count_holders(holdings, limit)
        ways = [
            parts
            for parts in partitions(list(range(len(sets))))
            if all(sum(weight[n] for n in set().union(*(sets[u] for u in part))) <= limit for part in parts)
        ]
        for number, (most, copies) in enumerate(zip(holders.most.tolist(), holders.copies.tolist(), strict=True)):
            units = set(holdings.unit[holdings.offset[number] : holdings.offset[number + 1]].tolist())
            held = [[len(units & set(part)) for part in parts] for parts in ways]
            assert most >= max(max(each) for each in held)
            assert copies <= min(sum(count > 0 for count in each) for each in held)
            raised.append(copies > 1)

    check()
    assert any(raised)


def test_documents_that_samples_share_are_repeated():
    """Documents of 10: two samples fit at most."""
    pairs = np.array([(node, unit) for unit, nodes in enumerate(PAIRS_OF_DOCUMENTS) for node in nodes], np.int64)
    holders = count_holders(classes_of_nodes(pairs[:, 0], pairs[:, 1], np.full(4, 10)), 29)
    assert holders.most.tolist() == [1] * 4
    assert holders.copies.tolist() == [3] * 4
    holders = count_holders(classes_of_nodes(pairs[:, 0], pairs[:, 1], np.full(4, 10)), 30)
    assert holders.most.tolist() == [2] * 4
