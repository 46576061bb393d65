"""Draw updates W = sum_ij M_ij x_i x_j^T at random and score their symmetry, without large intermediate arrays.

With X (N, d), Y = M X from running sums along the rows' intervals: W = X^T Y. Where N <= d the scores come from N x N
products, G = X X^T and Z = Y X^T = M G: Tr(W W) = Tr(Z Z) and |W|_F^2 = Tr(G Y Y^T). Where d < N they come from W
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from masksynth.diagnostics.components import mask_parts
from masksynth.diagnostics.symmetry.mask_prediction import early_counts, pairs_of, reciprocity, update_symmetry
from masksynth.diagnostics.symmetry.scores import finite, quotient, scaled
from masksynth.diagnostics.symmetry.statements import OF_MASK
from masksynth.errors import InvalidInstance, check_type
from masksynth.mask import Mask
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import Float64Array

DIMENSIONS = (16, 64, 256, 1024, 4096)
SEEDS = 32
MOST = 1 << 36
"""Maximum number of multiplications for all draws at one dimension; larger dimensions are left out."""


@dataclass(frozen=True)
class Sampled:
    """Scores of random updates at one dimension.

    Parameters
    ----------
    dimension, draws : int
    mean, error : float
        Mean over the draws and its standard error.
    expected : float
        The quotient of the two means, in closed form.
    """

    dimension: int
    draws: int
    mean: float
    error: float
    expected: float


@dataclass(frozen=True)
class TablePrediction:
    """Predicted effect of one table of a mask on the update.

    Parameters
    ----------
    reciprocity : float
        r: the limit of the symmetry score of the update as d grows, for independent isotropic tokens with
        |x|^2 / d -> 1.
    pairs : int
    parts : int
        Parts of the mask that see nothing of one another.
    early_context, early_predicted : float
        E[mu_c] and E[mu_p] of a token that is the likelier the earlier, p_k proportional to N - k.
    early_ratio : float or None
        Their quotient; None where the token sees no other position.
    sampled : tuple of Sampled
        The Monte Carlo confirmation; empty unless requested.
    """

    reciprocity: float
    pairs: int
    parts: int
    early_context: float
    early_predicted: float
    early_ratio: float | None
    sampled: tuple[Sampled, ...]


@dataclass(frozen=True)
class MaskDiagnosis:
    """Predicted effect of a mask on the symmetry of W_qk; layer l uses table l mod P.

    Parameters
    ----------
    source : str
    positions : int
    tables : tuple of TablePrediction
    seed : int
    left_out : tuple of int
        Dimensions that were too large to draw at so many positions.
    """

    source: str
    positions: int
    tables: tuple[TablePrediction, ...]
    seed: int
    left_out: tuple[int, ...]

    def record(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return {"diagnosis": "symmetry of a mask", **asdict(self), "statements": [one._asdict() for one in OF_MASK]}


def diagnose_mask(
    mask: Mask,
    source: str = "mask",
    *,
    check: bool = False,
    dimensions: Sequence[int] = DIMENSIONS,
    draws: int = SEEDS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> MaskDiagnosis:
    """Predict the symmetry score of the update of W_qk under a mask, and confirm it by Monte Carlo.

    Parameters
    ----------
    mask : Mask
    source : str
        What to call it.
    check : bool
        Also draw updates.
    dimensions : sequence of int
    draws, seed : int
    progress : callable
        Called with dimensions done and all dimensions.

    Raises
    ------
    InvalidInstance
        If a table allows no pair, or an option makes no sense.

    Examples
    --------
    >>> diagnose_mask(Mask.from_dense(np.tri(8, dtype=bool))).tables[0].reciprocity
    0.2222222222222222
    """
    check_type(mask, Mask)
    wanted = tuple(dimensions) if check else ()
    if any(d < 1 for d in wanted) or draws < 2:
        raise InvalidInstance(f"expected positive dimensions and at least 2 draws, got {wanted} and {draws}", "")
    kept = tuple(d for d in wanted if draws * d * mask.size * min(d, mask.size) <= MOST)
    tables, of = [], len(kept) * mask.tables
    for table in range(mask.tables):
        predicted = _prediction(mask, table)  # refuses a mask without pairs before anything is drawn
        sampled: list[Sampled] = []
        for d in kept:
            progress(table * len(kept) + len(sampled), of)
            sampled.append(sample(mask, d, draws, seed, table))
        tables.append(replace(predicted, sampled=tuple(sampled)))
    return MaskDiagnosis(source, mask.size, tuple(tables), seed, tuple(d for d in wanted if d not in kept))


def _prediction(mask: Mask, table: int) -> TablePrediction:
    r, pairs, parts = reciprocity(mask, table), pairs_of(mask, table), mask_parts(mask, table)
    context, predicted = early_counts(mask, table)
    all_pairs = mask.size * (mask.size - 1) / 2 or 1.0
    ratio = context / predicted if predicted else None
    return TablePrediction(r, pairs, parts, context / all_pairs, predicted / all_pairs, ratio, ())


def sample(mask: Mask, dimension: int, draws: int = SEEDS, seed: int = 0, table: int = 0) -> Sampled:
    """Draw symmetry scores of random updates: x_i independent standard Gaussian in R^d.

    Examples
    --------
    >>> found = sample(Mask.from_dense(np.tri(8, dtype=bool)), 1024)
    >>> abs(found.mean - found.expected) < 4 * found.error
    True
    """
    streams = np.random.default_rng([seed, dimension, table]).spawn(draws)
    scores = np.array(
        [drawn_score(mask, generator.standard_normal((mask.size, dimension)), table) for generator in streams]
    )
    error = float(scores.std(ddof=1) / np.sqrt(draws))
    return Sampled(dimension, draws, float(scores.mean()), error, update_symmetry(mask, dimension, table))


def drawn_score(mask: Mask, states: Float64Array, table: int = 0) -> float:
    """Return the symmetry score of W = sum_ij M_ij x_i x_j^T for given x_i, the rows of ``states`` (N, d).

    Examples
    --------
    >>> states = np.random.default_rng(0).normal(size=(3, 5))
    >>> causal = np.tri(3)
    >>> update = states.T @ causal @ states
    >>> score = np.trace(update @ update) / (update**2).sum()
    >>> bool(np.isclose(drawn_score(Mask.from_dense(causal > 0), states), score))
    True
    """
    states = scaled(finite(states, "the states"))
    seen = _row_sums(mask, states, table)
    if mask.size <= states.shape[1]:
        product = seen @ states.T
        return quotient(np.vdot(product, product.T), np.vdot(states @ states.T, seen @ seen.T))
    update = states.T @ seen
    return quotient(np.vdot(update, update.T), np.vdot(update, update))


def _row_sums(mask: Mask, states: Float64Array, table: int) -> Float64Array:
    """Return M X, the sum of the rows of X over each row of the mask."""
    query, start, end = row_intervals(mask, table)
    total = np.concatenate([np.zeros((1, states.shape[1])), np.cumsum(states, axis=0)])
    result = np.zeros_like(states)
    np.add.at(result, query, total[end] - total[start])
    return result
