"""Long tasks: seconds, no N x N array, no closed row written out."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.tasks import Instance, LossEdge, MergedTask, Node, Position, Prediction, Question, Task, TaskFamily
from masksynth.verify import verify
from masksynth.verify.answer_shape import instance_hash

pytestmark = pytest.mark.slow


def text_task(name: str, tokens: list[str], window: int | None = None) -> Task:
    """A causal text in which every node hides the tokens to come next; closed, or literal with a window."""
    last = len(tokens) - 1
    nodes = [Node(f"w{at}", tokens[at], at, carries=(at,)) for at in range(last)]
    if window is None:
        rows = {f"w{at}": [f"w{at - 1}"] for at in range(1, last)}
    else:
        rows = {f"w{at}": [f"w{key}" for key in range(max(0, at - window + 1), at + 1)] for at in range(last)}
    return Task(
        name, nodes, rows, [Prediction(f"w{at}", tokens[at + 1], hides=(at + 1,)) for at in range(last)], window is None
    )


def prefix_tree(tasks: list[Task], window: int | None = None) -> tuple[Instance, MergedTask]:
    """The merged texts: each distinct prefix one position, in the order of first appearance.

    Rows as runs of its path.
    """
    instance = Instance(TaskFamily(tuple(tasks)), "texts")
    place: dict[tuple[int, str], int] = {}
    positions, rows, edges, labels = [], [], [], {}
    embeddings: dict[str, dict[str, int]] = {}
    for number, task in enumerate(tasks):
        at, path = -1, list[int]()
        for node in task.nodes:
            key = (at, str(node.input))
            if key not in place:
                place[key] = len(positions)
                positions.append(Position(node.input, node.position))
                rows.append(runs([*path, place[key]][-(window or 0) :]))
            at = place[key]
            path.append(at)
        embeddings[task.name] = dict(zip(task.index, path, strict=True))
        edges += [
            LossEdge(at, labels.setdefault(p.label, len(labels)), number, 1.0)
            for at, p in zip(path, task.predict, strict=True)
        ]
    question = Question(None, False, 1, instance_hash(instance.family))
    names = tuple(task.name for task in tasks)
    return instance, MergedTask(
        tuple(positions), Mask.from_intervals([rows]), embeddings, tuple(labels), names, tuple(edges), question
    )


def runs(path: list[int]) -> list[tuple[int, int]]:
    cuts = np.flatnonzero(np.diff(path) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(np.array(path), cuts)]


def chain(length: int) -> tuple[Instance, MergedTask]:
    """One closed chain; its rows are prefixes, written without walking the path."""
    task = text_task("t", [f"x{at}" for at in range(length + 1)])
    instance = Instance(TaskFamily((task,)), "chain")
    positions = tuple(Position(node.input, node.position) for node in task.nodes)
    mask = Mask.from_intervals([[((0, at + 1),) for at in range(length)]])
    edges = tuple(LossEdge(at, at, 0, 1.0) for at in range(length))
    labels = tuple(p.label for p in task.predict)
    question = Question(None, False, 1, instance_hash(instance.family))
    return instance, MergedTask(
        positions, mask, {"t": {f"w{at}": at for at in range(length)}}, labels, ("t",), edges, question
    )


def branches(count: int, length: int) -> list[Task]:
    """Texts with a common first third, then each on its own."""
    return [
        text_task(f"t{k}", [f"p{at}" if at * 3 < length else f"{k * at % 97}" for at in range(length + 1)])
        for k in range(count)
    ]


def prefixes(count: int) -> list[Task]:
    """Every prefix of one text as a task of its own, the same token ids again and again."""
    return [text_task(f"t{k}", [f"x{at % 7}" for at in range(k + 2)]) for k in range(count)]


CASES = {
    "chain": lambda: chain(100_000),
    "branches": lambda: prefix_tree(branches(500, 100)),
    "prefixes": lambda: prefix_tree(prefixes(440)),
    "windows": lambda: prefix_tree(
        [text_task(f"t{k}", [f"s{k}", *(f"x{at}" for at in range(10_000))], 3) for k in range(2)], 3
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_long_tasks(name: str) -> None:
    instance, merged = CASES[name]()
    before, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = verify(instance, merged)
    seconds, more = time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(
        f"{name}: {report.positions} positions, {len(merged.mask.key_start)} intervals, "
        f"{seconds:.1f} s, {more / 1024:.0f} MiB more"
    )
    assert report.minimal
    assert seconds < 30
    assert more < 1024 * 1024


def test_a_long_chain_with_one_wrong_bit() -> None:
    instance, merged = chain(20_000)
    end = merged.mask.key_end.copy()
    end[15_000] -= 1
    bad = MergedTask(**{**vars(merged), "mask": Mask(merged.mask.row_offset, merged.mask.key_start, end)})
    with pytest.raises(WrongAnswer, match=r"^rows: task 't' node 'w15000'"):
        verify(instance, bad)


def test_many_unmerged_chains_are_accepted_as_not_minimal() -> None:
    """Equal chains side by side: every position has a thousand equivalent ones."""
    tasks = [text_task(f"t{k}", [f"x{at}" for at in range(51)]) for k in range(400)]
    instance, short = prefix_tree(tasks)
    rows = [[(50 * k, 50 * k + at + 1)] for k in range(400) for at in range(50)]
    embeddings = {f"t{k}": {f"w{at}": 50 * k + at for at in range(50)} for k in range(400)}
    edges = tuple(edge._replace(position=50 * edge.task + edge.position) for edge in short.loss_edges)
    long = MergedTask(
        short.positions * 400, Mask.from_intervals([rows]), embeddings, short.labels, short.tasks, edges, short.problem
    )
    assert verify(instance, short).positions == 50
    report = verify(instance, long, minimal=False)
    assert (report.positions, report.classes) == (20_000, 50)
    with pytest.raises(WrongAnswer, match=r"^minimality"):
        verify(instance, long)
