"""Many systems in lockstep, compared with scipy's ``solve_ivp`` on each alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from masksynth.diagnostics.clustering import causal_mask, starts
from masksynth.diagnostics.clustering.stepping import integrate
from masksynth.diagnostics.clustering.vector_field import circle_field, normalised, sphere_field, weights
from masksynth.errors import InvalidInstance, MasksynthError


def oscillators(y):
    """Each system has its own pace, so that their steps differ."""
    return np.stack([y[:, 1] * y[:, 2], -y[:, 0] * y[:, 2], np.zeros(len(y))], axis=1)


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_steps_and_states_are_those_of_scipy(rtol):
    start = np.array([[1.0, 0.0, pace] for pace in (0.01, 0.5, 1.0, 3.0, 20.0, 0.0)])
    times = np.linspace(0, 7, 30)
    found = integrate(oscillators, start, times, rtol=rtol, atol=1e-3 * rtol)
    for number, y in enumerate(start):
        alone = solve_ivp(lambda _, y: oscillators(y[None])[0], (0, 7), y, t_eval=times, rtol=rtol, atol=1e-3 * rtol)
        assert alone.nfev == found.evaluations[number]
        assert np.abs(alone.y.T - found.states[number]).max() < 1e-11


def test_the_circle_makes_the_steps_of_scipy():
    phi = np.random.default_rng(1).uniform(-np.pi, np.pi, (6, 40))
    field = circle_field(causal_mask(40), 16.0)
    found = integrate(field, phi, np.array([0.0, 3.0, 30.0]), rtol=1e-6, atol=1e-9)
    for number, y in enumerate(phi):
        alone = solve_ivp(lambda _, y: field(y[None])[0], (0, 30), y, t_eval=[0, 3, 30], rtol=1e-6, atol=1e-9)
        assert alone.nfev == found.evaluations[number]
        assert np.abs(alone.y.T - found.states[number]).max() < 1e-9
    assert len(set(found.steps.tolist())) > 1


def test_a_system_does_not_feel_its_neighbours():
    x = starts(5, 12, 3)
    field = sphere_field(causal_mask(12), 4.0, weights(3))
    together = integrate(field, x, np.array([0.0, 20.0]), project=normalised)
    for number in range(5):
        alone = integrate(field, x[number : number + 1], np.array([0.0, 20.0]), project=normalised)
        assert np.abs(alone.states[0] - together.states[number]).max() < 1e-11
        assert alone.steps[0] == together.steps[number]


def test_known_solutions_at_several_tolerances():
    start = np.array([[1.0], [3.0]])
    times = np.array([0.0, 0.3, 1.0, 2.0])
    for rtol in (1e-4, 1e-7, 1e-10):
        found = integrate(lambda y: -y, start, times, rtol=rtol, atol=rtol * 1e-3).states[..., 0]
        assert np.abs(found - start * np.exp(-times)).max() < 100 * rtol


def test_times_from_later_on_and_only_zero():
    found = integrate(lambda y: -y, np.array([[1.0]]), np.array([1.0, 1.0, 2.0]), rtol=1e-9, atol=1e-12)
    assert np.abs(found.states[0, :, 0] - np.exp([-1.0, -1.0, -2.0])).max() < 1e-7
    assert integrate(lambda y: -y, np.array([[4.0]]), np.array([0.0])).states.tolist() == [[[4.0]]]


@pytest.mark.parametrize("times", [[], [-1.0, 2.0], [2.0, 1.0], [0.0, np.nan], [0.0, np.inf], [[1.0]]])
def test_times_that_are_none(times):
    with pytest.raises(InvalidInstance, match="the times"):
        integrate(lambda y: -y, np.array([[1.0]]), np.array(times))


def test_a_solution_that_ends_is_refused():
    with np.errstate(all="ignore"), pytest.raises(MasksynthError, match="step became too small"):
        integrate(lambda y: y * y, np.array([[1.0]]), np.array([2.0]))
