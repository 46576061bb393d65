"""A theorem is printed where its hypotheses hold, and nowhere else, on random masks, V, Q and K."""

from __future__ import annotations

import numpy as np

from masksynth.diagnostics.clustering import following, law_of, weights
from masksynth.diagnostics.clustering.root_groups import partition
from masksynth.mask import Mask
from tests.diagnostics.clustering.hypotheses import (
    SOURCES,
    random_query_and_key,
    random_rows,
    random_value,
    theorem_of,
    theorems,
)

SURE, NEAR = (3e-14, 1e-8), (1e-11, 1e-10)
"""Equal up to, and different by more than: where hypotheses certainly hold, and where they may."""


def test_theorems_are_printed_exactly_where_they_hold():
    rng, printed = np.random.default_rng(0), set()
    for _ in range(1600):
        rows, dim = random_rows(rng, rng.integers(1, 9)), int(rng.integers(2, 5))
        v = random_value(rng, dim)
        query, key = random_query_and_key(rng, v)
        given, scores = weights(dim, query, key, v), query.T @ key
        sure, near = (theorems(rows, v, scores, *limits) for limits in (SURE, NEAR))
        for part in partition(following(Mask.from_dense(rows)), law_of(1.0, given), given.value):
            known = part.known.certainty == "theorem"
            name = theorem_of(part.known) if known else "half" if part.down is not None else ""
            printed.add(name)
            for place in part.positions:
                case = (rows, v, scores, place, part)
                assert not name or name in near[place], case
                assert known or sure[place] <= {name}, case
    assert printed == {"", "rest", "half", *SOURCES.values()}
