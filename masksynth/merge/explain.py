"""Why two nodes did, or did not, merge: the first difference in identity or upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from masksynth.errors import InvalidInstance
from masksynth.merge import merge_family
from masksynth.merge.disjoint_union import Rows, Union, live_union, read_rows
from masksynth.merge.layers import effective_layers, levels_of
from masksynth.merge.refine import multiset, numbered
from masksynth.tasks import Instance, TaskFamily
from masksynth.tasks.canonical import canonical

Name = tuple[str, str]


@dataclass(frozen=True)
class Explanation:
    """Whether two nodes merged, why, and the walk upstream to the difference.

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
    """Compare two nodes, each given as (task name, node name).

    At finite depth nodes are compared as deep as predictions demand them (`masksynth.merge.layers`), and ``merged`` says whether they
    share a position. Colours are followed level by level until the two nodes differ; from there the walk goes upstream, one level earlier
    at each step, to a pair that differs in identity or whose rows differ in the number of keys of some colour that nothing earlier
    explains.

    Raises
    ------
    InvalidInstance
        If a task or node does not exist, no prediction depends on it, or ``layers`` is no depth.

    Examples
    --------
    >>> from masksynth import catalog
    >>> family = catalog.prefix_lm(n=3, P=1).family
    >>> explain(family, ("predict w1", "w0"), ("predict w2", "w0")).merged
    True
    """
    tasks = {task.name: task for task in Instance(family, "explained", layers=layers).family.tasks}
    for name, _ in (one, two):
        if name not in tasks:
            near = get_close_matches(name, tasks, 3, 0) or ["none: the family is empty"]
            raise InvalidInstance(f"no task {name!r}", "$.tasks", f"near it: {', '.join(map(repr, near))}")
    union = live_union(TaskFamily(tuple(tasks[name] for name in dict.fromkeys((one[0], two[0])))))
    place = {(union.at(live)[0].name, union.at(live)[1].name): live for live in range(len(union.task))}
    for name, node in (one, two):
        if (name, node) not in place:
            fact = "is dead: no prediction depends on it" if node in tasks[name].index else "does not exist"
            near = get_close_matches(node, [other for owner, other in place if owner == name], 3, 0)
            raise InvalidInstance(
                f"node {node!r} of task {name!r} {fact}", "$.tasks", f"live nodes near it: {', '.join(map(repr, near))}"
            )
    rows = read_rows(union, compress=False)
    if layers is not None:
        return _within(family, union, rows, (one, two), (place[one], place[two]), layers)
    colours = _until_apart(union, rows, place[one], place[two])
    if colours[-1][place[one]] == colours[-1][place[two]]:
        return Explanation(
            True, f"{_pair(union, place[one], place[two])} are equivalent: equal identity and equal upstream", ()
        )
    return _walk(union, rows, colours, place[one], place[two], None)


def _within(
    family: TaskFamily, union: Union, rows: Rows, names: tuple[Name, Name], pair: tuple[int, int], layers: int
) -> Explanation:
    """At finite depth: nodes share a position if they agree as deep as both are demanded and no deeper demand keeps them apart."""
    depth = effective_layers(layers, len(union.task), len(rows.refs))
    levels = levels_of(union, rows, depth)
    one, two = pair
    for live in pair:
        if levels.deepest[live] < 0:
            return Explanation(
                False, f"{_shown(union, live)} has no position: no prediction reads it within {layers} layers", ()
            )
    level = min(levels.deepest[one], levels.deepest[two])
    colours = levels.colour[: level + 1]
    if colours[-1][one] != colours[-1][two]:
        return _walk(union, rows, colours, one, two, len(rows.refs))
    embeddings = merge_family(family, layers).embeddings
    merged = embeddings[names[0][0]][names[0][1]] == embeddings[names[1][0]][names[1][1]]
    ages = [depth - levels.deepest[live] for live in pair]
    agree = f"{_pair(union, one, two)} agree as deep as both are read, {max(ages)} layers below the top"
    kept = "one of them is read deeper, at a position that the other cannot take"
    return Explanation(merged, agree if merged else f"{agree}, but {kept}", ())


def _until_apart(union: Union, rows: Rows, one: int, two: int) -> list[list[int]]:
    """Colours round by round, up to the first at which the two nodes differ, or until they are stable."""
    levels = [numbered(union.identity)]
    while levels[-1][one] == levels[-1][two]:
        last = levels[-1]
        seen = numbered(multiset(row, last) for row in rows.rows)
        level = numbered((own, *(seen[table[node]] for table in rows.refs)) for node, own in enumerate(last))
        if level == last:
            break
        levels.append(level)
    return levels


def _walk(union: Union, rows: Rows, colours: list[list[int]], one: int, two: int, pattern: int | None) -> Explanation:
    """From two nodes of different colour upstream; with ``pattern`` = P, level l + 1 reads table l mod P only."""
    path: list[Name] = []
    level = len(colours) - 1
    while True:
        path.append((union.at(one)[1].name, union.at(two)[1].name))
        while level and colours[level - 1][one] != colours[level - 1][two]:
            level -= 1
        if level == 0:
            reason = f"{_pair(union, one, two)} differ in identity: {_identities(union, one, two)}"
            return Explanation(False, _behind(path) + reason, tuple(path))
        tables = rows.refs if pattern is None else [rows.refs[(level - 1) % pattern]]
        ours, theirs = _surplus(rows, tables, colours[level - 1], one, two)
        pair = next(((a, b) for a in ours for b in theirs if union.identity[a] == union.identity[b]), None)
        if pair is None:
            reason = f"{_shown(union, one)} attends to {_some(union, ours)} where {_shown(union, two)} attends to {_some(union, theirs)}"
            return Explanation(False, _behind(path) + reason, tuple(path))
        one, two = pair
        level -= 1


def _surplus(
    rows: Rows, tables: Sequence[Sequence[int]], colour: Sequence[int], one: int, two: int
) -> tuple[list[int], list[int]]:
    """Keys of each row, in the first table that differs, whose colour the other row holds less often."""
    for table in tables:
        ours, theirs = rows.rows[table[one]], rows.rows[table[two]]
        mine, other = Counter(colour[key] for key in ours), Counter(colour[key] for key in theirs)
        if mine != other:
            return [key for key in ours if mine[colour[key]] > other[colour[key]]], [
                key for key in theirs if other[colour[key]] > mine[colour[key]]
            ]
    raise AssertionError("nodes of different colour have a table that differs")


def _pair(union: Union, one: int, two: int) -> str:
    return f"{_shown(union, one)} and {_shown(union, two)}"


def _shown(union: Union, live: int) -> str:
    task, node = union.at(live)
    return f"node {node.name!r} of task {task.name!r}"


def _identities(union: Union, one: int, two: int) -> str:
    nodes = union.at(one)[1], union.at(two)[1]
    facts = [(what, *(canonical(getattr(node, what)) for node in nodes)) for what in ("input", "position", "kind")]
    return ", ".join(f"{what} {a} against {b}" for what, a, b in facts if a != b)


def _some(union: Union, keys: Sequence[int]) -> str:
    if not keys:
        return "nothing more"
    nodes = [union.at(key)[1] for key in keys[:3]]
    names = [f"{node.name!r} (input {canonical(node.input)}, position {node.position})" for node in nodes]
    return ", ".join(names) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _behind(path: Sequence[Name]) -> str:
    return "" if len(path) < 2 else "1 step upstream, " if len(path) == 2 else f"{len(path) - 1} steps upstream, "
