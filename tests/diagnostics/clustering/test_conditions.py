"""Lemma 5.1, Theorem 5.2 and the remark: where they hold, what they say comes true; where a number is over, they
refuse.
"""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import (
    angles,
    captures_all,
    causal_mask,
    energy,
    enough,
    interaction,
    peak,
    slope,
    starts,
    stays,
)
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask


def failed(verdict):
    return [each.name for each in verdict.comparisons if not each.holds]


def test_centres_that_stay_do():
    phi = np.arctan2(*starts(20, 60, 2, seed=4)[..., ::-1].transpose(2, 0, 1))
    path = angles(causal_mask(60), phi, np.linspace(0, 20, 41), beta=400.0)
    held = 0
    for start, moved in zip(phi, np.abs(path - path[:, :1]).max(axis=1), strict=True):
        for k in range(60):
            verdict = stays(start, k, 20.0, 400.0, 4.5, 0.1)
            held += verdict.holds
            assert not verdict.holds or moved[k] < verdict.bound
    assert held > 100
    assert np.abs(path - path[:, :1]).max() > 0.2


def test_each_condition_of_the_lemma_can_fail():
    assert failed(stays([0.0, 1.0], 1, 100.0, 64.0, 4.0, 0.1)) == []
    assert failed(stays([0.0, 0.59], 1, 100.0, 64.0, 4.0, 0.1)) == [
        "c (1 + 2 epsilon) beta^(-1/2) < nearest earlier token"
    ]
    assert failed(stays([0.0, 2 * np.pi - 0.59], 1, 100.0, 64.0, 4.0, 0.1)) == [
        "c (1 + 2 epsilon) beta^(-1/2) < nearest earlier token"
    ]
    assert failed(stays([0.0, 1.0], 1, 1000.0, 64.0, 4.0, 0.1)) == ["T s h(c beta^(-1/2)) < epsilon c beta^(-1/2)"]
    assert failed(stays([0.0, 1.0], 1, 0.01, 64.0, 0.99, 0.1)) == ["tau < c beta^(-1/2)"]
    assert stays([0.0], 0, 1.0, 64.0, 4.0, 0.1).comparisons[1].right == np.inf


@pytest.mark.parametrize(("beta", "least"), [(1.0, 0.9046), (9.0, 0.9905), (64.0, 0.9987)])
def test_the_least_c_of_the_lemma(beta, least):
    assert round(peak(beta) * beta**0.5, 4) == least
    assert "tau < c beta^(-1/2)" in failed(stays([0.0, 2.0], 1, 1e-6, beta, least - 1e-3, 0.1))
    assert "tau < c beta^(-1/2)" not in failed(stays([0.0, 2.0], 1, 1e-6, beta, least + 1e-3, 0.1))


def test_fixed_tokens_capture_all():
    """The frozen tokens are positions that see only themselves; those of multiplicity 3 occur three times."""
    theta, times = np.array([-2.0, 0.1, 1.5]), np.array([1, 3, 2])
    frozen, n = np.repeat(theta, times), 40
    verdict = captures_all(theta, n, 64.0, 6.5, 0.1, multiplicity=times.tolist())
    assert verdict.holds
    rows = np.tri(len(frozen) + n, dtype=bool)
    rows[: len(frozen)] = np.eye(len(frozen), len(rows), dtype=bool)
    rng = np.random.default_rng(11)
    near = rng.choice(theta, (10, n)) + rng.uniform(-0.35, 0.35, (10, n))  # from far away the way is exponentially long
    start = np.concatenate([np.tile(frozen, (10, 1)), near], axis=1)
    end = angles(Mask.from_dense(rows), start, [300.0], beta=64.0)[:, 0]
    gaps = np.abs(np.angle(np.exp(1j * (end[:, len(frozen) :, None] - theta))))
    assert gaps.min(axis=-1).max() < verdict.bound
    rows[len(frozen) :, : len(frozen)] = False
    free = angles(Mask.from_dense(rows), start, [300.0], beta=64.0)[:, 0]
    gaps = np.abs(np.angle(np.exp(1j * (free[:, len(frozen) :, None] - theta))))
    assert gaps.min(axis=-1).max() > 10 * verdict.bound


def test_each_condition_of_the_theorem_can_fail():
    good = {"fixed": [0.0, 2.0], "n": 100, "beta": 64.0, "c": 6.5, "epsilon": 0.1}
    assert failed(captures_all(**good)) == []
    assert failed(captures_all(**{**good, "fixed": []})) == ["0 < m"]
    assert failed(captures_all(**good, multiplicity=[1.0, 0.5])) == ["1 <= a_j"]
    assert failed(captures_all(**{**good, "fixed": [0.0, 0.8]})) == ["c beta^(-1/2) < |theta_i - theta_j|"]
    assert "2 + 2 epsilon < c" in failed(captures_all(**{**good, "c": 2.1, "n": 0}))
    assert failed(captures_all(**{**good, "n": 20_000})) == [
        "N h((c - 1 - 2 epsilon) beta^(-1/2)) < h(epsilon beta^(-1/2))"
    ]


