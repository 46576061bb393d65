"""Why two nodes did, or did not, merge: the first difference in identity or upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from masksynth.errors import InvalidInstance
from masksynth.merge.refine import multiset, numbered
from masksynth.merge.union import Rows, Union, live_union, read_rows
from masksynth.tasks import TaskFamily
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

    Colours are followed level by level until the two nodes differ; from there the walk goes upstream, one level earlier at each step, to a
    pair that differs in identity or whose rows differ in the number of keys of some colour that nothing earlier explains.

    Raises
    ------
    InvalidInstance
        If a task or node does not exist, or no prediction depends on it.

    Examples
    --------
    >>> from masksynth import catalog
    >>> family = catalog.prefix_lm(n=3, P=1).family
    >>> explain(family, ("predict w1", "w0"), ("predict w2", "w0")).merged
    True
    """
    tasks = {task.name: task for task in family.tasks}
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
            raise InvalidInstance(f"node {node!r} of task {name!r} {fact}", "$.tasks", f"live nodes near it: {', '.join(map(repr, near))}")
    rows = read_rows(union, compress=False)
    colours = _until_apart(union, rows, place[one], place[two], layers)
    return _walk(union, rows, colours, place[one], place[two])


def _until_apart(union: Union, rows: Rows, one: int, two: int, layers: int | None) -> list[list[int]]:
    """Colours level by level, up to the first level at which the two nodes differ, or all that matter."""
    levels = [numbered(union.identity)]
    while levels[-1][one] == levels[-1][two] and (layers is None or len(levels) <= layers):
        last = levels[-1]
        seen = numbered(multiset(row, last) for row in rows.rows)
        tables = rows.refs if layers is None else [rows.refs[(len(levels) - 1) % len(rows.refs)]]
        level = numbered((own, *(seen[table[node]] for table in tables)) for node, own in enumerate(last))
        if layers is None and level == last:
            break
        levels.append(level)
    return levels


def _walk(union: Union, rows: Rows, colours: list[list[int]], one: int, two: int) -> Explanation:
    if colours[-1][one] == colours[-1][two]:
        return Explanation(True, f"{_shown(union, one)} and {_shown(union, two)} are equivalent: equal identity and equal upstream", ())
    path: list[Name] = []
    level = len(colours) - 1
    while True:
        path.append((union.at(one)[1].name, union.at(two)[1].name))
        while level and colours[level - 1][one] != colours[level - 1][two]:
            level -= 1
        if level == 0:
            reason = f"{_shown(union, one)} and {_shown(union, two)} differ in identity: {_identities(union, one, two)}"
            return Explanation(False, _behind(path) + reason, tuple(path))
        ours, theirs = _surplus(rows, colours[level - 1], one, two)
        pair = next(((a, b) for a in ours for b in theirs if union.identity[a] == union.identity[b]), None)
        if pair is None:
            reason = f"{_shown(union, one)} attends to {_some(union, ours)} where {_shown(union, two)} attends to {_some(union, theirs)}"
            return Explanation(False, _behind(path) + reason, tuple(path))
        one, two = pair


def _surplus(rows: Rows, colour: Sequence[int], one: int, two: int) -> tuple[list[int], list[int]]:
    """Keys of each row, in the first table that differs, whose colour the other row holds less often."""
    for table in rows.refs:
        ours, theirs = rows.rows[table[one]], rows.rows[table[two]]
        mine, other = Counter(colour[key] for key in ours), Counter(colour[key] for key in theirs)
        if mine != other:
            return [key for key in ours if mine[colour[key]] > other[colour[key]]], [
                key for key in theirs if other[colour[key]] > mine[colour[key]]
            ]
    raise AssertionError("nodes of different colour have a table that differs")


def _shown(union: Union, live: int) -> str:
    task, node = union.at(live)
    return f"node {node.name!r} of task {task.name!r}"


def _identities(union: Union, one: int, two: int) -> str:
    nodes = union.at(one)[1], union.at(two)[1]
    facts = [(what, *(getattr(node, what) for node in nodes)) for what in ("input", "position", "kind")]
    return ", ".join(f"{what} {a!r} against {b!r}" for what, a, b in facts if a != b or type(a) is not type(b))


def _some(union: Union, keys: Sequence[int]) -> str:
    if not keys:
        return "nothing more"
    nodes = [union.at(key)[1] for key in keys[:3]]
    names = [f"{node.name!r} (input {canonical(node.input)}, position {node.position})" for node in nodes]
    return ", ".join(names) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _behind(path: Sequence[Name]) -> str:
    return "" if len(path) < 2 else "1 step upstream, " if len(path) == 2 else f"{len(path) - 1} steps upstream, "
