"""What families are made of: token nodes, cover rows, predictions, and the instance around them.

Cover rows are the fewest rows whose reflexive-transitive closure is the mask (``closure=True``), so that files stay small.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.model import Rows


def text(first: int, last: int, position: int | None = None) -> tuple[Node, ...]:
    """Nodes w{first} .. w{last - 1}, each named like its input, at positions ``position`` (default ``first``), ``position + 1``, ...

    Examples
    --------
    >>> [(node.name, node.position) for node in text(3, 5, 0)]
    [('w3', 0), ('w4', 1)]
    """
    shift = 0 if position is None else position - first
    return tuple(Node(f"w{i}", f"w{i}", i + shift) for i in range(first, last))


def masks(first: int, last: int) -> tuple[Node, ...]:
    """Mask tokens m{first} .. m{last - 1} at positions first, ...; they carry nothing."""
    return tuple(Node(f"m{i}", "M", i, carries=()) for i in range(first, last))


def names(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Names of the nodes."""
    return tuple(node.name for node in nodes)


def chain(nodes: Sequence[Node]) -> dict[str, tuple[str, ...]]:
    """Cover rows of the total order: every node sees the one before it.

    Examples
    --------
    >>> chain(text(0, 3))
    {'w1': ('w0',), 'w2': ('w1',)}
    """
    return {later.name: (earlier.name,) for earlier, later in pairwise(nodes)}


def stack(blocks: Iterable[Sequence[Node]]) -> dict[str, tuple[str, ...]]:
    """Cover rows of a chain of cliques: every node sees its own block (one simple cycle) and all earlier blocks.

    Examples
    --------
    >>> stack([text(0, 2), text(2, 5)])
    {'w1': ('w0',), 'w0': ('w1',), 'w3': ('w2',), 'w4': ('w3',), 'w2': ('w4', 'w1')}
    """
    rows: dict[str, tuple[str, ...]] = {}
    below: tuple[str, ...] = ()
    for block in blocks:
        if not block:
            continue
        rows.update(chain(block))
        around = (block[-1].name,) if len(block) > 1 else ()
        if around + below:
            rows[block[0].name] = around + below
        below = (block[-1].name,)
    return rows


def hidden(node: str, label: Any) -> Prediction:
    """``node`` predicts ``label`` and must not see it."""
    return Prediction(node, label, hides=(label,))


def next_inputs(nodes: Sequence[Node], first: int = 1) -> tuple[Prediction, ...]:
    """Every node predicts the input of the next one, from the prediction of ``nodes[first]`` (first >= 1) on.

    Examples
    --------
    >>> [(p.node, p.label) for p in next_inputs(text(0, 4), first=2)]
    [('w1', 'w2'), ('w2', 'w3')]
    """
    return tuple(hidden(nodes[i - 1].name, nodes[i].input) for i in range(first, len(nodes)))


def dense(name: str, nodes: Sequence[Node], rows: Rows, predict: Sequence[Prediction]) -> Task:
    """Build the task whose rows are the reflexive-transitive closure of ``rows``."""
    return Task(name, tuple(nodes), (rows,), tuple(predict), closure=True)


def trie(sequences: Iterable[Sequence[Hashable]]) -> list[list[int]]:
    """For every sequence the numbers of its non-empty prefixes, equal prefixes having equal numbers.

    Examples
    --------
    >>> trie(["abc", "abd", "b"])
    [[1, 2, 3], [1, 2, 4], [5]]
    """
    numbers: dict[tuple[int, Hashable], int] = {}
    paths = []
    for sequence in sequences:
        path = [0]
        for item in sequence:
            path.append(numbers.setdefault((path[-1], item), len(numbers) + 1))
        paths.append(path[1:])
    return paths


def instance(name: str, parameters: Sequence[Any], tasks: Iterable[Task], positions: int, source: str) -> Instance:
    """Build the instance ``name-parameters`` (a tuple parameter by its length), expected to have ``positions`` positions."""
    parts = [name, *(str(len(value) if isinstance(value, tuple) else value) for value in parameters)]
    expect = {"status": "OPTIMAL", "positions": positions}
    return Instance(TaskFamily(tuple(tasks)), "-".join(parts), source, expect=expect)
