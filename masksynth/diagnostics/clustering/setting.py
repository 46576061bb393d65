"""What moves the tokens of a diagnosis, and from where: Q, K, V and the points at time 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from masksynth.diagnostics.clustering.simulate import checked_start, random_starts
from masksynth.diagnostics.clustering.vector_field import Weights, spectral_norm, weights
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import Float64Array

FARTHEST = 1_000_000.0
"""Largest |V| times time: c I moves c times as fast as I, and needs the steps of a time c times as long."""


@dataclass(frozen=True, eq=False)
class Setting:
    """Q, K, V, each the identity where it is None, and points to start from, random ones where they are None.

    Parameters
    ----------
    query, key : (m, d), optional
    value : (d, d), optional
    start : (seeds, n, d), optional
        Points other than 0; they are brought to length 1.
    name : str
        Where this is from, for records.
    """

    query: Any = None
    key: Any = None
    value: Any = None
    start: Any = None
    name: str = ""


def given_weights(setting: Setting | None, dim: int) -> Weights:
    """Return Q, K, V in a dimension."""
    return weights(dim) if setting is None else weights(dim, setting.query, setting.key, setting.value)


def starts_of(
    setting: Setting | None, mask: Mask, dim: int, seeds: int, seed: int
) -> tuple[Callable[[int, int], Float64Array], int]:
    """Return a function of two numbers that gives the starts in that range, (s, n, d), and how many there are.

    Raises
    ------
    InvalidInstance
        If given points do not fit the mask or the dimension.
    """
    if setting is None or setting.start is None:
        if seeds < 1:
            raise InvalidInstance(f"expected at least 1 start, got {seeds}", "")
        return (lambda first, last: random_starts(range(first, last), mask.size, dim, seed)), seeds
    x = checked_start(mask, setting.start)
    if x.shape[2] != dim:
        raise InvalidInstance(f"start: expected points of dimension {dim}, got shape {x.shape}", "")
    return (lambda first, last: x[first:last]), len(x)


def check_distance(given: Weights, time: float) -> None:
    """Raise InvalidInstance if V moves the tokens so fast that steps would never come to an end."""
    norm = spectral_norm(given.value)
    if norm * time > FARTHEST:
        fact = f"expected |V| * time <= {FARTHEST:,.0f}, got |V| = {norm:.4g} and time {time:g}"
        raise InvalidInstance(fact, "", "divide V by its norm: that changes the scale of time alone")
