"""Measure which outputs of a black box depend on which inputs, by changed inputs and by gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.torch.model_check.black_box import BlackBox
from masksynth.torch.model_check.compare_outputs import RELATIVE, row_distances
from masksynth.torch.model_check.known_failures import Evidence
from masksynth.torch.model_check.mask_flow import reachable_inputs
from masksynth.torch.model_check.uniform_attention import UniformAttention

RESTARTS = 3
"""Maximum number of times that a measurement is repeated because equal runs differ more at its end than at its
beginning, as happens when a compiled model is recompiled in between."""


@dataclass(frozen=True)
class Dependence:
    """Measured dependence of a model's outputs on its inputs under a mask.

    Parameters
    ----------
    box : BlackBox
    mask : Mask
    layers : int or None
        How many times the mask is applied, None for any number.
    base : (N, V)
        The outputs.
    noise : float
        Largest difference between two equal runs.
    keys, queries : (K,), (Q,) int64
        The inputs that were changed and the outputs that were tested.
    moved : (K, N) float64
        By how much each output moved when input ``keys[i]`` was changed.
    gradients : (Q, N) float64
        The largest entry of the gradient of output ``queries[i]`` at each embedding; (0, N) without gradients.
    why_not : str
        Why there are no gradients; empty if there are.
    uniform : bool
        Whether inputs and gradients were also measured under uniform attention.
    """

    box: BlackBox
    mask: Mask
    layers: int | None
    base: Tensor
    noise: float
    keys: Int64Array
    queries: Int64Array
    moved: Float64Array
    gradients: Float64Array
    why_not: str
    uniform: bool = False

    @property
    def least(self) -> float:
        """Movements up to this one are noise."""
        return 4 * self.noise

    @property
    def judged(self) -> BoolArray:
        """Which outputs are numbers, (N,); others are not judged."""
        finite: BoolArray = torch.isfinite(self.base).all(-1).cpu().numpy()
        return finite

    @property
    def tolerance(self) -> float:
        """Largest difference of outputs that should be equal."""
        rows = self.base[torch.from_numpy(self.judged).to(self.base.device)]
        scale = float(rows.abs().max()) if self.judged.any() else 0.0
        return RELATIVE.get(self.base.dtype, 1e-4) * scale + self.least

    @property
    def evidence(self) -> Evidence:
        """Which outputs depend on which inputs, by movement or by gradient."""
        columns = self.moved > self.least
        for row, query in enumerate(self.queries[: len(self.gradients)]):
            columns[:, query] |= self.gradients[row, self.keys] > 0
        rows = self.gradients > 0
        for column, key in enumerate(self.keys):
            rows[:, key] |= self.moved[column, self.queries[: len(rows)]] > self.least
        return Evidence(self.keys, self.queries[: len(rows)], columns, rows, self.judged)

    def attention(self) -> AbstractContextManager[object]:
        """Return the context in which further runs are made: uniform attention, if it was used before."""
        return UniformAttention() if self.uniform else nullcontext()

    def differs(self, other: Tensor | None) -> BoolArray:
        """Return which outputs of another run differ from the base by more than rounding, (N,)."""
        if other is None:
            return np.zeros(self.mask.size, bool)
        return (row_distances(other, self.base) > self.tolerance) & self.judged


def measure_dependence(
    box: BlackBox,
    mask: Mask,
    layers: int | None,
    keys: Int64Array,
    queries: Int64Array,
    seed: int,
    grad: bool,
) -> Dependence:
    """Run the model once for each key, with a backward pass (or, without gradients, a run) for each query.

    Parameters
    ----------
    box : BlackBox
    mask : Mask
    layers : int or None
    keys, queries : (K,), (Q,) int64
        The inputs to change and the outputs to test.
    seed : int
        Seed of the random combinations of outputs of which gradients are taken.
    grad : bool
        Whether to take gradients.

    Raises
    ------
    InvalidInstance
        If two equal runs differ by more than rounding.
    """
    # gradients first: they may make compilers start again
    gradients = box.gradients(queries, np.random.default_rng(seed)) if grad else "not requested"
    nothing = np.zeros((0, mask.size))
    for _ in range(RESTARTS):
        base = box.run()
        noise = _largest_difference(box.run(), base)
        observed = Dependence(box, mask, layers, base, noise, keys, queries, nothing, nothing, "")
        if isinstance(gradients, str):
            leaking = np.unique(np.concatenate([keys, _find_leaking_keys(observed)]))
            observed = replace(observed, why_not=gradients, keys=leaking)
        else:
            observed = replace(observed, gradients=gradients)
        moved = np.array([box.movement(base, np.array([key])) for key in observed.keys]).reshape(-1, mask.size)
        noise_after = _largest_difference(box.run(), base)
        observed = replace(observed, moved=moved, noise=max(noise, noise_after))
        if noise_after <= noise:
            break
    if observed.noise > observed.tolerance - observed.least:
        raise InvalidInstance(f"two equal runs differ by {observed.noise:.3g}", "", "switch dropout off: model.eval()")
    judged = observed.judged[queries]
    gradients_of_judged = observed.gradients[judged] if len(observed.gradients) else observed.gradients
    return replace(observed, queries=queries[judged], gradients=gradients_of_judged)


def measure_with_uniform_attention(observed: Dependence, seed: int) -> Dependence:
    """Measure again under uniform attention, where no allowed key has a weight of 0, and return the union of both."""
    grad = not observed.why_not
    try:
        with UniformAttention():
            uniform = measure_dependence(
                observed.box, observed.mask, observed.layers, observed.keys, observed.queries, seed, grad
            )
    except InvalidInstance:
        return observed
    if not np.array_equal(uniform.keys, observed.keys) or uniform.gradients.shape != observed.gradients.shape:
        return observed
    return replace(
        observed,
        noise=max(observed.noise, uniform.noise),
        moved=np.maximum(observed.moved, uniform.moved),
        gradients=np.maximum(observed.gradients, uniform.gradients),
        uniform=True,
    )


def _largest_difference(run: Tensor, base: Tensor) -> float:
    """Return the largest difference between two equal runs, where the outputs are numbers."""
    finite = torch.isfinite(base).all(-1).cpu().numpy()
    return float(np.where(finite, row_distances(run, base), 0).max(initial=0))


def _find_leaking_keys(observed: Dependence) -> Int64Array:
    """Return for each query one key without a path to it that moves it, by bisection of the set of all such keys."""
    box, leaking = observed.box, []
    for query in observed.queries:
        reachable = reachable_inputs(observed.mask, np.arange(observed.mask.size) == query, observed.layers)
        hidden = np.flatnonzero(~reachable)
        if not len(hidden) or not box.movement(observed.base, hidden)[query] > observed.least:
            continue
        while len(hidden) > 1:
            halves = np.array_split(hidden, 2)
            movement = [box.movement(observed.base, half)[query] for half in halves]
            hidden = halves[int(np.argmax(movement))]
        leaking.append(int(hidden[0]))
    return np.array(leaking, np.int64)
