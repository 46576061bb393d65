"""Diagnose the clustering of a mask: clusters over time, captured positions, and the roots that positions follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.diagnostics.clustering.clustering_record import Clustering, curve
from masksynth.diagnostics.clustering.counts import expected_renyi_circle, expected_strong, expected_strong_of_law
from masksynth.diagnostics.clustering.interaction import check_beta, two_tokens_time
from masksynth.diagnostics.clustering.observations import ANGLE, First, Observed, Plan, observe
from masksynth.diagnostics.clustering.root_groups import groups, partition
from masksynth.diagnostics.clustering.roots import Following, following, parts
from masksynth.diagnostics.clustering.row_blocks import causal_mask, count_other_keys
from masksynth.diagnostics.clustering.setting import Setting, check_distance, given_weights, starts_of
from masksynth.diagnostics.clustering.value_spectrum import leading_space, value_spectrum
from masksynth.diagnostics.clustering.weight_laws import law_of
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self, is_causal
from masksynth.mask.typing import Float64Array

MOMENTS = 61
SHOWN = 256
"""Maximum number of positions whose paths a record keeps for a picture."""
LONGEST = 100_000.0
"""Longest time; even at rest steps cannot grow beyond a few units."""
LAW = 20_000
"""Largest number of given points whose law is taken for the expected number of centres."""
EXPONENT = 600.0
"""Largest exponent of a time that is computed."""
NAMES = ("renyi", "renyi fixed", "strong", "strong fixed")
"""Captures as ``Observed.captured`` orders them."""


class Run(NamedTuple):
    """How the positions of a mask are moved; fields as the parameters of ``diagnose``."""

    beta: float = 9.0
    dim: int = 3
    seeds: int = 8
    time: float = 100.0
    seed: int = 0
    paths: bool = False
    setting: Setting | None = None


def diagnose(
    mask: Mask,
    *,
    beta: float = 9.0,
    dim: int = 3,
    seeds: int = 8,
    time: float = 100.0,
    seed: int = 0,
    paths: bool = False,
    setting: Setting | None = None,
) -> Clustering:
    """Move the positions of a mask by attention, and report where they gather.

    Parameters
    ----------
    mask : Mask
        One table of at most 8,192 positions.
    beta : float
        Inverse temperature, positive.
    dim : int
        Dimension of the space whose unit sphere contains the tokens, at least 2.
    seeds : int
        Random starts: independent uniform points. Starts that are given count themselves.
    time : float
        How long, up to 100,000; a time of 1 is a layer whose step is 1.
    seed : int
        Seed of the random starts.
    paths : bool
        Keep trajectories of the first seed, for a picture.
    setting : Setting, optional
        Q, K, V and points to start from [default: Q = K = V = I, random starts].

    Raises
    ------
    InvalidInstance, Unsupported
        If the mask has no positions, several tables or too many positions, or a number is out of range.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> found = diagnose(causal_mask(8), beta=1.0, time=60.0, seeds=2)
    >>> found.clusters.mean[-1], [(group.status, group.roots, group.gathered[-1]) for group in found.groups]
    (1.0, [('chain', (0,), 1.0), ('fixed', (), 1.0)])
    """
    return diagnose_run(mask, Run(beta, dim, seeds, time, seed, paths, setting))


def diagnose_run(mask: Mask, run: Run, progress: Callable[[int, int], None] = lambda done, of: None) -> Clustering:
    """Diagnose a mask, and say after each batch of starts how many are done, of how many.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``diagnose``.
    """
    check_beta(run.beta, 1e-12)
    if not 0 < run.time <= LONGEST:
        raise InvalidInstance(f"expected 0 < time <= {LONGEST:,.0f}, got {run.time:g}", "")
    given = given_weights(run.setting, run.dim)
    check_distance(given, run.time)
    start, seeds = starts_of(run.setting, mask, run.dim, run.seeds, run.seed)
    plan = _plan(mask, run)
    seen, first = observe(plan, seeds, start, progress)
    fixed = run.setting is not None and run.setting.start is not None
    return Clustering(
        beta=float(run.beta),
        dim=run.dim,
        seeds=seeds,
        seed=run.seed,
        time=float(run.time),
        angle=ANGLE,
        times=tuple(plan.times.tolist()),
        clusters=curve(seen.clusters.T),
        groups=groups(plan.parts, plan.times, seen.gap, seen.gathered, seen.hemispheres),
        paths=_nested(np.round(first.x[:, :SHOWN].transpose(1, 0, 2), 4).tolist()) if run.paths else None,
        similarity=curve(seen.similarity.T),
        start_given=fixed,
        **_of_mask(mask),
        **_of_centres(plan, seen, first),
        **_expected(plan, run, start(0, seeds) if fixed else None),
        **_of_lasting(plan, run, seen),
        **_of_setting(plan, run, seen),
    )


def _plan(mask: Mask, run: Run) -> Plan:
    """Return what moves the positions, and what is observed."""
    found = following(mask)
    given = given_weights(run.setting, run.dim)
    times = np.expm1(np.linspace(0, np.log1p(run.time), MOMENTS))
    times[-1] = run.time
    named = run.setting is not None and run.setting.value is not None
    return Plan(
        mask=mask,
        found=found,
        parts=partition(found, law_of(run.beta, given), given.value),
        times=times,
        beta=float(run.beta),
        given=given,
        delta=float(4 / np.sqrt(run.beta)),
        order=scan_order(mask, found),
        space=leading_space(given.value) if named else None,
        configuration=value_spectrum(given.value).configuration if named else "",
    )


def _of_mask(mask: Mask) -> dict[str, Any]:
    """Return the fields that the mask alone decides."""
    return {
        "positions": mask.size,
        "pairs": mask.pairs,
        "empty": int((np.diff(mask.row_offset[0]) == 0).sum()),
        "without_self": int((~attends_to_self(mask) & (count_other_keys(mask) > 0)).sum()),
        "parts": parts(mask),
        "causal": mask == causal_mask(mask.size),
    }


def _of_centres(plan: Plan, seen: Observed, first: First) -> dict[str, Any]:
    """Return the fields about centres at distance delta."""
    some = plan.delta <= np.pi
    means = seen.centres.mean(axis=0).tolist()
    captured = tuple((name, curve(seen.captured[:, :, number].T)) for number, name in enumerate(NAMES))
    places = (tuple(np.flatnonzero(which).tolist()) for which in first.centres)
    return {
        "delta": plan.delta,
        "radius": plan.delta / 4,
        "centres": means[0] if some else None,
        "strong": means[1] if some else None,
        "captured": captured if some else (),
        "first_centres": tuple(zip(("renyi", "strong"), places, strict=True)) if some else (),
    }


def _expected(plan: Plan, run: Run, given: Float64Array | None) -> dict[str, Any]:
    """Return the expected numbers of centres of a causal mask; ``given`` are starts that are not random."""
    delta, n = plan.delta, plan.mask.size
    result: dict[str, Any] = {"expected_strong": None, "expected_renyi": None, "expected_of_law": None}
    if delta > np.pi or plan.mask != causal_mask(n):
        return result
    if given is None:
        renyi = expected_renyi_circle(delta) if run.dim == 2 else np.inf
        return {
            **result,
            "expected_strong": expected_strong(delta, run.dim, n),
            "expected_renyi": renyi if renyi <= n else None,
        }
    every = given.reshape(-1, run.dim)
    return {
        **result,
        "expected_strong": float(np.mean([expected_strong_of_law(points, delta) for points in given])),
        "expected_of_law": expected_strong_of_law(every, delta) if len(every) <= LAW else None,
    }


def _of_lasting(plan: Plan, run: Run, seen: Observed) -> dict[str, Any]:
    """Return the longest states of several clusters, and how long two tokens alone at their least gap would take."""
    found = seen.lasting_gap[np.isfinite(seen.lasting_gap)]
    gap = float(np.median(found)) if len(found) else None
    plain = all(np.array_equal(each, np.eye(run.dim)) for each in plan.given)
    known = gap is not None and plain and gap < np.pi - 1e-6 and run.beta * (1 - np.cos(gap)) < EXPONENT
    return {
        "lasting": seen.lasting,
        "lasting_gap": gap,
        "two_tokens": two_tokens_time(gap, ANGLE, run.beta) if known and gap is not None else None,
    }


def _of_setting(plan: Plan, run: Run, seen: Observed) -> dict[str, Any]:
    """Return the fields that only given Q, K, V or starts have."""
    name = "" if run.setting is None else run.setting.name
    if plan.space is None:
        return {"setting": name}
    return {
        "setting": name,
        "value": value_spectrum(plan.given.value),
        "to_leading": tuple(np.round(seen.to_leading.mean(axis=0), 6).tolist()),
        "reached": int(seen.reached.sum()) if plan.mask == causal_mask(plan.mask.size) else None,
    }


def scan_order(mask: Mask, result: Following) -> NDArray[np.intp]:
    """Return the order in which centres are chosen: by position in a causal mask, else by size of down-sets."""
    if is_causal(mask):
        return np.arange(mask.size)
    return np.argsort(result.sees.sum(axis=1), kind="stable")


def _nested(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_nested(value) if isinstance(value, list) else value for value in values)
