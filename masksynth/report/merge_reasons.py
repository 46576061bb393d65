"""Who stands at each position, and why they may share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from masksynth.errors import Unsupported
from masksynth.merge.disjoint_union import Rows, Union, live_union, read_rows
from masksynth.report.page_text import count, ranges
from masksynth.subject.subject import Subject
from masksynth.tasks import TaskFamily

MOST_NODES, MOST_ENTRIES = 50_000, 4_000_000
"""Most task nodes whose rows are compared, and most entries of these rows."""
Row = tuple[tuple[int, int], ...]


class Standing(NamedTuple):
    """What stands at one position: (task or sample, node or token) pairs, and in one sentence why."""

    nodes: list[tuple[str, str]]
    why: str


def standings(subject: Subject, checked: bool = False) -> list[Standing]:
    """For each position who stands there, as far as the subject tells: its embeddings, or the samples of its packed batch.

    Parameters
    ----------
    subject : Subject
    checked : bool
        The checker has confirmed that every node sees exactly what its position sees; then rows of a large family need
        not be compared.

    Examples
    --------
    >>> import masksynth as ms
    >>> from masksynth.audit import subject_of_merged
    >>> from dataclasses import replace
    >>> asked = ms.catalog.prefix_lm(n=3, P=1)
    >>> found = standings(replace(subject_of_merged(ms.solve(asked).merged, "x"), family=asked))
    >>> print(found[0].why)
    2 nodes of 2 tasks stand here: equal input, position id and kind, and equal rows, which read position 0.
    """
    if subject.embeddings is not None:
        return _of_tasks(subject, subject.embeddings, checked)
    if subject.batch is not None:
        return _of_samples(subject)
    return [Standing([], "")] * subject.size


def _of_tasks(subject: Subject, embeddings: Mapping[str, Mapping[str, int]], checked: bool) -> list[Standing]:
    here: list[list[tuple[str, str]]] = [[] for _ in range(subject.size)]
    for task, places in embeddings.items():
        for node, place in places.items():
            if 0 <= place < subject.size:
                here[place].append((task, node))
    rows = None if subject.family is None else mapped_rows(subject.family.family, embeddings)
    return [Standing(nodes, _why(subject, nodes, rows, checked)) for nodes in here]


def mapped_rows(
    family: TaskFamily, embeddings: Mapping[str, Mapping[str, int]]
) -> dict[tuple[str, str], tuple[Row, ...]] | None:
    """(task, node) -> its row in every table as ((position, how often), ...); None where the family is too large to compare.

    Examples
    --------
    >>> import masksynth as ms
    >>> merged = ms.solve(ms.catalog.causal_lm(n=3)).merged
    >>> mapped_rows(ms.catalog.causal_lm(n=3).family, merged.embeddings)[("predict w2", "w1")]
    (((0, 1), (1, 1)),)
    """
    if (
        sum(len(task.nodes) for task in family.tasks) > MOST_NODES
        or sum(len(task.nodes) ** 2 for task in family.tasks) > MOST_ENTRIES
    ):
        return None
    union = live_union(family)
    try:
        rows = read_rows(union, compress=False)
    except Unsupported:
        return None
    names = [(task.name, node.name) for task, node in map(union.task_and_node, range(len(union.task)))]
    place = [embeddings.get(task, {}).get(node, -1) for task, node in names]
    return dict(zip(names, _signatures(union, rows, place), strict=True))


def _signatures(union: Union, rows: Rows, place: list[int]) -> list[tuple[Row, ...]]:
    known: dict[int, Row] = {}
    for table in rows.refs:
        for row in table:
            if row not in known:
                known[row] = _counted([place[key] for key in rows.rows[row]])
    return [tuple(known[table[live]] for table in rows.refs) for live in range(len(union.task))]


def _counted(places: list[int]) -> Row:
    counts: dict[int, int] = {}
    for at in places:
        counts[at] = counts.get(at, 0) + 1
    return tuple(sorted(counts.items()))


def _why(
    subject: Subject,
    nodes: list[tuple[str, str]],
    rows: Mapping[tuple[str, str], tuple[Row, ...]] | None,
    checked: bool,
) -> str:
    if not nodes:
        return "A copy: a row of some task reads several equal nodes, and each needs a position of its own."
    if len(nodes) == 1:
        return "One node stands here; no other is equal to it."
    who = f"{count(len(nodes), 'node')} of {count(len({task for task, _ in nodes}), 'task')} stand here"
    if rows is None and checked:
        return f"{who}: equal input, position id and kind, and each sees exactly what this position sees, as the checker confirmed."
    if rows is None:
        told = "the family is not at hand" if subject.family is None else "the family is large"
        return f"{who}; {told}, so their rows are not compared here."
    found = {rows[node] for node in nodes if node in rows}
    if len(found) == 1:
        return f"{who}: equal input, position id and kind, and equal rows, which read {_read(next(iter(found)))}."
    deep = "" if subject.layers is None else f" within {count(subject.layers, 'layer')}"
    return f"{who}: equal input, position id and kind; they have {len(found)} different rows, which agree as deep as they are read{deep}."


def _read(row: tuple[Row, ...]) -> str:
    words = []
    for table in row:
        places = [at for at, _ in table]
        twice = [f"{at} {times} times" for at, times in table if times > 1]
        numbers = ranges(places)
        words.append(
            f"{'position' if len(places) == 1 else 'positions'} {numbers}"
            + (f" ({', '.join(twice[:4])})" if twice else "")
        )
    return words[0] if len(words) == 1 else "; ".join(f"in table {number}: {text}" for number, text in enumerate(words))


def _of_samples(subject: Subject) -> list[Standing]:
    """The tokens of a packed batch's samples at each position."""
    batch: Any = subject.batch
    here: list[list[tuple[str, str]]] = [[] for _ in range(subject.size)]
    for number, name in enumerate(batch.samples):
        low, high = int(batch.sample_offset[number]), int(batch.sample_offset[number + 1])
        for token, place in enumerate(batch.sample_position[low:high].tolist()):
            here[place].append((str(name), f"live token {token}"))
    return [Standing(tokens, _shared(tokens)) for tokens in here]


def _shared(tokens: list[tuple[str, str]]) -> str:
    samples = len({name for name, _ in tokens})
    if len(tokens) < 2:
        return "One token of one sample stands here." if tokens else "No live token stands here."
    return f"{count(len(tokens), 'token')} of {count(samples, 'sample')} stand here: equal tokens with equal contexts."
