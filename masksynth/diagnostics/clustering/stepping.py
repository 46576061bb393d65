"""Integrate many systems side by side, each with its own step: scipy's RK45 in lockstep.

``solve_ivp`` on all systems at once would give them one step and one error norm: the hardest moment of any would slow
down all, and an error in one would be thinned by the others. Here each system keeps the step, the norm and the
rejections that ``solve_ivp`` would give it alone, while the right-hand side is computed for all of them in one call.
The tableau and the constants are scipy's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.mask.typing import AnyArray, Float64Array, Int64Array

Field = Callable[[Float64Array], Float64Array]
SAFETY, SMALLEST, LARGEST = 0.9, 0.2, 10.0
"""Limits on the change of a step size, as in scipy.integrate: safety factor, smallest and largest ratio."""
POWER = -1 / 5


@dataclass(frozen=True, eq=False)
class Path:
    """Result of an integration.

    ``states``: (systems, times, ...); ``steps``, ``evaluations``: (systems,), rejected steps counted as evaluations
    only.
    """

    states: Float64Array
    steps: Int64Array
    evaluations: Int64Array


def integrate(
    field: Field,
    start: Float64Array,
    times: Float64Array,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    project: Field | None = None,
) -> Path:
    """Solve y' = field(y) for each of S systems by Dormand and Prince's pair of order 5(4).

    Parameters
    ----------
    field : (s, ...) -> (s, ...)
        The right-hand side of any s of the systems; it must treat each by itself.
    start : (S, ...) float64
        At time 0.
    times : (T,) float64
        Ascending from 0 or later; states are interpolated there, to order 4, as ``solve_ivp(t_eval=...)`` does.
    rtol, atol : float
        Tolerances of a step, as in ``solve_ivp``.
    project : (s, ...) -> (s, ...), optional
        Applied to every state that is kept, for a constraint that the field respects. The field must not notice it:
        field(y) = field(project(y)).

    Raises
    ------
    InvalidInstance
        If the times do not ascend from 0 or later.
    MasksynthError
        If a step becomes smaller than floating-point numbers can represent.

    References
    ----------
    J. R. Dormand, P. J. Prince, "A family of embedded Runge-Kutta formulae", J. Comput. Appl. Math. 6 (1980); L. F.
    Shampine, "Some practical Runge-Kutta formulas", Math. Comp. 46 (1986) for the interpolant; both as in
    scipy.integrate.RK45.

    Examples
    --------
    >>> path = integrate(lambda y: -y, np.array([[1.0], [2.0]]), np.array([0.0, 1.0]), rtol=1e-9, atol=1e-12)
    >>> path.states[:, 1, 0].round(6).tolist()
    [0.367879, 0.735759]
    """
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or not len(times) or times[0] < 0 or (np.diff(times) < 0).any() or not np.isfinite(times).all():
        raise InvalidInstance(
            "the times do not ascend from 0 or later", "", "give times such as np.linspace(0, 10, 101)"
        )
    return _Lockstep(field, np.array(start, np.float64), times, rtol, atol, project).run()


class _Lockstep:
    """Step the systems that have not reached the last time; ``index`` is the number of the system in each row."""

    def __init__(
        self, field: Field, start: Float64Array, times: Float64Array, rtol: float, atol: float, project: Field | None
    ) -> None:
        from scipy.integrate import RK45

        self.tableau: tuple[Any, Any, Any, Any] = RK45.A, RK45.B, RK45.E, RK45.P
        self.field, self.times, self.project, self.end = field, times, project, float(times[-1])
        self.rtol, self.atol, self.axes = rtol, atol, tuple(range(1, start.ndim))
        self.index, self.y, self.f = np.arange(len(start)), start, field(start)
        self.t = np.zeros(len(start))
        self.h = self._first_steps()
        self.rejected = np.zeros(len(start), bool)
        self.next = np.zeros(len(start), np.int64)
        self.states = np.empty((len(start), len(times), *start.shape[1:]))
        self.steps, self.evaluations = np.zeros(len(start), np.int64), np.full(len(start), 2)

    def run(self) -> Path:
        """Step until all systems have reached the last time."""
        self._save(np.zeros_like(self.t), np.zeros((7, *self.y.shape)), self.y)
        self._leave()
        while len(self.index):
            self._step()
            self._leave()
        return Path(self.states, self.steps, self.evaluations)

    def _norm(self, x: Float64Array) -> Float64Array:
        return np.asarray(np.sqrt((x * x).mean(axis=self.axes)), np.float64)

    def _wide(self, x: AnyArray) -> AnyArray:
        return x.reshape(-1, *(1,) * len(self.axes))

    def _first_steps(self) -> Float64Array:
        """Return the first step sizes by Hairer, Norsett and Wanner, II.4, as in scipy."""
        scale = self.atol + np.abs(self.y) * self.rtol
        d0, d1 = self._norm(self.y / scale), self._norm(self.f / scale)
        small = (d0 < 1e-5) | (d1 < 1e-5)
        h0 = np.minimum(np.where(small, 1e-6, 0.01 * d0 / np.where(small, 1, d1)), self.end)
        change = self.field(self.y + self._wide(h0) * self.f) - self.f
        d2 = self._norm(change / scale) / np.where(h0 > 0, h0, 1)
        still = (d1 <= 1e-15) & (d2 <= 1e-15)
        h1 = np.where(still, np.maximum(1e-6, h0 * 1e-3), (0.01 / np.where(still, 1, np.maximum(d1, d2))) ** -POWER)
        return np.asarray(np.minimum(np.minimum(100 * h0, h1), self.end), np.float64)

    def _step(self) -> None:
        a, b, error, _ = self.tableau
        least = 10 * np.abs(np.nextafter(self.t, np.inf) - self.t)
        if (self.rejected & (self.h < least)).any():
            raise MasksynthError("a step became too small; the field is not smooth enough, or the tolerance too small")
        new_t = np.minimum(self.t + np.maximum(self.h, least), self.end)
        h = new_t - self.t
        stages = np.empty((7, *self.y.shape))
        stages[0] = self.f
        for stage in range(1, 6):
            stages[stage] = self.field(self.y + self._moved(stages, a[stage, :stage], h))
        new = self.y + self._moved(stages, b, h)
        stages[6] = self.field(new)
        scale = self.atol + np.maximum(np.abs(self.y), np.abs(new)) * self.rtol
        err = self._norm(self._moved(stages, error, h) / scale)
        self.evaluations[self.index] += 6
        self._control(err, h, new_t, stages, new)

    def _moved(self, stages: Float64Array, weights: Float64Array, h: Float64Array) -> Float64Array:
        """Return the step size times the weighted sum of the first stages."""
        flat = stages[: len(weights)].reshape(len(weights), -1)
        total = np.asarray(weights @ flat, np.float64).reshape(stages.shape[1:])
        total *= self._wide(h)
        return total

    def _control(
        self, err: Float64Array, h: Float64Array, new_t: Float64Array, stages: Float64Array, new: Float64Array
    ) -> None:
        good = err < 1
        factor = SAFETY * np.where(err > 0, err, 1e-300) ** POWER
        grown = np.minimum(np.where(self.rejected, 1.0, LARGEST), factor)
        self.h = h * np.where(good, grown, np.maximum(SMALLEST, factor))
        self.rejected = ~good
        new_t = np.where(good, new_t, self.t)
        kept = new if self.project is None else self.project(new)
        self._save(np.where(good, h, 0), stages, kept, new_t)
        self.steps[self.index] += good
        self.y = np.where(self._wide(good), kept, self.y)
        self.f = np.where(self._wide(good), stages[6], self.f)
        self.t = new_t

    def _save(
        self, h: Float64Array, stages: Float64Array, new: Float64Array, new_t: Float64Array | None = None
    ) -> None:
        """Save states at the times that the step from ``self.t`` to ``new_t`` has passed."""
        until = np.searchsorted(self.times, self.t if new_t is None else new_t, side="right")
        cursor = self.next[self.index]
        while (pending := np.flatnonzero(cursor < until)).size:
            self.states[self.index[pending], cursor[pending]] = self._between(
                pending, self.times[cursor[pending]], h[pending], stages[:, pending], new[pending]
            )
            cursor[pending] += 1
        self.next[self.index] = cursor

    def _between(
        self, pending: NDArray[np.intp], time: Float64Array, h: Float64Array, stages: Float64Array, new: Float64Array
    ) -> Float64Array:
        share = np.where(h > 0, (time - self.t[pending]) / np.where(h > 0, h, 1), 1.0)
        powers = share[:, None] ** np.arange(1, 5)
        weights = powers @ self.tableau[3].T
        moved = np.einsum("sk,ks...->s...", weights, stages) * self._wide(h)
        state = self.y[pending] + moved
        state = state if self.project is None else self.project(state)
        return np.where(self._wide(share) >= 1, new, state)

    def _leave(self) -> None:
        """Remove systems that have reached the last time."""
        on = self.t < self.end
        if not on.all():
            self.index, self.y, self.f = self.index[on], self.y[on], self.f[on]
            self.t, self.h, self.rejected = self.t[on], self.h[on], self.rejected[on]
