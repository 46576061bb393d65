"""What a mask does to the update of W_qk: reciprocity three ways, random updates against the prediction, context and
prediction counts.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masksynth import Mask, catalog
from masksynth.diagnostics import symmetry as room
from masksynth.diagnostics.components import mask_parts
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export import mutual_pairs as mutual
from masksynth.merge import merge

DENSE = st.integers(1, 9).flatmap(lambda n: arrays(bool, (n, n)))


def causal(n, diagonal=True):
    return Mask.from_dense(np.tri(n, k=0 if diagonal else -1, dtype=bool))


def prefix(n, p):
    return Mask.from_dense(np.tri(n, dtype=bool) | (np.arange(n) < p))


@given(DENSE.filter(lambda dense: dense.any()))
@settings(max_examples=100, deadline=None)
def test_reciprocity_from_intervals_is_the_symmetry_score_of_the_mask(dense):
    mask, naive = Mask.from_dense(dense), (dense & dense.T).sum() / dense.sum()
    assert room.reciprocity(mask) == naive
    assert room.symmetry_score(dense) == pytest.approx(naive, abs=1e-12)
    assert room.reciprocity(Mask.from_dense(dense.T)) == naive


@pytest.mark.parametrize("n", [1, 2, 8, 33])
def test_closed_forms(n):
    assert room.reciprocity(causal(n)) == pytest.approx(float(room.causal_reciprocity(n)))
    assert room.reciprocity(Mask.from_dense(np.ones((n, n), bool))) == 1
    if n > 1:
        assert room.reciprocity(causal(n, False)) == room.causal_reciprocity(n, False) == 0
    for p in {1, (n + 1) // 2, n}:
        assert room.reciprocity(prefix(n, p)) == pytest.approx(float(room.prefix_reciprocity(n, p)))
        window = Mask.from_dense(np.tri(n, dtype=bool) & ~np.tri(n, k=-p, dtype=bool))
        assert room.reciprocity(window) == pytest.approx(float(room.window_reciprocity(n, p)))


def test_masks_of_the_catalogue():
    assert room.reciprocity(merge(catalog.causal_lm(n=9)).mask) == pytest.approx(2 / 9)
    assert room.reciprocity(merge(catalog.prefix_lm(n=9, P=4)).mask) == pytest.approx(20 / 42)


def test_rows_with_errors_alone_make_a_prefix_less_mutual_than_a_causal_mask():
    """What the page says of prefix-LM models: 24 positions, 12 of them prefix, words predicted from the last of the
    prefix on.
    """
    dense = merge(catalog.prefix_lm(n=25, P=12)).mask.dense()
    dense[:11] = False
    assert room.symmetry_score(dense) == room.reciprocity(Mask.from_dense(dense)) == 13 / 234 < 2 / 25


@given(DENSE)
@settings(max_examples=100, deadline=None)
def test_parts_against_a_search_from_each_position(dense):
    joined = dense | dense.T
    left, parts = {int(one) for one in np.flatnonzero(joined.any(axis=0))}, 0
    while left:
        parts, front = parts + 1, [left.pop()]
        while front:
            new = left & {int(one) for one in np.flatnonzero(joined[front.pop()])}
            left, front = left - new, front + list(new)
    assert mask_parts(Mask.from_dense(dense)) == parts


def test_long_masks_need_no_square():
    n = 1 << 17
    rows = Mask(np.arange(n + 1)[None], np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32))
    assert room.reciprocity(rows) == 2 / (n + 1)
    assert room.count_ratio(rows, np.arange(n) == 2) == (n - 3) / 2
    assert mask_parts(rows) == 1
    chain = Mask(
        np.arange(n + 1)[None], (np.arange(n, dtype=np.int32) + 2) % n, (np.arange(n, dtype=np.int32) + 2) % n + 1
    )
    assert mask_parts(chain) == 2  # each sees the second after it: the even and the odd


@given(DENSE.filter(lambda dense: dense.any()), st.integers(1, 12), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_scores_of_updates_without_the_update(dense, d, seed):
    states = np.random.default_rng(seed).normal(size=(len(dense), d))
    update = sum(np.outer(states[q], states[k]) for q, k in np.argwhere(dense))
    want = np.trace(update @ update) / (update**2).sum()
    assert room.drawn_score(Mask.from_dense(dense), states) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize(("mask", "value"), [(causal(8), 2 / 9), (prefix(8, 4), 20 / 42), (causal(8, False), 0.0)])
def test_updates_tend_to_the_reciprocity(mask, value):
    found = room.sample(mask, 4096, draws=64, seed=1)
    assert room.update_symmetry(mask) == pytest.approx(value)
    assert abs(found.mean - value) < 4 * found.error + 1e-3  # 1e-3: what the closed form at d = 4096 differs by
    assert found.error < 0.003
    other = causal(16)  # another mask would be seen
    assert abs(found.mean - room.reciprocity(other)) > 10 * found.error


def test_symmetric_masks_give_symmetric_updates_at_any_dimension():
    band = np.abs(np.subtract.outer(np.arange(9), np.arange(9))) < 3
    for d in (1, 3, 50):
        assert room.sample(Mask.from_dense(band), d, draws=3).mean == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("mask", [causal(6), prefix(6, 3), causal(6, False)])
@pytest.mark.parametrize("d", [3, 20])
def test_the_two_means_in_closed_form(mask, d):
    """E Tr(W W) and E |W|^2 by drawing, against the moments of the Wishart matrix."""
    rng, draws, dense = np.random.default_rng(d), 20000, mask.dense().astype(float)
    states = rng.normal(size=(draws, mask.size, d))
    updates = np.swapaxes(states, 1, 2) @ dense @ states
    above, below = np.einsum("nij,nji->n", updates, updates), np.einsum("nij,nij->n", updates, updates)
    pairs, r, trace = dense.sum(), room.reciprocity(mask), np.trace(dense)
    for values, want in (
        (above, d**2 * r * pairs + d * pairs + d * trace**2),
        (below, d**2 * pairs + d * r * pairs + d * trace**2),
    ):
        assert abs(values.mean() - want) < 4 * values.std() / np.sqrt(draws)
    assert room.update_symmetry(mask, d) == pytest.approx(
        (d**2 * r * pairs + d * pairs + d * trace**2) / (d**2 * pairs + d * r * pairs + d * trace**2)
    )


def test_columns_grow_as_the_paper_says():
    """S1.7: W = sum_i beta_i x_i y^T, y isotropic: E|column k|^2 / E|row m|^2 = Tr(Sigma) / (d Sigma_mm)."""
    rng, draws, d, n = np.random.default_rng(0), 4000, 6, 5
    spread, beta = np.array([0.2, 0.5, 1.0, 1.5, 2.0, 4.0]), rng.normal(size=n)
    summed = np.einsum("i,nid->nd", beta, rng.normal(size=(draws, n, d)) * np.sqrt(spread))
    update = summed[:, :, None] * rng.normal(scale=1.7, size=(draws, 1, d))
    columns, rows = (update**2).sum(axis=1), (update**2).sum(axis=2)
    for m in range(d):
        k = (m + 2) % d
        ratio = columns[:, k].mean() / rows[:, m].mean()
        errors = columns[:, k].std() / columns[:, k].mean(), rows[:, m].std() / rows[:, m].mean()
        assert abs(ratio * d * spread[m] / spread.sum() - 1) < 4 * np.hypot(*errors) / np.sqrt(draws)


def test_counts_of_context_and_prediction():
    third, uniform = np.arange(10) == 2, np.ones(10)
    for diagonal in (True, False):
        assert room.count_ratio(causal(10, diagonal), third) == 3.5
        assert room.count_ratio(causal(10, diagonal), uniform) == room.count_ratio(causal(10, diagonal)) == 1
    assert room.count_ratio(Mask.from_dense(np.ones((10, 10), bool)), third) == 1
    mean = 4.0  # positions 3 and 5, counted from 1
    assert room.count_ratio(causal(10), (np.arange(10) == 2) + (np.arange(10) == 4.0)) == pytest.approx(
        (10 - mean) / (mean - 1)
    )


@given(DENSE, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_counts_against_the_square(dense, seed):
    others = dense & ~np.eye(len(dense), dtype=bool)
    p = np.random.default_rng(seed).random(len(dense))
    above, below = p @ others.sum(axis=0), p @ others.sum(axis=1)
    if below:
        assert room.count_ratio(Mask.from_dense(dense), p) == pytest.approx(above / below)
    else:
        with pytest.raises(InvalidInstance, match="no token attends to another position"):
            room.count_ratio(Mask.from_dense(dense), p)


def test_tables_of_a_pattern_are_told_apart():
    found = room.diagnose_mask(
        Mask.from_dense(np.stack([np.tri(4, dtype=bool), np.ones((4, 4), bool)])), check=True, dimensions=(8,)
    )
    assert [one.reciprocity for one in found.tables] == [0.4, 1.0]
    assert found.tables[0].sampled != found.tables[1].sampled


def test_what_is_too_large_to_draw_is_named():
    found = room.diagnose_mask(causal(2000), check=True, dimensions=(4, 65536), draws=2)
    assert (found.left_out, [one.dimension for one in found.tables[0].sampled]) == ((65536,), [4])


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        (
            lambda: room.diagnose_mask(Mask.from_dense(np.zeros((3, 3), bool))),
            "a mask that allows no pair updates nothing",
        ),
        (
            lambda: room.diagnose_mask(Mask.from_dense(np.zeros((3, 3), bool)), check=True),
            "a mask that allows no pair updates nothing",
        ),
        (
            lambda: room.diagnose_mask(Mask.from_dense(np.zeros((0, 0), bool))),
            "a mask that allows no pair updates nothing",
        ),
        (lambda: room.diagnose_mask(causal(3), check=True, draws=1), "positive dimensions and at least 2 draws"),
        (lambda: room.update_symmetry(causal(3), 0), "expected a dimension of at least 1, got 0"),
        (lambda: room.count_ratio(causal(3), [1, 2]), "positions: expected 3 numbers"),
        (lambda: room.count_ratio(causal(3), [1, 2, np.inf]), "the distribution of positions contains 1 values"),
        (lambda: room.causal_reciprocity(1, False), "a causal mask of 1 positions allows no pair"),
        (lambda: room.prefix_reciprocity(3, 4), "expected a prefix of 1 to 3 positions, got 4"),
        (lambda: room.window_reciprocity(3, 0), "expected a window of 1 to 3 positions, got 0"),
    ],
)
def test_refusals(call, fact):
    with pytest.raises(InvalidInstance, match=fact) as refusal:
        call()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("table", [0, 1])
def test_pairs_are_counted_in_an_array_where_columns_are_in_pieces(table, monkeypatch):
    dense = np.random.default_rng(0).random((2, 30, 30)) < 0.4
    mask = Mask.from_dense(dense)
    monkeypatch.setattr(mutual, "MOST_INTERVALS", 5)
    assert mutual.mutual_pairs(mask, table) == (dense[table] & dense[table].T).sum()
    monkeypatch.setattr(mutual, "MAX_DENSE", 5)
    with pytest.raises(Unsupported, match="more than 5 intervals"):
        mutual.mutual_pairs(mask, table)


def test_the_gradient_of_w_qk_is_that_of_the_scores_and_its_rows_add_up_to_0():
    """Proposition 2.1 with softmax: dL/dW_qk = sum_ij (dL/da_ij) x_i x_j^T, and the errors of a row cannot be equal."""
    torch.manual_seed(0)
    tokens, weight = torch.randn(6, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    hidden = torch.ones(6, 6, dtype=torch.bool).triu(1)
    scores = tokens @ weight @ tokens.T
    scores.retain_grad()
    loss = ((scores.masked_fill(hidden, -torch.inf).softmax(1) @ torch.randn(6, 3, dtype=torch.float64)) ** 3).sum()
    loss.backward()
    errors = scores.grad
    assert torch.allclose(weight.grad, tokens.T @ errors @ tokens, atol=1e-12)
    assert not errors[hidden].any()
    assert errors.abs().max() > 0.1
    assert errors.sum(1).abs().max() < 1e-12


def test_the_reciprocity_of_predicting_some_hidden_words_is_their_share():
    """Rows of h hidden words of n, which see all words: h n pairs, of which h h have a reverse."""
    hidden = np.zeros(20, bool)
    hidden[[3, 8, 15]] = True
    assert room.reciprocity(Mask.from_dense(np.repeat(hidden[:, None], 20, axis=1))) == pytest.approx(3 / 20)
