"""Brute force: every candidate, smallest first, tested by a naive check. The specification of the other backends.

At any depth the candidates are all partitions of the live nodes that respect identity. At L layers they are all merged
masks over 1, 2, ... positions: every choice of identities and of non-empty rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import combinations_with_replacement, product
from math import comb

from masksynth.backends import Limits, Outcome, Status
from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.problem import Nodes, Problem
from masksynth.tasks import LossEdge, MergedTask, Position
from masksynth.tasks.canonical import canonical
from masksynth.tasks.instance_files import question_of

MAX_PARTITIONS = 300_000
"""Maximum number of partitions that are tried at any depth."""
MAX_MASKS = 400_000
"""Maximum number of masks that are tried at finite depth."""

Rows = Sequence[Sequence[tuple[int, ...]]]


class Brute:
    """The backend ``brute``: tiny sizes only."""

    name = "brute"

    def available(self) -> str:
        """Return an empty string: nothing has to be installed."""
        return ""

    def versions(self) -> dict[str, str]:
        """Return the version of masksynth."""
        return {"masksynth": version("masksynth")}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Return the first candidate that passes; raise Unsupported if there are too many."""
        if problem.layers is None:
            best = least_partition(problem.nodes)
            return Outcome(Status.OPTIMAL, best, cost(best, problem.nodes), "every cheaper partition was tried")
        merged = least_mask(problem, problem.layers)
        return Outcome(Status.OPTIMAL, merged, len(merged.positions), "every mask over fewer positions was tried")


def partitions(count: int) -> Iterator[tuple[int, ...]]:
    """Yield all partitions of ``count`` elements as restricted growth strings.

    Examples
    --------
    >>> list(partitions(3))
    [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)]
    """

    def grow(prefix: tuple[int, ...], most: int) -> Iterator[tuple[int, ...]]:
        if len(prefix) == count:
            yield prefix
        else:
            for value in range(most + 2):
                yield from grow((*prefix, value), max(most, value))

    return grow((), -1)


def bell(count: int) -> int:
    """Return the number of partitions of ``count`` elements (Bell number).

    Examples
    --------
    >>> [bell(n) for n in range(6)]
    [1, 1, 2, 5, 15, 52]
    """
    numbers = [1]
    for n in range(count):
        numbers.append(sum(comb(n, k) * numbers[k] for k in range(n + 1)))
    return numbers[count]


def candidates(nodes: Nodes) -> Iterator[tuple[int, ...]]:
    """Yield all partitions of the live nodes that respect identity, as class numbers by first appearance."""
    groups: dict[int, list[int]] = {}
    for node, identity in enumerate(nodes.identity):
        groups.setdefault(identity, []).append(node)
    total = 1
    for group in groups.values():
        total *= bell(len(group))
        if total > MAX_PARTITIONS:
            raise Unsupported(f"brute force takes at most {MAX_PARTITIONS} partitions; use another backend")
    for choice in product(*(partitions(len(group)) for group in groups.values())):
        label = {
            node: (number, part)
            for number, (group, parts) in enumerate(zip(groups.values(), choice, strict=True))
            for node, part in zip(group, parts, strict=True)
        }
        names: dict[tuple[int, int], int] = {}
        yield tuple(names.setdefault(label[node], len(names)) for node in range(len(nodes.identity)))


def counts(row: Sequence[int], classes: Sequence[int]) -> Counter[int]:
    """Count the keys of each class in a row."""
    return Counter(classes[key] for key in row)


def is_coincidence(classes: Sequence[int], nodes: Nodes) -> bool:
    """Return whether any two nodes of a class have, in each table, equally many keys of every class."""
    return all(
        counts(table[u], classes) == counts(table[v], classes)
        for v in range(len(classes))
        for u in range(v)
        if classes[u] == classes[v]
        for table in nodes.rows
    )


def cost(classes: Sequence[int], nodes: Nodes) -> int:
    """Return the sum over classes of max(1, most members of the class in one row)."""
    most = dict.fromkeys(classes, 1)
    for table in nodes.rows:
        for row in table:
            for own, count in counts(row, classes).items():
                most[own] = max(most[own], count)
    return sum(most.values())


def least_partition(nodes: Nodes) -> tuple[int, ...]:
    """Return the cheapest valid partition, by trying all partitions in ascending order of cost."""
    return next(
        classes
        for classes in sorted(candidates(nodes), key=lambda classes: cost(classes, nodes))
        if is_coincidence(classes, nodes)
    )


def colours(identity: Sequence[object], rows: Rows, layers: int) -> list[list[object]]:
    """Return colour_l for l = 0 .. L as nested tuples, by definition."""
    levels: list[list[object]] = [list(identity)]
    for layer in range(layers):
        table, last = rows[layer % len(rows)], levels[-1]
        names = {value: number for number, value in enumerate(sorted({repr(colour) for colour in last}))}
        short = [names[repr(colour)] for colour in last]
        levels.append([(short[node], tuple(sorted(short[key] for key in row))) for node, row in enumerate(table)])
    return levels


