"""What is kept of many starts: batches, percentiles, final configurations, gaps, against loops over trajectories."""

from __future__ import annotations

from math import acos

import numpy as np
import pytest

from masksynth.diagnostics.clustering import Setting, causal_mask, diagnose, observations, starts, trajectories
from masksynth.diagnostics.clustering.diagnosis import Run, diagnose_run
from masksynth.diagnostics.clustering.final_configurations import reached
from masksynth.mask import Mask
from tests.diagnostics.clustering.naive import angle, centres, components, random_mask

ANGLE = acos(0.999)
SEEDS, N = 7, 9


def masks():
    rng = np.random.default_rng(4)
    cyclic = random_mask(rng, N, causal=False) | np.eye(N, dtype=bool)
    return {"causal": causal_mask(N), "cyclic": Mask.from_dense(cyclic)}


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize(("dim", "value"), [(2, None), (3, None), (3, (3.0, 2.0, 1.0))])
def test_batches_change_nothing(monkeypatch, name, dim, value):
    """Of one start, of three, of all; and progress is told after each."""
    setting = None if value is None else Setting(value=np.diag(value))
    run = Run(beta=16.0, dim=dim, seeds=SEEDS, time=20.0, paths=True, setting=setting)
    found, told = [], []
    for size in (SEEDS, 3, 1):
        monkeypatch.setattr(observations, "NUMBERS", size * 61 * N * dim)
        told.append([])
        found.append(diagnose_run(masks()[name], run, lambda done, of: told[-1].append((done, of))).record())
    angles = [[each.pop(field) or 0 for field in ("lasting_gap", "two_tokens")] for each in found]
    assert found[0] == found[1] == found[2]
    assert angles[1] == pytest.approx(angles[0], rel=1e-9)  # sums of products may differ in their last digit
    assert angles[2] == pytest.approx(angles[0], rel=1e-9)
    assert told == [[(7, 7)], [(3, 7), (6, 7), (7, 7)], [(done, 7) for done in range(1, 8)]]


@pytest.mark.parametrize("dim", [2, 3])
def test_curves_are_means_and_percentiles_of_the_starts(dim):
    found = diagnose(causal_mask(N), beta=16.0, dim=dim, seeds=SEEDS, time=20.0)
    start = starts(SEEDS, N, dim)
    x = trajectories(causal_mask(N), start, found.times, beta=16.0)
    counts = np.array([[components(moment, ANGLE) for moment in one] for one in x])
    captured = {}
    for name, strong in (("renyi", False), ("strong", True)):
        kept = [centres(one[0], 1.0, strong) for one in x]
        captured[name], captured[f"{name} fixed"] = (
            np.array(
                [
                    [_near(moment, one[at], which) for at, moment in _moments(one, fixed)]
                    for one, which in zip(x, kept, strict=True)
                ]
            )
            for fixed in (False, True)
        )
    for curve, values in (
        (found.clusters, counts),
        *((dict(found.captured)[name], captured[name]) for name in captured),
    ):
        assert np.abs(np.array(curve.mean) - values.mean(axis=0)).max() < 2e-6
        assert np.abs(np.array(curve.low) - np.percentile(values, 10, axis=0)).max() < 2e-6
        assert np.abs(np.array(curve.high) - np.percentile(values, 90, axis=0)).max() < 2e-6


def _moments(one, fixed):
    return ((0 if fixed else at, moment) for at, moment in enumerate(one))


def _near(x, places, centres):
    """Return the share of points within delta / 4 = 0.25 of the places of centres that they see."""
    return sum(any(angle(x[k], places[j]) <= 0.25 for j in centres if j <= k) for k in range(len(x))) / len(x)


def gap(x):
    """The least angle between two clusters, by merging pairs."""
    label = list(range(len(x)))
    for i in range(len(x)):
        for j in range(i):
            if angle(x[i], x[j]) <= ANGLE:
                label = [label[i] if each == label[j] else each for each in label]
    return min(
        (angle(x[i], x[j]) for i in range(len(x)) for j in range(i) if label[i] != label[j]), default=float("inf")
    )


@pytest.mark.parametrize("dim", [2, 3])
def test_two_tokens_alone_take_the_time_that_is_printed(dim):
    """The least gap by a loop; two tokens that start there are one cluster just then."""
    found = diagnose(causal_mask(N), beta=9.0, dim=dim, seeds=SEEDS, time=50.0)
    x = trajectories(causal_mask(N), starts(SEEDS, N, dim), found.times, beta=9.0)
    gaps = [gap(one[found.times.index(state.since)]) for one, state in zip(x, found.lasting, strict=True) if state]
    assert len(gaps) > 3
    assert found.lasting_gap == pytest.approx(np.median(gaps), abs=1e-9)
    turn = np.array([0.0, found.lasting_gap])
    pair = np.stack([np.cos(turn), np.sin(turn)], axis=-1)[None]
    end = trajectories(causal_mask(2), pair, [found.two_tokens], beta=9.0, rtol=1e-9, atol=1e-11)[0, 0]
    assert angle(*end) == pytest.approx(ANGLE, abs=1e-5)


