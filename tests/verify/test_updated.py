"""Positions that are only read: where ``updated`` is false, the row holds its own position alone."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export import read_merged, write_answer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance, MergedTask, Node, Prediction, Task, TaskFamily
from masksynth.verify import verify, verify_folder
from tests.verify.test_folder import Arrays, arrays_of, document_of, write


def hole(layers: int) -> tuple[Instance, MergedTask, np.ndarray]:
    """Two raw tokens, a hub that reads both and grows in layer 2, a query that reads the hub; and what is updated."""
    names = ["a", "b", "c", "hub", "query"]
    nodes = tuple(Node(name, name, 0, carries=(name,)) for name in names)
    alone: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    tables = [
        {**alone, "hub": ("a", "hub")},
        {**alone, "hub": ("b", "hub"), "query": ("hub", "query")},
        {**alone, "query": ("hub", "c", "query")},
    ][:layers]
    updated = np.zeros((3, 5), bool)
    updated[:2, 3] = updated[1:, 4] = True
    if layers == 1:  # one mask, at any depth
        tables, updated = [{**alone, "hub": ("a", "b", "hub"), "query": ("hub", "c", "query")}], np.zeros((1, 5), bool)
        updated[0, 3:] = True
    task = Task("hole", nodes, tuple(tables), (Prediction("query", "d", hides=("d",)),))
    instance = Instance(TaskFamily((task,)), "hole", layers=None if layers == 1 else layers)
    merged = merge(instance)
    order = [merged.embeddings["hole"][name] for name in names]
    shuffled = np.zeros_like(updated)
    shuffled[:, order] = updated
    return instance, replace(merged, updated=shuffled), shuffled


@pytest.fixture(scope="module", params=[1, 3], ids=["any depth", "three layers"])
def answer(request: pytest.FixtureRequest) -> tuple[Instance, MergedTask, np.ndarray]:
    return hole(request.param)


def stored(merged: MergedTask, updated: Any) -> Arrays:
    return {**arrays_of(merged), "updated": updated}


def test_a_right_array_is_accepted_and_read_back(answer: Any, tmp_path: Path) -> None:
    instance, merged, updated = answer
    assert "updated" in verify(instance, merged).checks
    assert "updated" not in verify(instance, replace(merged, updated=None)).checks
    folder = write_answer(tmp_path / "out", document_of(merged), merged)
    assert verify_folder(instance, folder).checks[-1] == "updated"
    back = read_merged(folder)
    assert back == merged
    assert back != replace(merged, updated=None)
    assert back != replace(merged, updated=~updated)
    np.testing.assert_array_equal(back.updated, updated)
    assert (
        "updated"
        in verify_folder(instance, write(tmp_path / "own", document_of(merged), stored(merged, updated))).checks
    )


def test_every_entry_the_other_way_round(answer: Any, tmp_path: Path) -> None:
    instance, merged, updated = answer
    dense = merged.mask.dense().reshape(-1, 5, 5)
    refused = 0
    for layer, position in np.ndindex(*updated.shape):
        changed = updated.copy()
        changed[layer, position] ^= True
        folder = write(tmp_path / "out", document_of(merged), stored(merged, changed))
        is_alone = np.array_equal(dense[layer, position], np.eye(5, dtype=bool)[position])
        if is_alone or changed[layer, position]:
            assert "updated" in verify_folder(instance, folder).checks
            continue
        refused += 1
        other = int(np.flatnonzero(dense[layer, position] & (np.arange(5) != position))[0])
        where = "" if instance.layers is None else f" in layer {layer + 1}"
        fact = f"updated: position {position} is not updated{where}, but it attends to position {other} there"
        with pytest.raises(WrongAnswer) as error:
            verify_folder(instance, folder)
        assert str(error.value) == fact
    assert refused == (2 if instance.layers is None else 4)


def test_a_row_without_itself_is_not_alone() -> None:
    nodes = (Node("a", "a", 0), Node("m", "M", 1, carries=()))
    family = TaskFamily((Task("t", nodes, ({"a": ("a",), "m": ("a",)},), (Prediction("m", "b"),)),))
    merged = merge(Instance(family, "t"))
    only = merged.embeddings["t"]["m"]
    updated = np.ones((1, 2), bool)
    updated[0, only] = False
    with pytest.raises(WrongAnswer, match=f"position {only} is not updated, but it attends to position {1 - only}"):
        verify(Instance(family, "t"), replace(merged, updated=updated))


def test_the_witness_names_another_key_wherever_it_is() -> None:
    """Position q attends to a neighbour before or after itself, in one interval with it."""
    nodes = tuple(Node(name, name, 0) for name in "abc")
    for keys, other in (("bc", 2), ("ab", 0), ("abc", 0)):
        rows = {"a": ("a",), "b": tuple(keys), "c": ("c",)}
        predict = tuple(Prediction(name, name + "!") for name in "abc")
        instance = Instance(TaskFamily((Task("t", nodes, (rows,), predict),)), "t")
        merged = merge(instance)
        assert [merged.embeddings["t"][name] for name in "abc"] == [0, 1, 2]
        updated = np.array([[True, False, True]])
        with pytest.raises(WrongAnswer, match=f"position 1 is not updated, but it attends to position {other} there"):
            verify(instance, replace(merged, updated=updated))


def test_a_pattern_longer_or_shorter_than_the_layers() -> None:
    nodes = (Node("a", "a", 0), Node("m", "M", 1, carries=()))
    rows: dict[str, tuple[str, ...]] = {"a": ("a",), "m": ("a", "m")}
    for tables, layers, wrong in (((rows,), 3, 2), ((rows, {**rows, "m": ("m",)}), 5, 4)):
        instance = Instance(TaskFamily((Task("t", nodes, tables, (Prediction("m", "b"),)),)), "t", layers=layers)
        merged = merge(instance)
        m = merged.embeddings["t"]["m"]
        updated = np.zeros((layers, 2), bool)
        updated[:: len(tables), m] = True
        assert "updated" in verify(instance, replace(merged, updated=updated)).checks
        updated[wrong, m] = False
        with pytest.raises(WrongAnswer, match=f"is not updated in layer {wrong + 1}, but it attends"):
            verify(instance, replace(merged, updated=updated))


@pytest.mark.parametrize("shape", [(5,), (2, 5), (1, 4), (3, 6), (4, 5), (1, 1, 5), (0, 5)])
def test_another_shape_is_refused(answer: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    instance, merged, _ = answer
    folder = write(tmp_path, document_of(merged), stored(merged, np.ones(shape, bool)))
    for read in (lambda: verify_folder(instance, folder), lambda: read_merged(folder)):
        with pytest.raises(InvalidInstance, match="array 'updated': expected"):
            read()
    with pytest.raises(InvalidInstance, match=r"updated: expected bool \["):
        verify(instance, replace(merged, updated=np.ones(shape, bool)))


def test_another_type_or_name_is_refused(answer: Any, tmp_path: Path) -> None:
    instance, merged, updated = answer
    for value in (updated.astype(np.uint8), updated.astype(np.int64)):
        folder = write(tmp_path, document_of(merged), stored(merged, value))
        with pytest.raises(InvalidInstance, match=r"array 'updated': expected \|b1"):
            verify_folder(instance, folder)
        with pytest.raises(InvalidInstance, match="array 'updated': expected bool"):
            read_merged(folder)
    folder = write(tmp_path, document_of(merged), {**stored(merged, updated), "updates": updated})
    with pytest.raises(InvalidInstance, match="array 'updates' is not part of an answer"):
        verify_folder(instance, folder)
    with pytest.raises(WrongAnswer, match="disagree in 'updates'"):
        read_merged(folder)
    for value in ([True], "all", updated.tolist()):
        with pytest.raises(InvalidInstance, match=r"updated: expected bool \["):
            verify(instance, replace(merged, updated=value))


def test_it_is_part_of_the_hash_and_of_both_files(answer: Any, tmp_path: Path) -> None:
    instance, merged, updated = answer
    folder = write_answer(tmp_path / "out", document_of(merged), merged)
    content = (folder / "mask.safetensors").read_bytes()
    start = content.index(np.ascontiguousarray(updated).tobytes(), 8 + int.from_bytes(content[:8], "little"))
    bit = next(index for index in range(updated.size) if updated.flat[index])
    (folder / "mask.safetensors").write_bytes(content[: start + bit] + b"\0" + content[start + bit + 1 :])
    for read in (lambda: verify_folder(instance, folder), lambda: read_merged(folder)):
        with pytest.raises(WrongAnswer, match="hash"):
            read()
    arrays = stored(merged, updated)
    for npz in (arrays_of(merged), stored(merged, np.ones_like(updated))):
        write(folder, document_of(merged), arrays, npz)
        for read in (lambda: verify_folder(instance, folder), lambda: read_merged(folder)):
            with pytest.raises(WrongAnswer, match="disagree in 'updated'"):
                read()


def test_a_claim_of_many_layers_allocates_nothing(tmp_path: Path) -> None:
    instance = Instance(TaskFamily((Task("t", (Node("m", "M", 0),), ({"m": ("m",)},), (Prediction("m", 1),)),)), "t")
    merged = merge(replace(instance, layers=2**31 - 1))
    folder = write(tmp_path, document_of(merged), stored(merged, np.ones((3, 1), bool)))
    with pytest.raises(InvalidInstance, match="array 'updated'"):
        verify_folder(instance, folder)


def test_large_masks_stored_as_intervals(tmp_path: Path) -> None:
    size = 8200
    star = Mask.from_intervals([[((0, 1),), ((0, 2),), *(((0, 1), (index, index + 1)) for index in range(2, size))]])
    names = [f"w{index}" for index in range(size)]
    nodes = tuple(Node(name, name, index, carries=()) for index, name in enumerate(names))
    rows = {"w0": ("w0",), **{name: ("w0", name) for name in names[1:]}}
    predict = tuple(Prediction(name, 0) for name in names)
    instance = Instance(TaskFamily((Task("t", nodes, (rows,), predict),)), "star")
    merged = merge(instance)
    assert merged.mask == star
    updated = np.ones((1, size), bool)
    updated[0, 0] = False
    folder = write_answer(tmp_path / "out", document_of(merged), replace(merged, updated=updated))
    assert "updated" in verify_folder(instance, folder).checks
    np.testing.assert_array_equal(read_merged(folder).updated, updated)


@pytest.mark.parametrize("seed", range(60))
def test_planted_faults_in_random_tasks(seed: int) -> None:
    """Some rows hold themselves alone: an update is refused as skipped iff a row of a layer without it holds more."""
    draw = random.Random(seed)
    size, tables, layers = draw.randrange(1, 7), draw.randrange(1, 4), draw.choice([None, 1, 2, 5])
    names = [f"q{index}" for index in range(size)]
    rows: list[dict[str, tuple[str, ...]]] = [{} for _ in range(tables)]
    for table in rows:
        for name in names:
            others = [key for key in names if key != name and draw.random() < 0.4] if draw.random() < 0.5 else []
            own = [name] if draw.random() < 0.9 or not others else []
            table[name] = (*own, *others)
    nodes, predict = tuple(Node(name, name, 0) for name in names), tuple(Prediction(name, f"{name}!") for name in names)
    instance = Instance(TaskFamily((Task("t", nodes, tuple(rows), predict),)), "t", layers=layers)
    merged = merge(instance)
    place = merged.embeddings["t"]
    for chance in (0.2, 0.8, 1.0):
        updated = np.array([[draw.random() < chance for _ in names] for _ in range(layers or 1)])
        skipped = [
            (layer, name)
            for layer in range(len(updated))
            for number, table in enumerate(rows)
            for name in names
            if (layers is None or layer % tables == number)
            and not updated[layer, place[name]]
            and table[name] != (name,)
        ]
        if not skipped:
            assert "updated" in verify(instance, replace(merged, updated=updated)).checks
            continue
        with pytest.raises(WrongAnswer) as error:
            verify(instance, replace(merged, updated=updated))
        assert error.value.requirement == "updated"
        facts = [
            f"position {place[name]} is not updated" + ("," if layers is None else f" in layer {layer + 1},")
            for layer, name in skipped
        ]
        assert any(fact in str(error.value) for fact in facts)
