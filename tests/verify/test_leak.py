"""Leaks through all layers, found and witnessed; witnesses that are not real are refused."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from masksynth import catalog
from masksynth.errors import WrongAnswer
from masksynth.tasks import Instance, Leak, Node, Prediction, Task, TaskFamily
from masksynth.verify import verify, verify_leak
from tests.verify.naive import Thing, minimal, random_instance, task_rows


def all_but_self(n: int = 3) -> Instance:
    """Every token sees all the others and predicts itself: safe at one layer, a leak at two."""
    names = [f"w{at}" for at in range(n)]
    nodes = [Node(name, name, at) for at, name in enumerate(names)]
    rows = {name: [key for key in names if key != name] for name in names}
    task = Task("loo", nodes, rows, [Prediction("w0", "w0", hides=("w0",))])
    masked = replace(nodes[0], input="M", carries=())
    return Instance(TaskFamily((task, replace(task, name="masked", nodes=(masked, *nodes[1:])))), "all-but-self")


def sees(instance: Instance, at: int, name: str, layers: int | None) -> list[set[Thing]]:
    """What flows into a node, hop by hop from the last layer downwards."""
    tables = task_rows(instance.family)
    found = [{(at, name)}]
    for used in range(12 if layers is None else layers):
        rows = tables if layers is None else [tables[(layers - used - 1) % len(tables)]]
        found.append(found[-1] | {key for table in rows for u in found[-1] for key in table[u]})
    return found


def test_all_but_self_is_its_own_leak() -> None:
    """The residual carries a token to itself, so a node that hides its own input leaks at once.

    A mask token does not.
    """
    instance = all_but_self()
    with pytest.raises(WrongAnswer, match=r"leak: task 'loo' node 'w0': .* path w0$") as caught:
        verify(instance, minimal(instance))
    assert caught.value.path == ("w0",)
    masked = Instance(TaskFamily(instance.family.tasks[1:]), "masked")
    verify(masked, minimal(masked))


def test_leak_after_two_layers_only() -> None:
    """The query sees a, a sees the hidden b: safe at one layer."""
    nodes = [Node("q", "M", 1), Node("a", "a", 0), Node("b", "b", 1)]
    task = Task("t", nodes, {"q": ["a"], "a": ["b"], "b": ["b"]}, [Prediction("q", "b", hides=("b",))])
    instance = Instance(TaskFamily((task,)), "two hops")
    from masksynth.merge import merge

    one = replace(instance, layers=1)
    merged = merge(replace(one, family=TaskFamily((replace(task, predict=(Prediction("q", "b"),)),))))
    from masksynth.verify.answer_shape import instance_hash

    asked = replace(merged.problem, sha256=instance_hash(instance.family))
    assert verify(one, replace(merged, problem=asked)).positions == 2
    with pytest.raises(WrongAnswer, match="path b -> a -> q") as caught:
        verify(instance, minimal(instance))
    assert caught.value.path == ("b", "a", "q")


def test_random_leaks_agree_with_plain_search() -> None:
    """Refused for a leak iff plain search finds one.

    The path has as many hops as layers are needed and passes as a witness.
    """
    rng, found = Random(5), [0, 0]
    for _ in range(400):
        layers = rng.choice([None, 1, 2, 3, 4])
        instance = random_instance(rng, layers)
        tasks = []
        for task in instance.family.tasks:
            nodes = tuple(replace(node, carries=tuple(rng.sample("uvwxyz", rng.randint(0, 1)))) for node in task.nodes)
            predict = tuple(replace(p, hides=tuple(rng.sample("uvwxyz", rng.randint(0, 2)))) for p in task.predict)
            tasks.append(replace(task, nodes=nodes, predict=predict))
        instance = replace(instance, family=TaskFamily(tuple(tasks)))
        hops = _fewest_hops(instance, layers)
        found[bool(hops)] += 1
        if not hops:
            _accepted(instance)
            continue
        with pytest.raises(WrongAnswer) as caught:
            _accepted(instance)
        error = caught.value
        assert error.requirement == "leak"
        assert (error.task, error.node, len(error.path) - 1) in hops
        for hidden in {
            element
            for p in next(t for t in tasks if t.name == error.task).predict
            if p.node == error.node
            for element in p.hides
        }:
            task = next(t for t in tasks if t.name == error.task)
            if hidden in (task.nodes[task.index[error.path[0]]].carries or ()):
                verify_leak(instance, Leak(error.task, error.node, hidden, error.path), layers)
    assert min(found) > 50


def _accepted(instance: Instance) -> None:
    from masksynth.merge import merge

    verify(instance, merge(instance))


def _fewest_hops(instance: Instance, layers: int | None) -> set[tuple[str, str, int]]:
    """(task, node, hops) of each leak, hops counted by plain search."""
    found = set()
    for at, task in enumerate(instance.family.tasks):
        for p in task.predict:
            for hidden in p.hides:
                context = sees(instance, at, p.node, layers)
                carriers = {(at, node.name) for node in task.nodes if hidden in (node.carries or ())}
                used = next((used for used, nodes in enumerate(context) if nodes & carriers), None)
                if used is not None:
                    found |= {(task.name, p.node, hops) for hops in range(used + 1)}
    return found


WITNESS = Task(
    "t",
    (Node("q", "M", 2), Node("a", "a", 1), Node("b", "b", 0)),
    ({"q": ("q",), "a": ("b",), "b": ("b",)}, {"q": ("a",), "a": ("a",), "b": ("b",)}),
    (Prediction("q", "c", hides=("b",)), Prediction("q", "b")),
)


@pytest.mark.parametrize(
    ("leak", "layers", "fault"),
    [
        (Leak("t", "q", "b", ("b", "a", "q")), 2, ""),
        (Leak("t", "q", "b", ("b", "a", "q")), None, ""),
        (Leak("t", "q", "b", ("b", "b", "a", "q")), 4, ""),
        (Leak("t", "q", "b", ("b", "b", "a", "q")), 2, "within 2 layers"),
        (Leak("t", "q", "b", ("b", "a", "q")), 1, "within 1 layers"),
        (Leak("t", "q", "b", ("b", "q")), None, "does not attend"),
        (Leak("t", "q", "b", ("a", "q")), None, "does not carry"),
        (Leak("t", "q", "b", ("b", "a")), None, "does not end"),
        (Leak("t", "q", "b", ()), None, "does not end"),
        (Leak("t", "q", "b", ("c", "q")), None, "no node 'c'"),
        (Leak("t", "q", "a", ("a", "q")), None, "hides"),
        (Leak("t", "a", "b", ("b", "a")), None, "hides"),
        (Leak("u", "q", "b", ("b", "a", "q")), None, "no such task"),
    ],
)
def test_witnesses(leak: Leak, layers: int | None, fault: str) -> None:
    instance = Instance(TaskFamily((WITNESS,)), "witness")
    if not fault:
        verify_leak(instance, leak, layers)
        return
    with pytest.raises(WrongAnswer, match=fault):
        verify_leak(instance, leak, layers)


def test_closed_tasks_leak_in_one_hop() -> None:
    chain = Task(
        "t",
        [Node(name, name, at) for at, name in enumerate("abc")],
        {"b": ["a"], "c": ["b"]},
        [Prediction("c", "d", hides=("a",))],
        True,
    )
    instance = Instance(TaskFamily((chain,)), "chain")
    verify_leak(instance, Leak("t", "c", "a", ("a", "c")), 1)
    verify_leak(instance, Leak("t", "c", "a", ("a", "b", "c")), 2)
    with pytest.raises(WrongAnswer, match="within 1 layers"):
        verify_leak(instance, Leak("t", "c", "a", ("a", "b", "c")), 1)
    with pytest.raises(WrongAnswer, match="does not attend"):
        verify_leak(instance, Leak("t", "c", "a", ("a", "c", "b", "c")), None)


def test_elements_are_compared_as_json() -> None:
    """1, 1.0, true and "1" are four elements; a list input is one."""
    for carried, hidden, leaks in [
        (1, 1, True),
        (1, 1.0, False),
        (True, 1, False),
        ("1", 1, False),
        (("a", "b"), ("a", "b"), True),
    ]:
        nodes = [Node("a", carried, 0), Node("q", "M", 1)]
        task = Task("t", nodes, {"a": ["a"], "q": ["a"]}, [Prediction("q", "x", hides=(hidden,))])
        instance = Instance(TaskFamily((task,)), "types")
        if leaks:
            with pytest.raises(WrongAnswer, match="leak"):
                verify(instance, minimal(instance))
        else:
            verify(instance, minimal(instance))


def test_catalogue_hides_what_it_should() -> None:
    """Every family of the catalogue is clean, and leaks once a prediction hides the input of its own node."""
    for make in catalog.FAMILIES.values():
        instance = make()
        verify(instance, minimal(instance))
        task = instance.family.tasks[0]
        p = task.predict[0]
        own = task.nodes[task.index[p.node]]
        bad = replace(
            task,
            nodes=tuple(replace(n, carries=("own",)) if n is own else n for n in task.nodes),
            predict=(replace(p, hides=("own",)),),
        )
        broken = Instance(TaskFamily((bad, *instance.family.tasks[1:])), "broken")
        with pytest.raises(WrongAnswer, match=r"^leak"):
            verify(broken, minimal(broken))
