"""Folders of sparse answers, dense below 8,192 positions and as edges above.

Right ones accepted, every tampering refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from masksynth import catalog
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export import write_answer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance, MergedTask
from masksynth.verify import verify_folder
from tests.verify.hubs import hub_edges, mask_of
from tests.verify.test_folder import Arrays, Document, array_mutants, arrays_of, document_of, follow, tampered, write
from tests.verify.test_scale import chain
from tests.verify.test_sparse import Naive, closed_instance, sparse_of

SIZE = 8_193


def sparse_document(merged: MergedTask, status: str = "OPTIMAL", bound: int | None = None) -> Document:
    """The objective with its edges; the bound of a FEASIBLE answer is that of the edges."""
    document, edges = document_of(merged, status), merged.mask.pairs - merged.mask.size
    objective = {**document["objective"], "edges": {"value": edges, "bound": edges if bound is None else bound}}
    return {**document, "objective": objective}


def edge_arrays(merged: MergedTask) -> Arrays:
    query, key = hub_edges(SIZE)
    order = np.lexsort((key, query))
    rest = {
        name: array for name, array in arrays_of(merged).items() if name not in ("row_offset", "key_start", "key_end")
    }
    return {**rest, "edge_query": query[order], "edge_key": key[order]}


@pytest.fixture(scope="module")
def small() -> tuple[Instance, MergedTask]:
    instance = catalog.butterfly(n=4)
    return instance, sparse_of(instance, Random(1), 2)


@pytest.fixture(scope="module")
def large() -> tuple[Instance, MergedTask]:
    instance, full = chain(SIZE)
    return instance, replace(
        full, mask=mask_of(*hub_edges(SIZE), SIZE), problem=replace(full.problem, sparse=True, layers=2)
    )


def test_written_answers_are_accepted(
    small: tuple[Instance, MergedTask], large: tuple[Instance, MergedTask], tmp_path: Path
) -> None:
    for name, (instance, merged), arrays in (
        ("small", small, arrays_of(small[1])),
        ("large", large, edge_arrays(large[1])),
    ):
        edges = merged.mask.pairs - merged.mask.size
        for folder in (
            write_answer(tmp_path / name, sparse_document(merged), merged),
            write(tmp_path / f"{name}-own", sparse_document(merged), arrays),
        ):
            report = verify_folder(instance, folder)
            assert (report.edges, report.layers, report.minimal, report.positions) == (
                edges,
                2,
                True,
                len(merged.positions),
            )
        assert (tmp_path / name / "mask.npz").exists() == (name == "small")


def test_random_answers_are_accepted(tmp_path: Path) -> None:
    rng = Random(2)
    for at in range(25):
        instance = closed_instance(rng)
        merged = sparse_of(instance, rng, rng.choice([None, 1, 2, 3]))
        assert (
            verify_folder(instance, write_answer(tmp_path / f"{at}", sparse_document(merged), merged)).layers
            == merged.problem.layers
        )


def test_status_and_objective(small: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = small
    edges, arrays = merged.mask.pairs - merged.mask.size, arrays_of(merged)
    report = verify_folder(instance, write(tmp_path, sparse_document(merged, "FEASIBLE", edges - 2), arrays))
    assert (report.edges, report.minimal) == (edges, True)
    for status, value, bound in [
        ("OPTIMAL", edges, edges - 1),
        ("OPTIMAL", edges, edges + 1),
        ("OPTIMAL", edges - 1, edges - 1),
        ("FEASIBLE", edges, edges + 1),
        ("FEASIBLE", edges + 1, edges),
        ("UNKNOWN", edges, edges),
    ]:
        document = sparse_document(merged, status)
        document["objective"]["edges"] = {"value": value, "bound": bound}
        with pytest.raises(WrongAnswer, match=r"^(objective|status)"):
            verify_folder(instance, write(tmp_path, document, arrays))


def test_positions_of_a_feasible_answer_are_least_where_their_bound_says_so(tmp_path: Path) -> None:
    """FEASIBLE speaks of the edges then: one more copy of a position is refused unless the bound leaves room for it."""
    instance = catalog.causal_lm(n=5)
    merged = sparse_of(instance, Random(3), 2)
    dense = np.eye(5, dtype=bool)
    dense[:4, :4] = merged.mask.dense()
    dense[4, :3] = dense[3, :3]
    long = replace(merged, positions=(*merged.positions, merged.positions[3]), mask=Mask.from_dense(dense))
    document = sparse_document(long, "FEASIBLE", 3)
    with pytest.raises(WrongAnswer, match=r"^minimality"):
        verify_folder(instance, write(tmp_path, document, arrays_of(long)))
    document["objective"]["positions"]["bound"] = 4
    assert not verify_folder(instance, write(tmp_path, document, arrays_of(long))).minimal


def with_problem(document: Document, **change: Any) -> Document:
    return {**document, "problem": {**document["problem"], **change}}


def test_another_question(small: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """Layers changed, the sparse flag turned, the number of edges dropped or added."""
    instance, merged = small
    document, arrays = sparse_document(merged), arrays_of(merged)
    with pytest.raises(WrongAnswer, match=r"^flow: .* within 1 layer; it takes 2"):
        verify_folder(instance, write(tmp_path, with_problem(document, layers=1), arrays))
    with pytest.raises(
        WrongAnswer, match=r"^objective: solution\.json has an entry edges, though the answer is not sparse"
    ):
        verify_folder(instance, write(tmp_path, with_problem(document, sparse=False), arrays))
    with pytest.raises(WrongAnswer, match=r"^objective: solution\.json has no entry edges"):
        verify_folder(instance, write(tmp_path, {**document, "objective": document_of(merged)["objective"]}, arrays))
    flat = with_problem({**document, "objective": document_of(merged)["objective"]}, sparse=False)
    with pytest.raises(WrongAnswer, match=r"^rows"):
        verify_folder(instance, write(tmp_path, flat, arrays))
    dense = merge(instance)
    with pytest.raises(WrongAnswer, match=r"^objective"):
        verify_folder(instance, write(tmp_path, with_problem(document_of(dense), sparse=True), arrays_of(dense)))


@pytest.mark.parametrize(
    "spoil", [None, 3, [], {}, {"value": 3}, *({"value": value, "bound": 3} for value in ("3", 3.0, True, None))]
)
def test_malformed_objective(spoil: Any, small: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = small
    document = sparse_document(merged)
    document["objective"]["edges"] = spoil
    with pytest.raises(InvalidInstance, match=r"solution\.json: \$\.objective\.edges"):
        verify_folder(instance, write(tmp_path, document, arrays_of(merged)))


def test_every_entry_of_every_array(small: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """Changed in all files with hash and number of edges recomputed, an edge less or outside the flow is wrong.

    One inside it is not.
    """
    instance, merged = small
    naive, document, arrays = Naive(instance), sparse_document(merged), arrays_of(merged)
    refused = harmless = 0
    for name, at, value in array_mutants(arrays):
        bad = tampered(arrays, name, at, value)
        with pytest.raises((WrongAnswer, InvalidInstance)):
            verify_folder(instance, write(tmp_path, document, bad))
        refused += 1
        if name == "mask":
            answer = replace(merged, mask=Mask.from_dense(bad["mask"]))
            path = write(tmp_path, sparse_document(answer), bad)
            if naive.accepts(answer):
                assert verify_folder(instance, path).edges == merged.mask.pairs - merged.mask.size + 1
                harmless += 1
                continue
            document = sparse_document(answer)
            refused += 1
        with pytest.raises((WrongAnswer, InvalidInstance)):
            verify_folder(instance, write(tmp_path, follow(document, bad), bad))
        document = sparse_document(merged)
    assert refused > 150
    assert harmless > 5


def drop(at: int) -> Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]:
    return lambda query, key: (np.delete(query, at), np.delete(key, at))


def add(*edge: int) -> Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]:
    def change(query: np.ndarray, key: np.ndarray) -> tuple[Any, Any]:
        at = int(np.searchsorted(query * SIZE + key, edge[0] * SIZE + edge[1]))
        return np.insert(query, at, edge[0]), np.insert(key, at, edge[1])

    return change


def put(at: int, *edge: int) -> Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]:
    def change(query: np.ndarray, key: np.ndarray) -> tuple[Any, Any]:
        query[at], key[at] = edge
        return query, key

    return change


def swap(query: np.ndarray, key: np.ndarray) -> tuple[Any, Any]:
    order = np.arange(len(query))
    order[[5, 6]] = [6, 5]
    return query[order], key[order]


EDGES = {
    "an edge less": (drop(-1), WrongAnswer, r"^objective: expected the number of edges, \d+, as value, got \d+"),
    "an edge more inside the flow": (
        add(8_000, 3),
        WrongAnswer,
        r"^objective: expected the number of edges, \d+, as value, got \d+",
    ),
    "out of order": (swap, InvalidInstance, r"mask\.safetensors: .*edge 6, \(\d+, \d+\), is out of order or repeated"),
    "twice": (
        lambda query, key: (np.insert(query, 3, query[3]), np.insert(key, 3, key[3])),
        InvalidInstance,
        "out of order or repeated",
    ),
    "a loop": (add(77, 77), InvalidInstance, r"\(77, 77\), is on the diagonal"),
    "beyond the end": (put(-1, SIZE - 1, SIZE), InvalidInstance, "outside the positions"),
    "negative": (put(0, 1, -1), InvalidInstance, "outside the positions"),
    "another length": (lambda query, key: (query, key[:-1]), InvalidInstance, "edge_query has"),
    "another type": (lambda query, key: (query.astype(np.int32), key), InvalidInstance, "'edge_query': expected <i8"),
    "another shape": (lambda query, key: (query[:, None], key), InvalidInstance, "'edge_query': expected <i8"),
}
RECOUNTED = {
    "an edge less": (
        drop(-1),
        r"^flow: task 't' node 'w\d+': position \d+ .* does not see position \d+ .* within 2 layers$",
    ),
    "an edge outside the flow": (
        add(3, 8_000),
        r"^flow: task 't' node 'w3': position 3 .* sees position 8000 .*; path .*8000.* -> .*3.*$",
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_tampered_edges(name: str, large: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = large
    change, error, text = EDGES[name]
    arrays = edge_arrays(merged)
    query, key = change(arrays["edge_query"].copy(), arrays["edge_key"].copy())
    with pytest.raises(error, match=text):
        verify_folder(
            instance, write(tmp_path, sparse_document(merged), {**arrays, "edge_query": query, "edge_key": key})
        )


@pytest.mark.parametrize("name", RECOUNTED)
def test_tampered_edges_recounted(name: str, large: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = large
    change, text = RECOUNTED[name]
    arrays = edge_arrays(merged)
    query, key = change(arrays["edge_query"], arrays["edge_key"])
    document = sparse_document(replace(merged, mask=mask_of(query, key, SIZE)))
    with pytest.raises(WrongAnswer, match=text):
        verify_folder(instance, write(tmp_path, document, {**arrays, "edge_query": query, "edge_key": key}))


def test_an_edge_more_inside_the_flow_is_right_when_counted(large: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = large
    arrays = edge_arrays(merged)
    query, key = add(8_000, 3)(arrays["edge_query"], arrays["edge_key"])
    more = replace(merged, mask=mask_of(query, key, SIZE))
    report = verify_folder(
        instance, write(tmp_path, sparse_document(more), {**arrays, "edge_query": query, "edge_key": key})
    )
    assert report.edges == merged.mask.pairs - SIZE + 1


def test_other_forms_above_8192(large: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """Intervals are the form of dense masks, edges of sparse ones; neither is read for the other."""
    instance, merged = large
    document, edges, runs = sparse_document(merged), edge_arrays(merged), arrays_of(merged)
    with pytest.raises(InvalidInstance, match="'edge_key' is missing"):
        verify_folder(instance, write(tmp_path, document, runs))
    with pytest.raises(InvalidInstance, match="'key_end' is not part of"):
        verify_folder(instance, write(tmp_path, document, {**edges, **runs}))
    with pytest.raises(InvalidInstance, match="'edge_key' is not part of"):
        verify_folder(instance, write(tmp_path, with_problem(document, sparse=False), edges))
    with pytest.raises(WrongAnswer, match=r"mask\.npz is there"):
        verify_folder(instance, write(tmp_path, document, edges, npz=edges))
    data = json.loads((tmp_path / "solution.json").read_text())
    assert data["objective"]["edges"]["value"] == merged.mask.pairs - SIZE
