"""Caps, and cars that park: known values, quadrature, and a delay equation solved in another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from masksynth.diagnostics.clustering import cap_mass, expected_renyi_circle, expected_strong, parking, parking_constant
from masksynth.errors import InvalidInstance

CONSTANT = 0.7475979202534114


@pytest.mark.parametrize("dim", [2, 3, 4, 7, 30])
@pytest.mark.parametrize("delta", [0.01, 0.5, np.pi / 2, 2.5, np.pi])
def test_the_mass_of_a_cap_by_quadrature(dim, delta):
    whole = quad(lambda x: np.sin(x) ** (dim - 2), 0, np.pi, epsabs=1e-14)[0]
    part = quad(lambda x: np.sin(x) ** (dim - 2), 0, delta, epsabs=1e-14)[0]
    assert abs(cap_mass(delta, dim) - part / whole) < 1e-12


def test_the_circle_and_the_sphere_in_closed_form():
    for delta in (0.1, 0.5, 2.0, 3.0):
        assert abs(expected_strong(delta, 2) - np.pi / delta) < 1e-12 * np.pi / delta
        assert abs(expected_strong(delta, 3) - np.sin(delta / 2) ** -2) < 1e-11 * np.sin(delta / 2) ** -2
    assert round(expected_strong(0.5, 2), 5) == 6.28319
    assert 3 * np.sin(1.5) ** 2 > 1  # what is printed for the cap exceeds the complete sphere


def test_strong_centres_of_few_points():
    for dim, delta in ((2, 0.5), (3, 1.2)):
        mass = cap_mass(delta, dim)
        for n in (1, 2, 3, 10):
            assert abs(expected_strong(delta, dim, n) - sum((1 - mass) ** k for k in range(n))) < 1e-12
        assert abs(expected_strong(delta, dim, 10**6) - expected_strong(delta, dim)) < 1e-12
    assert expected_strong(np.pi, 2, 5) == expected_strong(np.pi, 3) == 1.0
    assert abs(expected_strong(1e-9, 3, 1000) - 1000) < 1e-9


def test_the_parking_constant():
    assert abs(parking_constant() - CONSTANT) < 1e-12


def test_the_parking_function_in_closed_form():
    for x in (0.0, 0.3, 0.999):
        assert parking(x) == 0
    for x in (1.0, 1.2, 1.999):
        assert parking(x) == 1
    for x in (2.0, 2.4, 2.999):
        assert abs(parking(x) - (3 - 2 / (x - 1))) < 1e-13


@pytest.mark.parametrize("x", [1.5, 2.5, 3.7, 6.2, 11.5])
def test_the_parking_function_solves_its_equation(x):
    breaks = [float(k) for k in range(1, int(x) + 1)]
    area = sum(
        quad(parking, low, high, epsabs=1e-12)[0] for low, high in zip([0.0, *breaks], [*breaks, x], strict=True)
    )
    assert abs(parking(x + 1) - (1 + 2 / x * area)) < 1e-11


def test_long_intervals_and_the_circle():
    for x in (12.0, 20.5, 59.9, 60.1, 1000.0):
        assert abs(parking(x) - (CONSTANT * (x + 1) - 1)) < 1e-9
    assert abs(expected_renyi_circle(0.5) - 9.39459) < 1e-5
    assert abs(expected_renyi_circle(0.05) - CONSTANT * 2 * np.pi / 0.05) < 1e-9
    assert expected_renyi_circle(np.pi) == 2.0
    assert expected_renyi_circle(3.0) == 2.0
    assert abs(expected_renyi_circle(2.2) - 2) < 1e-12


def test_what_is_refused():
    for call in (lambda: cap_mass(0, 2), lambda: cap_mass(1, 1), lambda: cap_mass(4, 2), lambda: cap_mass(np.nan, 3)):
        with pytest.raises(InvalidInstance, match="0 < delta <= pi and a dimension"):
            call()
    with pytest.raises(InvalidInstance, match="number of points, got 0"):
        expected_strong(0.5, 2, 0)
    with pytest.raises(InvalidInstance, match="length"):
        parking(-1)
    with pytest.raises(InvalidInstance, match="length"):
        parking(np.nan)
    with pytest.raises(InvalidInstance, match="delta"):
        expected_renyi_circle(4.0)
