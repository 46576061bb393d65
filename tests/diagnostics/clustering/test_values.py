"""V other than I: spectra, what the paper conjectures, final configurations as they are reached."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.clustering import (
    CONFIGURATIONS,
    Setting,
    causal_mask,
    conjectured_limit,
    diagnose,
    starts,
    trajectories,
    value_spectrum,
)
from masksynth.diagnostics.clustering.more_figures import write_configurations
from masksynth.diagnostics.clustering.value_spectrum import leading_space
from masksynth.errors import InvalidInstance

DIAGONALS = ((1, 1, 1), (2, 2, 1), (3, 2, 1), (-1, -1, -2), (-1, -2, -3))


def test_the_five_configurations_by_sign_and_multiplicity():
    assert tuple(value_spectrum(np.diag(v)).configuration for v in DIAGONALS) == CONFIGURATIONS
    turning = value_spectrum([[1.0, -2.0], [2.0, 1.0]])
    assert (turning.configuration, turning.real, turning.multiplicity) == ("a point of L", False, 2)
    assert abs(turning.leading - (1 + 2j)) < 1e-12
    assert value_spectrum([[-1.0, -2.0], [2.0, -1.0]]).configuration == "a cloud around L"


@pytest.mark.parametrize("number", range(5))
def test_a_configuration_does_not_depend_on_the_basis(number):
    rng = np.random.default_rng(number)
    for diagonal in DIAGONALS:
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        value = turn @ np.diag(diagonal) @ turn.T
        assert value_spectrum(value).configuration == value_spectrum(np.diag(diagonal)).configuration
        assert conjectured_limit(value) == conjectured_limit(np.diag(diagonal))
        space = leading_space(value)
        assert np.abs(value @ space - max(diagonal) * space).max() < 1e-9


def test_what_the_paper_conjectures_and_what_it_does_not():
    assert "plus or minus" in conjectured_limit(np.diag([3.0, 2, 1]))
    assert "part of x_1(0)" in conjectured_limit(np.diag([2.0, 2, 1]))
    leaning = np.array([[2.0, 0, 3], [0, 2, 0], [0, 0, 1]])  # does not keep the complement of L
    for value in (leaning, np.diag([-1.0, -2, -3]), np.diag([3.0, 2, -1]), [[1.0, -1], [1, 1]]):
        assert conjectured_limit(value) == ""


@pytest.mark.parametrize("diagonal", DIAGONALS[1:3])
def test_tokens_go_where_a_positive_leading_eigenvalue_says(diagonal):
    start = starts(3, 8, 3, seed=4)
    end = trajectories(causal_mask(8), start, [200.0], beta=1.0, value=np.diag(diagonal))[:, 0]
    if diagonal == (3, 2, 1):
        assert np.abs(np.abs(end[..., 0]) - 1).max() < 1e-6
        return
    part = start[:, :1] * [1, 1, 0]
    assert np.abs(end - part / np.linalg.norm(part, axis=-1, keepdims=True)).max() < 1e-6


def test_a_negative_leading_eigenvalue_spreads_tokens():
    found = diagnose(causal_mask(16), beta=9.0, seeds=2, time=60.0, setting=Setting(value=np.diag([-1.0, -2, -3])))
    assert found.clusters.mean[-1] > 8
    assert found.to_leading[-1] < 0.6 < found.to_leading[0]
    assert found.value.configuration == "two clouds around +-xi"


def test_the_panels_of_configurations(tmp_path):
    runs = [
        diagnose(causal_mask(6), seeds=1, time=3.0, paths=True, setting=Setting(value=np.diag(v), name=str(v)))
        for v in DIAGONALS
    ]
    text = write_configurations(runs, tmp_path / "values.svg").read_text(encoding="utf-8")
    assert "two clouds around +-xi" in text
    with pytest.raises(InvalidInstance, match="records with paths"):
        write_configurations([diagnose(causal_mask(3), dim=2, seeds=1, time=1.0, paths=True)], tmp_path / "no.svg")


def test_no_square_matrix_is_refused():
    with pytest.raises(InvalidInstance, match="as V"):
        value_spectrum(np.ones((2, 3)))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_narrow_range_has_the_eigenvalues_of_the_whole(sign):
    """Rank 4 of 30: eigenvalues and L from the range alone, against those of the full matrix."""
    rng = np.random.default_rng(3)
    out, core = rng.standard_normal((30, 4)), np.diag([1.0, 1, 2, 5]) * sign
    value = out @ core @ np.linalg.pinv(out)
    found = value_spectrum(value)
    due = np.linalg.eigvals(value)
    assert np.abs(np.sort(np.real(found.eigenvalues)) - np.sort(due.real)).max() < 1e-9
    assert found.configuration == ("two points, +-xi" if sign > 0 else "a cloud around L")
    space = leading_space(value)
    assert space.shape[1] == (1 if sign > 0 else 26)
    assert np.abs(value @ space - max(5.0 * sign, 0) * space).max() < 1e-9
