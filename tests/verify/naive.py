"""The definitions once more, as slowly and plainly as they read: dicts, sets and counters, for tiny tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from random import Random

import numpy as np

from masksynth.mask import Mask
from masksynth.tasks import Instance, LossEdge, MergedTask, Node, Position, Prediction, Question, Task, TaskFamily
from masksynth.tasks.canonical import canonical
from masksynth.tasks.instance_files import content_hash

Thing = tuple[int, str]
Rows = list[dict[Thing, list[Thing]]]


def reach(start: Iterable[str], *tables: Mapping[str, Iterable[str]]) -> set[str]:
    found = set(start)
    while fresh := {key for name in found for table in tables for key in table.get(name, ())} - found:
        found |= fresh
    return found


def task_rows(family: TaskFamily) -> Rows:
    """Rows of the live nodes, closed where the task is."""
    rows: Rows = [{} for _ in range(family.tables)]
    for at, task in enumerate(family.tasks):
        for name in sorted(reach((p.node for p in task.predict), *task.attends)):
            for table, attends in zip(rows, task.attends, strict=True):
                keys = reach([name], attends) if task.closure else attends.get(name, ())
                table[at, name] = [(at, key) for key in keys]
    return rows


def identities(family: TaskFamily) -> dict[Thing, Hashable]:
    return {(at, node.name): node.identity for at, task in enumerate(family.tasks) for node in task.nodes}


def renumbered(colours: Mapping[Thing, Hashable]) -> dict[Thing, int]:
    numbers: dict[Hashable, int] = {}
    return {thing: numbers.setdefault(colour, len(numbers)) for thing, colour in colours.items()}


def one_round(colours: Mapping[Thing, int], tables: Rows) -> dict[Thing, int]:
    return renumbered(
        {u: (colours[u], *(tuple(sorted(colours[k] for k in rows[u])) for rows in tables)) for u in colours}
    )


def stable(colours: Mapping[Thing, Hashable], tables: Rows) -> dict[Thing, int]:
    now = renumbered(colours)
    while len(set((finer := one_round(now, tables)).values())) > len(set(now.values())):
        now = finer
    return now


def mask_rows(merged: MergedTask) -> Rows:
    dense = merged.mask.dense().reshape(merged.mask.tables, merged.mask.size, merged.mask.size)
    return [
        {(-1, str(q)): [(-1, str(k)) for k in np.flatnonzero(row)] for q, row in enumerate(table)} for table in dense
    ]


def question(instance: Instance) -> Question:
    return Question(instance.layers, False, instance.family.tables, content_hash(instance.family))


def merged_of(
    instance: Instance, positions: list[Position], dense: np.ndarray, index: Callable[[int, str], int]
) -> MergedTask:
    """Labels, embeddings and loss edges around given positions, at any depth."""
    tasks = instance.family.tasks
    labels: dict[str, object] = {}
    edges = []
    for at, task in enumerate(tasks):
        for p in task.predict:
            labels.setdefault(canonical(p.label), p.label)
            edges.append(LossEdge(index(at, p.node), list(labels).index(canonical(p.label)), at, p.weight))
    embeddings = {
        task.name: {name: index(at, name) for name in sorted(reach((p.node for p in task.predict), *task.attends))}
        for at, task in enumerate(tasks)
    }
    names = tuple(task.name for task in tasks)
    mask = Mask.from_dense(dense) if positions else Mask.from_intervals([[] for _ in dense])
    return MergedTask(
        tuple(positions), mask, embeddings, tuple(labels.values()), names, tuple(edges), question(instance)
    )


def place_of(instance: Instance, thing: Thing) -> Position:
    node = next(node for node in instance.family.tasks[thing[0]].nodes if node.name == thing[1])
    return Position(node.input, node.position, node.kind)


def minimal(instance: Instance) -> MergedTask:
    """The minimal merged task at any depth.

    Classes, copies, every position the row of its class with its own copy first.
    """
    tables = task_rows(instance.family)
    live = list(tables[0])
    identity = identities(instance.family)
    colour = stable({u: identity[u] for u in live}, tables)
    copies = {
        c: max([1, *(sum(colour[k] == c for k in rows[u]) for rows in tables for u in live)])
        for c in set(colour.values())
    }
    first = {c: sum(copies[d] for d in sorted(copies) if d < c) for c in copies}
    witness = {c: u for u, c in reversed(colour.items())}
    size = sum(copies.values())
    dense = np.zeros((len(tables), size, size), bool)
    positions = []
    for c in sorted(copies):
        for copy in range(copies[c]):
            for table, rows in enumerate(tables):
                for d, count in Counter(colour[k] for k in rows[witness[c]]).items():
                    at = [first[d] + (i + (copy if d == c else 0)) % copies[d] for i in range(count)]
                    dense[table, first[c] + copy, at] = True
            positions.append(place_of(instance, witness[c]))
    return merged_of(instance, positions, dense, lambda at, name: first[colour[at, name]])


def unmerged(instance: Instance) -> MergedTask:
    """Every live node its own position: right, and as long as can be."""
    tables = task_rows(instance.family)
    number = {u: at for at, u in enumerate(tables[0])}
    dense = np.zeros((len(tables), len(number), len(number)), bool)
    for table, rows in enumerate(tables):
        for u, keys in rows.items():
            dense[table, number[u], [number[k] for k in keys]] = True
    return merged_of(instance, [place_of(instance, u) for u in number], dense, lambda at, name: number[at, name])


def accepts(instance: Instance, merged: MergedTask) -> bool:
    """Whether mask, positions and embeddings are a minimal answer.

    Everything else about ``merged`` is taken to be right.
    """
    if any(not row for rows in mask_rows(merged) for row in rows.values()):
        return False
    return (_accepts if merged.problem.layers is None else _accepts_layers)(instance, merged)


def _both(instance: Instance, merged: MergedTask) -> tuple[Rows, dict[Thing, Hashable]]:
    tables = [{**a, **b} for a, b in zip(task_rows(instance.family), mask_rows(merged), strict=True)]
    identity = identities(instance.family)
    place = {(-1, str(i)): (canonical(p.input), p.position, p.kind) for i, p in enumerate(merged.positions)}
    return tables, {u: place.get(u) or identity[u] for u in tables[0]}


def _accepts(instance: Instance, merged: MergedTask) -> bool:
    """Tasks and positions refined together: each node has the colour of the lowest position of its class.

    No spare position.
    """
    tables, identity = _both(instance, merged)
    colour = stable(identity, tables)
    here = {u: c for u, c in colour.items() if u[0] == -1}
    lowest = {c: int(u[1]) for u, c in reversed(here.items())}
    live = {u: c for u, c in colour.items() if u[0] >= 0}
    names = [task.name for task in instance.family.tasks]
    if any(lowest.get(c) != merged.embeddings[names[at]].get(name) for (at, name), c in live.items()):
        return False
    need = {
        c: max([1, *(sum(colour[k] == c for k in rows[u]) for rows in tables for u in live)])
        for c in set(live.values())
    }
    return Counter(here.values()) == Counter(need)


def demanded(instance: Instance, layers: int) -> list[set[Thing]]:
    """The nodes demanded at each level 0 .. L."""
    tables = task_rows(instance.family)
    levels = [{(at, p.node) for at, task in enumerate(instance.family.tasks) for p in task.predict}]
    for layer in range(layers, 0, -1):
        rows = tables[(layer - 1) % len(tables)]
        levels.insert(0, levels[0] | {k for u in levels[0] for k in rows[u]})
    return levels


def _layer_colours(instance: Instance, merged: MergedTask) -> list[dict[Thing, int]]:
    tables, identity = _both(instance, merged)
    colours = [renumbered(identity)]
    for layer in range(1, (merged.problem.layers or 0) + 1):
        colours.append(one_round(colours[-1], [tables[(layer - 1) % len(tables)]]))
    return colours


def _deepest(instance: Instance, merged: MergedTask) -> dict[Thing, int]:
    levels = demanded(instance, merged.problem.layers or 0)
    return {u: max(level for level, nodes in enumerate(levels) if u in nodes) for u in sorted(levels[0])}


def _lowest(colour: Mapping[Thing, int], u: Thing, size: int) -> int | None:
    return next((i for i in range(size) if colour[-1, str(i)] == colour[u]), None)


def _accepts_layers(instance: Instance, merged: MergedTask) -> bool:
    layers, size = merged.problem.layers or 0, len(merged.positions)
    tables, _ = _both(instance, merged)
    if any(rows[-1, str(q)] != [(-1, str(q))] for rows in tables[layers:] for q in range(size)):
        return False
    colours = _layer_colours(instance, merged)
    for (at, name), level in _deepest(instance, merged).items():
        if merged.embeddings[merged.tasks[at]].get(name) != _lowest(colours[level], (at, name), size):
            return False
    levels = demanded(instance, layers)
    need = {colours[layers][u]: 1 for u in levels[layers]}
    for level in range(layers - 1, -1, -1):
        rows, now, above = tables[level % len(tables)], colours[level], colours[level + 1]
        finer: dict[int, set[int]] = {}
        for u in levels[level + 1]:
            finer.setdefault(now[u], set()).add(above[u])
        most = {
            c: max([1, *(sum(now[k] == c for k in rows[u]) for u in levels[level + 1])])
            for c in {now[u] for u in levels[level]}
        }
        need = {c: max(m, sum(need[d] for d in finer.get(c, ()))) for c, m in most.items()}
    return sum(need.values()) == size


def random_instance(rng: Random, layers: int | None = None) -> Instance:
    """One to three tasks of up to five nodes.

    Cycles, equal identities, patterns, closure, repeated labels, all weights.
    """
    tables = rng.choice([1, 1, 1, 2, 3])
    tasks = []
    for number in range(rng.randint(1, 3)):
        names = [f"n{i}" for i in range(rng.randint(1, 5))]
        nodes = [
            Node(name, rng.choice("ab"), rng.choice([0, 0, 1]), rng.choice(["token", "token", "other"]))
            for name in names
        ]
        acyclic, closure = rng.random() < 0.5, tables == 1 and rng.random() < 0.4
        attends = []
        for _ in range(tables):
            rows = {
                name: [k for k in names[: i + 1 if acyclic else None] if rng.random() < 0.5]
                for i, name in enumerate(names)
            }
            attends.append(rows if closure else {name: row or [name] for name, row in rows.items()})
        predict = [
            Prediction(rng.choice(names), rng.choice("xyz"), rng.choice([1.0, 0.0, -0.0, -2.5, 0.1]))
            for _ in range(rng.randint(1, 3))
        ]
        tasks.append(Task(f"t{number}", tuple(nodes), tuple(attends), tuple(predict), closure))
    return Instance(TaskFamily(tuple(tasks)), "random", layers=layers)
