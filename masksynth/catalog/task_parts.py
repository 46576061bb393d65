"""Parts of families: token nodes, cover rows, predictions, and the instance.

Cover rows have the fewest keys whose reflexive-transitive closure is the mask (``closure=True``), so that files stay
small.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.task import Rows


def token_nodes(first: int, last: int, position: int | None = None) -> tuple[Node, ...]:
    """Return nodes w{first} .. w{last - 1}, each named like its input, from position ``position`` [default: first] on.

    Examples
    --------
    >>> [(node.name, node.position) for node in token_nodes(3, 5, 0)]
    [('w3', 0), ('w4', 1)]
    """
    shift = 0 if position is None else position - first
    return tuple(Node(f"w{i}", f"w{i}", i + shift) for i in range(first, last))


def mask_nodes(first: int, last: int) -> tuple[Node, ...]:
    """Return mask tokens m{first} .. m{last - 1} at positions first, ...; they carry nothing."""
    return tuple(Node(f"m{i}", "M", i, carries=()) for i in range(first, last))


def node_names(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Return the names of the nodes."""
    return tuple(node.name for node in nodes)


def chain_rows(nodes: Sequence[Node]) -> dict[str, tuple[str, ...]]:
    """Return the cover rows of a total order: each node attends to the one before it.

    Examples
    --------
    >>> chain_rows(token_nodes(0, 3))
    {'w1': ('w0',), 'w2': ('w1',)}
    """
    return {later.name: (earlier.name,) for earlier, later in pairwise(nodes)}


def block_rows(blocks: Iterable[Sequence[Node]]) -> dict[str, tuple[str, ...]]:
    """Return the cover rows of a chain of cliques.

    Each node sees its own block (one simple cycle) and all earlier blocks.

    Examples
    --------
    >>> block_rows([token_nodes(0, 2), token_nodes(2, 5)])
    {'w1': ('w0',), 'w0': ('w1',), 'w3': ('w2',), 'w4': ('w3',), 'w2': ('w4', 'w1')}
    """
    rows: dict[str, tuple[str, ...]] = {}
    below: tuple[str, ...] = ()
    for block in blocks:
        if not block:
            continue
        rows.update(chain_rows(block))
        cycle = (block[-1].name,) if len(block) > 1 else ()
        if cycle + below:
            rows[block[0].name] = cycle + below
        below = (block[-1].name,)
    return rows


def predict_hidden(node: str, label: Any) -> Prediction:
    """Return the prediction of ``label`` by ``node``, which must not see it."""
    return Prediction(node, label, hides=(label,))


def predict_next(nodes: Sequence[Node], first: int = 1) -> tuple[Prediction, ...]:
    """Return predictions in which each node predicts the input of the next one, from that of ``nodes[first]`` on.

    Examples
    --------
    >>> [(p.node, p.label) for p in predict_next(token_nodes(0, 4), first=2)]
    [('w1', 'w2'), ('w2', 'w3')]
    """
    return tuple(predict_hidden(nodes[i - 1].name, nodes[i].input) for i in range(first, len(nodes)))


def closed_task(name: str, nodes: Sequence[Node], rows: Rows, predict: Sequence[Prediction]) -> Task:
    """Return the task whose rows are the reflexive-transitive closure of ``rows``."""
    return Task(name, tuple(nodes), (rows,), tuple(predict), closure=True)


def number_prefixes(sequences: Iterable[Sequence[Hashable]]) -> list[list[int]]:
    """Return for each sequence the numbers of its non-empty prefixes (nodes of the trie).

    Equal prefixes have equal numbers.

    Examples
    --------
    >>> number_prefixes(["abc", "abd", "b"])
    [[1, 2, 3], [1, 2, 4], [5]]
    """
    numbers: dict[tuple[int, Hashable], int] = {}  # (number of the prefix without its last item, item) -> number
    paths = []
    for sequence in sequences:
        path = [0]
        for item in sequence:
            path.append(numbers.setdefault((path[-1], item), len(numbers) + 1))
        paths.append(path[1:])
    return paths


def build_instance(
    name: str, parameters: Sequence[Any], tasks: Iterable[Task], positions: int, source: str
) -> Instance:
    """Return the instance ``name-parameters`` (a tuple by its length), expected to have ``positions`` positions."""
    parts = [name, *(str(len(value) if isinstance(value, tuple) else value) for value in parameters)]
    expect = {"status": "OPTIMAL", "positions": positions}
    return Instance(TaskFamily(tuple(tasks)), "-".join(parts), source, expect=expect)
