"""Centres and clusters compared with loops over pairs, and their numbers with expected ones."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import (
    angles,
    captured,
    causal_mask,
    clusters,
    expected_renyi_circle,
    expected_strong,
    following,
    renyi_centres,
    starts,
    strong_centres,
)
from masksynth.diagnostics.clustering.root_groups import gaps
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from tests.diagnostics.clustering.naive import angle, centres, components, random_mask


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("delta", [0.05, 0.7, 2.0, np.pi])
def test_centres_are_those_of_a_loop(dim, delta):
    x = starts(4, 40, dim, seed=3)
    for found, strong in ((renyi_centres(x, delta), False), (strong_centres(x, delta), True)):
        for each, there in zip(x, found, strict=True):
            assert np.flatnonzero(there).tolist() == centres(each, delta, strong)
    assert not (strong_centres(x, delta) & ~renyi_centres(x, delta)).any()


def test_a_chord_is_a_little_shorter():
    x = starts(3, 60, 3)
    chord = 2 * np.sin(0.35)
    assert np.array_equal(renyi_centres(x, 0.7), renyi_centres(x, chord, chord=True))
    apart = np.linalg.norm(x[0, 0] - x[0, 1])
    assert strong_centres(x[0, :2], apart * 0.999, chord=True).tolist() == [True, True]
    assert strong_centres(x[0, :2], apart * 1.001, chord=True).tolist() == [True, False]


def test_only_what_is_seen_is_compared():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    sees = np.array([[True, False, False], [False, True, False], [False, True, True]])
    assert renyi_centres(x, 0.1, sees=sees).tolist() == [True, True, False]
    kept = np.array([[True, False, False]])
    assert captured(x[None], x[None], kept, 0.1).tolist() == [1.0]
    assert captured(x[None], x[None], kept, 0.1, sees=sees).round(6).tolist() == [0.333333]


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_clusters_and_captures_are_those_of_a_loop(dim):
    x = starts(5, 30, dim, seed=8)
    for most in (0.05, 0.3, 1.0, 2.5):
        assert clusters(x, most).tolist() == [components(each, most) for each in x]
        kept = renyi_centres(x, 1.0)
        share = [
            np.mean([any(angle(p, each[c]) <= most for c in np.flatnonzero(k)) for p in each])
            for each, k in zip(x, kept, strict=True)
        ]
        assert np.allclose(captured(x, x, kept, most), share)
    assert clusters(np.ones((4, 1, 2)), 0.1).tolist() == [1, 1, 1, 1]


def mean_and_error(counts):
    return counts.mean(), counts.std(ddof=1) / np.sqrt(len(counts))


@pytest.mark.parametrize(("dim", "delta", "n"), [(2, 0.5, 200), (2, 0.5, 12), (3, 1.0, 60), (4, 1.0, 80)])
def test_expected_strong_centres(dim, delta, n):
    x = np.random.default_rng(dim * n).standard_normal((1500, n, dim))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    mean, error = mean_and_error(strong_centres(x, delta).sum(axis=1))
    assert abs(mean - expected_strong(delta, dim, n)) < 4 * error
    assert abs(mean - 1.1 * expected_strong(delta, dim, n)) > 4 * error


def test_renyi_centres_of_200_tokens_and_of_a_full_circle():
    turn = np.random.default_rng(5).uniform(0, 2 * np.pi, (1500, 200))
    x = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    mean, error = mean_and_error(renyi_centres(x, 0.5).sum(axis=1))
    assert abs(mean - 9.141) < 4 * (error + 0.011)
    full = np.array([parked(np.random.default_rng(number), 2 * np.pi / 0.5 - 1) for number in range(4000)]) + 1
    mean, error = mean_and_error(full)
    assert abs(mean - expected_renyi_circle(0.5)) < 4 * error
    assert abs(9.141 - expected_renyi_circle(0.5)) > 4 * error


def parked(rng, length):
    """Cars of length 1 that park on an interval until none fits, one after the other."""
    count, free = 0, [length]
    while free:
        space = free.pop()
        if space >= 1:
            left = rng.uniform(0, space - 1)
            count, free = count + 1, [*free, left, space - 1 - left]
    return count


def test_what_centres_capture():
    """beta 64, 200 tokens, delta 0.5, radius delta / 4, 20 starts: shares measured before by another program."""
    phi = np.arctan2(*starts(20, 200, 2)[..., ::-1].transpose(2, 0, 1))
    turn = angles(causal_mask(200), phi, [0.0, 5.0, 25.0, 75.0, 150.0], beta=64.0)
    x = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    for choose, shares in (
        (strong_centres, (0.28, 0.59, 0.79, 0.88, 0.90)),
        (renyi_centres, (0.39, 0.81, 0.97, 0.99, 1.00)),
    ):
        kept = choose(x[:, 0], 0.5)
        found = np.array([captured(x[:, t], x[:, t], kept, 0.125) for t in range(5)])
        error = found.std(axis=1, ddof=1) / np.sqrt(20)
        assert (np.abs(found.mean(axis=1) - shares) < 4 * np.sqrt(2) * error + 0.005).all()
    drift = [
        np.abs(each - each[0]).max(axis=1, where=kept, initial=0)
        for each, kept in zip(turn, strong_centres(x[:, 0], 0.5), strict=True)
    ]
    assert (np.median(drift, axis=0) < [1e-15, 1e-3, 2e-3, 5e-3, 1e-2]).all()


@pytest.mark.parametrize("delta", [0.0, -1.0, 4.0, np.nan])
def test_distances_that_are_none(delta):
    with pytest.raises(InvalidInstance, match="expected 0 < delta <= "):
        renyi_centres(starts(1, 3, 3), delta)
    with pytest.raises(InvalidInstance, match="expected 0 < delta <= "):
        clusters(starts(1, 3, 3), delta)


def test_tiny_distances_keep_their_digits():
    turn = np.array([0.0, 1e-7, 3e-7, 1.0])
    x = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1)
    assert clusters(x, 1.5e-7) == 3
    assert clusters(x, 2.5e-7) == 2
    kept = np.array([[True, False, False, False]])
    assert captured(x[None], x[None], kept, 1.5e-7).tolist() == [0.5]


@pytest.mark.parametrize("number", range(8))
def test_gaps_are_those_of_a_loop(number):
    rng = np.random.default_rng(number)
    found = following(Mask.from_dense(random_mask(rng, 9, 0.15 + 0.02 * number, causal=number % 2 == 0)))
    x = starts(2, 9, 3, seed=number)[:, None]
    apart = gaps(x, found)
    for seed, place in np.ndindex(2, 9):
        roots = [root for root in found.roots if found.sees[place, root]]
        far = [
            max(angle(x[seed, 0, place], x[seed, 0, k]) for k in range(9) if found.leader[k] == root) for root in roots
        ]
        assert abs(apart[seed, 0, place] - min(far)) < 1e-7


def test_points_that_are_none_are_refused():
    bad = (np.zeros((0, 2)), np.array([[1.0, 0.0], [np.nan, 0.0]]), np.ones(2), np.ones((3, 1)))
    for points in bad:
        for call in (renyi_centres, strong_centres, clusters):
            with pytest.raises(InvalidInstance, match="expected finite points"):
                call(points, 0.1)
    with pytest.raises(InvalidInstance, match="expected finite points"):
        captured(bad[1][None], bad[1][None], np.ones((1, 2), bool), 0.1)
