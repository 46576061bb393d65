"""Predict what a mask does to the weights: its reciprocity is the limit of the symmetry of the update of W_qk.

The update is W = sum_ij M_ij beta_ij x_i x_j^T (Proposition 2.1 of arXiv 2502.10927, C_i being row i of the mask). For
independent isotropic x_i in R^d and equal beta_ij, W = X^T M X, and with the Gram matrix G = X X^T

    Tr(W W) = Tr(M G M G),    |W|_F^2 = Tr(M G M^T G).

For Gaussian x_i, E[G A G] = d^2 A + d A^T + d Tr(A) I, so the two have the means

    d^2 r |M|^2 + d |M|^2 + d Tr(M)^2    and    d^2 |M|^2 + d r |M|^2 + d Tr(M)^2,    r = Tr(M M) / |M|^2,

whose quotient tends to r as d grows. For any independent isotropic tokens with |x|^2 / d -> 1, G / d tends to the
identity in probability, and the score itself to r. Isotropy alone does not suffice: see docs/symmetry.md.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.symmetry.scores import finite
from masksynth.errors import InvalidInstance
from masksynth.export.mutual_pairs import diagonal_pairs, mutual_pairs
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self, select_table
from masksynth.mask.intervals import count_covering, row_intervals
from masksynth.mask.typing import Int64Array


def reciprocity(mask: Mask, table: int = 0) -> float:
    """Return r(M) = sum_ij M_ij M_ji / sum_ij M_ij^2: the share of allowed pairs whose reverse is allowed.

    The diagonal is included.

    It is the symmetry score of the mask itself. From row and column intervals, never N x N.

    Raises
    ------
    InvalidInstance
        If the table allows no pair.
    Unsupported
        As `masksynth.export.mutual_pairs.mutual_pairs`.

    Examples
    --------
    >>> lower, shifted = np.tril(np.ones((8, 8), bool)), np.eye(8, k=-1, dtype=bool)
    >>> reciprocity(Mask.from_dense(lower)), reciprocity(Mask.from_dense(shifted))
    (0.2222222222222222, 0.0)
    """
    both, pairs = mutual_pairs(mask, table), pairs_of(mask, table)
    if not pairs:
        raise InvalidInstance("a mask that allows no pair updates nothing", "", "give one that allows some")
    return both / pairs


def pairs_of(mask: Mask, table: int = 0) -> int:
    """Count the allowed pairs of one table."""
    _, start, end = row_intervals(mask, table)
    return int((end - start).sum())


def causal_reciprocity(size: int, diagonal: bool = True) -> Fraction:
    """Return the reciprocity of the causal mask: 2 / (N + 1), as N of N (N + 1) / 2 pairs are their own reverse.

    Without the diagonal it is 0.

    Raises
    ------
    InvalidInstance
        If it allows no pair.

    Examples
    --------
    >>> causal_reciprocity(8), causal_reciprocity(8, diagonal=False)
    (Fraction(2, 9), Fraction(0, 1))
    """
    if size < (1 if diagonal else 2):
        raise InvalidInstance(f"a causal mask of {size} positions allows no pair", "", "give more positions")
    return Fraction(2, size + 1) if diagonal else Fraction(0)


def prefix_reciprocity(size: int, prefix: int) -> Fraction:
    """Return the reciprocity of the prefix-LM mask (k < P or k <= q) in closed form.

    P^2 + (N - P) pairs are mutual, of P^2 + P (N - P) + (N - P) (N - P + 1) / 2. P = 1 is the causal mask, P = N the
    full one.

    Raises
    ------
    InvalidInstance
        Unless 1 <= P <= N.

    Examples
    --------
    >>> prefix_reciprocity(8, 4), prefix_reciprocity(8, 1), prefix_reciprocity(8, 8)
    (Fraction(10, 21), Fraction(2, 9), Fraction(1, 1))
    """
    if not 1 <= prefix <= size:
        raise InvalidInstance(f"expected a prefix of 1 to {size} positions, got {prefix}", "")
    rest = size - prefix
    return Fraction(prefix**2 + rest, prefix**2 + prefix * rest + rest * (rest + 1) // 2)


def window_reciprocity(size: int, width: int) -> Fraction:
    """Return the reciprocity of the causal window (q - w < k <= q): N of N w - w (w - 1) / 2 pairs.

    Raises
    ------
    InvalidInstance
        Unless 1 <= w <= N.

    Examples
    --------
    >>> window_reciprocity(9, 3), window_reciprocity(9, 9) == causal_reciprocity(9)
    (Fraction(3, 8), True)
    """
    if not 1 <= width <= size:
        raise InvalidInstance(f"expected a window of 1 to {size} positions, got {width}", "")
    return Fraction(size, size * width - width * (width - 1) // 2)


def update_symmetry(mask: Mask, dimension: float = np.inf, table: int = 0) -> float:
    """Return E Tr(W W) / E |W|_F^2 for W = sum_ij M_ij x_i x_j^T with standard Gaussian x_i in R^d; r(M) for d = inf.

    With t = Tr(M)^2 / |M|_F^2 it is (r + (1 + t) / d) / (1 + (r + t) / d).

    Raises
    ------
    InvalidInstance
        If the table allows no pair or d is below 1.

    Examples
    --------
    >>> causal = Mask.from_dense(np.tril(np.ones((8, 8), bool)))
    >>> [round(update_symmetry(causal, d), 4) for d in (64, 4096, np.inf)]
    [0.2576, 0.2228, 0.2222]
    """
    if not dimension >= 1:
        raise InvalidInstance(f"expected a dimension of at least 1, got {dimension}", "")
    r = reciprocity(mask, table)
    t = diagonal_pairs(mask, table) ** 2 / pairs_of(mask, table)
    return (r + (1 + t) / dimension) / (1 + (r + t) / dimension)


def count_ratio(mask: Mask, positions: ArrayLike | None = None, table: int = 0) -> float:
    """Return E[mu_c] / E[mu_p] of a token at position k with probability p_k.

    This is how much more often the token is context than a source of predictions.

    mu_c counts the other positions that see it, mu_p the other positions that it sees (Proposition S1.9 of arXiv
    2502.10927): above 1 the columns of W_qk grow faster than its rows. The causal mask gives sum (N - k) p_k / sum (k -
    1) p_k with k counted from 1, and every symmetric mask 1.

    Parameters
    ----------
    mask : Mask
    positions : (N,), optional
        p_k up to a factor [default: all equal, which gives 1].
    table : int

    Raises
    ------
    InvalidInstance
        If the distribution has another length, is negative or zero, or the token sees no other position.

    Examples
    --------
    >>> always_third, causal = np.arange(10) == 2, Mask.from_dense(np.tri(10, dtype=bool))
    >>> count_ratio(causal, always_third), count_ratio(Mask.from_dense(np.ones((10, 10), bool)), always_third)
    (3.5, 1.0)
    """
    weights = finite(np.ones(mask.size) if positions is None else positions, "the distribution of positions")
    if weights.shape != (mask.size,) or (weights < 0).any() or not weights.sum() > 0:
        raise InvalidInstance(f"positions: expected {mask.size} numbers >= 0, not all 0, got shape {weights.shape}", "")
    seen, sees = seen_by(mask, table), row_sizes(mask, table)
    below = float(weights @ sees)
    if not below > 0:
        raise InvalidInstance(
            "the ratio is undefined: no token attends to another position", "", "give positions that see some"
        )
    return float(weights @ seen) / below


def early_counts(mask: Mask, table: int = 0) -> tuple[float, float]:
    """Return sums over k = 1 ... N of (N - k) times the others that attend to k, and times the others k attends to.

    Examples
    --------
    >>> early_counts(Mask.from_dense(np.tri(3, dtype=bool))), early_counts(Mask.from_dense(np.tri(2, dtype=bool)))
    ((5.0, 1.0), (1.0, 0.0))
    """
    weights = np.arange(mask.size - 1, -1, -1)
    return float(weights @ seen_by(mask, table)), float(weights @ row_sizes(mask, table))


def row_sizes(mask: Mask, table: int = 0) -> Int64Array:
    """Return how many other positions each attends to, (N,)."""
    query, start, end = row_intervals(mask, table)
    is_self = (start <= query) & (query < end)
    return np.bincount(query, end - start - is_self, minlength=mask.size).astype(np.int64)


def seen_by(mask: Mask, table: int = 0) -> Int64Array:
    """Return how many other positions attend to each, (N,)."""
    return count_covering(row_intervals(mask, table), mask.size) - attends_to_self(select_table(mask, table))
