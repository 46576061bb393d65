"""Contracts of a text: tokens in a row."""

from __future__ import annotations

import numpy as np

from masksynth.contracts.families.contract_parts import TargetSets, build_contracts, line, of_tokens
from masksynth.contracts.model import Contracts, Place
from masksynth.tasks.parameters import check_at_least, require


def leave_one_out(n: int = 8, layers: int | None = None, place: Place = "query") -> Contracts:
    """Return the contracts of n tokens, each predicted from all others.

    Parameters
    ----------
    n : int
        Number of tokens.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> leave_one_out(n=3).needed(1).tolist()
    [0, 2]
    """
    elements = line(n)
    sets = of_tokens(range(n), lambda row: np.arange(n) == row)
    return build_contracts("leave_one_out", [n], elements, sets, layers, place)


def leave_block_out(n: int = 8, l: int = 2, layers: int | None = None, place: Place = "query") -> Contracts:  # noqa: E741 - as in the catalogue
    """Return the contracts of n / l blocks of consecutive tokens, each predicted as one target from all other blocks.

    Parameters
    ----------
    n : int
        Number of tokens.
    l : int
        Block length, a divisor of n.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> contracts = leave_block_out(n=6, l=2)
    >>> [target.label for target in contracts.targets], contracts.hidden(1).tolist()
    ([('block', 0), ('block', 1), ('block', 2)], [2, 3])
    """
    elements = line(n)
    _check_divisor(n, l)
    blocks = range(n // l)
    labels = [("block", block) for block in blocks]
    sets = TargetSets(labels, [block * l for block in blocks], lambda row: np.arange(n) // l == row)
    return build_contracts("leave_block_out", [n, l], elements, sets, layers, place)


def leave_fold_out(n: int = 8, k: int = 2, layers: int | None = None, place: Place = "query") -> Contracts:
    """Return the contracts of n tokens in k folds, token i in fold i mod k, each predicted from all other folds.

    Parameters
    ----------
    n : int
        Number of tokens.
    k : int
        Number of folds, at most n.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> leave_fold_out(n=6, k=3).hidden(1).tolist()
    [1, 4]
    """
    elements = line(n)
    check_at_least(1, k=k)
    require(k <= n, "k", k, f"is more than n={n}", "give 1 <= k <= n")
    sets = of_tokens(range(n), lambda row: np.arange(n) % k == row % k)
    return build_contracts("leave_fold_out", [n, k], elements, sets, layers, place)


def leave_ball_out(n: int = 8, radius: int = 1, layers: int | None = None, place: Place = "query") -> Contracts:
    """Return the contracts of n tokens, each predicted from all tokens farther away than a radius.

    Parameters
    ----------
    n : int
        Number of tokens.
    radius : int
        Token i hides i - radius, .., i + radius.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> leave_ball_out(n=5, radius=1).needed(1).tolist()
    [3, 4]
    """
    elements = line(n)
    check_at_least(0, radius=radius)
    sets = of_tokens(range(n), lambda row: abs(np.arange(n) - row) <= radius)
    return build_contracts("leave_ball_out", [n, radius], elements, sets, layers, place)


def causal(n: int = 8, layers: int | None = None, place: Place = "query") -> Contracts:
    """Return the contracts of the tokens 1, .., n - 1, each predicted from all tokens before it alone.

    Parameters
    ----------
    n : int
        Number of tokens, 2 or more: nothing predicts the first one.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may (a causal model).

    Examples
    --------
    >>> contracts = causal(n=3)
    >>> contracts.targets[1].label, contracts.needed(1).tolist(), contracts.hidden(1).tolist()
    (2, [0, 1], [2])
    """
    check_at_least(2, n=n)
    elements = line(n)
    sets = of_tokens(range(1, n), lambda row: np.arange(n) > row)
    return build_contracts("causal", [n], elements, sets, layers, place)


def windows(n: int = 8, w: int = 4, layers: int | None = None, place: Place = "query") -> Contracts:
    """Return the contracts of all n - w + 1 full windows: target s sees the tokens s, .., s + w - 1 alone.

    Parameters
    ----------
    n : int
        Number of tokens.
    w : int
        Width of a window, at most n.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> contracts = windows(n=5, w=2)
    >>> len(contracts.targets), contracts.needed(3).tolist(), contracts.hidden(3).tolist()
    (4, [3, 4], [0, 1, 2])
    """
    elements = line(n)
    check_at_least(1, w=w)
    require(w <= n, "w", w, f"is more than n={n}", "give 1 <= w <= n")
    starts = range(n - w + 1)
    labels = [("window", start) for start in starts]
    sets = TargetSets(labels, starts, lambda row: (np.arange(n) < row) | (np.arange(n) >= row + w))
    return build_contracts("windows", [n, w], elements, sets, layers, place)


def block_two_stream(n: int = 8, l: int = 2, layers: int | None = None, place: Place = "query") -> Contracts:  # noqa: E741 - the paper's name
    """Return the contracts of Block Two-Stream: each token is predicted from the blocks before its own alone.

    Parameters
    ----------
    n : int
        Number of tokens.
    l : int
        Block length, a divisor of n. Tokens of the first block are predicted from nothing.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> [block_two_stream(n=4, l=2).needed(target).tolist() for target in range(4)]
    [[], [], [0, 1], [0, 1]]
    """
    elements = line(n)
    _check_divisor(n, l)
    sets = of_tokens(range(n), lambda row: np.arange(n) // l >= row // l)
    return build_contracts("block_two_stream", [n, l], elements, sets, layers, place)


def _check_divisor(n: int, length: int) -> None:
    check_at_least(1, l=length)
    require(n % length == 0, "l", length, f"does not divide n={n}", "give a divisor of n")
