"""`solve`: roads, certificates, statuses, and that nothing leaves unchecked."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import masksynth as ms
from masksynth.backends import BACKENDS, Outcome
from masksynth.errors import InvalidInstance, MasksynthError, WrongAnswer
from masksynth.mask import Mask
from masksynth.merge import merge_family
from masksynth.problem import Problem
from tests.random_families import random_family

solving = import_module("masksynth.solve")

LEAKING = ms.Task(
    "t", [ms.Node("a", "x", 0), ms.Node("b", "y", 1)], {"b": ["a"]}, [ms.Prediction("b", "x", hides=["x"])], True
)


@pytest.mark.parametrize("backend", ["auto", "cpsat", "maxsat", "ilp", "criterion"])
@pytest.mark.parametrize("family", sorted(ms.catalog.FAMILIES))
def test_every_family_by_every_backend(family: str, backend: str) -> None:
    instance = ms.catalog.FAMILIES[family]()
    answer = ms.solve(instance, backend=backend)
    assert answer.merged is not None
    assert {"status": answer.status.name, "positions": len(answer.merged.positions)} == instance.expect
    assert answer.objective["positions"] == solving.Objective(
        len(answer.merged.positions), len(answer.merged.positions)
    )
    roads = [road["backend"] for road in answer.certificate["roads"]]
    assert roads == (
        ["criterion"] if backend == "criterion" else [backend if backend != "auto" else "cpsat", "criterion"]
    )
    hiding = any(prediction.hides for task in instance.family.tasks for prediction in task.predict)
    assert {"rows", "minimality", "loss edges"} <= set(answer.certificate["checks"])
    assert ("leak" in answer.certificate["checks"]) is hiding


def test_auto_takes_the_criterion_alone_above_the_documented_size_and_at_finite_depth() -> None:
    for answer in (ms.solve(ms.catalog.causal_lm(n=120)), ms.solve(ms.catalog.causal_lm(n=4), layers=2)):
        assert [road["backend"] for road in answer.certificate["roads"]] == ["criterion"]
        assert answer.status is ms.Status.OPTIMAL
    assert solving.is_small(Problem(ms.catalog.butterfly(n=8).family))


def test_layers_override_the_instance() -> None:
    window = ms.catalog.sliding_window(n=6, w=2)
    deep = ms.solve(replace(window, layers=2), layers=None)
    assert deep.merged is not None
    assert deep.merged.problem.layers is None
    shallow = ms.solve(window, layers=2)
    assert shallow.merged is not None
    assert shallow.merged.problem.layers == 2
    with pytest.raises(InvalidInstance, match="layers: expected null or an integer from 1 to 2147483647, got 0"):
        ms.solve(window, layers=0)


def test_a_leak_is_infeasible_with_a_witness_and_nothing_to_write(tmp_path: Path) -> None:
    answer = ms.solve(ms.Instance(ms.TaskFamily((LEAKING,)), "leaking"))
    assert answer.status is ms.Status.INFEASIBLE
    assert answer.merged is None
    assert json.loads(json.dumps(solving.record(answer))) == {
        "status": "INFEASIBLE",
        "task": "t",
        "node": "b",
        "hides": "x",
        "path": ["a", "b"],
    }
    with pytest.raises(MasksynthError, match="INFEASIBLE"):
        ms.write(answer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sparse_is_answered_with_its_edges() -> None:
    answer = ms.solve(ms.catalog.causal_lm(n=8), sparse=True, layers=2)
    assert (answer.objective["positions"].value, answer.objective["edges"]) == (7, solving.Objective(10, 10))
    assert answer.merged is not None
    assert answer.merged.problem.sparse


class Lying:
    """A backend whose answers are wrong."""

    name = "lying"
    outcome: Outcome

    def available(self) -> str:
        return ""

    def versions(self) -> dict[str, str]:
        return {}

    def solve(self, problem: Problem, limits: ms.Limits) -> Outcome:
        return self.outcome


def test_wrong_answers_of_a_backend_never_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real entry in the table of backends that unites what differs, keeps apart what is equal, or flips one bit."""
    monkeypatch.setitem(BACKENDS, "lying", f"{__name__}:Lying")
    instance = ms.catalog.causal_lm(n=4)
    merged = merge_family(instance.family)
    dense = merged.mask.dense()
    dense[0, 2] = True
    bad = {
        "united": (Outcome(ms.Status.OPTIMAL, (0, 0, 0, 0, 0, 0), 1, "lie"), MasksynthError),
        "apart": (Outcome(ms.Status.OPTIMAL, (0, 1, 2, 3, 4, 5), 6, "lie"), MasksynthError),
        "bound": (Outcome(ms.Status.FEASIBLE, (0, 1, 2, 3, 4, 5), 4, "lie"), MasksynthError),
        "bit": (Outcome(ms.Status.OPTIMAL, replace(merged, mask=Mask.from_dense(dense)), 3, "lie"), WrongAnswer),
        "nothing": (Outcome(ms.Status.OPTIMAL, None, 3, "lie"), MasksynthError),
    }
    for outcome, error in bad.values():
        monkeypatch.setattr(Lying, "outcome", outcome, raising=False)
        with pytest.raises(error):
            ms.solve(instance, backend="lying")
    honest = Outcome(ms.Status.FEASIBLE, (0, 1, 2, 3, 4, 5), 3, "stopped")
    monkeypatch.setattr(Lying, "outcome", honest, raising=False)
    answer = ms.solve(instance, backend="lying")
    assert answer.status is ms.Status.FEASIBLE
    assert answer.objective["positions"] == solving.Objective(6, 3)
    monkeypatch.setattr(Lying, "outcome", Outcome(ms.Status.UNKNOWN, None, 0, "stopped"), raising=False)
    answer = ms.solve(instance, backend="lying")
    assert (answer.status, answer.merged, solving.record(answer)) == (ms.Status.UNKNOWN, None, {"status": "UNKNOWN"})