def test_no_time_of_two_tokens_where_none_is_known():
    """Other V, no state of several clusters, and times beyond 1e260."""
    other = diagnose(causal_mask(N), seeds=3, time=50.0, setting=Setting(value=np.diag([2.0, 1, 1])))
    assert other.lasting_gap is not None
    assert other.two_tokens is None
    alone = diagnose(causal_mask(1), seeds=2, time=1.0)
    assert (alone.lasting, alone.lasting_gap, alone.two_tokens) == ((None, None), None, None)
    turn = np.array([0.0, 0.05, 3.0])
    points = np.stack([np.cos(turn), np.sin(turn)], axis=-1)[None]
    run = {"beta": 1000.0, "dim": 2, "time": 50.0, "setting": Setting(start=points)}
    cold = diagnose(causal_mask(3), **run)
    assert cold.lasting_gap == pytest.approx(3 - 0.05, abs=0.05)
    assert cold.two_tokens is None
    assert diagnose(causal_mask(3), **{**run, "beta": 250.0}).two_tokens > 1e200


DIAGONALS = {
    (1.0, 1, 1): lambda first, x, far: all(angle(each, first[0]) <= ANGLE for each in x),
    (2.0, 2, 1): lambda first, x, far: components(x, ANGLE) == 1 and max(far) <= ANGLE,
    (3.0, 2, 1): lambda first, x, far: all(min(angle(each, e), angle(each, -e)) <= ANGLE for e in E1 for each in x),
    (-1.0, -1, -2): lambda first, x, far: components(x, ANGLE) > 2,
    (-1.0, -2, -3): lambda first, x, far: components(x, ANGLE) > 2 and x[:, 0].min() < 0 < x[:, 0].max(),
}
E1 = np.eye(3)[:1]


@pytest.mark.parametrize("diagonal", DIAGONALS)
@pytest.mark.parametrize("time", [0.5, 60.0])
def test_starts_that_reach_a_configuration_are_counted(diagonal, time):
    """Early, where few have, and late; in a turned basis, too."""
    mask, start = causal_mask(6), starts(SEEDS, 6, 3)
    width = diagonal.count(max(diagonal))
    found = diagnose(mask, beta=2.0, seeds=SEEDS, time=time, setting=Setting(value=np.diag(diagonal)))
    end = trajectories(mask, start, [time], beta=2.0, value=np.diag(diagonal))[:, 0]
    due = 0
    for first, x in zip(start, end, strict=True):
        far, before = ([acos(min(1.0, np.linalg.norm(each[:width]))) for each in points] for points in (x, first))
        closer = max(diagonal) > 0 or sum(far) <= sum(before)
        due += bool(DIAGONALS[diagonal](first, x, far) and closer)
    assert found.reached == due
    if max(diagonal) > 0:
        assert due >= 6 if time == 60 else due < 6
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    setting = Setting(value=turn @ np.diag(diagonal) @ turn.T, start=start @ turn.T)
    assert diagnose(mask, beta=2.0, time=time, setting=setting).reached == due


def test_what_is_not_reached():
    """One of six tokens elsewhere, points on one side only, and no configuration at all."""
    e = np.eye(3)
    start = starts(1, 6, 3, seed=2)[0]
    gathered = np.tile(start[0], (6, 1))
    stray = np.where(np.arange(6)[:, None] == 5, -start[0], gathered)

    def ends(kind, x, space):
        both = np.stack([start, x])[None]
        far = np.arccos(np.minimum(np.linalg.norm(both @ space, axis=-1), 1))
        return reached(kind, both, far, space, ANGLE).tolist()

    assert ends("one point, the first start", gathered, e) == [True]
    assert ends("one point, the first start", stray, e) == [False]
    assert ends("one point, the first start", np.tile(start[1], (6, 1)), e) == [False]
    top = e[:, :1]
    assert ends("two points, +-xi", np.sign(start[:, :1]) * e[0], top) == [True]
    assert ends("two points, +-xi", np.tile(e[1], (6, 1)), top) == [False]
    assert ends("a point of L", np.sign(start[:, :1]) * e[0], e[:, :2]) == [False]
    side = np.abs(start) * [1, 0.5, 0.5]
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    assert ends("two clouds around +-xi", side, top) == [False]
    assert ends("two clouds around +-xi", side * np.array([1, -1] * 3)[:, None], top) == [True]
    assert ends("a cloud around L", side, top) == [True]
    assert ends("a cloud around L", gathered, top) == [False]
    assert ends("another", gathered, top) == [False]


def test_only_a_causal_mask_with_given_v_has_a_configuration():
    setting = Setting(value=np.diag([3.0, 2, 1]))
    assert diagnose(causal_mask(4), seeds=1, time=1.0).reached is None
    assert diagnose(Mask.from_dense(np.eye(4, dtype=bool)), seeds=1, time=1.0, setting=setting).reached is None
