"""Evaluate the particle system's vector field for many starts at once: on any sphere, and by angles on the circle.

    x_k' = P_{x_k}( sum_{j in row k} w_kj V x_j ),  w_kj proportional to exp(beta <Q x_k, K x_j>)
    P_x(y) = y - <x, y> x

A row without keys gives no pull: its position does not move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from masksynth.diagnostics.clustering.interaction import check_beta
from masksynth.diagnostics.clustering.row_blocks import Block, blocks_of
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import Float64Array

Field = Callable[[Float64Array], Float64Array]
CELLS = 2**16
"""Scores that are held at once, so that they stay in the cache."""
LARGEST = 1e300
"""The largest sum of d scores that is computed."""
SAFE = 600.0
"""The widest range of scores whose exponentials are all positive numbers without looking for the largest."""


class Weights(NamedTuple):
    """Q and K (m, d) and V (d, d), for column vectors: the score of key j for query k is beta <Q x_k, K x_j>."""

    query: Float64Array
    key: Float64Array
    value: Float64Array


def weights(dim: int, query: Any = None, key: Any = None, value: Any = None) -> Weights:
    """Return Q, K, V as arrays, each the identity where it is None.

    Raises
    ------
    InvalidInstance
        If V is not (d, d), Q and K are not (m, d) with one m, a number is not finite, or d is below 2.

    Examples
    --------
    >>> weights(2).value.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if dim < 2:
        raise InvalidInstance(f"expected a dimension of at least 2, got {dim}", "")
    result = Weights(*(_matrix_of(*item, dim) for item in (("query", query), ("key", key), ("value", value))))
    if len(result.value) != dim:
        raise InvalidInstance(f"value: expected shape ({dim}, {dim}), got shape {result.value.shape}", "")
    if len(result.query) != len(result.key):
        raise InvalidInstance(f"query {result.query.shape} and key {result.key.shape} have different heights", "")
    return result


def _matrix_of(name: str, matrix: Any, dim: int) -> Float64Array:
    if matrix is None:
        return np.eye(dim)
    given = np.asarray(matrix)
    if given.dtype.kind not in "fiu":
        raise InvalidInstance(f"expected a matrix of real numbers as {name}, got {given.dtype}", "")
    result = given.astype(np.float64)
    if result.ndim != 2 or not len(result) or result.shape[1] != dim or not np.isfinite(result).all():
        raise InvalidInstance(f"{name}: expected finite numbers of shape (m, {dim}), got shape {result.shape}", "")
    return result


def score_matrix(beta: float, given: Weights) -> Float64Array:
    """Return beta Q^T K; raise InvalidInstance if scores of unit vectors could overflow.

    Examples
    --------
    >>> score_matrix(2.0, weights(2, query=[[0, 1]], key=[[3, 0]])).tolist()
    [[0.0, 0.0], [6.0, 0.0]]
    """
    query, key = given.query, given.key
    with np.errstate(over="ignore", invalid="ignore"):
        # of one diagonal matrix d^2 products instead of d^3: the identity is the default, in up to 4,096 dimensions
        product = query.T * np.diagonal(key) if _is_diagonal(key) else query.T @ key
        scores = np.asarray(beta * product, np.float64)
    if not np.abs(scores).max() <= LARGEST / len(scores):  # so that no sum of len(scores) products overflows
        raise InvalidInstance("the scores beta <Q x, K y> overflow", "", "give a smaller beta, Q or K")
    return scores


def spectral_norm(matrix: Float64Array) -> float:
    """Return the largest singular value, for diagonal matrices without a decomposition.

    Examples
    --------
    >>> spectral_norm(np.diag([3.0, -4.0])), round(spectral_norm(np.ones((2, 2))), 12)
    (4.0, 2.0)
    """
    return float(np.abs(np.diagonal(matrix)).max() if _is_diagonal(matrix) else np.linalg.norm(matrix, 2))


def _is_diagonal(matrix: Float64Array) -> bool:
    rows, columns = matrix.shape
    return rows == columns and bool(np.count_nonzero(matrix) == np.count_nonzero(np.diagonal(matrix)))


def sphere_field(mask: Mask, beta: float, given: Weights) -> Field:
    """Return the map x -> x' for x of shape (seeds, n, d).

    It depends on directions alone: x is normalised first, so that f(x) = f(x / |x|) exactly, and <x, f(x)> = 0.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``blocks_of``; and for a beta that is not a finite number >= 0.

    Examples
    --------
    The first token of a causal mask does not move; the second turns towards it.

    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> field = sphere_field(causal_mask(2), 0.0, weights(2))
    >>> field(np.array([[[1.0, 0.0], [0.0, 1.0]]])).tolist()
    [[[0.0, 0.0], [0.5, 0.0]]]
    """
    blocks = blocks_of(mask)
    scores = score_matrix(check_beta(beta), given)
    matrix, wide = _matrix(scores, spectral_norm(scores))
    cells = _cells(blocks)
    value = None if np.array_equal(given.value, np.eye(len(scores))) else _append_corner(given.value.T, 1.0)

    def field(x: Float64Array) -> Float64Array:
        points = _with_ones(normalised(x))
        x, pull = points[..., :-1], _pull(blocks, points, matrix, value, wide, cells)
        pull -= np.einsum("...i,...i->...", pull, x)[..., None] * x
        return pull

    return field


