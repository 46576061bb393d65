"""Expanding and cyclic holes against contexts by definition."""

import itertools

import numpy as np
import pytest

from masksynth.contracts import Elements
from masksynth.contracts.metric import distances
from masksynth.discover.constructions.cyclic import cyclic_hole, cyclic_reaches
from masksynth.discover.constructions.hole import Sites, doubling_reaches, expanding_hole
from tests.discover.naive import assert_keeps, complements, contexts_of, contracts_of

SPACES = {
    "line": (11, {}),
    "grid": (12, {"grid": [3, 4]}),
    "diamonds": (12, {"grid": [3, 4], "metric": "manhattan"}),
    "tree": (10, {"tree": [None, 0, 0, 1, 1, 2, 5, 6, 6, 8]}),
    "graph": (9, {"graph": {"n": 9, "edges": [[k, (k + 1) % 9] for k in range(9)]}}),
}


def schedules(rng, diameter, layers):
    for count in range(layers):
        if count <= diameter:
            yield sorted(rng.choice(np.arange(1, diameter + 1), count, replace=False).tolist())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("radius", [0, 1, 2])
def test_hole_in_any_space_with_any_schedule(space, radius):
    count, description = SPACES[space]
    distance = distances(Elements(tuple(range(count)), tuple(range(count)), description))
    hidden = [set(np.flatnonzero(row <= radius).tolist()) for row in distance]
    sites = Sites(np.arange(count), np.arange(count), distance, radius)
    rng = np.random.default_rng(radius)
    for reaches in schedules(rng, int(distance.max()), 5):
        contracts = complements(count, hidden, len(reaches) + 2)
        assert_keeps(expanding_hole(sites, reaches, len(reaches) + 2), contracts)


def test_contexts_of_the_hole_after_each_layer():
    place = np.arange(14)
    distance = abs(place[:, None] - place)
    structure = expanding_hole(Sites(place, place, distance), [2, 6, 9])
    for layers, reach in enumerate([2, 6, 9], start=1):
        early = contracts_of(14, [set()] * 14, [set()] * 14, layers)
        cut = type(structure)(structure.element, structure.reads[:layers], structure.target)
        for k, context in enumerate(contexts_of(cut, early)[0]):
            assert context == {j for j in range(14) if 0 < abs(j - k) <= reach}


@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_hole_over_the_visible_tokens_of_masked_diffusion(share):
    rng = np.random.default_rng(int(100 * share))
    visible = set(np.flatnonzero(rng.random(24) > share).tolist()) | {3}
    need = [visible - {k} for k in range(24)]
    hide = [set(range(24)) - visible | {k} for k in range(24)]
    place = np.arange(24)
    sites = Sites(np.array(sorted(visible)), place, abs(place[:, None] - place))
    assert_keeps(expanding_hole(sites, [2, 6]), contracts_of(24, need, hide, 3))


def test_doubling_reaches_read_queries_in_every_layer():
    for diameter in (3, 9, 63, 200):
        for layers in (2, 3, 6):
            reaches = doubling_reaches(diameter, layers, radius=1)
            assert len(reaches) < layers
            assert all(b > 2 * a + 1 for a, b in itertools.pairwise(reaches))


@pytest.mark.parametrize("n", [5, 6, 7, 8, 13, 20, 33])
def test_cyclic_hole_needs_n_positions(n):
    everything = set(range(n))
    for layers in range(2, 6):
        reaches = cyclic_reaches(n, layers)
        for shrink in range(2):
            chosen = [max(r - shrink, 1) for r in reaches]
            if any(b < 2 * a + 2 for a, b in itertools.pairwise(chosen)):
                continue
            structure = cyclic_hole(n, chosen, layers)
            need, hide = [everything - {k} for k in range(n)], [{k} for k in range(n)]
            assert_keeps(structure, contracts_of(n, need, hide, layers, place="any"))
            assert structure.size == n


@pytest.mark.parametrize(("n", "reaches"), [(8, [3]), (64, [2, 5]), (8, []), (8, [0])])
def test_cyclic_hole_refuses_reaches_that_leave_a_token_out(n, reaches):
    with pytest.raises(ValueError, match="expected"):
        cyclic_hole(n, reaches)