def masks(
    identities: Sequence[int], size: int, pattern: int
) -> Iterator[tuple[tuple[int, ...], list[list[tuple[int, ...]]]]]:
    """Yield all choices of identities (each at least once) and non-empty rows over ``size`` positions."""
    subsets = [tuple(key for key in range(size) if bits >> key & 1) for bits in range(1, 1 << size)]
    for extra in combinations_with_replacement(identities, size - len(identities)):
        for choice in product(subsets, repeat=size * pattern):
            yield (
                tuple(sorted([*identities, *extra])),
                [list(choice[table * size : (table + 1) * size]) for table in range(pattern)],
            )


def demanded(predicting: Sequence[int], rows: Rows, layers: int) -> dict[int, int]:
    """Return the deepest level that is required of each node, by definition."""
    deepest = dict.fromkeys(predicting, layers)
    for level in range(layers, 0, -1):
        for node in [node for node, deep in deepest.items() if deep >= level]:
            for key in rows[(level - 1) % len(rows)][node]:
                deepest[key] = max(deepest.get(key, -1), level - 1)
    return deepest


def least_mask(problem: Problem, layers: int) -> MergedTask:
    """Return the first mask, fewest positions first, that has every predicting node's colour at level L."""
    nodes = problem.nodes
    pattern = len(nodes.rows)
    deepest = demanded(sorted(nodes.predicting), nodes.rows, layers)
    identities = sorted({nodes.identity[node] for node in deepest})
    tried = 0
    for size in range(len(identities), len(deepest) + 1):
        here = (
            comb(len(identities) + size - len(identities) - 1, size - len(identities)) if size > len(identities) else 1
        )
        tried += here * (2**size - 1) ** (size * pattern)
        if tried > MAX_MASKS:
            raise Unsupported(f"brute force takes at most {MAX_MASKS} masks; use another backend")
        for chosen, rows in masks(identities, size, pattern):
            position = placed(nodes, deepest, chosen, rows, layers)
            if position is not None:
                return merged_task(problem, chosen, rows, position, layers)
    return merged_task(problem, (), [[] for _ in range(pattern)], {}, layers)


def placed(
    nodes: Nodes, deepest: dict[int, int], chosen: Sequence[int], rows: Rows, layers: int
) -> dict[int, int] | None:
    """Return the lowest position with each required node's colour at its deepest level; None if a node has none."""
    count = len(nodes.identity)
    joint = [
        [*table, *(tuple(count + key for key in row) for row in extra)]
        for table, extra in zip(nodes.rows, rows, strict=True)
    ]
    levels = colours([*nodes.identity, *chosen], joint, layers)
    position = {}
    for node, deep in deepest.items():
        equal = [position for position in range(len(chosen)) if levels[deep][count + position] == levels[deep][node]]
        if not equal:
            return None
        position[node] = equal[0]
    return position


def merged_task(
    problem: Problem, chosen: Sequence[int], rows: Rows, position: dict[int, int], layers: int
) -> MergedTask:
    """Build the merged task of a mask; rows that no prediction reads within L layers become the diagonal.

    Parameters
    ----------
    problem : Problem
    chosen : sequence of int
        Identity of each position.
    rows : tables of rows
        Keys of each position in each table.
    position : dict of int to int
        Position of each required live node.
    layers : int
    """
    nodes, family = problem.nodes, problem.family
    number = {name: live for live, name in enumerate(nodes.name)}
    labels: dict[str, object] = {}
    for task in family.tasks:
        for prediction in task.predict:
            labels.setdefault(canonical(prediction.label), prediction.label)
    label_index = {text: index for index, text in enumerate(labels)}
    edges = tuple(
        LossEdge(position[number[task.name, p.node]], label_index[canonical(p.label)], index, p.weight)
        for index, task in enumerate(family.tasks)
        for p in task.predict
    )
    embeddings = {
        task.name: {
            node: position[number[task.name, node]]
            for name, node in nodes.name
            if name == task.name and number[name, node] in position
        }
        for task in family.tasks
    }
    return MergedTask(
        _positions(problem, chosen),
        Mask.from_intervals(_read_rows(rows, sorted({position[node] for node in nodes.predicting}), layers)),
        embeddings,
        tuple(labels.values()),
        tuple(task.name for task in family.tasks),
        edges,
        question_of(family, problem.layers),
    )


def _positions(problem: Problem, chosen: Sequence[int]) -> tuple[Position, ...]:
    """Return a position for each chosen identity: input, position id and kind of a node that has it."""
    example = dict(zip(problem.nodes.identity, problem.nodes.name, strict=True))
    nodes = {(task.name, node.name): node for task in problem.family.tasks for node in task.nodes}
    shown = [nodes[example[identity]] for identity in chosen]
    return tuple(Position(node.input, node.position, node.kind) for node in shown)


def _read_rows(rows: Rows, predicting: Sequence[int], layers: int) -> list[list[list[tuple[int, int]]]]:
    """Return the intervals of each row that a prediction reads within L layers; other rows have only the diagonal."""
    deepest = demanded(predicting, rows, layers)
    read = {
        ((deep - back - 1) % len(rows), query)
        for query, deep in deepest.items()
        for back in range(min(deep, len(rows)))
    }
    return [
        [_intervals(row if (table, query) in read else (query,)) for query, row in enumerate(rows[table])]
        for table in range(len(rows))
    ]


def _intervals(row: Sequence[int]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for key in row:
        if result and result[-1][1] == key:
            result[-1] = (result[-1][0], key + 1)
        else:
            result.append((key, key + 1))
    return result
