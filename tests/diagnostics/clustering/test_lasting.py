"""How long states last, expected centres for any law, and centres in pictures."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import (
    causal_mask,
    diagnose,
    expected_strong,
    expected_strong_of_law,
    similarity,
    starts,
    stays,
    stays_until,
    strong_centres,
)
from masksynth.diagnostics.clustering.figure import write_clustering
from masksynth.diagnostics.clustering.setting import Setting
from masksynth.errors import InvalidInstance


def law(rng):
    """Return points that are far from uniform: two heaps and a few strays."""
    points = np.concatenate([rng.normal([3, 0, 0], 0.5, (30, 3)), rng.normal([0, 3, 0], 1.0, (20, 3)), np.eye(3)])
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [5, 40])
def test_strong_centres_of_any_law_as_many_as_expected(n):
    rng = np.random.default_rng(n)
    points = law(rng)
    drawn = points[rng.integers(0, len(points), (1500, n))]
    counts = strong_centres(drawn, 0.4).sum(axis=1)
    assert abs(counts.mean() - expected_strong_of_law(points, 0.4, n)) < 4 * counts.std() / np.sqrt(1500)


def test_lemma_c1_is_the_mean_over_all_orders():
    rng = np.random.default_rng(0)
    points = law(rng)
    orders = np.stack([rng.permutation(len(points)) for _ in range(1500)])
    counts = strong_centres(points[orders], 0.4).sum(axis=1)
    assert abs(counts.mean() - expected_strong_of_law(points, 0.4)) < 4 * counts.std() / np.sqrt(1500)


def test_many_uniform_points_are_the_uniform_law():
    points = starts(1, 6000, 3, seed=1)[0]
    assert expected_strong_of_law(points, 0.5, 50) == pytest.approx(expected_strong(0.5, 3, 50), rel=0.02)
    with pytest.raises(InvalidInstance, match="other than 0"):
        expected_strong_of_law(np.zeros((3, 2)), 0.5)


def test_a_given_start_has_its_own_expected_number():
    points = law(np.random.default_rng(2))
    found = diagnose(causal_mask(len(points)), beta=100.0, seeds=1, time=0.1, setting=Setting(start=points[None]))
    assert found.expected_strong == pytest.approx(expected_strong_of_law(points, 0.4))
    assert found.seeds == 1


def test_similarity_is_the_mean_over_pairs():
    x = starts(3, 7, 4)
    pairs = np.einsum("snd,smd->snm", x, x)[:, ~np.eye(7, dtype=bool)]
    assert np.abs(similarity(x) - pairs.mean(axis=1)).max() < 1e-12
    assert similarity(x[:, :1]).tolist() == [1, 1, 1]


def test_states_last_longer_at_larger_beta_and_centres_stay_as_long_as_guaranteed():
    small, large = (diagnose(causal_mask(60), beta=beta, dim=2, seeds=4, time=200.0) for beta in (4.0, 64.0))
    assert small.clusters.mean[-1] < large.clusters.mean[-1]
    for each in (*small.lasting, *large.lasting):
        assert each is None or (each.clusters > 1 and each.since <= each.until <= 200)
    until = stays_until(3, 64.0, 4.0, 0.1)
    angles = [0.0, 1.0, 2.0, 3.0]
    assert stays(angles, 3, 0.999 * until, 64.0, 4.0, 0.1).holds
    assert not stays(angles, 3, 1.001 * until, 64.0, 4.0, 0.1).holds


@pytest.mark.parametrize("dim", [2, 3])
def test_centres_are_drawn(tmp_path, dim):
    found = diagnose(causal_mask(30), beta=64.0, dim=dim, seeds=1, time=5.0, paths=True)
    start = starts(1, 30, dim)
    assert dict(found.first_centres)["strong"] == tuple(np.flatnonzero(strong_centres(start, 0.5)[0]).tolist())
    text = write_clustering(found, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ">strong centres<" in text or "strong centres" in text
    assert text.count("Renyi centres") >= 2
