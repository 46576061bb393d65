"""The minimal merged task: counts, compressed rows, finite layers, scale."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from masksynth import catalog
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.equal_values import factorize
from masksynth.merge import merge, merge_classes, merge_family
from masksynth.merge.bottom_up import find_classes, is_acyclic
from masksynth.merge.disjoint_union import check_entries, live_union, read_rows
from masksynth.merge.forest_mask import forest_mask
from masksynth.merge.refine import refine
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.verify import verify
from tests.random_families import random_family


def chain(inputs: str, name: str, closed: bool = False) -> Task:
    """A chain over letters whose last node predicts; literal cover rows unless closed."""
    nodes = [Node(f"n{i}", letter, i) for i, letter in enumerate(inputs)]
    rows = {
        f"n{i}": ((f"n{i - 1}",) if closed else (f"n{i - 1}", f"n{i}")) if i else (f"n{i}",) for i in range(len(inputs))
    }
    return Task(name, nodes, rows, [Prediction(f"n{len(inputs) - 1}", "y")], closed)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 12, 33])
def test_ground_truths_of_theory_section_6(n: int) -> None:
    count = {
        "causal_lm": (catalog.causal_lm(n=n), n - 1, n * (n - 1) // 2),
        "butterfly": (catalog.butterfly(n=n), 3 * n - 2, n * n),
        "loo_mlm": (catalog.loo_mlm(n=n), n * n, n * n),
    }
    for instance, minimal, summed in count.values():
        merged = merge(instance)
        assert len(merged.positions) == minimal
        assert sum(len(task.nodes) for task in instance.family.tasks) == summed
        assert merged.mask.size == minimal


@pytest.mark.parametrize(("n", "l"), [(4, 2), (6, 3), (12, 3), (12, 1)])
def test_block_families_take_2n_minus_l(n: int, l: int) -> None:  # noqa: E741  # named as in the paper
    for family in (catalog.block_two_stream, catalog.block_two_stream_causal):
        assert len(merge(family(n=n, l=l)).positions) == 2 * n - l


def test_two_prefix_splits_share_nothing() -> None:
    """theory.md section 6: prefix-LM with two splits of one text takes 2(n - 1) positions."""
    n, tasks = 6, []
    for split in (2, 4):
        for last in range(split - 1, n - 1):
            nodes = [Node(f"w{i}", f"w{i}", i) for i in range(last + 1)]
            rows = {f"w{i}": tuple(f"w{j}" for j in range(last + 1) if j < split or j <= i) for i in range(last + 1)}
            tasks.append(Task(f"P{split} i{last}", nodes, rows, [Prediction(f"w{last}", f"w{last + 1}")]))
    assert len(merge_family(TaskFamily(tuple(tasks))).positions) == 2 * (n - 1)


@pytest.mark.parametrize(("layers", "literal"), [(1, 3), (2, 4), (3, 5), (4, 5), (10**9, 5), (None, 5)])
def test_what_l_layers_never_read_is_dead(layers: int | None, literal: int) -> None:
    """theory.md section 3: the chains p a b x and p a b y, last node predicting."""
    family = TaskFamily((chain("pabx", "one"), chain("paby", "two")))
    assert len(merge_family(family, layers).positions) == literal
    dense = TaskFamily((chain("pabx", "one", closed=True), chain("paby", "two", closed=True)))
    assert len(merge_family(dense, layers).positions) == 5


@pytest.mark.parametrize(("layers", "positions"), [(1, 2), (2, 3), (3, 8), (4, 8), (5, 8), (None, 8)])
def test_chains_that_differ_upstream_meet_where_l_layers_do_not_feel_it(layers: int | None, positions: int) -> None:
    """Cover rows of p a b x and q a b x: three layers carry the difference to x, fewer never read it."""
    family = TaskFamily((chain("pabx", "one"), chain("qabx", "two")))
    assert len(merge_family(family, layers).positions) == positions


def test_window_merges_beyond_its_reach() -> None:
    """Two texts that differ in the first token, under a window of w: positions beyond L(w - 1) merge."""
    n, w = 12, 3

    def text(first: str, name: str) -> Task:
        nodes = [Node(f"n{i}", first if i == 0 else f"w{i}", i) for i in range(n)]
        rows = {f"n{i}": tuple(f"n{j}" for j in range(max(0, i - w + 1), i + 1)) for i in range(n)}
        return Task(name, nodes, rows, [Prediction(f"n{i}", f"w{i + 1}") for i in range(n)])

    family = TaskFamily((text("a", "a"), text("b", "b")))
    for layers in (1, 2, 3):
        assert len(merge_family(family, layers).positions) == n + min(n, layers * (w - 1) + 1)
    assert len(merge_family(family).positions) == 2 * n


def test_compressed_and_written_out_rows_give_one_answer() -> None:
    seen = 0
    for seed in range(1500):
        family = random_family(seed, tasks=3, most=6)
        if not all(task.closure for task in family.tasks):
            continue
        union = live_union(family)
        packed, written = read_rows(union, compress=True), read_rows(union, compress=False)
        assert packed.compressed
        assert not written.compressed
        one = refine(list(zip(union.identity, packed.size, strict=True)), packed.rows, packed.refs)
        two = refine(union.identity, written.rows, written.refs)
        assert one == two, seed
        merged = merge_family(family)
        literal = tuple(
            Task(
                task.name,
                task.nodes,
                {
                    node.name: tuple(union.task_and_node(key)[1].name for key in written.rows[written.refs[0][live]])
                    for live, (owner, node) in enumerate(map(union.task_and_node, range(len(union.task))))
                    if owner is task
                },
                task.predict,
            )
            for task in family.tasks
        )
        again = merge_family(TaskFamily(literal))
        assert len(merged.positions) == len(again.positions), seed
        verify(Instance(TaskFamily(literal), "literal"), replace(merged, problem=again.problem))
        seen += 1
    assert seen > 300


def test_one_pass_from_the_bottom_gives_the_classes_of_refinement() -> None:
    forests = others = 0
    for seed in range(1500):
        family = random_family(seed, tasks=3, most=6)
        union = live_union(family)
        rows = read_rows(union, compress=True)
        if is_acyclic(rows):
            expected = refine(list(zip(union.identity, rows.size, strict=True)), rows.rows, rows.refs)
            assert find_classes(union.identity, rows) == expected, seed
            has_forest = len(rows.rows) == len(union.task) + 1
            forests, others = forests + has_forest, others + (not has_forest)
    assert min(forests, others) > 30


@pytest.mark.parametrize("seed", range(40))
def test_the_mask_of_a_forest_is_its_paths_down(seed: int) -> None:
    rng = random.Random(seed)
    parent = [rng.randrange(-1, node) if node else -1 for node in range(rng.randrange(40))]
    expected = np.zeros((len(parent), len(parent)), bool)
    for node in range(len(parent)):
        key = node
        while key >= 0:
            expected[node, key] = True
            key = parent[key]
    mask = forest_mask(np.array(parent, np.int64))
    assert mask == (Mask.from_dense(expected) if parent else Mask.from_intervals([[]]))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
def test_keys_before_or_after_their_queries_give_one_answer(order: list[int]) -> None:
    """A tree whose nodes are listed from the root, and in another order: equal up to the order of positions."""
    rows = {"n1": ("n0",), "n2": ("n0", "n2"), "n3": ("n1",), "n4": ("n1",)}
    nodes = [Node(f"n{i}", "ab"[i % 2], i) for i in order]
    task = Task("t", nodes, rows, [Prediction(f"n{i}", i) for i in range(5)], True)
    instance = Instance(TaskFamily((task,)), "tree")
    merged = merge(instance)
    assert len(merged.positions) == 5
    assert verify(instance, merged).minimal
    at = merged.embeddings["t"]
    keys = {name: {at[key] for key in path} for name, path in {"n3": ["n0", "n1", "n3"], "n2": ["n0", "n2"]}.items()}
    assert {name: set(merged.mask.row(at[name]).tolist()) for name in keys} == keys


def test_refinement_equals_naive_rounds() -> None:
    """The worklist against colouring everything until nothing changes."""
    for seed in range(600):
        union = live_union(random_family(seed, tasks=4, most=7))
        rows = read_rows(union, compress=False)
        colour = factorize(union.identity)
        while True:
            finer = factorize(
                (own, *(tuple(sorted(colour[key] for key in rows.rows[table[node]])) for table in rows.refs))
                for node, own in enumerate(colour)
            )
            if finer == colour:
                break
            colour = finer
        assert refine(union.identity, rows.rows, rows.refs) == colour, seed


def test_an_acyclic_literal_chain_may_meet_its_own_tail() -> None:
    """A node that reads an equal node instead of itself holds equal values; bottom-up hashing would miss it."""
    nodes = [Node("a", "x", 0), Node("b", "x", 0)]
    family = TaskFamily((Task("t", nodes, {"a": ("a",), "b": ("a",)}, [Prediction("b", "y")]),))
    assert len(merge_family(family).positions) == 1


def test_several_labels_weights_and_dead_nodes() -> None:
    task = Task(
        "t",
        [Node("a", "x", 0), Node("dead", "z", 1)],
        {"a": ("a",)},
        [
            Prediction("a", "y", 0.0),
            Prediction("a", "y", -2.0),
            Prediction("a", 1),
            Prediction("a", 1.0),
            Prediction("a", True),
        ],
    )
    merged = merge_family(TaskFamily((task,)))
    assert len(merged.positions) == 1
    assert merged.labels == ("y", 1, 1.0, True)
    assert [(edge.label, edge.weight) for edge in merged.loss_edges] == [
        (0, 0.0),
        (0, -2.0),
        (1, 1.0),
        (2, 1.0),
        (3, 1.0),
    ]
    assert merged.embeddings == {"t": {"a": 0}}


def test_empty_families() -> None:
    for tasks in ((), (Task("t", [Node("a", "x", 0)], {}, []),)):
        for layers in (None, 1, 3):
            merged = merge_family(TaskFamily(tasks), layers)
            assert (merged.positions, merged.mask.shape, merged.loss_edges) == ((), (0, 0), ())


def test_merge_classes_wants_one_class_a_node() -> None:
    with pytest.raises(InvalidInstance, match="expected 6 classes, one for each live node, got 2"):
        merge_classes(catalog.causal_lm(n=4).family, [0, 1])


def test_too_many_entries_are_refused_before_memory_is_gone() -> None:
    with pytest.raises(Unsupported, match="row entries"):
        check_entries(10**9)


SCALE = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))
from masksynth.merge import merge_family
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.verify import verify

def text(number, length, differ):
    nodes = [Node(f"n{i}", number if i == differ else f"w{i}", i) for i in range(length)]
    rows = {f"n{i}": (f"n{i - 1}",) for i in range(1, length)}
    return Task(f"t{number}", nodes, rows, [Prediction(f"n{length - 1}", "y")], True)

for tasks, length, differ in ((1, 60_000, 0), (600, 100, -1), (2, 30_000, 0), (2, 30_000, 29_999)):
    mask = merge_family(TaskFamily(tuple(text(number, length, differ) for number in range(tasks)))).mask
    print(mask.size, mask.pairs, len(mask.key_start))
"""


