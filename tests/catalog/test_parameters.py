"""Counts in closed form, parameters, refusals, and what every family promises."""

from __future__ import annotations

import inspect
import itertools
import time
import typing

import pytest

from masksynth import catalog
from masksynth.errors import InvalidInstance
from masksynth.merge import find_leak, merge
from masksynth.tasks import Node, Task, TaskFamily
from masksynth.tasks.instance_files import MAX_NODES, content_hash, dumps, loads
from masksynth.tasks.parameters import MAX_KEYS
from tests.catalog.cases import CASES

FAMILIES = list(catalog.FAMILIES)
ALLOWED = (int, str, tuple[int, ...], tuple[str, ...], tuple[tuple[int, ...], ...])


def positions(instance):
    return len(merge(instance).positions)


@pytest.mark.parametrize("n", [2, 3, 5, 11, 24])
def test_counts_in_n_alone(n):
    assert positions(catalog.causal_lm(n=n)) == n - 1
    assert positions(catalog.butterfly(n=n)) == 3 * n - 2
    assert positions(catalog.loo_mlm(n=n)) == n * n
    assert positions(catalog.sliding_window(n=n, w=3)) == n - 1


@pytest.mark.parametrize(("n", "l"), [(n, size) for n in (1, 6, 12, 20) for size in (1, 2, 3, 5) if n % size == 0])
def test_counts_of_blocks(n, l):  # noqa: E741 - the paper's name
    assert positions(catalog.block_two_stream(n=n, l=l)) == 2 * n - l
    assert positions(catalog.block_two_stream_causal(n=n, l=l)) == 2 * n - l
    assert positions(catalog.bd3lm(n=n, l=l)) == 2 * n - l
    mixed = 2 if l > 1 else 1
    assert positions(catalog.complementary_bd(n=n, l=l)) == n - l + mixed * n


@pytest.mark.parametrize(("n", "T"), [(2, 1), (5, 4), (12, 3), (9, 8)])
def test_counts_of_targets(n, T):
    assert positions(catalog.xlnet_two_stream(n=n, T=T)) == n + T - 1
    assert positions(catalog.tnp_a(n=n, m=n - T)) == n + T - 1
    assert positions(catalog.prefix_lm(n=n, P=T)) == n - 1


@pytest.mark.parametrize(("P", "R", "G"), [(1, 2, 5), (7, 4, 3), (3, 1, 2)])
def test_counts_of_groups(P, R, G):
    assert positions(catalog.shared_prefix_group(P=P, R=R, G=G)) == P + G * (R - 1)
    assert positions(catalog.dpo_prefix_sharing(P=P, chosen=R, rejected=G)) == P + R + G - 2


def test_a_wrong_count_fails():
    assert positions(catalog.butterfly(n=5)) != 3 * 5 - 1


@pytest.mark.parametrize("family", FAMILIES)
def test_expectation_name_source_and_no_leak(family):
    for parameters in ({}, *CASES[family]):
        instance = catalog.FAMILIES[family](**parameters)
        assert instance.expect == {"status": "OPTIMAL", "positions": positions(instance)}
        assert instance.name.startswith(family)
        assert instance.source
        assert find_leak(instance.family) is None
        assert all(prediction.weight == 1.0 for task in instance.family.tasks for prediction in task.predict)


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES if family != "medusa_tree"]
)  # verifying a draft hides nothing
def test_every_prediction_hides_something_that_can_leak(family):
    instance = catalog.FAMILIES[family]()
    assert all(prediction.hides for task in instance.family.tasks for prediction in task.predict)
    task = instance.family.tasks[0]
    first = task.predict[0]
    shown = Node("shown", "shown", 0, carries=first.hides)
    row = {**task.attends[0], "shown": ("shown",), first.node: (*task.attends[0].get(first.node, ()), "shown")}
    tables = (row, *({**table, "shown": ("shown",)} for table in task.attends[1:]))
    leaky = Task(task.name, (*task.nodes, shown), tables, task.predict, task.closure)
    leak = find_leak(TaskFamily((leaky,)))
    assert leak is not None
    assert leak.path == ("shown", first.node)


@pytest.mark.parametrize("family", FAMILIES)
def test_file_and_back(family):
    instance = catalog.FAMILIES[family]()
    again = loads(dumps(instance))
    assert content_hash(again.family) == content_hash(instance.family)
    assert (again.name, again.source, again.expect) == (instance.name, instance.source, dict(instance.expect))


@pytest.mark.parametrize("family", FAMILIES)
def test_signatures_can_become_flags(family):
    function = catalog.FAMILIES[family]
    hints = typing.get_type_hints(function)
    assert hints.pop("return") is catalog.causal_lm().__class__
    for name, parameter in inspect.signature(function).parameters.items():
        assert parameter.default is not inspect.Parameter.empty
        assert hints[name] in ALLOWED
    assert "Notes\n" in (function.__doc__ or "")
    assert "■" in (function.__doc__ or "")