@pytest.mark.parametrize("n", [2000, 10_000])
def test_the_printed_sign_would_accept_what_is_refused(n):
    """Just before the peak of h its slope is next to 0, and the pull of many others outweighs it."""
    beta, c, epsilon = 64.0, 8.0, 0.99865
    assert captures_all([0.0], 1, beta, c, epsilon).holds
    verdict = captures_all([0.0], n, beta, c, epsilon)
    unit = beta**-0.5
    printed = (n + 1) * slope((c - 2 * epsilon) * unit, beta) < slope(epsilon * unit, beta)
    assert printed
    assert failed(verdict) == ["-N g((c - 2 epsilon) beta^(-1/2)) < g(epsilon beta^(-1/2))"]


def test_the_remark_implies_the_conditions_on_h_and_g():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        epsilon = rng.uniform(0.001, 0.1)
        c = 5.5 + 2 * epsilon + rng.exponential(1.0) * (rng.random() < 0.8)
        beta = (c - 1 - 2 * epsilon) ** 2 / 2 * (1 + rng.exponential(0.5) * (rng.random() < 0.8))
        most = epsilon / (c - 1) * np.exp(3 * (c - 1 - 2 * epsilon) ** 2 / 8)
        if most < 2:
            continue
        verdict = enough(most, beta, c, epsilon)
        theorem = captures_all([0.0], int(most) - 1, beta, c, epsilon)
        held += verdict.holds
        assert verdict.holds
        assert theorem.holds, (beta, c, epsilon, failed(theorem))
    assert held > 200


def test_the_example_of_the_remark():
    """epsilon 0.1, c 6.5: "beta >= 14, N <= 700" are 14.045 and 682.95."""
    assert enough(682.9, 14.045, 6.5, 0.1).holds
    assert failed(enough(700, 14.045, 6.5, 0.1)) == ["N <= (epsilon / (c - 1)) exp(3 (c - 1 - 2 epsilon)^2 / 8)"]
    assert failed(enough(682, 14.0, 6.5, 0.1)) == ["(c - 1 - 2 epsilon)^2 / 2 <= beta"]
    assert failed(enough(1, 20.0, 5.6, 0.1)) == ["5.5 + 2 epsilon <= c"]
    assert "epsilon <= 0.1" in failed(enough(1, 40.0, 8.0, 0.2))
    assert round(enough(1, 15, 6.5, 0.1).comparisons[2].left, 3) == 14.045
    assert round(enough(1, 15, 6.5, 0.1).comparisons[3].right, 2) == 682.95


def test_numbers_are_those_of_h_and_g():
    verdict = captures_all([0.0, 2.0], 100, 64.0, 6.5, 0.1)
    assert verdict.comparisons[4].left == 102 * interaction(5.3 / 8, 64.0)
    assert verdict.comparisons[5].left == -102 * slope(6.3 / 8, 64.0)
    assert verdict.bound == pytest.approx(0.0125)


def test_what_is_refused():
    with pytest.raises(InvalidInstance, match="epsilon: expected a positive number, got 0"):
        stays([0.0, 1.0], 1, 1.0, 64.0, 4.0, 0.0)
    with pytest.raises(InvalidInstance, match="horizon: expected a positive number, got inf"):
        stays([0.0, 1.0], 1, np.inf, 64.0, 4.0, 0.1)
    with pytest.raises(InvalidInstance, match=r"expected .n,. angles and a position"):
        stays([0.0, 1.0], 2, 1.0, 64.0, 4.0, 0.1)
    with pytest.raises(InvalidInstance, match="expected a finite beta >= 1e-12, got 0"):
        captures_all([0.0], 1, 0.0, 6.5, 0.1)
    with pytest.raises(InvalidInstance, match="multiplicities"):
        captures_all([0.0], 1, 64.0, 6.5, 0.1, multiplicity=[1.0, 2.0])
    nan = float("nan")
    for call in (
        lambda: captures_all([0.0, nan], 10, 64.0, 6.5, 0.1),
        lambda: captures_all([0.0, 2.0], 10, 64.0, 6.5, 0.1, multiplicity=[nan, 1.0]),
        lambda: stays([0.0, nan], 1, 1.0, 64.0, 4.0, 0.1),
    ):
        with pytest.raises(InvalidInstance, match="not finite"):
            call()
    with pytest.raises(InvalidInstance, match=r"n >= 0, got shape .1,. and nan"):
        captures_all([0.0], nan, 64.0, 6.5, 0.1)
    with pytest.raises(InvalidInstance, match="total: expected a positive number, got nan"):
        enough(nan, 64.0, 6.5, 0.1)
    for phi, place in (([0.0, 1.0], 5), ([0.0, 1.0], -1), ([0.0, nan], 1)):
        with pytest.raises(InvalidInstance, match=rf"from 0 to n - 1, got shape \(2,\) and {place}"):
            energy(phi, place, 1.0)
    with pytest.raises(InvalidInstance, match="c: expected a positive number, got nan"):
        enough(1, 64.0, np.nan, 0.1)
