"""What is printed of limits: each counterexample runs, and each theorem is called one, with its source."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import (
    Law,
    Setting,
    causal_mask,
    diagnose,
    following,
    law_of,
    meaning,
    starts,
    statement,
    trajectories,
    weights,
)
from masksynth.diagnostics.clustering.statements import MEANING, STATUSES
from masksynth.diagnostics.clustering.weight_laws import multiple_of_identity
from masksynth.mask import Mask

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
FULL = Mask.from_dense(np.ones((4, 4), bool))
IDENTITY = Law(1.0, 1.0)


def known(mask, dim, setting=None, beta=1.0):
    """Return (status, certainty) of each group of a mask."""
    found = diagnose(mask, beta=beta, dim=dim, seeds=1, time=0.01, setting=setting)
    return {(group.status, group.certainty) for group in found.groups}


@pytest.mark.parametrize("beta", [2.5, 6.0])
def test_a_tetrahedron_attracts_if_tokens_turn_away(beta):
    """Why gathering is not conjectured for all Q and K: full mask, d = 3, K = V = I, Q = -I."""
    x = TETRAHEDRON + 0.05 * np.random.default_rng(0).standard_normal((8, 4, 3))
    end = trajectories(FULL, x, [500.0], beta=beta, query=-np.eye(3))[:, 0]
    assert np.abs(end @ end.transpose(0, 2, 1) - (4 * np.eye(4) - 1) / 3).max() < 1e-4
    away = Setting(query=-np.eye(3))
    assert known(FULL, 3, away, beta) == {("complete class", "open")}
    assert known(FULL, 3, beta=beta) == {("complete class", "theorem")}
    gathered = trajectories(FULL, x, [500.0], beta=1.0)[:, 0]
    assert np.abs(gathered - gathered[:, :1]).max() < 1e-4


@pytest.mark.parametrize("dim", [2, 3])
def test_a_position_among_fixed_keys_turns_for_ever_under_a_rotation(dim):
    """Why D and E need Q = K = I: 12 fixed keys on a circle, one free token, Q a rotation by 60 degrees."""
    turn, rows, query = 2 * np.pi * np.arange(12) / 12, np.eye(13, dtype=bool), np.eye(dim)
    rows[12] = True
    c, s = np.cos(np.pi / 3), np.sin(np.pi / 3)
    query[:2, :2] = [[c, -s], [s, c]]
    x = np.zeros((4, 13, dim))
    x[:, :12, 0], x[:, :12, 1], x[:, 12] = np.cos(turn), np.sin(turn), starts(4, 1, dim, seed=1)[:, 0]
    path = trajectories(Mask.from_dense(rows), x, np.linspace(100, 140, 81), query=query)[:, :, 12]
    around = np.unwrap(np.arctan2(path[..., 1], path[..., 0]), axis=1)
    assert (np.diff(around, axis=1) > 0.1).all()
    assert known(Mask.from_dense(rows), dim, Setting(query=query)) == {("fixed", "theorem"), ("fixed keys", "open")}
    assert known(Mask.from_dense(rows), dim) == {("fixed", "theorem"), ("fixed keys", "theorem")}
    assert statement("several roots", dim, law_of(1.0, weights(dim, query))).certainty == "open"
    assert statement("several roots", dim, IDENTITY).certainty == "conjecture"


def test_published_theorems_are_called_theorems():
    path = np.eye(5, dtype=bool) | np.eye(5, k=1, dtype=bool) | np.eye(5, k=-1, dtype=bool)
    assert known(Mask.from_dense(path), 3) == {("symmetric class", "theorem")}
    assert known(Mask.from_dense(path), 2) == {("symmetric class", "open")}
    assert "2405.18273" in meaning("symmetric class", 3)
    assert "2507.22857" in meaning("complete class", 2)
    assert statement("complete class", 2, Law(-0.16, 1.0), 5).certainty == "theorem"
    assert statement("complete class", 2, Law(-0.7, 1.0), 5).certainty == "open"
    assert statement("complete class", 2, Law(None, 1.0), 5).certainty == "open"
    assert "4.1" in meaning("chain", 3, Law(None, 1.0))


def test_positions_above_a_symmetric_root_follow_it():
    """Prefix-LM and image blocks: theorem B with a class for a root; with cycles above it is open."""
    rows = np.tri(9, dtype=bool)
    rows[:5, :5] = True
    assert known(Mask.from_dense(rows), 3) == known(Mask.from_dense(rows), 2) == {("complete class", "theorem")}
    rows[7, 8] = True
    assert ("one class, cycles above", "open") in known(Mask.from_dense(rows), 3)
    rows[7, 8] = False
    x = starts(6, 9, 3, seed=5)
    end = trajectories(Mask.from_dense(rows), x, [150.0])[:, 0]
    assert np.abs(end - end[:, :1]).max() < 1e-4


def zigzag():
    """Return a mask of 60 positions and its rotating state's start at a height of 22.5 degrees.

    Ten pairs of positions at the angles of a pentagon, five above and five below the equator: each sees the pair that
    follows on the other side and one position of the pole on its own side, which is 20 that see each other and one of
    each pair there.
    """
    rows, height = np.zeros((60, 60), bool), np.radians(22.5)
    for place in range(10):
        rows[2 * place : 2 * place + 2, [2 * ((place + 1) % 10), 2 * ((place + 1) % 10) + 1]] = True
        pole = 20 + 20 * (place % 2)
        rows[2 * place : 2 * place + 2, pole] = rows[pole : pole + 20, pole : pole + 20] = True
        rows[pole : pole + 20, 2 * place] = True
    turn = 2 * np.pi * (-2 * np.arange(10)) / 10  # the next pair follows by 72 degrees, backwards
    side = np.where(np.arange(10) % 2, -1.0, 1.0)
    ring = np.stack([np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), side * np.sin(height)], axis=1)
    poles = np.repeat([[0, 0, 1.0], [0, 0, -1]], 20, axis=0)
    return rows, np.vstack([np.repeat(ring, 2, axis=0), poles])


@pytest.mark.parametrize("score", [0.0, 0.05])
def test_one_class_need_not_gather_on_the_sphere(score):
    """C: a strongly connected mask, d = 3, scores s >= 0: a rotating state of three dimensions attracts."""
    rows, x = zigzag()
    noise = 0.01 * np.random.default_rng(1).standard_normal((3, 60, 3))
    query = score * np.eye(3)
    times = [700.0, 701.0]
    end = trajectories(Mask.from_dense(rows), x + noise, times, query=query)
    products = end @ end.transpose(0, 1, 3, 2)
    assert np.abs(products - products[0, 0]).max() < 0.01  # one state, up to a rotation, that stays
    assert products.min() < -0.99
    assert (np.linalg.norm(end[:, 1, :20] - end[:, 0, :20], axis=-1) > 0.5).all()
    assert np.linalg.matrix_rank(end[0, 0], tol=0.5) == 3
    assert known(Mask.from_dense(rows), 3, Setting(query=query)) == {("one class", "open")}
    above = np.pad(rows, (0, 2))
    above[60:, 60:], above[60:, 0] = True, True
    assert known(Mask.from_dense(above), 3) == {("one class", "open"), ("one class, cycles above", "open")}


def test_few_positions_gather_under_any_scores():
    """C: up to d positions start in an open hemisphere with probability 1, whatever Q and K."""
    cycle = np.roll(np.eye(3, dtype=bool), 1, axis=1)
    away = Setting(query=-np.eye(3))
    assert known(Mask.from_dense(cycle), 3, away) == {("one class", "theorem")}
    assert known(Mask.from_dense(cycle), 2) == {("one class", "open")}
    end = trajectories(Mask.from_dense(cycle), starts(6, 3, 3, seed=1), [300.0], beta=2.0, query=-np.eye(3))[:, 0]
    assert np.abs(end - end[:, :1]).max() < 1e-4


def test_only_a_positive_multiple_of_the_identity_keeps_theorems():
    assert law_of(2.0, weights(3, 2 * np.eye(3), 3 * np.eye(3))) == Law(12.0, 1.0)
    assert multiple_of_identity(np.diag([1.0, 1.0 + 1e-6])) is None
    small = np.diag([1.0, 2.0, 3.0]) * 1e-13  # slow, but no multiple: theorem 4.1 says nothing about it
    assert multiple_of_identity(small) is None
    assert multiple_of_identity(1e-13 * np.eye(3)) == pytest.approx(1e-13)
    assert multiple_of_identity(np.zeros((2, 2))) == 0
    assert "4.1" not in statement("chain", 3, law_of(1.0, weights(3, value=small))).source
    for value, certainty in ((2 * np.eye(3), "theorem"), (-np.eye(3), "open"), (np.diag([3.0, 2, 1]), "theorem")):
        assert ("chain", certainty) in known(causal_mask(4), 3, Setting(value=value))
    for turning, certainty in (([[1.0, -1], [1, 1]], "theorem"), ([[0.0, -1], [1, 0]], "open")):
        assert known(causal_mask(3), 2, Setting(value=np.array(turning))) == {
            ("fixed", "theorem"),
            ("chain", certainty),
        }


def test_every_status_has_a_meaning_in_every_setting():
    for status in STATUSES:
        for dim in (2, 3):
            for law in (
                IDENTITY,
                Law(None, 1.0),
                Law(-3.0, 1.0),
                Law(1.0, None),
                Law(1.0, -1.0),
                Law(None, None, "goes"),
            ):
                found = statement(status, dim, law, 9)
                assert found.certainty in ("theorem", "conjecture", "open", "refuted")
                assert found.text
    assert set(MEANING) == set(STATUSES)
    assert set(following(causal_mask(3)).status) <= set(STATUSES)
