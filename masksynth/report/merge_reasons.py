"""List the nodes or tokens that share a position, and explain why they merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from masksynth.errors import Unsupported
from masksynth.merge.disjoint_union import Rows, Union, live_union, read_rows
from masksynth.report.page_text import count, ranges
from masksynth.subject.subject import Subject
from masksynth.tasks import TaskFamily

MOST_NODES, MOST_ENTRIES = 50_000, 4_000_000
"""Maximum number of task nodes whose rows are compared, and of entries of these rows."""
Row = tuple[tuple[int, int], ...]
"""((position, multiplicity), ...) of a row."""
NodeName = tuple[str, str]
"""(task, node), or (sample, token)."""


class Occupants(NamedTuple):
    """The nodes or tokens at one position, and in one sentence why they share it."""

    nodes: list[NodeName]
    why: str


def position_occupants(subject: Subject, checked: bool = False) -> list[Occupants]:
    """Return the occupants of each position: task nodes of an answer, or tokens of a packed batch's samples.

    Parameters
    ----------
    subject : Subject
    checked : bool
        Whether the checker has confirmed that each node sees exactly what its position sees; then the rows of a large
        family need not be compared.

    Examples
    --------
    >>> import masksynth as ms
    >>> from masksynth.subject import subject_of_merged
    >>> from dataclasses import replace
    >>> question = ms.catalog.prefix_lm(n=3, P=1)
    >>> subject = replace(subject_of_merged(ms.solve(question).merged, "x"), family=question)
    >>> print(position_occupants(subject)[0].why)
    2 nodes of 2 tasks share this position: equal input, position id and kind, and equal rows, which read position 0.
    """
    if subject.embeddings is not None:
        return _task_nodes(subject, subject.embeddings, checked)
    if subject.batch is not None:
        return _sample_tokens(subject)
    return [Occupants([], "")] * subject.size


def _task_nodes(subject: Subject, embeddings: Mapping[str, Mapping[str, int]], checked: bool) -> list[Occupants]:
    nodes_at: list[list[NodeName]] = [[] for _ in range(subject.size)]
    for task, positions in embeddings.items():
        for node, position in positions.items():
            if 0 <= position < subject.size:
                nodes_at[position].append((task, node))
    rows = None if subject.family is None else mapped_rows(subject.family.family, embeddings)
    return [Occupants(nodes, _reason(subject, nodes, rows, checked)) for nodes in nodes_at]


def mapped_rows(
    family: TaskFamily, embeddings: Mapping[str, Mapping[str, int]]
) -> dict[NodeName, tuple[Row, ...]] | None:
    """Map each node to its row in every table, with keys replaced by their positions; None if the family is too large.

    Examples
    --------
    >>> import masksynth as ms
    >>> merged = ms.solve(ms.catalog.causal_lm(n=3)).merged
    >>> mapped_rows(ms.catalog.causal_lm(n=3).family, merged.embeddings)[("predict w2", "w1")]
    (((0, 1), (1, 1)),)
    """
    sizes = [len(task.nodes) for task in family.tasks]
    if sum(sizes) > MOST_NODES or sum(size**2 for size in sizes) > MOST_ENTRIES:
        return None
    union = live_union(family)
    try:
        rows = read_rows(union, compress=False)
    except Unsupported:
        return None
    names = [(task.name, node.name) for task, node in map(union.task_and_node, range(len(union.task)))]
    position = [embeddings.get(task, {}).get(node, -1) for task, node in names]
    return dict(zip(names, _map_keys(union, rows, position), strict=True))


def _map_keys(union: Union, rows: Rows, position: list[int]) -> list[tuple[Row, ...]]:
    """Return for each live node its rows as ((position, multiplicity), ...); each distinct row is mapped once."""
    mapped: dict[int, Row] = {}
    for table in rows.refs:
        for row in table:
            if row not in mapped:
                mapped[row] = tuple(sorted(Counter(position[key] for key in rows.rows[row]).items()))
    return [tuple(mapped[table[live]] for table in rows.refs) for live in range(len(union.task))]


def _reason(
    subject: Subject,
    nodes: list[NodeName],
    rows: Mapping[NodeName, tuple[Row, ...]] | None,
    checked: bool,
) -> str:
    """Return in one sentence why the nodes share their position."""
    if not nodes:
        return "A copy: a row of some task reads several equal nodes, and each needs its own position."
    if len(nodes) == 1:
        return "One node; no other node is equal to it."
    tasks = len({task for task, _ in nodes})
    who = f"{count(len(nodes), 'node')} of {count(tasks, 'task')} share this position"
    if rows is None and checked:
        equal = "equal input, position id and kind, and each node sees exactly what this position sees"
        return f"{who}: {equal}, as the checker confirmed."
    if rows is None:
        fact = "the family is not known" if subject.family is None else "the family is large"
        return f"{who}; {fact}, so their rows are not compared here."
    different = {rows[node] for node in nodes if node in rows}
    if len(different) == 1:
        return f"{who}: equal input, position id and kind, and equal rows, which read {_row_text(different.pop())}."
    depth = "" if subject.layers is None else f" within {count(subject.layers, 'layer')}"
    equal = f"equal input, position id and kind; they have {len(different)} different rows"
    return f"{who}: {equal}, which agree as deep as they are read{depth}."


def _row_text(row: tuple[Row, ...]) -> str:
    """Return the positions that a row reads, table by table, with those that it reads several times."""
    texts = []
    for table in row:
        positions = [position for position, _ in table]
        repeated = [f"{position} {times} times" for position, times in table if times > 1]
        text = f"{'position' if len(positions) == 1 else 'positions'} {ranges(positions)}"
        texts.append(f"{text} ({', '.join(repeated[:4])})" if repeated else text)
    return texts[0] if len(texts) == 1 else "; ".join(f"in table {number}: {text}" for number, text in enumerate(texts))


def _sample_tokens(subject: Subject) -> list[Occupants]:
    """Return the live tokens of a packed batch's samples at each position."""
    batch: Any = subject.batch
    tokens_at: list[list[NodeName]] = [[] for _ in range(subject.size)]
    for number, name in enumerate(batch.samples):
        low, high = int(batch.sample_offset[number]), int(batch.sample_offset[number + 1])
        for token, position in enumerate(batch.sample_position[low:high].tolist()):
            tokens_at[position].append((str(name), f"live token {token}"))
    return [Occupants(tokens, _token_reason(tokens)) for tokens in tokens_at]


def _token_reason(tokens: list[NodeName]) -> str:
    samples = len({name for name, _ in tokens})
    if len(tokens) < 2:
        return "One token of one sample." if tokens else "No live token."
    who = f"{count(len(tokens), 'token')} of {count(samples, 'sample')} share this position"
    return f"{who}: equal tokens with equal contexts."
