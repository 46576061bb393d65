"""Right answers from two makers are accepted; right but too long ones are distinguished from minimal ones."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from masksynth import catalog
from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance, MergedTask, Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import content_hash
from masksynth.verify import verify
from masksynth.verify.answer_shape import instance_hash
from tests.verify.naive import demanded, minimal, random_instance, unmerged

FAMILIES = sorted(catalog.FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("layers", [None, 1, 2, 3, 7, 2**31 - 1])
def test_catalogue(name: str, layers: int | None) -> None:
    instance = replace(catalog.FAMILIES[name](), layers=layers)
    report = verify(instance, merge(instance))
    assert (report.minimal, report.layers) == (True, layers)
    if layers is None:
        assert report.positions == instance.expect["positions"]


@pytest.mark.parametrize("name", FAMILIES)
def test_catalogue_by_the_naive_construction(name: str) -> None:
    instance = catalog.FAMILIES[name]()
    assert verify(instance, minimal(instance)).positions == instance.expect["positions"]


@pytest.mark.parametrize("name", FAMILIES)
def test_unmerged_is_right_but_not_minimal(name: str) -> None:
    instance = catalog.FAMILIES[name]()
    long = unmerged(instance)
    report = verify(instance, long, minimal=False)
    assert (report.positions, report.minimal, "minimality" in report.checks) == (len(long.positions), False, False)
    if report.positions > instance.expect["positions"]:
        with pytest.raises(
            WrongAnswer, match=r"^minimality: .*equivalent positions \d+ and \d+|^minimality: positions \d+ and \d+"
        ) as caught:
            verify(instance, long)
        assert caught.value.requirement == "minimality"


def test_two_equivalent_positions_are_named() -> None:
    nodes = [Node("a", "x", 0), Node("b", "x", 0), Node("q", "y", 1)]
    task = Task("t", nodes, {"a": ["a"], "b": ["b"], "q": ["a"]}, [Prediction("q", "z"), Prediction("b", "z")])
    instance = Instance(TaskFamily((task,)), "twins")
    long = unmerged(instance)
    spread = replace(long, embeddings={"t": {**long.embeddings["t"], "b": long.embeddings["t"]["a"]}})
    spread = replace(
        spread, loss_edges=(long.loss_edges[0], long.loss_edges[1]._replace(position=long.embeddings["t"]["a"]))
    )
    with pytest.raises(
        WrongAnswer, match=r'positions \d and \d \("x", 0, "token"\) are equivalent; there are 2 of them, 1 suffice'
    ):
        verify(instance, spread)


def test_random_families_from_two_makers() -> None:
    rng = Random(1)
    for _ in range(250):
        instance = random_instance(rng)
        assert verify(instance, merge(instance)).positions == verify(instance, minimal(instance)).positions
        verify(instance, unmerged(instance), minimal=False)
        layered = replace(instance, layers=rng.randint(1, 5))
        verify(layered, merge(layered))
        verify(layered, at_depth(layered, minimal(layered)), minimal=False)


def at_depth(instance: Instance, merged: MergedTask) -> MergedTask:
    """An answer for any depth as one for L layers.

    What is not demanded has no embedding, tables that are not read are the identity.
    """
    assert instance.layers is not None
    asked = demanded(instance, instance.layers)[0]
    names = list(merged.tasks)
    kept = {
        task: {node: index for node, index in nodes.items() if (names.index(task), node) in asked}
        for task, nodes in merged.embeddings.items()
    }
    mask = merged.mask
    dense = mask.dense().reshape(mask.tables, mask.size, mask.size)
    dense[instance.layers :] = np.eye(mask.size, dtype=bool)
    return replace(merged, embeddings=kept, mask=Mask.from_dense(dense.reshape(mask.shape)))


def test_layers_beyond_all_change_need_no_time() -> None:
    rng = Random(2)
    for _ in range(40):
        deep = random_instance(rng, 60)
        found = merge(deep)
        further = replace(found, problem=replace(found.problem, layers=60 + 6 * 10**7))
        assert verify(deep, found).positions == verify(deep, further).positions


@pytest.mark.parametrize("tasks", [(), (Task("t", (Node("a", 1, 0),), {}, ()),)])
@pytest.mark.parametrize("layers", [None, 3])
def test_nothing_to_predict(tasks: tuple[Task, ...], layers: int | None) -> None:
    instance = Instance(TaskFamily(tasks), "none", layers=layers)
    assert verify(instance, merge(instance)).positions == 0


@pytest.mark.parametrize(("texts", "counts"), [(("pabx", "paby"), [3, 4, 5, 5]), (("xabp", "yabp"), [2, 3, 8, 8])])
def test_literal_chains_grow_with_depth(texts: tuple[str, str], counts: list[int]) -> None:
    """Each token attends to the one before it and the last one predicts; 1, 2, 3 layers and any depth."""
    tasks = []
    for text in texts:
        nodes = [Node(f"n{at}", token, at) for at, token in enumerate(text)]
        rows = {f"n{at}": [f"n{max(at - 1, 0)}"] for at in range(len(text))}
        tasks.append(Task(text, nodes, rows, [Prediction(f"n{len(text) - 1}", "z")]))
    instance = Instance(TaskFamily(tuple(tasks)), "chains")
    assert [
        verify(j, merge(j)).positions for j in (replace(instance, layers=layers) for layers in (1, 2, 3, None))
    ] == counts


def test_instance_hash_is_the_published_one() -> None:
    rng = Random(3)
    families = [random_instance(rng).family for _ in range(50)] + [catalog.FAMILIES[name]().family for name in FAMILIES]
    assert all(instance_hash(family) == content_hash(family) for family in families)
    plain = Node("é", {"b": 1, "a": [None, 1.5]}, 3)
    family = TaskFamily((Task("t", [plain], {"é": ["é"]}, [Prediction("é", 1, 2)]),))
    assert instance_hash(family) == content_hash(family)