BAD = {
    int: (-1, True, "4", 2.0, None, 10**6000, -(10**6000)),
    tuple[int, ...]: (3, "ab", None, (-1,), (True,), ("a",), ((1,),)),
    tuple[str, ...]: (3, "ab", (1,), (None,)),
    tuple[tuple[int, ...], ...]: (3, "ab", (1,), ((True,),), ((-1,),), (("a",),)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_bad_parameters_are_named_with_value_and_remedy(family):
    function = catalog.FAMILIES[family]
    hints = typing.get_type_hints(function)
    for name in inspect.signature(function).parameters:
        for bad in BAD[hints[name]]:
            with pytest.raises(InvalidInstance) as caught:
                function(**{name: bad})
            assert caught.value.path.startswith(f"$.{name}")
            assert caught.value.fact.startswith(f"{name}")
            assert caught.value.remedy
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("butterfly", {"n": 1}, "$.n: n=1 is less than 2; give n >= 2"),
        ("causal_lm", {"n": 2.5}, "$.n: n=2.5 is not an integer; give n >= 1"),
        ("prefix_lm", {"n": 4, "P": 4}, "$.P: P=4 is not less than n=4; give 1 <= P < n"),
        ("block_two_stream", {"n": 8, "l": 3}, "$.l: l=3 does not divide n=8; give a divisor of n"),
        ("xlnet_two_stream", {"n": 4, "T": 4}, "$.T: T=4 is not less than n=4; give 1 <= T < n"),
        (
            "xlnet_two_stream",
            {"n": 4, "T": 2, "z": (1, 1)},
            "$.z: z=(1, 1) is not 2 different positions below n=4; list each target once",
        ),
        (
            "bd3lm",
            {"n": 4, "l": 2, "masked": (4,)},
            "$.masked: masked=(4,) is not different positions below n=4; list each once",
        ),
        ("packed_docs", {"lengths": (2, 0)}, "$.lengths[1]: lengths[1]=0 is less than 1; give lengths[1] >= 1"),
        ("transfusion", {"segments": (2, 0, 1)}, "$.segments[1]: segments[1]=0 is less than 1; give segments[1] >= 1"),
        (
            "multiturn_reasoning",
            {"turns": ((1, 1),)},
            "$.turns[0]: turns[0]=(1, 1) is not (H, T, A) with H >= 1 and A >= 1; give three lengths",
        ),
        (
            "parallel_context",
            {"docs": (2,), "questions": (2,), "uses": ((1,),)},
            "$.uses[0]: uses[0]=(1,) is not different documents below 1; list each document once",
        ),
        (
            "medusa_tree",
            {"choices": ()},
            "$.choices: choices=() contains no tree; give at least one choice, none of them empty",
        ),
        ("tabpfn_duplicates", {"train": ()}, "$.train: train=() is empty; give at least one training row"),
    ],
)
def test_messages(family, parameters, message):
    with pytest.raises(InvalidInstance) as caught:
        catalog.FAMILIES[family](**parameters)
    assert str(caught.value) == message


@pytest.mark.parametrize("family", FAMILIES)
def test_huge_parameters_are_refused_at_once(family):
    function = catalog.FAMILIES[family]
    hints = typing.get_type_hints(function)
    for name in inspect.signature(function).parameters:
        huge = {int: 10**9, tuple[int, ...]: (10**9,), tuple[tuple[int, ...], ...]: ((10**9, 10**9, 10**9),)}.get(
            hints[name]
        )
        if huge is None:
            continue
        start = time.perf_counter()
        try:
            nodes = sum(len(task.nodes) for task in function(**{name: huge}).family.tasks)
        except InvalidInstance:
            nodes = 0
        assert nodes < 1000  # what remains small by definition (a window wider than the text) is built
        assert time.perf_counter() - start < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_estimated_exactly_enough(family, monkeypatch):
    """With the limit set to a family's own size it is built, one below it is refused."""
    limits = (
        catalog.FAMILIES[family].__globals__["check_size"].__globals__
    )  # where this family reads its limit, however it was imported
    for parameters in itertools.islice(CASES[family], 3):
        size = sum(len(task.nodes) for task in catalog.FAMILIES[family](**parameters).family.tasks)
        monkeypatch.setitem(limits, "MAX_NODES", size - 1)
        slack = family in ("complementary_bd", "bd3lm", "mask_token_chain")  # bounds: blocks without a mask are counted
        if not slack:
            with pytest.raises(InvalidInstance, match=f"more than {size - 1}"):
                catalog.FAMILIES[family](**parameters)
        monkeypatch.setitem(limits, "MAX_NODES", size if not slack else 4 * size + 16)
        catalog.FAMILIES[family](**parameters)
        monkeypatch.undo()


def test_literal_rows_are_estimated():
    with pytest.raises(InvalidInstance, match=f"keys in rows, more than {MAX_KEYS}"):
        catalog.local_global(n=1200)
    with pytest.raises(InvalidInstance, match=f"keys in rows, more than {MAX_KEYS}"):
        catalog.sliding_window(n=2000, w=2000)
    with pytest.raises(InvalidInstance, match=f"keys in rows, more than {MAX_KEYS}"):
        catalog.xlnet_two_stream(n=4000, T=3)
    with pytest.raises(InvalidInstance, match=f"keys in rows, more than {MAX_KEYS}"):
        catalog.tnp_a(n=600, m=100)
    assert MAX_NODES == 4_000_000


def test_files_stay_small():
    """Closed families are written with cover rows: about two keys a node, however dense the mask."""
    for family in FAMILIES:
        for task in catalog.FAMILIES[family]().family.tasks:
            if task.closure:
                assert sum(len(row) for row in task.attends[0].values()) <= 2 * len(task.nodes)
