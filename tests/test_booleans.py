"""Booleans are refused wherever a number is expected: in options, in lists, in arrays of files."""

import json

import numpy as np
import pytest

import masksynth as ms
from masksynth.arrange.permute import check_order
from masksynth.diagnostics.clustering.vector_field import weights
from masksynth.diagnostics.hierarchy.inputs import real_numbers
from masksynth.diagnostics.hierarchy.read_tree import read_tree
from masksynth.diagnostics.hierarchy.tree import tree_of_parents
from masksynth.errors import InvalidInstance
from masksynth.export.blocks import block_counts
from masksynth.mask import Mask
from masksynth.statistics.reachability import flow_after
from masksynth.subject import read_subject

CAUSAL = np.tril(np.ones((4, 4), bool))
MASK = Mask.from_dense(CAUSAL)
REFUSED = {
    "seconds of limits": lambda: ms.Limits(seconds=True),
    "effort of limits": lambda: ms.Limits(effort=False),
    "a forced edge": lambda: ms.sparsify(CAUSAL, forced=[(3, True)]),
    "a forced edge of numpy": lambda: ms.sparsify(CAUSAL, forced=[(3, np.True_)]),
    "a forbidden fraction": lambda: ms.sparsify(CAUSAL, forbidden=[(3, 1.5)]),
    "the edge of a weight": lambda: ms.sparsify(CAUSAL, weights={(3, True): 2}),
    "layers": lambda: flow_after(MASK, True),
    "a block size": lambda: block_counts(MASK, True),
    "a side of a block": lambda: block_counts(MASK, (4, True)),
    "an order": lambda: check_order([True, 0, 2, 3], 4),
    "parents": lambda: tree_of_parents([-1, 0, False], [-1, 0, 1]),
    "positions of leaves": lambda: tree_of_parents([-1, 0, 0], [-1, 0, True]),
    "queries": lambda: real_numbers([[True, False]], "q"),
    "a matrix of a simulation": lambda: weights(2, query=np.eye(2, dtype=bool)),
    "a length of a batch": lambda: list(
        ms.pack_batches([{"id": 1, "input_ids": [1], "labels": [-100]}], max_length=True)
    ),
    "a window": lambda: list(ms.pack_batches([{"id": 1, "input_ids": [1], "labels": [-100]}], window=np.True_)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_boolean_is_not_a_number(name):
    with pytest.raises(InvalidInstance):
        REFUSED[name]()


@pytest.mark.parametrize("name", ["input_ids", "position_ids", "loss_task", "loss_weight", "loss_sample"])
def test_arrays_beside_a_mask(tmp_path, name):
    arrays = {"mask": CAUSAL, "loss_position": np.array([1]), "loss_label": np.array([5])}
    np.savez(tmp_path / "mask.npz", **arrays, **{name: np.array([True] * (4 if name.endswith("ids") else 1))})
    with pytest.raises(
        InvalidInstance, match=rf"mask\.npz: array '{name}': expected (integers|numbers), got bool; store"
    ):
        read_subject(tmp_path / "mask.npz")


def test_positions_beside_a_mask_are_not_cut_to_integers(tmp_path):
    np.savez(tmp_path / "mask.npz", mask=CAUSAL, position_ids=np.array([0.0, 0.5, 1.0, 1.5]))
    with pytest.raises(InvalidInstance, match="array 'position_ids': expected integers, got float64"):
        read_subject(tmp_path / "mask.npz")


def test_a_tree_of_json(tmp_path):
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({"parent": [-1, 0, False], "position": [-1, 0, 1]}))
    with pytest.raises(InvalidInstance, match="got `bool`"):
        read_tree(path)


def test_numbers_of_numpy_are_numbers():
    assert ms.sparsify(CAUSAL, forced=[(np.int64(3), np.uint8(1))]).status is ms.Status.OPTIMAL
    assert check_order(np.array([1, 0, 2, 3], np.uint8), 4).tolist() == [1, 0, 2, 3]
