"""Right-hand sides compared with the definition written out, on any mask."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import Setting, causal_mask, diagnose, starts, trajectories
from masksynth.diagnostics.clustering.harmonics import harmonic_field, pays, terms
from masksynth.diagnostics.clustering.row_blocks import blocks_of, count_other_keys
from masksynth.diagnostics.clustering.vector_field import (
    circle_field,
    score_matrix,
    spectral_norm,
    sphere_field,
    weights,
)
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from tests.diagnostics.clustering.naive import random_mask, velocity


def turned(field, phi):
    """The circle's field from the sphere's."""
    x = np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    v = field(x)
    return v[..., 1] * x[..., 0] - v[..., 0] * x[..., 1]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("beta", [0.0, 2.0, 500.0])
def test_the_sphere_is_the_definition(dim, beta, causal):
    rng = np.random.default_rng(dim)
    allowed = random_mask(rng, 9, causal=causal)
    allowed[4] = False
    query, key, value = rng.standard_normal((3, dim, dim)) / dim
    x = starts(3, 9, dim)
    found = sphere_field(Mask.from_dense(allowed), beta, weights(dim, query, key, value))(x)
    for each, there in zip(x, found, strict=True):
        assert np.abs(velocity(allowed, each, beta, query, key, value) - there).max() < 1e-12
    assert (found[:, 4] == 0).all()


@pytest.mark.parametrize("beta", [0.0, 1.0, 64.0, 700.0])
def test_the_circle_is_the_sphere(beta):
    rng = np.random.default_rng(5)
    phi = rng.uniform(-np.pi, np.pi, (3, 150))
    for mask in (causal_mask(150), Mask.from_dense(random_mask(rng, 150, 0.1, causal=False))):
        assert np.abs(circle_field(mask, beta)(phi) - turned(sphere_field(mask, beta, weights(2)), phi)).max() < 1e-12


def interval_masks(n):
    """A window, documents side by side, and a prefix: every row with itself, or empty."""
    q, k = np.indices((n, n))
    window = (k <= q) & (k > q - 17)
    documents = (k <= q) & (k // 50 == q // 50)
    prefix = (k <= q) | (k < n // 3)
    holes = window | ((k < 5) & (k <= q))
    holes[n // 2] = False
    return [Mask.from_dense(each) for each in (window, documents, prefix, holes)]


@pytest.mark.parametrize("beta", [0.0, 0.7, 64.0, 1000.0])
def test_harmonics_are_pairs(beta):
    phi = np.random.default_rng(6).uniform(-9, 9, (4, 130))
    for mask in (causal_mask(130), *interval_masks(130)):
        assert np.abs(harmonic_field(mask, beta)(phi) - circle_field(mask, beta)(phi)).max() < 1e-11


def test_harmonics_of_many_positions_need_no_pairs():
    phi = np.random.default_rng(7).uniform(-np.pi, np.pi, (1, 20_000))
    mask = causal_mask(20_000)
    assert pays(mask, 64.0)
    found = harmonic_field(mask, 64.0)(phi)
    with pytest.raises(Unsupported, match="on a sphere, got 20,000"):
        circle_field(mask, 64.0)
    for k in (0, 1, 500, 19_999):
        weight = np.exp(64 * (np.cos(phi[0, : k + 1] - phi[0, k]) - 1))
        assert abs(found[0, k] - (weight * np.sin(phi[0, : k + 1] - phi[0, k])).sum() / weight.sum()) < 1e-10


def test_harmonics_refuse_rows_without_themselves():
    mask = Mask.from_dense(np.tri(200, k=-1, dtype=bool))
    assert not pays(mask, 1.0)
    with pytest.raises(Unsupported, match="does not contain its own position"):
        harmonic_field(mask, 1.0)
    assert np.allclose(terms(5.0) @ np.cos(np.arange(len(terms(5.0))) * 0.3), np.exp(5 * (np.cos(0.3) - 1)), atol=1e-15)


def test_blocks_hold_the_mask():
    rng = np.random.default_rng(8)
    for mask in (causal_mask(200), Mask.from_dense(random_mask(rng, 150, 0.02, causal=False)), *interval_masks(140)):
        dense = np.zeros((mask.size, mask.size), bool)
        for block in blocks_of(mask):
            part = dense[block.start : block.end, block.low : block.high]
            part[:] = True
            if block.allowed is not None:
                part[:, block.first : block.last] = block.allowed > 0
        assert np.array_equal(dense, mask.dense())
        assert np.array_equal(count_other_keys(mask), (mask.dense() & ~np.eye(mask.size, dtype=bool)).sum(axis=1))


def test_what_is_refused():
    pattern = Mask.from_dense(np.stack([np.eye(3, dtype=bool), np.tri(3, dtype=bool)]))
    with pytest.raises(InvalidInstance, match="expected a mask of one table, got 2"):
        blocks_of(pattern)
    with pytest.raises(InvalidInstance, match="expected a mask with positions, got 0"):
        blocks_of(Mask.from_dense(np.zeros((0, 0), bool)))
    with pytest.raises(InvalidInstance, match="query: expected"):
        weights(3, query=np.eye(2))
    with pytest.raises(InvalidInstance, match="value: expected"):
        weights(2, value=np.full((2, 2), np.nan))
    with pytest.raises(InvalidInstance, match="dimension of at least 2, got 1"):
        weights(1)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_points_of_any_length_have_their_direction(scale):
    start = starts(2, 5, 3)
    moved = trajectories(causal_mask(5), start * scale, [1.0], beta=2.0)
    np.testing.assert_allclose(moved, trajectories(causal_mask(5), start, [1.0], beta=2.0), atol=1e-9)


@pytest.mark.parametrize(("beta", "query", "key"), [(9.0, 1e308, 1.0), (1.0, 1e200, 1e200), (1e10, 1e295, 1.0)])
def test_scores_that_overflow_are_refused(beta, query, key):
    setting = Setting(query=query * np.eye(3), key=key * np.ones((3, 3)))
    with pytest.raises(InvalidInstance, match=r"scores .* overflow"):
        diagnose(causal_mask(3), beta=beta, time=1.0, setting=setting)


def test_scores_and_norms_of_diagonal_matrices_are_those_of_all():
    rng = np.random.default_rng(3)
    for key in (np.diag([2.0, -5.0, 0.0]), rng.normal(size=(3, 3)), rng.normal(size=(2, 3))):
        given = weights(3, query=rng.normal(size=(len(key), 3)), key=key)
        np.testing.assert_allclose(score_matrix(2.0, given), 2 * given.query.T @ key, atol=1e-14)
        assert spectral_norm(key) == pytest.approx(np.linalg.svd(key)[1].max())