def test_a_value_that_meets_its_bound_is_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that comes after the proof leaves nothing to prove, whatever status the backend gives."""
    monkeypatch.setitem(BACKENDS, "lying", f"{__name__}:Lying")
    monkeypatch.setattr(Lying, "outcome", Outcome(ms.Status.FEASIBLE, (0, 0, 1, 0, 1, 2), 3, "stopped"), raising=False)
    answer = ms.solve(ms.catalog.causal_lm(n=4), backend="lying")
    assert (answer.status, answer.objective["positions"]) == (ms.Status.OPTIMAL, solving.Objective(3, 3))
    answer = ms.solve(ms.catalog.causal_lm(n=1), backend="cpsat", limits=ms.Limits(seconds=0))
    assert (answer.status, answer.objective["positions"]) == (ms.Status.OPTIMAL, solving.Objective(0, 0))


def test_a_time_out_is_feasible_with_its_bound_and_round_trips(tmp_path: Path) -> None:
    family = random_family(77, tasks=14, most=9)
    instance = ms.Instance(family, "timed")
    best = ms.solve(instance, backend="criterion").objective["positions"].value
    answer = ms.solve(instance, backend="maxsat", limits=ms.Limits(seconds=0))
    assert answer.merged is not None
    size = answer.objective["positions"]
    assert size.bound <= best <= size.value
    folder = ms.write(answer, tmp_path / "out")
    from masksynth.verify import verify_folder

    assert verify_folder(instance, folder).minimal is (answer.status is ms.Status.OPTIMAL)


def test_equal_nodes_are_searched_where_that_is_small_and_merged_where_it_is_not() -> None:
    """Rows hold many keys of one identity, so that the matchings, not the pairs, make the search large."""
    for length, searched in ((6, True), (120, False)):
        nodes = [ms.Node(f"n{i}", "a", 0) for i in range(length)]
        rows = {f"n{i}": (f"n{i - 1}",) for i in range(1, length)}
        tasks = tuple(
            ms.Task(name, nodes, rows, [ms.Prediction(f"n{length - 1}", "y")], True) for name in ("one", "two")
        )
        answer = ms.solve(ms.Instance(ms.TaskFamily(tasks), "equal"))
        assert answer.objective["positions"] == solving.Objective(length, length)
        assert (answer.certificate["roads"][0]["backend"] == "cpsat") is searched


@pytest.mark.parametrize(
    "bad", [{"seconds": -1}, {"seconds": float("nan")}, {"workers": 0}, {"workers": 1.5}, {"seed": -1}, {"seed": True}]
)
def test_limits_are_validated(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidInstance, match=next(iter(bad))):
        ms.Limits(**bad)  # type: ignore[arg-type]


def test_answers_are_deterministic() -> None:
    for backend in ("cpsat", "maxsat", "ilp"):
        one, two = (ms.solve(ms.catalog.tabpfn_duplicates(), backend=backend) for _ in range(2))
        assert one.merged is not None
        assert two.merged is not None
        assert one.merged.mask == two.merged.mask
        assert one.merged.embeddings == two.merged.embeddings


def test_random_families_are_answered_and_checked() -> None:
    """At every depth by the criterion, and some by `auto`; tests/test_backends_agree.py compares the searches."""
    for seed in range(400):
        family = random_family(seed)
        for layers in (None, 1, 2, 3):
            backend = "auto" if layers is None and seed % 8 == 0 else "criterion"
            answer = ms.solve(ms.Instance(family, str(seed), layers=layers), backend=backend)
            assert answer.status is ms.Status.OPTIMAL
            assert answer.merged is not None
            assert np.asarray(answer.merged.mask).any(axis=-1).all()


@pytest.mark.parametrize("backend", [[], {}, None, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_backend_that_is_no_name(backend, sparse):
    with pytest.raises(ms.Unsupported, match=r"^unknown .*backend .*; choose from auto, "):
        ms.solve(ms.catalog.causal_lm(n=3), backend=backend, sparse=sparse, layers=2)