def _matrix(scores: Float64Array, most: float) -> tuple[Float64Array, bool]:
    """Return M such that (x, 1) M (y, 1)^T is a score, shifted to at most 0 unless scores range too widely."""
    wide = 2 * most > SAFE
    return _append_corner(scores, 0.0 if wide else -most), wide


def _append_corner(matrix: Float64Array, number: float) -> Float64Array:
    """Append one row and one column of zeros, with a number in the corner."""
    result = np.zeros((len(matrix) + 1, len(matrix) + 1))
    result[:-1, :-1], result[-1, -1] = matrix, number
    return result


def _cells(blocks: tuple[Block, ...]) -> int:
    """Return the number of scores of one block and one seed, or of several seeds, that fit the cache."""
    return max([CELLS, *((block.end - block.start) * (block.high - block.low) for block in blocks)])


def _with_ones(x: Float64Array) -> Float64Array:
    result = np.ones((*x.shape[:-1], x.shape[-1] + 1))
    result[..., :-1] = x
    return result


def normalised(x: Float64Array) -> Float64Array:
    """Scale vectors along the last axis to length 1.

    Examples
    --------
    >>> normalised(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    return np.asarray(x / np.sqrt(np.einsum("...i,...i->...", x, x))[..., None], np.float64)


def circle_field(mask: Mask, beta: float) -> Field:
    """Return the map phi -> phi' for angles (seeds, n) on the circle with Q = K = V = I.

    phi_k' = (1 / Z_k) sum_j exp(beta (cos(phi_k - phi_j) - 1)) sin(phi_j - phi_k). sin(phi_j - phi_k) = sin phi_j cos
    phi_k - cos phi_j sin phi_k, so that one exponential for each pair and products of matrices are all it takes.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``sphere_field``.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> circle_field(causal_mask(2), 0.0)(np.array([[0.0, 1.0]])).round(6).tolist()
    [[0.0, -0.420735]]
    """
    blocks = blocks_of(mask)
    matrix, wide = _matrix(check_beta(beta) * np.eye(2), beta)
    cells = _cells(blocks)

    def field(phi: Float64Array) -> Float64Array:
        points = np.ones((*phi.shape, 3))
        x, y = points[..., 0], points[..., 1]
        np.cos(phi, out=x)
        np.sin(phi, out=y)
        pull = _pull(blocks, points, matrix, None, wide, cells)
        return np.asarray(pull[..., 1] * x - pull[..., 0] * y, np.float64)

    return field


def _pull(
    blocks: tuple[Block, ...],
    points: Float64Array,
    matrix: Float64Array,
    value: Float64Array | None,
    wide: bool,
    cells: int,
) -> Float64Array:
    """Return weighted means of the values, (seeds, n, d), from points (x, 1); zero for empty rows."""
    seeds, _, dim = points.shape
    flat = points.reshape(-1, dim)  # one product instead of one for each seed
    queries = (flat @ matrix).reshape(points.shape)
    values = points if value is None else (flat @ value).reshape(points.shape)
    keys = np.ascontiguousarray(points.transpose(0, 2, 1))
    sums = np.zeros(points.shape)
    buffer = np.empty(cells)
    for block in blocks:
        rows, width = block.end - block.start, block.high - block.low
        at_once = max(1, CELLS // (rows * width))
        for first in range(0, seeds, at_once):
            part = slice(first, min(first + at_once, seeds))
            count = part.stop - first
            scores = buffer[: count * rows * width].reshape(count, rows, width)
            np.matmul(queries[part, block.start : block.end], keys[part, :, block.low : block.high], out=scores)
            np.matmul(
                _weights(scores, block, wide),
                values[part, block.low : block.high],
                out=sums[part, block.start : block.end],
            )
    total = sums[..., -1:]
    total[total == 0] = 1
    return np.asarray(sums[..., :-1] / total, np.float64)


def _weights(scores: Float64Array, block: Block, wide: bool) -> Float64Array:
    """Exponentiate scores up to a factor per row, with 0 where not allowed; in place."""
    selected = scores[..., block.first : block.last]
    if wide and block.allowed is not None:
        selected[:, block.allowed == 0] = -np.inf
    if wide:
        top = scores.max(axis=-1, keepdims=True)
        scores -= np.where(np.isfinite(top), top, 0.0)
    np.exp(scores, out=scores)
    if block.allowed is not None and not wide:
        selected *= block.allowed
    return scores
