"""Structures, their sizes, and their road to an ordinary answer."""

import numpy as np

from masksynth.contracts.families import leave_one_out
from masksynth.discover.as_answer import to_merged
from masksynth.discover.measure import measure
from masksynth.discover.structure import contexts, prune
from masksynth.posets.bit_rows import unpack
from masksynth.solve import solve
from masksynth.verify import verify
from tests.discover.hole import expanding_hole


def test_the_expanding_hole_is_an_ordinary_answer():
    contracts = leave_one_out(n=12, layers=3)
    structure = prune(expanding_hole(12, (2, 6, 12)), "layered")
    states = unpack(contexts(structure, contracts)[-1], 12)
    np.testing.assert_array_equal(states[structure.target], ~np.eye(12, dtype=bool))
    instance, merged, final = to_merged(structure, contracts)
    assert len(merged.positions) == 24
    assert merged.updated.shape == (3, 24)
    assert verify(instance, merged, minimal=True).positions == 24
    assert solve(instance).merged.mask == merged.mask
    sizes = measure(final, contracts)
    assert (sizes.updated, sizes.read_only) == (12, 12)
    assert sizes.edges == merged.mask.pairs - 3 * 24
