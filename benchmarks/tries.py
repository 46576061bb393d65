"""Packers out of dictionaries, one lookup for each token: what a user would write, and what a peer publishes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from masksynth.mask.typing import AnyArray
from masksynth.pack.sample_columns import IGNORED

Node = dict[int, "Node"]
Sample = tuple[int, list[int], list[int]]
"""A number of the tree in which a sample shares positions; its token ids and labels."""


def trie_batch(samples: Sequence[Sample]) -> dict[str, AnyArray]:
    """Return the arrays of a batch of samples of weight 1, from a trie of dictionaries.

    Parameters
    ----------
    samples : sequence of (int, list of int, list of int)
        In an order in which each token that is new follows the one before it in its sample, as depth first.

    Examples
    --------
    >>> arrays = trie_batch([(0, [1, 2, 3], [-100, 2, 3]), (0, [1, 4, 5], [-100, 4, 5])])
    >>> arrays["input_ids"].tolist(), arrays["loss_label"].tolist(), arrays["loss_position"].tolist()
    ([1, 2, 4], [2, 3, 4, 5], [0, 1, 0, 2])
    """
    children: dict[int, dict[int, int]] = {}  # of each position by token
    roots: dict[int, dict[int, int]] = {}
    tokens, places, starts, ends, rows = [], [], [], [], [0]
    path_starts: dict[int, list[int]] = {-1: []}  # where the runs of the path to each position begin and end
    path_ends: dict[int, list[int]] = {-1: []}
    paths, offsets = [], [0]
    lives = [_live(labels) for *_, labels in samples]
    for (tree, ids, _), live in zip(samples, lives, strict=True):
        position = -1
        below = roots.setdefault(tree, {})
        for place in range(live):
            token = ids[place]
            child = below.get(token)
            if child is None:
                child = below[token] = len(tokens)
                children[child] = {}
                tokens.append(token)
                places.append(place)
                if position >= 0 and child == position + 1:
                    path_starts[child] = path_starts[position]
                    path_ends[child] = [*path_ends[position][:-1], child + 1]
                else:
                    path_starts[child] = [*path_starts[position], child]
                    path_ends[child] = [*path_ends[position], child + 1]
                starts += path_starts[child]
                ends += path_ends[child]
                rows.append(len(starts))
            paths.append(child)
            position, below = child, children[child]
        offsets.append(len(paths))
    columns = {"input_ids": tokens, "position_ids": places, "row_offset": rows}
    columns |= {"sample_offset": offsets, "sample_position": paths}
    columns |= _label_columns(samples, paths, offsets)
    return _to_arrays(columns | _dead_columns(samples, lives), starts, ends, len(samples))


def _live(labels: Sequence[int]) -> int:
    """Return the number of tokens before the last trained one, on which the labels depend."""
    return max((index for index, label in enumerate(labels) if label != IGNORED), default=0)


def _label_columns(samples: Sequence[Sample], paths: list[int], offsets: list[int]) -> dict[str, list[int]]:
    """Return the loss edges of samples, whose paths begin at ``paths[offset]``."""
    columns: tuple[list[int], ...] = ([], [], [], [])
    for number, (_, _, labels) in enumerate(samples):
        first = offsets[number]
        for index, label in enumerate(labels):
            if label != IGNORED:
                for column, value in zip(columns, (paths[first + index - 1], label, number, index), strict=True):
                    column.append(value)
    return dict(zip(("loss_position", "loss_label", "loss_sample", "loss_index"), columns, strict=True))


def _dead_columns(samples: Sequence[Sample], lives: list[int]) -> dict[str, list[int]]:
    """Return the tokens of samples that no label depends on: those from the last trained token on."""
    index: list[int] = []
    token: list[int] = []
    offset = [0]
    for (_, ids, _), live in zip(samples, lives, strict=True):
        index.extend(range(live, len(ids)))
        token.extend(ids[live:])
        offset.append(len(index))
    return {"dead_offset": offset, "dead_index": index, "dead_token": token}


def _to_arrays(columns: dict[str, list[int]], starts: list[int], ends: list[int], samples: int) -> dict[str, AnyArray]:
    """Return the lists of a batch as arrays, with weights of 1."""
    arrays: dict[str, AnyArray] = {name: np.array(values, np.int64) for name, values in columns.items()}
    arrays |= {"key_start": np.array(starts, np.int32), "key_end": np.array(ends, np.int32)}
    return arrays | {"loss_weight": np.ones(len(columns["loss_label"])), "sample_weight": np.ones(samples)}


def first_fit_tries(samples: Sequence[list[int]], limit: int) -> list[tuple[list[int], list[list[int]]]]:
    """Return tries of at most ``limit`` tokens: AReaL's published algorithm (tree training), written anew.

    The samples are taken in their order, whatever their groups, each with its last token. A sample goes into the first
    trie in which its new tokens fit, else into a new one. Then each trie is laid out depth first: its token ids, and
    for each of its samples the positions. No rows are built.

    Parameters
    ----------
    samples : sequence of lists of int
    limit : int

    Examples
    --------
    >>> first_fit_tries([[1, 2], [3, 4], [1, 5]], 3)
    [([1, 2, 5], [[0, 1], [0, 2]]), ([3, 4], [[0, 1]])]
    """
    roots: list[Node] = []
    sizes: list[int] = []
    members: list[list[int]] = []
    for number, ids in enumerate(samples):
        for trie, root in enumerate(roots):
            new = len(ids) - _shared(root, ids)
            if sizes[trie] + new <= limit:
                break
        else:
            trie, new = len(roots), len(ids)
            roots.append({})
            sizes.append(0)
            members.append([])
        node = roots[trie]
        for token in ids:
            node = node.setdefault(token, {})
        sizes[trie] += new
        members[trie].append(number)
    return [_lay_out(root, [samples[i] for i in inside]) for root, inside in zip(roots, members, strict=True)]


def _shared(node: Node, ids: list[int]) -> int:
    """Return how many tokens of a sample a trie has already."""
    for index, token in enumerate(ids):
        below = node.get(token)
        if below is None:
            return index
        node = below
    return len(ids)


def _lay_out(root: Node, samples: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Return the token ids of a trie depth first, and the positions of each of its samples."""
    tokens: list[int] = []
    position: dict[int, int] = {}  # by node
    for token, node in _walk(root):
        position[id(node)] = len(tokens)
        tokens.append(token)
    paths = []
    for ids in samples:
        node, path = root, []
        for token in ids:
            node = node[token]
            path.append(position[id(node)])
        paths.append(path)
    return tokens, paths


def _walk(root: Node) -> Iterator[tuple[int, Node]]:
    """Yield (token, node) of all nodes below a root, depth first."""
    stack = [iter(root.items())]
    while stack:
        for token, node in stack[-1]:
            yield token, node
            stack.append(iter(node.items()))
            break
        else:
            stack.pop()
