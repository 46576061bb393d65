"""Symmetry and directionality: values known by hand, invariances, random matrices in the mean, and the cheap forms
against W_qk itself.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masksynth.diagnostics import symmetry as room
from masksynth.errors import InvalidInstance
from tests.diagnostics.symmetry import dense

SQUARES = st.integers(2, 9).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.integers(-50, 50).map(float)))
NONZERO = SQUARES.filter(lambda matrix: matrix.any())


def test_the_value_that_tells_the_printed_factor_from_the_right_one():
    assert room.symmetry_score([[1, 2], [0, 1]]) == pytest.approx(1 / 3, abs=1e-15)


@given(NONZERO, st.floats(0.01, 100), st.sampled_from((1, -1)))
@settings(max_examples=60, deadline=None)
def test_symmetry_is_bounded_and_does_not_see_scale_or_transposition(matrix, scale, sign):
    score = room.symmetry_score(matrix)
    assert -1 <= score <= 1
    assert score == pytest.approx(dense.symmetry(matrix), abs=1e-12)
    assert room.symmetry_score(sign * scale * matrix) == pytest.approx(score, abs=1e-12)
    assert room.symmetry_score(matrix.T) == pytest.approx(score, abs=1e-12)


@given(NONZERO, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_symmetry_does_not_see_rotations(matrix, seed):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=matrix.shape))
    assert room.symmetry_score(turn @ matrix @ turn.T) == pytest.approx(room.symmetry_score(matrix), abs=1e-9)


@given(SQUARES)
@settings(max_examples=60, deadline=None)
def test_symmetric_and_skew_matrices_are_the_ends_and_have_no_direction(matrix):
    even, odd = matrix + matrix.T, matrix - matrix.T
    for part, end in ((even, 1), (odd, -1)):
        if part.any():
            assert room.symmetry_score(part) == pytest.approx(end, abs=1e-12)
        for mode in room.MODES:
            assert room.directionality_score(part, mode) == pytest.approx(0, abs=1e-9)


@given(SQUARES, st.sampled_from(room.MODES), st.sampled_from((0.5, 1.0, 2.0)))
@settings(max_examples=60, deadline=None)
def test_directionality_turns_with_transposition(matrix, mode, gamma):
    score = room.directionality_score(matrix, mode, gamma)
    assert -1 <= score <= 1
    assert room.directionality_score(matrix.T, mode, gamma) == -score


@pytest.mark.parametrize("mode", room.MODES)
def test_directionality_against_the_definition_on_random_matrices(mode):
    rng = np.random.default_rng(1)
    for _ in range(20):
        matrix = rng.normal(size=(60, 60)) * rng.lognormal(size=60)
        assert room.directionality_score(matrix, mode) == pytest.approx(dense.directionality(matrix, mode), abs=1e-12)
    assert room.directionality_score(matrix, "sum") != pytest.approx(
        room.directionality_score(matrix, "excess"), abs=1e-3
    )


def test_a_heavy_column_is_column_dominance_and_equal_norms_are_none():
    heavy = np.ones((20, 20))
    heavy[:, 3] = 10
    assert [room.directionality_score(m) for m in (heavy, heavy.T, np.ones((20, 20)))] == [-1, 1, 0]
    # Equal norms up to rounding, far below and far above one, straight and through the factors' Gram matrices.
    for scale in (1e-12, 0.1, 1e12):
        equal = np.full((23, 23), scale / 3) * np.where(np.arange(23) % 2, 1 + 1e-15, 1)
        assert room.directionality_score(equal, "excess", 0.5) == 0
    column = np.full((23, 1), 0.1)
    assert room.factor_scores(column, column).directionality == 0


@pytest.mark.parametrize(("size", "score"), [(5, 0.0), (6, -1.0)])
def test_one_heavy_column_can_stand_out_from_six_on(size, score):
    matrix = np.zeros((size, size))
    matrix[:, 0] = 1
    assert room.directionality_score(matrix) == score


def test_random_matrices_in_the_mean():
    rng, draws, n = np.random.default_rng(0), 4000, 50
    scores = np.array([room.symmetry_score(rng.normal(size=(n, n))) for _ in range(draws)])
    error = np.sqrt(2) / n / np.sqrt(draws)
    assert abs(scores.mean() - 1 / n) < 4 * error
    assert scores.std(ddof=1) == pytest.approx(np.sqrt(2) / n, rel=0.05)
    assert abs(scores.mean() - 8 / n) > 100 * error  # the value that the paper states


@pytest.mark.parametrize("width", [4, 16, 64])
def test_random_factors_in_the_mean(width):
    rng, draws, d = np.random.default_rng(2), 400, 64
    scores = np.array([room.factor_scores(*rng.normal(size=(2, d, width))).symmetry for _ in range(draws)])
    assert abs(scores.mean() - 1 / d) < 4 * scores.std(ddof=1) / np.sqrt(draws)


def test_random_directionality_is_zero_in_the_mean_only():
    rng, draws = np.random.default_rng(3), 400
    scores = np.array([room.directionality_score(rng.normal(size=(100, 100))) for _ in range(draws)])
    assert abs(scores.mean()) < 4 * scores.std(ddof=1) / np.sqrt(draws)
    assert scores.std(ddof=1) == pytest.approx(0.39, abs=0.06)


@pytest.mark.parametrize(("heads", "key_heads"), [(1, 1), (4, 4), (4, 2), (6, 2), (4, 1)])
@pytest.mark.parametrize("mode", room.MODES)
def test_cheap_forms_against_the_whole_matrix(heads, key_heads, mode):
    rng = np.random.default_rng(heads * 10 + key_heads)
    query, key = rng.normal(size=(40, heads * 6)) * rng.lognormal(size=(40, 1)), rng.normal(size=(40, key_heads * 6))
    whole = dense.heads(query, key, heads, key_heads)
    found = room.head_scores(query, key, heads, key_heads, mode, 1.0)
    assert [one.symmetry for one in found] == pytest.approx([dense.symmetry(one) for one in whole], abs=1e-12)
    assert [one.directionality for one in found] == pytest.approx(
        [dense.directionality(one, mode, 1.0) for one in whole], abs=1e-12
    )
    layer = room.layer_scores(query, key, heads, key_heads, mode, 1.0)
    assert layer.symmetry == pytest.approx(dense.symmetry(sum(whole)), abs=1e-12)
    assert layer.directionality == pytest.approx(dense.directionality(sum(whole), mode, 1.0), abs=1e-12)


@pytest.mark.parametrize(
    ("size", "other"), [(1e200, 1e200), (1e-200, 1e-200), (1e300, 1e-300), (1e-300, 1.0), (1e308, 1e308)]
)
def test_scale_does_not_matter_however_large_or_small(size, other):
    rng = np.random.default_rng(6)
    query, key = rng.uniform(-1, 1, size=(2, 40, 8)) * rng.uniform(size=(40, 1)) ** 4
    whole = query @ key.T / 8
    assert room.symmetry_score(size * whole) == pytest.approx(dense.symmetry(whole), abs=1e-12)
    assert room.directionality_score(size * whole) == pytest.approx(dense.directionality(whole, "sum"), abs=1e-12)
    assert dense.directionality(whole, "sum") != 0
    for heads, shared in ((4, 4), (4, 2)):
        narrow = key[:, : 2 * shared]
        want, each = room.layer_scores(query, narrow, heads, shared), room.head_scores(query, narrow, heads, shared)
        assert room.layer_scores(size * query, other * narrow, heads, shared) == pytest.approx(want, abs=1e-12)
        found = room.head_scores(size * query, other * narrow, heads, shared)
        assert np.array(found) == pytest.approx(np.array(each), abs=1e-12)


def test_the_smallest_numbers_have_a_score():
    assert room.symmetry_score(np.array([[1.0, 2.0], [0.0, 1.0]]) * 5e-324) == pytest.approx(1 / 3)


def test_columns_of_unlike_sizes_do_not_vanish():
    query, key = np.array([[1.0, 1e-200], [1.0, 2e-200]]), np.array([[1e-200, 1.0], [3e-200, 1.0]])
    want = dense.symmetry(1e200 * (query @ key.T))
    assert room.factor_scores(query, key).symmetry == pytest.approx(want, abs=1e-12)
    assert room.factor_scores([[1.0, 0.0]], [[0.0, 1.0]]) == (None, None)


def test_another_pairing_of_grouped_heads_would_be_seen():
    rng = np.random.default_rng(4)
    query, key = rng.normal(size=(40, 24)), rng.normal(size=(40, 12))
    tiled = sum(query[:, 6 * h : 6 * h + 6] @ key[:, 6 * (h % 2) : 6 * (h % 2) + 6].T for h in range(4))
    assert abs(room.layer_scores(query, key, 4, 2).symmetry - dense.symmetry(tiled)) > 1e-3


def test_equal_queries_and_keys_are_symmetric():
    key = np.random.default_rng(5).normal(size=(30, 12))
    assert room.layer_scores(key, key, 3).symmetry == pytest.approx(1, abs=1e-14)
    assert room.layer_scores(key, key).symmetry == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        (lambda: room.symmetry_score(np.ones((2, 3))), r"expected a square matrix, got an array of shape \(2, 3\)"),
        (lambda: room.symmetry_score(np.zeros((0, 0))), r"expected a square matrix, got an array of shape \(0, 0\)"),
        (lambda: room.symmetry_score(np.zeros((3, 3))), "a matrix of zeros has no symmetry score"),
        (lambda: room.symmetry_score([[1, np.nan], [0, 1]]), "contains 1 values that are NaN or infinite"),
        (lambda: room.symmetry_score([["a"]]), "expected real numbers"),
        (lambda: room.directionality_score(np.eye(3), "both"), "mode 'both'; choose one of sum, excess"),
        (lambda: room.directionality_score(np.eye(3), gamma=np.nan), "expected a finite gamma, got nan"),
        (lambda: room.directionality_score(np.eye(3), gamma=np.inf), "expected a finite gamma, got inf"),
        (lambda: room.directionality_score(np.eye(3), gamma=-1), "expected gamma >= 0, got -1; outliers are long rows"),
        (lambda: room.directionality_of_norms([1, np.nan], [1, 1]), "the row norms contains 1 values that are NaN"),
        (lambda: room.factor_scores(np.ones((3, 2)), np.ones((3, 1))), "are not two factors"),
        (
            lambda: room.layer_scores(np.ones((3, 8)), np.ones((3, 4)), 4, 3),
            "do not split into 4 query and 3 key heads",
        ),
        (lambda: room.speed_up([1, 2], [1]), r"got shapes \(2,\) and \(1,\)"),
        (lambda: room.speed_up([], []), "one loss per step"),
        (lambda: room.skew_query(np.ones((4, 3)), 1), "expected an even head size, got 3"),
        (lambda: room.symmetric_query(np.ones((4, 3)), 2), "does not split into 2 heads"),
    ],
)
def test_refusals(call, fact):
    with pytest.raises(InvalidInstance, match=fact) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_starts_are_symmetric_and_skew_in_every_head():
    key = np.random.default_rng(6).normal(size=(20, 8))
    for heads, key_heads in ((2, 2), (4, 2), (4, 1)):
        same = room.symmetric_query(key, heads, key_heads)
        turned = room.skew_query(key, heads, key_heads, seed=1)
        assert [one.symmetry for one in room.head_scores(same, key, heads, key_heads)] == pytest.approx(
            [1] * heads, abs=1e-12
        )
        assert [one.symmetry for one in room.head_scores(turned, key, heads, key_heads)] == pytest.approx(
            [-1] * heads, abs=1e-12
        )
        assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(same))
    turn = room.skew_rotation(8, np.random.default_rng(7))
    query = key @ turn
    assert np.allclose(key, query @ turn.T)  # the form W_k = W_q S^T


def test_speed_up_by_hand():
    assert room.speed_up([5, 4, 3, 2], [4, 1, 1, 1]) == 0.75
    assert room.speed_up([5, 4, 3, 2], [1, 1, 1, 1]) == 1
    assert room.speed_up([5, 4, 3, 2], [5, 4, 3, 2.5]) == 0  # never below: not the complete run
    assert room.speed_up([5, 4, 3, 2], [5, 4, 3, 2]) == 0
    assert room.speed_up([5, 4, 3, 2], [5, 4, 3, 1]) == 0.25


def test_speed_up_counts_from_0_as_the_notebook_does():
    assert room.speed_up([3, 2, 1.5], [3, 1.4, 1]) == pytest.approx(2 / 3)  # counted from 1 it would be 1/3


def test_the_mean_score_is_1_over_n_for_laws_symmetric_about_0_alone():
    """Exponential numbers minus 1 have mean 0, too, and a mean score above 1/n: 0.533, 0.354, 0.207 at n = 2, 3, 5."""
    rng = np.random.default_rng(12)
    for size, other in ((2, 0.533), (3, 0.354), (5, 0.207)):
        for draw, mean in ((rng.standard_normal, 1 / size), (rng.standard_exponential, other)):
            entries = draw((40_000, size, size))
            entries = entries - 1 if draw == rng.standard_exponential else entries
            scores = np.einsum("bij,bji->b", entries, entries) / np.einsum("bij,bij->b", entries, entries)
            error = scores.std() / len(scores) ** 0.5
            assert abs(scores.mean() - mean) < 4 * error + (0 if mean == 1 / size else 0.0006)
            assert abs(room.symmetry_score(entries[0]) - scores[0]) < 1e-12
