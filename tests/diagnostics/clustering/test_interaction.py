"""How two tokens pull each other: values worked out before, inequalities, slopes by differences."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import (
    energy,
    interaction,
    interaction_bounds,
    peak,
    slope,
    two_tokens,
    two_tokens_time,
)
from masksynth.errors import InvalidInstance

BETAS = (0.0, 0.3, 1.0, 4.0, 9.0, 64.0)
PEAKS = {1: 0.90455689430, 4: 0.48904433027, 9: 0.33017239705, 64: 0.12483667005}


@pytest.mark.parametrize(("beta", "tau"), PEAKS.items())
def test_the_peak_is_where_it_was_computed(beta, tau):
    assert abs(peak(beta) - tau) < 1e-11
    assert (beta + 0.5) ** -0.5 < peak(beta) < beta**-0.5


@pytest.mark.parametrize("beta", BETAS)
def test_the_peak_is_the_largest_value(beta):
    x = np.linspace(0, np.pi, 20_001)
    values = interaction(x, beta)
    assert values.max() <= interaction(peak(beta), beta) * (1 + 1e-12)
    rising = x[1:] <= peak(beta)
    assert (np.diff(values)[rising] > 0).all()
    assert (np.diff(values)[~rising][1:] < 0).all()


@pytest.mark.parametrize("beta", [1e3, 1e8, 1e14])
def test_the_peak_at_large_beta_keeps_its_digits(beta):
    assert (beta + 0.5) ** -0.5 * (1 - 1e-14) <= peak(beta) <= beta**-0.5 * (1 + 1e-14)
    assert abs(slope(peak(beta), beta)) < 1e-6


@pytest.mark.parametrize("beta", BETAS)
def test_slope_parity_and_period(beta):
    x = np.linspace(-7, 7, 301)
    differences = (interaction(x + 1e-6, beta) - interaction(x - 1e-6, beta)) / 2e-6
    assert np.abs(differences - slope(x, beta)).max() < 1e-8
    assert np.allclose(interaction(-x, beta), -interaction(x, beta), atol=1e-15)
    assert np.allclose(slope(-x, beta), slope(x, beta), atol=1e-13)
    assert np.allclose(interaction(x + 2 * np.pi, beta), interaction(x, beta), atol=1e-13)


@pytest.mark.parametrize("beta", BETAS)
def test_bounds_hold_up_to_pi(beta):
    x = np.linspace(0.01, np.pi, 1000)
    lower, upper = interaction_bounds(x, beta)
    assert (lower < interaction(x, beta)).all()
    assert (interaction(x, beta) < upper).all()


def test_the_lower_bound_fails_beyond_pi_and_the_upper_does_not():
    x = np.linspace(np.pi, 12, 1000)
    lower, upper = interaction_bounds(x, 1.0)
    assert (lower > interaction(x, 1.0)).any()
    assert (interaction(x, 1.0) < upper).all()
    with pytest.raises(InvalidInstance, match="expected positive angles"):
        interaction_bounds([0.0, 1.0], 1.0)


def test_the_energy_falls_as_the_token_is_pulled():
    rng = np.random.default_rng(3)
    phi = rng.uniform(-np.pi, np.pi, 7)
    for beta in BETAS[1:]:
        for k in range(7):
            there, back = phi.copy(), phi.copy()
            there[k], back[k] = phi[k] + 1e-5, phi[k] - 1e-5
            by_differences = -(energy(there, k, beta) - energy(back, k, beta)) / 2e-5
            assert abs(by_differences - sum(interaction(phi[j] - phi[k], beta) for j in range(k))) < 1e-8


def test_two_tokens_in_closed_form_and_by_quadrature():
    found = two_tokens(2.0, [0.0, 1.0, 2.0])
    assert np.abs(found - [2.0, 1.5138498545, 1.0405669293]).max() < 1e-10
    for gap, time in ((2.0, 1.0), (3.1, 4.0), (0.1, 2.5)):
        assert abs(two_tokens_time(gap, float(two_tokens(gap, time)), 0.0) - time) < 1e-9
    with pytest.raises(InvalidInstance, match="0 < later <= gap < pi"):
        two_tokens_time(1.0, 1.5, 0.0)


@pytest.mark.parametrize("beta", [-1.0, np.nan, np.inf])
def test_a_temperature_that_is_none(beta):
    with pytest.raises(InvalidInstance, match="expected a finite beta"):
        peak(beta)