def test_60_000_nodes_of_chains_in_1_5_gib_without_an_n_by_n_array() -> None:
    """The dense rows of one of these chains would be 1.8e9 pairs."""
    run = subprocess.run([sys.executable, "-c", SCALE], capture_output=True, text=True, check=True)
    n, m = 60_000, 30_000
    pairs = [n * (n + 1) // 2, 5050, 2 * (m * (m + 1) // 2), m * (m + 1) // 2 + m]
    intervals = [n, 100, n, m + 2]
    assert [tuple(map(int, line.split())) for line in run.stdout.splitlines()] == list(
        zip([n, 100, n, m + 1], pairs, intervals, strict=True)
    )


def test_rows_of_trees_and_cliques_stay_small() -> None:
    """A spine with a leaf at every node: n^2 / 4 intervals in file order, 3 n along heavy paths."""
    n = 3000
    nodes = [node for i in range(n) for node in (Node(f"s{i}", f"s{i}", i), Node(f"l{i}", f"l{i}", i + 1))]
    rows = {f"s{i}": (f"s{i - 1}",) for i in range(1, n)} | {f"l{i}": (f"s{i}",) for i in range(n)}
    comb = merge_family(TaskFamily((Task("comb", nodes, rows, [Prediction(f"l{i}", "y") for i in range(n)], True),)))
    assert len(comb.positions) == 2 * n
    assert len(comb.mask.key_start) < 4 * n
    ring = [Node(f"n{i}", f"w{i}", i) for i in range(n)]
    clique = Task("clique", ring, {f"n{i}": (f"n{(i + 1) % n}",) for i in range(n)}, [Prediction("n0", "y")], True)
    assert len(merge_family(TaskFamily((clique,))).mask.key_start) == n


def test_copies_beyond_the_first_see_themselves_first() -> None:
    """Three equal rows of a table and a task with one: three copies, each in the row of its pair."""
    train = [Node(f"r{i}", "a", 0) for i in range(3)]
    own = [Node("r", "a", 0), Node("q", "b", 1)]
    family = TaskFamily(
        (
            Task("three", [*train, Node("q", "b", 1)], {"q": ("r0", "r1", "r2")}, [Prediction("q", "y")], True),
            Task("one", own, {"q": ("r",)}, [Prediction("q", "y")], True),
        )
    )
    merged = merge_family(family)
    assert [position.input for position in merged.positions] == ["a", "a", "a", "b", "b"]
    assert [merged.mask.row(q).tolist() for q in range(3)] == [[0], [1], [2]]
    verify(Instance(family, "copies"), merged)
