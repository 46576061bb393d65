"""Explain why two nodes were merged or not: the first difference in identity or upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from masksynth.errors import InvalidInstance, check_type
from masksynth.mask.equal_values import factorize
from masksynth.merge import merge_family
from masksynth.merge.disjoint_union import Rows, Union, live_union, read_rows
from masksynth.merge.levels import compute_levels, effective_layers
from masksynth.merge.refine import colour_multiset
from masksynth.tasks import Instance, Task, TaskFamily
from masksynth.tasks.canonical import canonical

Name = tuple[str, str]


@dataclass(frozen=True)
class Explanation:
    """Whether two nodes merged, why, and the path upstream to the difference.

    Parameters
    ----------
    merged : bool
    reason : str
        One sentence.
    path : tuple of (str, str)
        Pairs of node names (first task, second task), from the two nodes to where they differ.
    """

    merged: bool
    reason: str
    path: tuple[Name, ...]


def explain(family: TaskFamily, one: Name, two: Name, layers: int | None = None) -> Explanation:
    """Compare two nodes.

    At finite depth nodes are compared as deep as predictions depend on them (`masksynth.merge.finite_depth`), and
    ``merged`` says whether they share a position. Colours are computed level by level until the two nodes differ; from
    there the path goes upstream, one level at each step, to a pair that differs in identity, or whose rows differ in
    the number of keys of a colour that no earlier difference explains.

    Parameters
    ----------
    family : TaskFamily
    one, two : (str, str)
        Task name and node name.
    layers : int, optional
        Number of layers [default: any depth].

    Raises
    ------
    InvalidInstance
        If a task or node does not exist, no prediction depends on it, or ``layers`` is not a depth.

    Examples
    --------
    >>> from masksynth import catalog
    >>> family = catalog.prefix_lm(n=3, P=1).family
    >>> explain(family, ("predict w1", "w0"), ("predict w2", "w0")).merged
    True
    """
    check_type(family, TaskFamily)
    tasks = {task.name: task for task in Instance(family, "explained", layers=layers).family.tasks}
    for name, _ in (one, two):
        if name not in tasks:
            near = get_close_matches(name, tasks, 3, 0) or ["none: the family is empty"]
            raise InvalidInstance(f"no task {name!r}", "$.tasks", f"similar names: {', '.join(map(repr, near))}")
    union = live_union(TaskFamily(tuple(tasks[name] for name in dict.fromkeys((one[0], two[0])))))
    first, second = _find_nodes(union, tasks, (one, two))
    rows = read_rows(union, compress=False)
    if layers is not None:
        return _explain_at_depth(family, union, rows, (one, two), (first, second), layers)
    colours = _refine_until_apart(union, rows, first, second)
    if colours[-1][first] == colours[-1][second]:
        reason = f"{_format_pair(union, first, second)} are equivalent: equal identity and equal upstream"
        return Explanation(True, reason, ())
    return _walk_upstream(union, rows, colours, first, second, None)


def _find_nodes(union: Union, tasks: dict[str, Task], names: tuple[Name, Name]) -> list[int]:
    """Return the live nodes of the given names."""
    live_of: dict[Name, int] = {}
    for live in range(len(union.task)):
        task, node = union.task_and_node(live)
        live_of[task.name, node.name] = live
    for name, node_name in names:
        if (name, node_name) not in live_of:
            fact = "is dead: no prediction depends on it" if node_name in tasks[name].index else "does not exist"
            near = get_close_matches(node_name, [other for owner, other in live_of if owner == name], 3, 0)
            raise InvalidInstance(
                f"node {node_name!r} of task {name!r} {fact}",
                "$.tasks",
                f"similar live nodes: {', '.join(map(repr, near))}",
            )
    return [live_of[name] for name in names]


def _explain_at_depth(
    family: TaskFamily, union: Union, rows: Rows, names: tuple[Name, Name], pair: tuple[int, int], layers: int
) -> Explanation:
    """Explain at finite depth: nodes that agree as deep as both are read merge, unless one is read deeper."""
    depth = effective_layers(layers, len(union.task), len(rows.refs))
    levels = compute_levels(union, rows, depth)
    first, second = pair
    for live in pair:
        if levels.deepest[live] < 0:
            reason = f"{_format_node(union, live)} has no position: no prediction reads it within {layers} layers"
            return Explanation(False, reason, ())
    level = min(levels.deepest[first], levels.deepest[second])
    colours = levels.colour[: level + 1]
    if colours[-1][first] != colours[-1][second]:
        return _walk_upstream(union, rows, colours, first, second, len(rows.refs))
    embeddings = merge_family(family, layers).embeddings
    merged = embeddings[names[0][0]][names[0][1]] == embeddings[names[1][0]][names[1][1]]
    ages = [depth - levels.deepest[live] for live in pair]
    agree = f"{_format_pair(union, first, second)} agree as deep as both are read, {max(ages)} layers below the top"
    separated = "one of them is read deeper, at a position that the other cannot take"
    return Explanation(merged, agree if merged else f"{agree}, but {separated}", ())


def _refine_until_apart(union: Union, rows: Rows, first: int, second: int) -> list[list[int]]:
    """Return the colours of each round, up to the first in which the two nodes differ, or until they are stable."""
    levels = [factorize(union.identity)]
    while levels[-1][first] == levels[-1][second]:
        last = levels[-1]
        row_colour = factorize(colour_multiset(row, last) for row in rows.rows)
        level = factorize(
            (colour, *(row_colour[table[node]] for table in rows.refs)) for node, colour in enumerate(last)
        )
        if level == last:
            break
        levels.append(level)
    return levels


def _walk_upstream(
    union: Union, rows: Rows, colours: list[list[int]], first: int, second: int, pattern: int | None
) -> Explanation:
    """Go upstream from two nodes of different colour; with ``pattern`` = P, level l + 1 reads table l mod P only."""
    path: list[Name] = []
    level = len(colours) - 1
    while True:
        path.append((union.task_and_node(first)[1].name, union.task_and_node(second)[1].name))
        while level and colours[level - 1][first] != colours[level - 1][second]:
            level -= 1
        if level == 0:
            reason = (
                f"{_format_pair(union, first, second)} differ in identity: {_format_identities(union, first, second)}"
            )
            return Explanation(False, _format_distance(path) + reason, tuple(path))
        tables = rows.refs if pattern is None else [rows.refs[(level - 1) % pattern]]
        surplus = _find_surplus(rows, tables, colours[level - 1], first, second)
        pair = next(((a, b) for a in surplus[0] for b in surplus[1] if union.identity[a] == union.identity[b]), None)
        if pair is None:
            sides = [
                f"{_format_node(union, live)} attends to {_format_keys(union, keys)}"
                for live, keys in zip((first, second), surplus, strict=True)
            ]
            return Explanation(False, _format_distance(path) + " while ".join(sides), tuple(path))
        first, second = pair
        level -= 1


def _find_surplus(
    rows: Rows, tables: Sequence[Sequence[int]], colour: Sequence[int], first: int, second: int
) -> tuple[list[int], list[int]]:
    """Return the keys of each row whose colour is rarer in the other row, in the first table that differs."""
    for table in tables:
        keys, other_keys = rows.rows[table[first]], rows.rows[table[second]]
        counts, other_counts = Counter(colour[key] for key in keys), Counter(colour[key] for key in other_keys)
        if counts != other_counts:
            return [key for key in keys if counts[colour[key]] > other_counts[colour[key]]], [
                key for key in other_keys if other_counts[colour[key]] > counts[colour[key]]
            ]
    raise AssertionError("nodes of different colour have a table that differs")


def _format_pair(union: Union, first: int, second: int) -> str:
    return f"{_format_node(union, first)} and {_format_node(union, second)}"


def _format_node(union: Union, live: int) -> str:
    task, node = union.task_and_node(live)
    return f"node {node.name!r} of task {task.name!r}"


def _format_identities(union: Union, first: int, second: int) -> str:
    nodes = union.task_and_node(first)[1], union.task_and_node(second)[1]
    facts = [(part, *(canonical(getattr(node, part)) for node in nodes)) for part in ("input", "position", "kind")]
    return ", ".join(f"{part} {a} against {b}" for part, a, b in facts if a != b)


def _format_keys(union: Union, keys: Sequence[int]) -> str:
    if not keys:
        return "nothing more"
    nodes = [union.task_and_node(key)[1] for key in keys[:3]]
    names = [f"{node.name!r} (input {canonical(node.input)}, position {node.position})" for node in nodes]
    return ", ".join(names) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _format_distance(path: Sequence[Name]) -> str:
    """Return how far upstream the end of the path is, as the beginning of a sentence."""
    return "" if len(path) < 2 else "1 step upstream, " if len(path) == 2 else f"{len(path) - 1} steps upstream, "
