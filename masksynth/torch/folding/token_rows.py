"""Read the real tokens of a padded or packed call: what each row is, as its model would compute it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masksynth.mask.csr import index_in_row
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import BoolArray, Int64Array


@dataclass(frozen=True, eq=False)
class TokenRows:
    """U real tokens in S sequences: sequence s has the tokens ``offset[s] <= u < offset[s + 1]``.

    Parameters
    ----------
    shape : (int, int)
        (B, T) of the call.
    offset : (S + 1,) int64
        Row pointers of the sequences. A padded row is one sequence, a packed row several.
    place : (U,) int64
        ``row * T + column`` of each token.
    tokens : (U,) int64
    positions : (D, U) int64
        Position ids of D dimensions.
    index : (U,) int64
        The number by which the model's windows and chunks count: columns from the row's first real token, so that
        holes count; in packed rows the position id.
    """

    shape: tuple[int, int]
    offset: Int64Array
    place: Int64Array
    tokens: Int64Array
    positions: NDArray[np.int64]
    index: Int64Array

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def length(self) -> Int64Array:
        """Number of tokens of each sequence, (S,)."""
        return np.diff(self.offset)

    @property
    def complete(self) -> bool:
        """Whether the tokens are those of all places of the call, in their order."""
        return bool(np.array_equal(self.place, np.arange(self.shape[0] * self.shape[1])))

    def select(self, sequences: Int64Array) -> TokenRows:
        """Return some of the sequences, with the places of their tokens unchanged."""
        chosen = np.concatenate([np.arange(self.offset[s], self.offset[s + 1]) for s in sequences.tolist()])
        offset = np.append(0, np.cumsum(self.length[sequences]))
        columns = (self.place[chosen], self.tokens[chosen], self.positions[:, chosen], self.index[chosen])
        return TokenRows(self.shape, offset, *columns)


def read_rows(
    ids: Int64Array, mask: BoolArray | None, positions: NDArray[np.int64], starts: BoolArray | None = None
) -> TokenRows:
    """Return the sequences of a call.

    Parameters
    ----------
    ids : (B, T) int64
    mask : (B, T) bool or None
        Whether each token is real; None: all are.
    positions : (D, B, T) int64
    starts : (B, T) bool, optional
        Where sequences begin besides at the first real token of a row; for packed rows.

    Examples
    --------
    >>> ids, mask = np.array([[0, 0, 5, 6], [7, 0, 8, 9]]), np.array([[0, 0, 1, 1], [1, 0, 1, 1]], bool)
    >>> rows = read_rows(ids, mask, np.arange(4)[None, None].repeat(2, 1))
    >>> rows.tokens.tolist(), rows.offset.tolist(), rows.positions.tolist(), rows.index.tolist()
    ([5, 6, 7, 8, 9], [0, 2, 5], [[2, 3, 0, 2, 3]], [0, 1, 0, 2, 3])
    """
    count, width = ids.shape
    place = np.arange(count * width) if mask is None else np.flatnonzero(mask)
    row, column = place // width, place % width
    opens = run_starts(row)
    own = positions.reshape(len(positions), -1)[:, place]
    if starts is not None:
        opens = opens | starts.ravel()[place]
    begins = np.flatnonzero(opens)
    offset = np.append(begins, len(place))
    first = np.repeat(begins, np.diff(offset))  # the first token of the sequence of each token
    index = column - column[first]
    if starts is not None:
        index = index + own[0][first]
    return TokenRows((count, width), offset, place, ids.ravel()[place], own, index)


def packed_starts(positions: Int64Array) -> BoolArray | None:
    """Return where sequences begin in rows without a mask, (B, T): where position ids do not rise by 1; None: nowhere.

    Parameters
    ----------
    positions : (B, T) int64

    Examples
    --------
    >>> packed_starts(np.array([[0, 1, 0, 1, 2]])).astype(int).tolist(), packed_starts(np.array([[3, 4]]))
    ([[1, 0, 1, 0, 0]], None)
    """
    breaks = np.diff(positions, axis=1) != 1
    if not breaks.any():
        return None
    return np.concatenate([np.ones((len(positions), 1), bool), breaks], 1)


def varlen_starts(cumulative: Int64Array | None, number: Int64Array | None, shape: tuple[int, int]) -> BoolArray | None:
    """Return where the arguments of varlen attention begin packed rows, (B, T); None if there are none.

    Parameters
    ----------
    cumulative : (G + 1,) integers or None
        Cumulative lengths of the packed rows (``cu_seq_lens_q``).
    number : (B, T) integers or None
        Number of the packed row of each token (``seq_idx``).
    shape : (int, int)
        (B, T).

    Examples
    --------
    >>> varlen_starts(np.array([0, 2, 5]), None, (1, 5)).astype(int).tolist()
    [[1, 0, 1, 0, 0]]
    >>> varlen_starts(None, np.array([[0, 0, 1, 1, 1]]), (1, 5)).astype(int).tolist()
    [[1, 0, 1, 0, 0]]
    """
    if cumulative is None and number is None:
        return None
    starts = np.zeros(shape, bool)
    starts[:, 0] = True
    if cumulative is not None:
        starts.reshape(-1)[cumulative[cumulative < starts.size]] = True
    if number is not None:
        starts[:, 1:] |= np.diff(number, axis=1) != 0
    return starts


def count_positions(mask: BoolArray) -> Int64Array:
    """Return the number of real tokens before each token of its row, (B, T); 0 at pads.

    Examples
    --------
    >>> count_positions(np.array([[0, 1, 0, 1]], bool)).tolist()
    [[0, 0, 0, 1]]
    """
    result = np.zeros(mask.shape, np.int64)
    result[mask] = index_in_row(mask.sum(1))
    return result
