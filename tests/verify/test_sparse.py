"""Sparse answers: thinned by hand from dense ones, every mutant judged by the definitions.

Copies read in every possible way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product as choices
from random import Random

import numpy as np
import pytest

from masksynth import catalog
from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.tasks import Instance, MergedTask, Node, Position, Prediction, Task, TaskFamily
from masksynth.tasks.canonical import canonical
from masksynth.verify import verify
from tests.verify.hubs import closure, hub_mask, product, thinned
from tests.verify.mutants import mutants
from tests.verify.naive import identities, minimal, random_instance, stable, task_rows, unmerged
from tests.verify.test_scale import chain

CLOSED = [
    name for name in sorted(catalog.FAMILIES) if all(task.closure for task in catalog.FAMILIES[name]().family.tasks)
]


class Naive:
    """The classes of closed tasks, what flows into each, and whether a mask carries it: dicts and boolean products."""

    def __init__(self, instance: Instance) -> None:
        rows, identity = task_rows(instance.family), identities(instance.family)
        self.colour = stable({u: identity[u] for u in rows[0]}, rows)
        self.due = {c: {self.colour[k] for k in rows[0][u]} for u, c in self.colour.items()}
        self.identity = {
            c: (canonical(i.input), i.position, i.kind) for u, c in self.colour.items() for i in [node_of(instance, *u)]
        }
        most = {c: [Counter(self.colour[k] for k in row)[c] for row in rows[0].values()] for c in self.due}
        self.copies = {c: max(1, *counts) for c, counts in most.items()}

    def readings(self, merged: MergedTask) -> list[list[int]]:
        """Every class for every position: that of its nodes, or any of its identity."""
        ways = []
        for at, place in enumerate(merged.positions):
            nodes = {c for (t, name), c in self.colour.items() if merged.embeddings[merged.tasks[t]][name] == at}
            ways.append(
                sorted(nodes)
                or [c for c, i in self.identity.items() if i == (canonical(place.input), place.position, place.kind)]
            )
            if len(nodes) > 1:
                return []
        return [list(way) for way in choices(*ways)]

    def accepts(self, merged: MergedTask, least: bool = True) -> bool:
        """Whether some reading makes mask, positions and embeddings right.

        All else about ``merged`` is taken to be right.
        """
        dense, layers = merged.mask.dense(), merged.problem.layers
        if not dense.diagonal().all():
            return False
        flow = closure(dense) if layers is None else product(*[dense] * min(layers, len(dense)))
        return any(self.reads(merged, flow, home, least) for home in self.readings(merged))

    def reads(self, merged: MergedTask, flow: np.ndarray, home: list[int], least: bool) -> bool:
        size = Counter(home)
        if any(size[c] < copies or (least and size[c] > copies) for c, copies in self.copies.items()):
            return False
        if any({home[k] for k in np.flatnonzero(row)} != self.due[home[q]] for q, row in enumerate(flow)):
            return False
        lowest = {c: home.index(c) for c in size}
        return not least or all(
            merged.embeddings[merged.tasks[t]][name] == lowest[c] for (t, name), c in self.colour.items()
        )


def node_of(instance: Instance, task: int, name: str) -> Position:
    node = next(node for node in instance.family.tasks[task].nodes if node.name == name)
    return Position(node.input, node.position, node.kind)


def sparse_of(instance: Instance, rng: Random, layers: int | None, dense: MergedTask | None = None) -> MergedTask:
    """A right sparse answer, of which no edge can be dropped; not the fewest edges."""
    full = minimal(instance) if dense is None else dense
    naive = Naive(instance)
    merged = replace(full, problem=replace(full.problem, sparse=True, layers=layers))
    if not full.positions:
        return merged

    def right(table: np.ndarray) -> bool:
        return naive.accepts(replace(merged, mask=Mask.from_dense(table)), least=dense is None)

    return replace(merged, mask=Mask.from_dense(thinned(rng, full.mask.dense(), right)))


def refused(instance: Instance, merged: MergedTask, least: bool = True) -> str:
    """The requirement that is broken; empty if the answer is accepted."""
    try:
        report = verify(instance, merged, minimal=least)
    except WrongAnswer as error:
        return error.requirement
    assert report.edges == merged.mask.pairs - merged.mask.size
    return ""


@pytest.mark.parametrize("layers", [None, 1, 2, 3])
@pytest.mark.parametrize("name", CLOSED)
def test_catalogue(name: str, layers: int | None) -> None:
    """The dense mask carries its own flow through any number of layers.

    A thinned one is accepted, and every edge of it is needed.
    """
    instance = catalog.FAMILIES[name]()
    full = minimal(instance)
    report = verify(instance, replace(full, problem=replace(full.problem, sparse=True, layers=layers)))
    assert (report.layers, report.minimal, report.edges) == (layers, True, full.mask.pairs - full.mask.size)
    assert report.checks[5:8] == ("classes", "flow", "minimality")
    merged = sparse_of(instance, Random(name), layers)
    assert refused(instance, merged) == ""
    dense = merged.mask.dense()
    for edge in np.argwhere(dense & ~np.eye(len(dense), dtype=bool)).tolist():
        dense[tuple(edge)] = False
        with pytest.raises(WrongAnswer, match=r"^flow: .* does not see position \d+ \(") as caught:
            verify(instance, replace(merged, mask=Mask.from_dense(dense)))
        assert caught.value.task
        assert caught.value.node
        dense[tuple(edge)] = True


def test_an_edge_more_is_harmless_inside_the_flow_and_a_leak_outside() -> None:
    instance = catalog.butterfly(n=6)
    naive, merged, count = Naive(instance), sparse_of(instance, Random(3), 2), Counter[bool]()
    dense, full = merged.mask.dense(), minimal(instance).mask.dense()
    for edge in np.argwhere(~dense).tolist():
        mutant = dense.copy()
        mutant[tuple(edge)] = True
        answer = replace(merged, mask=Mask.from_dense(mutant))
        inside = bool(full[tuple(edge)])
        count[inside] += 1
        assert naive.accepts(answer) == inside
        if inside:
            assert verify(instance, answer).edges == verify(instance, merged).edges + 1
            continue
        with pytest.raises(
            WrongAnswer,
            match=r"^flow: task '.*' node '.*': position \d+ .* sees position \d+ .*, which it must not see; path",
        ) as caught:
            verify(instance, answer)
        query, key = (
            f'({canonical(at.input)}, {at.position}, "{at.kind}")'
            for at in (merged.positions[edge[0]], merged.positions[edge[1]])
        )
        assert caught.value.path == (key, query)
        assert edge[0] in merged.embeddings[caught.value.task].values()
        assert merged.embeddings[caught.value.task][caught.value.node] == edge[0]
    assert min(count.values()) > 10, count


@pytest.mark.slow
def test_every_mutant_of_an_answer() -> None:
    """Positions, labels, embeddings, loss edges, tasks, problem, sizes.

    What is refused in a dense answer is refused here.
    """
    count: Counter[str] = Counter()
    for name in CLOSED[::4]:
        instance = catalog.FAMILIES[name]()
        naive, merged = Naive(instance), sparse_of(instance, Random(name), 2)
        for kind, mutant in mutants(merged):
            requirement = refused(instance, mutant)
            count[requirement] += 1
            if not requirement:
                assert kind.startswith("mask bit"), (name, kind)
                assert naive.accepts(mutant), (name, kind)
    print(dict(count))
    assert sum(count.values()) - count[""] > 2_000
    assert set(count) >= {"", "shape", "identity", "classes", "flow", "minimality", "labels", "loss edges", "problem"}


def closed_instance(rng: Random) -> Instance:
    """Tiny closed tasks over few identities, so that classes need copies and share identities."""
    while True:
        instance = random_instance(rng)
        if instance.family.tables == 1:
            tasks = tuple(replace(task, closure=True) for task in instance.family.tasks)
            return replace(instance, family=TaskFamily(tasks))


@pytest.mark.parametrize("layers", [None, 1, 2, 3])
def test_random_mutants_agree_with_the_naive_checker(layers: int | None) -> None:
    """Any mask bits and one embedding changed: accepted iff some reading of the copies makes the answer right."""
    rng, verdicts, copies = Random(5), Counter[bool](), 0
    for _ in range(60):
        instance = closed_instance(rng)
        naive, right = Naive(instance), sparse_of(instance, rng, layers)
        if not right.positions:
            continue
        copies += any(count > 1 for count in naive.copies.values())
        assert naive.accepts(right)
        assert refused(instance, right) == ""
        for _ in range(12):
            dense = right.mask.dense()
            for _ in range(rng.randint(1, 3)):
                dense[tuple(rng.choice(np.argwhere(np.ones_like(dense)).tolist()))] ^= True
            mutant = replace(right, mask=Mask.from_dense(dense))
            if not dense.any(axis=1).all():
                continue
            verdict = naive.accepts(mutant)
            verdicts[verdict] += 1
            assert (refused(instance, mutant) == "") == verdict, (instance, mutant)
            assert (refused(instance, mutant, least=False) == "") == naive.accepts(mutant, least=False), (
                instance,
                mutant,
            )
    print(f"layers={layers}: {dict(verdicts)}, copies in {copies}")
    assert verdicts[False] > 150
    assert verdicts[True] > 15
    assert copies > 5


@pytest.mark.parametrize("layers", [None, 2])
def test_answers_that_are_not_minimal(layers: int | None) -> None:
    rng = Random(6)
    for _ in range(60):
        instance = closed_instance(rng)
        if not (long := unmerged(instance)).positions:
            continue
        merged = sparse_of(instance, rng, layers, long)
        assert refused(instance, merged, least=False) == ""
        assert (refused(instance, merged) == "") == (
            len(long.positions) == len(minimal(instance).positions) and Naive(instance).accepts(merged)
        )


def twins() -> tuple[Instance, MergedTask]:
    """Two documents [b, b] and [c, c] over twins b of different classes.

    Each of which needs two copies of one identity.
    """
    tasks = []
    for letter in "xy":
        nodes = (
            [Node(f"{letter}{i}", letter, 0) for i in (1, 2)]
            + [Node(f"b{i}", "b", 1) for i in (1, 2)]
            + [Node("q", "?", 2)]
        )
        rows = {"b1": [f"{letter}1"], "b2": [f"{letter}2"], "q": ["b1", "b2"]}
        tasks.append(Task(letter, nodes, rows, [Prediction("q", letter)], closure=True))
    instance = Instance(TaskFamily(tuple(tasks)), "twins")
    return instance, minimal(instance)


def test_copies_are_read_by_what_they_see() -> None:
    """Positions in any order: the second b of x is the one that sees an x, at any index."""
    instance, _ = twins()
    naive = Naive(instance)
    rng = Random(7)
    merged = sparse_of(instance, rng, 2)
    assert len(merged.positions) == 10
    accepted = 0
    for _ in range(60):
        order = rng.sample(range(10), 10)
        place = [order.index(at) for at in range(10)]
        moved = replace(
            merged,
            positions=tuple(merged.positions[at] for at in order),
            mask=Mask.from_dense(merged.mask.dense()[np.ix_(order, order)]),
            embeddings={
                task: {node: place[at] for node, at in nodes.items()} for task, nodes in merged.embeddings.items()
            },
            loss_edges=tuple(edge._replace(position=place[edge.position]) for edge in merged.loss_edges),
        )
        assert refused(instance, moved, least=False) == ""
        assert (refused(instance, moved) == "") == naive.accepts(moved)
        accepted += naive.accepts(moved)
    assert 0 < accepted < 60


def test_a_missing_copy_and_one_too_many() -> None:
    instance, _ = twins()
    merged = sparse_of(instance, Random(8), None)
    used = {at for nodes in merged.embeddings.values() for at in nodes.values()}
    spare = max(set(range(10)) - used)
    keep = [at for at in range(10) if at != spare]
    place = {at: new for new, at in enumerate(keep)}
    short = replace(
        merged,
        positions=tuple(merged.positions[at] for at in keep),
        mask=Mask.from_dense(closure(merged.mask.dense())[np.ix_(keep, keep)]),
        embeddings={task: {node: place[at] for node, at in nodes.items()} for task, nodes in merged.embeddings.items()},
        loss_edges=tuple(edge._replace(position=place[edge.position]) for edge in merged.loss_edges),
    )
    for least in (True, False):
        with pytest.raises(
            WrongAnswer,
            match=r'^classes: 1 positions equivalent to \d+ \(".", \d, "token"\), of which one row holds 2$',
        ):
            verify(instance, short, minimal=least)
    dense = np.eye(11, dtype=bool)
    dense[:10, :10] = merged.mask.dense()
    dense[10] = np.append(dense[spare, :10], True)
    dense[10, spare] = False
    more = replace(merged, positions=(*merged.positions, merged.positions[spare]), mask=Mask.from_dense(dense))
    assert refused(instance, more, least=False) == ""
    with pytest.raises(
        WrongAnswer, match=r"^minimality: positions \d+ and 10 .* are equivalent; there are 3 of them, 2 suffice$"
    ):
        verify(instance, more)


def test_unequal_nodes_at_one_position() -> None:
    instance, full = twins()
    nodes = full.embeddings
    both = replace(
        full,
        embeddings={"x": nodes["x"], "y": {**nodes["y"], "b1": nodes["x"]["b1"]}},
        problem=replace(full.problem, sparse=True),
    )
    with pytest.raises(
        WrongAnswer,
        match=r"^classes: task 'x' node 'b[12]': is at position \d+ with node 'b1' of task 'y', which is not",
    ):
        verify(instance, both)


def test_literal_rows_have_no_sparse_answer() -> None:
    task = Task("t", [Node("a", "a", 0)], {"a": ["a"]}, [Prediction("a", "b")])
    instance = Instance(TaskFamily((task,)), "literal")
    merged = minimal(instance)
    with pytest.raises(WrongAnswer, match=r"^problem: task 't': sparse needs closure"):
        verify(instance, replace(merged, problem=replace(merged.problem, sparse=True)))


@pytest.mark.parametrize("layers", [None, 3])
def test_nothing_to_predict(layers: int | None) -> None:
    for tasks in ((), (Task("t", (Node("a", 1, 0),), {}, (), closure=True),)):
        instance = Instance(TaskFamily(tasks), "none", layers=layers, sparse=True)
        merged = minimal(instance)
        assert verify(instance, replace(merged, problem=replace(merged.problem, sparse=True, layers=layers))).edges == 0


def test_a_long_chain() -> None:
    instance, full = chain(30_000)
    merged = replace(full, mask=hub_mask(30_000), problem=replace(full.problem, sparse=True, layers=2))
    report = verify(instance, merged)
    assert (report.positions, report.layers, report.minimal) == (30_000, 2, True)
    assert report.edges == merged.mask.pairs - 30_000


def test_a_chain_with_a_layer_too_few() -> None:
    instance, full = chain(1_000)
    merged = replace(full, mask=hub_mask(1_000), problem=replace(full.problem, sparse=True, layers=1))
    with pytest.raises(
        WrongAnswer, match=r"^flow: task 't' node 'w\d+': .* does not see position 0 .* within 1 layer; it takes 2$"
    ):
        verify(instance, merged)
