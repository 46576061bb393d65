"""Trajectories: what must hold whatever the start, the mask and the weights, and where they go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.diagnostics.clustering import (
    angles,
    causal_mask,
    energy,
    starts,
    trajectories,
    two_tokens,
    two_tokens_time,
)
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.posets import closure
from tests.diagnostics.clustering.naive import random_mask

TIGHT = {"rtol": 1e-8, "atol": 1e-10}
TIMES = np.array([0.0, 0.5, 3.0])
CASES = st.tuples(st.integers(0, 10**6), st.integers(2, 7), st.integers(2, 4), st.floats(0, 6), st.booleans())


def case(number, n, dim, causal):
    """A mask, a start and Q, K, V."""
    rng = np.random.default_rng(number)
    return (
        random_mask(rng, n, 0.5, causal),
        starts(2, n, dim, number),
        rng.standard_normal((3, dim, dim)) / np.sqrt(dim),
    )


@given(CASES)
@settings(max_examples=8, deadline=None)
def test_turning_the_sphere_turns_the_trajectories(drawn):
    number, n, dim, beta, causal = drawn
    allowed, x, (query, key, value) = case(number, n, dim, causal)
    mask = Mask.from_dense(allowed)
    turn, _ = np.linalg.qr(np.random.default_rng(number + 1).standard_normal((dim, dim)))
    plain = trajectories(mask, x, TIMES, beta=beta, query=query, key=key, value=value, **TIGHT)
    moved = {"query": query @ turn.T, "key": key @ turn.T, "value": turn @ value @ turn.T}
    assert np.abs(trajectories(mask, x @ turn.T, TIMES, beta=beta, **moved, **TIGHT) - plain @ turn.T).max() < 1e-5


@given(CASES)
@settings(max_examples=8, deadline=None)
def test_a_down_set_moves_by_itself(drawn):
    number, n, dim, beta, causal = drawn
    allowed, x, (query, key, value) = case(number, n, dim, causal)
    given = {"beta": beta, "query": query, "key": key, "value": value, **TIGHT}
    whole = trajectories(Mask.from_dense(allowed), x, TIMES, **given)
    down = np.flatnonzero(closure(allowed)[n - 1])
    alone = trajectories(Mask.from_dense(allowed[np.ix_(down, down)]), x[:, down], TIMES, **given)
    assert np.abs(whole[:, :, down] - alone).max() < 1e-5


@given(CASES)
@settings(max_examples=8, deadline=None)
def test_length_is_kept_and_positions_can_be_renamed(drawn):
    number, n, dim, beta, causal = drawn
    allowed, x, (query, key, value) = case(number, n, dim, causal)
    given = {"beta": beta, "query": query, "key": key, "value": value, **TIGHT}
    whole = trajectories(Mask.from_dense(allowed), x, TIMES, **given)
    assert np.abs(np.linalg.norm(whole, axis=-1) - 1).max() < 1e-14
    order = np.random.default_rng(number).permutation(n)
    renamed = trajectories(Mask.from_dense(allowed[np.ix_(order, order)]), x[:, order], TIMES, **given)
    assert np.abs(whole[:, :, order] - renamed).max() < 1e-5


@pytest.mark.parametrize("dim", [2, 3])
def test_the_first_six_do_not_see_the_rest(dim):
    x = starts(4, 10, dim)
    long = trajectories(causal_mask(10), x, TIMES, beta=4.0, **TIGHT)
    short = trajectories(causal_mask(6), x[:, :6], TIMES, beta=4.0, **TIGHT)
    assert np.abs(long[:, :, :6] - short).max() < 1e-6
    assert np.abs(long[:, :, 0] - x[:, None, 0]).max() < 1e-15
    assert np.abs(np.linalg.norm(long, axis=-1) - 1).max() < 1e-15


def test_a_mask_that_is_causal_is_the_causal_mask():
    x = starts(2, 12, 3)
    found = trajectories(Mask.from_dense(np.tri(12, dtype=bool)), x, TIMES, beta=3.0)
    assert np.array_equal(found, trajectories(causal_mask(12), x, TIMES, beta=3.0))


@pytest.mark.parametrize("beta", [1.0, 9.0, 64.0])
def test_a_token_goes_downhill_while_the_earlier_ones_stand(beta):
    n = 20
    frozen = np.eye(n, dtype=bool)
    frozen[-1] = True
    phi = np.random.default_rng(2).uniform(-np.pi, np.pi, (5, n))
    path = angles(Mask.from_dense(frozen), phi, np.linspace(0, 20, 200), beta=beta)
    assert np.array_equal(path[:, -1, :-1], phi[:, :-1])
    falls = np.diff(energy(path, n - 1, beta), axis=1)
    assert falls.max() <= 1e-9
    assert falls.min() < -1e-6


def test_energy_may_rise_while_the_earlier_ones_move():
    phi = np.random.default_rng(2).uniform(-np.pi, np.pi, (20, 12))
    path = angles(causal_mask(12), phi, np.linspace(0, 20, 200), beta=9.0)
    assert max(np.diff(energy(path, k, 9.0), axis=1).max() for k in range(2, 12)) > 1e-6


def test_two_tokens():
    found = angles(causal_mask(2), [[0.0, 2.0], [0.0, 3.0]], [1.0, 2.0], beta=0.0, **TIGHT)
    assert np.abs(found[0, :, 1] - [1.5138498545, 1.0405669293]).max() < 1e-7
    assert np.abs(found[1, :, 1] - two_tokens(3.0, [1.0, 2.0])).max() < 1e-7
    for beta in (0.5, 4.0, 9.0):
        end = float(angles(causal_mask(2), [[0.0, 2.0]], [6.0], beta=beta, **TIGHT)[0, 0, 1])
        assert abs(two_tokens_time(2.0, end, beta) - 6.0) < 1e-5


@pytest.mark.parametrize("scaled", [True, False])
def test_a_causal_mask_gathers_at_the_first_token(scaled):
    """Theorem 4.1, with what was measured before for 60 starts; 20 of them here."""
    x = starts(20, 16, 3, seed=1)
    for number, start in enumerate(x.reshape(4, 5, 16, 3)):
        query, key = np.random.default_rng([number, 9]).standard_normal((2, 3, 3)) / np.sqrt(3)
        given = {"query": query, "key": key, "beta": 0.5} if scaled else {"beta": 1.0}
        end = trajectories(causal_mask(16), start, [60.0], rtol=1e-7, atol=1e-10, **given)[:, 0]
        assert np.linalg.norm(end - start[:, :1], axis=-1).max() < 1e-6
    with pytest.raises(AssertionError):
        assert (
            np.linalg.norm(trajectories(causal_mask(16), x, [60.0], beta=16.0)[:, 0] - x[:, :1], axis=-1).max() < 1e-6
        )


def test_the_conjectures_at_two_values():
    """V = diag(3, 2, 1): all on the axis of 3, on either side; V = diag(2, 2, 1): all where the first token's part in
    the plane points.
    """
    x = starts(8, 12, 3)
    end = trajectories(causal_mask(12), x, [60.0], value=np.diag([3.0, 2.0, 1.0]), rtol=1e-7, atol=1e-10)[:, 0]
    assert np.abs(end[..., 0]).min() > 1 - 1e-8
    assert {-1.0, 1.0} == set(np.sign(end[..., 0]).ravel().tolist())
    end = trajectories(causal_mask(12), x, [150.0], value=np.diag([2.0, 2.0, 1.0]), rtol=1e-7, atol=1e-10)[:, 0]
    goal = x[:, 0] * [1, 1, 0]
    assert np.abs(end - (goal / np.linalg.norm(goal, axis=-1, keepdims=True))[:, None]).max() < 1e-6


def test_harmonics_carry_a_long_mask():
    n = 3000
    phi = np.random.default_rng(4).uniform(-np.pi, np.pi, (1, n))
    found = angles(causal_mask(n), phi, [1.0], beta=64.0)
    short = angles(causal_mask(300), phi[:, :300], [1.0], beta=64.0)
    assert np.abs(found[:, :, :300] - short).max() < 1e-5


def test_rows_without_themselves_and_empty_rows():
    rows = np.zeros((3, 3), bool)
    rows[1, 0] = rows[2, 0] = rows[2, 2] = True
    x = starts(1, 3, 3)
    found = trajectories(Mask.from_dense(rows), x, [0.0, 1.0, 40.0], beta=0.0, **TIGHT)[0]
    assert np.abs(found[:, 0] - x[0, 0]).max() < 1e-15
    first, second, third = (found[1, k] for k in range(3))
    whole, half = (
        2 * np.arctan(np.tan(np.arccos(x[0, k] @ x[0, 0]) / 2) * np.exp(-rate)) for k, rate in ((1, 1.0), (2, 0.5))
    )
    assert abs(np.arccos(first @ second) - whole) < 1e-6
    assert abs(np.arccos(first @ third) - half) < 1e-6


def test_what_is_refused():
    for start, text in (
        (np.ones((2, 3)), "start: expected"),
        (np.ones((1, 4, 2)), "start: expected"),
        (np.ones((1, 3, 1)), "start: expected"),
        (np.zeros((1, 3, 2)), "a point of the start is 0 or not finite"),
        (np.full((1, 3, 2), np.nan), "a point of the start is 0 or not finite"),
    ):
        with pytest.raises(InvalidInstance, match=text):
            trajectories(causal_mask(3), start, [1.0])
    with pytest.raises(InvalidInstance, match="expected a finite beta >= 0, got nan"):
        trajectories(causal_mask(3), starts(1, 3, 3), [1.0], beta=np.nan)
    with pytest.raises(InvalidInstance, match="finite angles"):
        angles(causal_mask(3), np.zeros((1, 2)), [1.0])
    with pytest.raises(InvalidInstance, match="expected a positive number of positions, got 0"):
        causal_mask(0)
    with pytest.raises(InvalidInstance, match="expected seeds >= 1"):
        starts(0, 3, 3)
