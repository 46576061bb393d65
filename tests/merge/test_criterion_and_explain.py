"""Leaks, explanations, and the criterion with its witnesses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from masksynth import catalog
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.merge import find_leak, merge_classes, merge_family
from masksynth.merge.criterion import criterion
from masksynth.merge.disjoint_union import live_union, read_rows
from masksynth.merge.explain import explain
from masksynth.merge.refine import refine
from masksynth.tasks import Leak, Node, Prediction, Task, TaskFamily
from tests.random_families import random_family


def brute_leaks(task: Task, layers: int) -> set[tuple[str, str]]:
    """(node, hidden element) pairs that leak within ``layers`` layers, by boolean matrices from the definition."""
    n = len(task.nodes)
    tables = []
    for rows in task.attends:
        table = np.eye(n, dtype=bool)
        for name, keys in rows.items():
            table[task.index[name], [task.index[key] for key in keys]] = True
        tables.append(np.linalg.matrix_power(table.astype(float), n) > 0 if task.closure else table)
    flow = np.eye(n, dtype=bool)
    for layer in range(layers):
        flow = (tables[layer % len(tables)].astype(int) @ flow.astype(int)) > 0
    return {
        (prediction.node, element)
        for prediction in task.predict
        for element in prediction.hides
        if any(flow[task.index[prediction.node], k] and element in (task.nodes[k].carries or ()) for k in range(n))
    }


@pytest.mark.parametrize("layers", [1, 2, 3, None])
def test_leaks_agree_with_boolean_powers(layers: int | None) -> None:
    found = 0
    for seed in range(1200):
        family = random_family(seed, tasks=1, most=5)
        task = family.tasks[0]
        hidden = replace(
            task,
            nodes=[replace(node, carries=(node.name,)) for node in task.nodes],
            predict=[
                replace(p, hides=tuple(node.name for node in task.nodes if node.name != p.node)[:2])
                for p in task.predict
            ],
        )
        leak = find_leak(TaskFamily((hidden,)), layers)
        truth = brute_leaks(hidden, layers if layers is not None else 3 * len(task.nodes) * len(task.attends))
        assert (leak is not None) == bool(truth), seed
        if leak is not None:
            found += 1
            assert (leak.node, leak.hides) in truth
            hops = len(leak.path) - 1
            assert leak.path[0] == leak.hides
            assert leak.path[-1] == leak.node
            assert all(
                task.closure or any(key in table.get(query, ()) for table in task.attends)
                for key, query in zip(leak.path, leak.path[1:], strict=False)
            )
            if not task.closure and len(task.attends) == 1:
                assert (leak.node, leak.hides) not in brute_leaks(hidden, hops - 1) if hops else True
    assert found > 100


def test_all_but_self_leaks_at_two_layers_and_not_at_one() -> None:
    nodes = [Node("a", "x", 0), Node("b", "y", 1)]
    query = Task(
        "t",
        [*nodes, Node("q", "M", 0, carries=())],
        {"a": ("b",), "b": ("a",), "q": ("b",)},
        [Prediction("q", "x", hides=["x"])],
    )
    family = TaskFamily((query,))
    assert find_leak(family, 1) is None
    assert find_leak(family, 2) == Leak("t", "q", "x", ("a", "b", "q"))
    assert find_leak(family) == Leak("t", "q", "x", ("a", "b", "q"))


def test_layer_patterns_leak_in_the_order_of_their_layers() -> None:
    nodes = [Node("a", "x", 0), Node("b", "y", 1), Node("q", "M", 2, carries=())]
    own = {"a": ("a",), "b": ("b",), "q": ("q",)}
    first, second = {**own, "b": ("a", "b")}, {**own, "q": ("b", "q")}
    for tables, leaks in (((first, second), True), ((second, first), False)):
        family = TaskFamily((Task("t", nodes, tables, [Prediction("q", "x", hides=["x"])]),))
        assert (find_leak(family, 2) is not None) is leaks
        assert find_leak(family, 3) is not None


def chain_of(name: str, first: str, closed: bool) -> Task:
    """The chain ``first`` m e, whose last node predicts; literal cover rows unless closed."""
    rows = {"b": ("a",), "c": ("b",)} if closed else {"a": ("a",), "b": ("a", "b"), "c": ("b", "c")}
    return Task(name, [Node("a", first, 0), Node("b", "m", 1), Node("c", "e", 2)], rows, [Prediction("c", "y")], closed)


def test_explanations_name_the_first_difference() -> None:
    family = catalog.butterfly(n=4).family
    tasks = {task.name: task for task in family.tasks}
    one, two = list(tasks)[1:3]
    shared = next(node.name for node in tasks[one].nodes if node.name in tasks[two].index)
    assert explain(family, (one, shared), (two, shared)).merged
    chains = TaskFamily(tuple(chain_of(first, first, closed=True) for first in ("one", "two")))
    found = explain(chains, ("one", "c"), ("two", "c"))
    assert not found.merged
    assert found.path == (("c", "c"),)
    assert found.reason == (
        "node 'c' of task 'one' attends to 'a' (input \"one\", position 0) "
        "while node 'c' of task 'two' attends to 'a' (input \"two\", position 0)"
    )
    literal = TaskFamily(tuple(chain_of(first, first, closed=False) for first in ("one", "two")))
    found = explain(literal, ("one", "c"), ("two", "c"))
    assert found.path == (("c", "c"), ("b", "b"))
    assert found.reason.startswith("1 step upstream, node 'b' of task 'one' attends to 'a'")
    assert explain(literal, ("one", "c"), ("two", "c"), layers=1).merged
    assert explain(chains, ("one", "c"), ("two", "c"), layers=1).merged is False
    with pytest.raises(InvalidInstance, match="no task 'three'"):
        explain(chains, ("three", "c"), ("two", "c"))
    with pytest.raises(InvalidInstance, match="does not exist"):
        explain(chains, ("one", "z"), ("two", "c"))


def test_explanations_agree_with_refinement() -> None:
    apart = 0
    for seed in range(300):
        family = random_family(seed, tasks=2, most=4)
        union = live_union(family)
        rows = read_rows(union, compress=False)
        classes = refine(union.identity, rows.rows, rows.refs)
        names = [(union.task_and_node(live)[0].name, union.task_and_node(live)[1].name) for live in range(len(classes))]
        for u in range(len(names)):
            for v in range(u):
                found = explain(family, names[u], names[v])
                assert found.merged == (classes[u] == classes[v]), (seed, names[u], names[v])
                apart += not found.merged
                assert found.reason
    assert apart > 500


def test_explanations_at_finite_depth_agree_with_the_positions() -> None:
    merged_pairs = apart = 0
    for seed in range(250):
        family = random_family(seed, tasks=2, most=4)
        for layers in (1, 2, 3, 10**6):
            embeddings = merge_family(family, layers).embeddings
            union = live_union(family)
            names = [
                (union.task_and_node(live)[0].name, union.task_and_node(live)[1].name)
                for live in range(len(union.task))
            ]
            for u in range(len(names)):
                for v in range(u):
                    found = explain(family, names[u], names[v], layers)
                    places = [embeddings[task].get(node) for task, node in (names[u], names[v])]
                    assert found.merged == (places[0] == places[1] is not None), (seed, layers, names[u], names[v])
                    assert found.reason
                    merged_pairs, apart = merged_pairs + found.merged, apart + (not found.merged)
    assert merged_pairs > 100
    assert apart > 1000


def test_explanations_tell_apart_what_only_canonical_text_does() -> None:
    tasks = [
        Task(name, [Node("a", ["a", value], 0)], {"a": ("a",)}, [Prediction("a", "y")])
        for name, value in (("one", 1), ("two", 1.0))
    ]
    found = explain(TaskFamily(tuple(tasks)), ("one", "a"), ("two", "a"))
    assert found.reason.endswith('differ in identity: input ["a",1] against ["a",1.0]')
    with pytest.raises(InvalidInstance, match="layers: expected null or an integer from 1 to 2147483647, got 0"):
        explain(TaskFamily(tuple(tasks)), ("one", "a"), ("two", "a"), 0)


def test_criterion_accepts_the_minimum_and_names_what_fails() -> None:
    family = catalog.butterfly(n=4).family
    merged = merge_family(family)
    assert criterion(family, merged).minimal
    apart = merge_classes(family, range(len(live_union(family).task)))
    assert criterion(family, apart).fault == "copies"
    lonely = replace(
        merged,
        positions=(*merged.positions, merged.positions[0]._replace(input="nobody")),
        mask=Mask.from_dense(
            np.pad(merged.mask.dense(), (0, 1)) | np.diag(np.arange(len(merged.positions) + 1) == len(merged.positions))
        ),
    )
    verdict = criterion(family, lonely)
    assert (verdict.fault, verdict.positions) == ("hit", (len(merged.positions),))
    dense = merged.mask.dense()
    dense[0, 1] = True
    assert (
        "attends to position 1 and should not" in criterion(family, replace(merged, mask=Mask.from_dense(dense))).reason
    )
    dense = merged.mask.dense()
    dense[1, 0] = False
    assert "does not attend" in criterion(family, replace(merged, mask=Mask.from_dense(dense))).reason


def test_criterion_refuses_every_single_bit() -> None:
    refused = 0
    for instance in (
        catalog.butterfly(n=3),
        catalog.causal_lm(n=5),
        catalog.tabpfn_duplicates(),
        catalog.sliding_window(n=5, w=2),
    ):
        merged = merge_family(instance.family)
        for query, key in np.ndindex(merged.mask.shape):
            dense = merged.mask.dense()
            dense[query, key] ^= True
            assert not criterion(instance.family, replace(merged, mask=Mask.from_dense(dense))).minimal, (
                instance.name,
                query,
                key,
            )
            refused += 1
    assert refused > 100
