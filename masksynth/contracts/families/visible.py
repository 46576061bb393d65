"""Contracts of texts of which parts are visible: any order, masked diffusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.contracts.element_sets import check_contract_size
from masksynth.contracts.families.contract_parts import TargetSets, build_contracts, line, of_tokens
from masksynth.contracts.model import Contracts, Place
from masksynth.tasks.parameters import check_at_least, check_integer_rows, check_integers, require


def any_order(
    n: int = 8, order: tuple[int, ...] = (), seed: int = 0, layers: int | None = None, place: Place = "query"
) -> Contracts:
    """Return the contracts of an order of prediction: each token but the first is predicted from those before it alone.

    Parameters
    ----------
    n : int
        Number of tokens, 2 or more.
    order : tuple of int
        A permutation of 0, .., n - 1; empty: one drawn by ``seed``.
    seed : int
        Seed of the permutation.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> contracts = any_order(n=3, order=(2, 0, 1))
    >>> [(target.label, contracts.needed(index).tolist()) for index, target in enumerate(contracts.targets)]
    [(0, [2]), (1, [0, 2])]
    """
    check_at_least(2, n=n)
    check_at_least(0, seed=seed)
    elements = line(n)
    order = check_integers("order", order) or tuple(np.random.default_rng(seed).permutation(n).tolist())
    require(sorted(order) == list(range(n)), "order", order, f"is not an order of 0 to {n - 1}", "list each once")
    rank = np.argsort(order)  # rank[token]: its place in the order
    later = np.array(order)[1:]
    sets = of_tokens(order[1:], lambda row: rank >= rank[later[row]])
    return build_contracts("any_order", [n, seed], elements, sets, layers, place)


def visible_sets(
    n: int = 8,
    masked: tuple[tuple[int, ...], ...] = ((1, 4, 6),),
    layers: int | None = None,
    place: Place = "query",
) -> Contracts:
    """Return the contracts of texts with masked tokens: every token is predicted from the visible others alone.

    Parameters
    ----------
    n : int
        Number of tokens.
    masked : tuple of tuples of int
        Masked tokens of each text; the others are visible. A target is labelled by its token, or by text and token if
        there are several texts.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> contracts = visible_sets(n=4, masked=((1, 2),))
    >>> [contracts.needed(target).tolist() for target in range(4)]
    [[3], [0, 3], [0, 3], [0]]
    """
    return _visible("visible_sets", [n, len(masked)], n, masked, (layers, place))


def masked_diffusion(
    n: int = 8, percent: int = 50, sets: int = 1, seed: int = 0, layers: int | None = None, place: Place = "query"
) -> Contracts:
    """Return the contracts of masked diffusion: the same tokens are masked in each text, a share of them at random.

    Every token is supervised: masked and visible ones are predicted from the visible others alone.

    Parameters
    ----------
    n : int
        Number of tokens.
    percent : int
        Share of masked tokens, 0 to 100, rounded to a whole number of tokens.
    sets : int
        Number of texts, each with masked tokens of its own.
    seed : int
        Seed of the masked tokens.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.
    place : str
        ``query``: a blank predicts. ``any``: a position that embeds a needed element may.

    Examples
    --------
    >>> contracts = masked_diffusion(n=20, percent=15)
    >>> sorted({len(contracts.needed(target)) for target in range(20)})
    [16, 17]
    """
    check_at_least(0, percent=percent, seed=seed)
    require(percent <= 100, "percent", percent, "is more than 100", "give 0 to 100")
    check_at_least(1, sets=sets)
    line(n)
    check_contract_size(sets * n, n, "$.sets")
    random = np.random.default_rng(seed)
    count = round(n * percent / 100)
    masked = tuple(tuple(sorted(random.choice(n, count, replace=False).tolist())) for _ in range(sets))
    return _visible("masked_diffusion", [n, percent, sets, seed], n, masked, (layers, place))


def _visible(
    name: str, parameters: Sequence[int], n: int, masked: tuple[tuple[int, ...], ...], options: tuple[int | None, Place]
) -> Contracts:
    elements = line(n)
    texts = check_integer_rows("masked", masked)
    require(len(texts) > 0, "masked", masked, "lists no text", "give one text or more")
    check_contract_size(len(texts) * n, n, "$.masked")
    is_masked = np.zeros((len(texts), n), bool)
    for index, text in enumerate(texts):
        require(
            len(set(text)) == len(text) and max(text, default=0) < n,
            f"masked[{index}]",
            text,
            f"is not a set of tokens below n={n}",
            "list each masked token once",
        )
        is_masked[index, list(text)] = True
    pairs = [(text, token) for text in range(len(texts)) for token in range(n)]
    labels = [token for _, token in pairs] if len(texts) == 1 else pairs
    hide = TargetSets(
        labels, [token for _, token in pairs], lambda row: is_masked[row[:, 0] // n] | (np.arange(n) == row % n)
    )
    return build_contracts(name, parameters, elements, hide, *options)
