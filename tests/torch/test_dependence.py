"""A real Transformer of L layers under a sparse mask.

Each output depends on exactly the inputs that flow to it, and on none beyond.

Judged for random weights in float64 by gradients (exact zeros outside the flow) and by perturbing one input at a time
(outputs equal to the bit outside the flow).
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from masksynth import catalog
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.solve import solve
from masksynth.tasks import Instance, MergedTask, Node, Prediction, Task, TaskFamily
from masksynth.torch import batch_of
from tests.torch.compare import exported, tables_of
from tests.torch.transformer import WIDTH, Transformer
from tests.verify.hubs import closure, hub_mask, product, thinned
from tests.verify.naive import minimal
from tests.verify.test_sparse import CLOSED, sparse_of


def preorder(size, edges):
    table = np.eye(size, dtype=bool)
    table[tuple(np.array(edges).T)] = True
    return closure(table)


RELATIONS = {
    "chain": np.tri(9, dtype=bool),
    "two chains and their queries": preorder(
        10, [(i + 1, i) for i in range(3)] + [(i, i + 1) for i in range(4, 7)] + [(8, 1), (8, 6), (9, 2), (9, 5)]
    ),
    "tree": preorder(12, [(i, (i - 1) // 2) for i in range(1, 12)]),
    "grid": preorder(
        9,
        [
            (3 * i + j, 3 * a + b)
            for i in range(3)
            for j in range(3)
            for a, b in ((i - 1, j), (i, j - 1))
            if min(a, b) >= 0
        ],
    ),
    "classes above one another": preorder(8, [(0, 1), (1, 2), (2, 0), (3, 2), (3, 4), (4, 3), (5, 4), (6, 5), (7, 6)]),
    "one class": np.ones((7, 7), bool),
}


def model_of(size, layers, sink, seed=0):
    """A model whose inputs are given as vectors; one kind of position.

    Scores are small, so that no weight is lost to rounding.
    """
    task = Task("t", [Node("a", "a", 0)], {"a": ["a"]}, [Prediction("a", "b")])
    model = Transformer(TaskFamily((task,)), layers, sink, seed)
    with torch.no_grad():
        model.qkv[:, :, : 2 * WIDTH] *= 0.3
    return model


def outputs(model, inputs, mask):
    """Last states (n, WIDTH) under one mask for all layers, or one for each."""
    tables = torch.from_numpy(np.array(mask)).reshape(-1, len(inputs), len(inputs))
    return model.through(inputs, [0] * len(inputs), tables)[-1]


def by_gradients(model, inputs, mask):
    """(n, n): whether some output of q has a gradient with respect to some input of k that is not exactly 0."""
    found = torch.autograd.functional.jacobian(lambda x: outputs(model, x, mask), inputs, vectorize=True)
    return (found != 0).any(3).any(1).numpy()


def by_perturbation(model, inputs, mask):
    """(n, n): whether the output of q changes by a bit when the input of k does."""
    with torch.no_grad():
        before, seen = outputs(model, inputs, mask), []
        for key in range(len(inputs)):
            other = inputs.clone()
            other[key] += torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
            seen.append((outputs(model, other, mask) != before).any(1).numpy())
    return np.stack(seen, axis=1)


def dependence(mask, layers, sink, seed=0):
    """What depends on what, by both ways, which agree."""
    size = np.shape(mask)[-1]
    model = model_of(size, layers, sink, seed)
    inputs = torch.randn(size, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    first, second = by_gradients(model, inputs, mask), by_perturbation(model, inputs, mask)
    assert np.array_equal(first, second)
    return first


def carries(table, flow, layers):
    return np.array_equal(product(*[table] * layers), flow)


@pytest.mark.parametrize("sink", [False, True], ids=["softmax", "sink"])
@pytest.mark.parametrize("layers", [2, 3, 4])
@pytest.mark.parametrize("name", RELATIONS)
def test_exactly_the_flow(name, layers, sink):
    """Of thinned masks every edge is needed: without one, some dependence is gone.

    The edge more outside the flow adds one.
    """
    flow, rng = RELATIONS[name], Random(f"{name} {layers}")
    mask = thinned(rng, flow, lambda table: carries(table, flow, layers))
    assert np.array_equal(dependence(mask, layers, sink), flow)
    edges = np.argwhere(mask & ~np.eye(len(mask), dtype=bool)).tolist()
    for edge in rng.sample(edges, 3):
        less = mask.copy()
        less[tuple(edge)] = False
        found = dependence(less, layers, sink)
        assert not (found & ~flow).any()
        assert not np.array_equal(found, flow)
    for edge in rng.sample(np.argwhere(~flow).tolist(), min(2, int((~flow).sum()))):
        more = mask.copy()
        more[tuple(edge)] = True
        assert (dependence(more, layers, sink) & ~flow)[tuple(edge)]


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_a_layer_less_is_too_few(layers):
    """A mask of which every edge is needed at L layers, on a chain long enough.

    Misses dependence at L - 1 and has all at L + 1.
    """
    flow = np.tri(12, dtype=bool)
    mask = thinned(Random(layers), flow, lambda table: carries(table, flow, layers))
    found = dependence(mask, layers - 1, sink=False)
    assert np.array_equal(found, product(*[mask] * (layers - 1)))
    assert not (found & ~flow).any()
    assert not np.array_equal(found, flow)
    assert np.array_equal(dependence(mask, layers + 1, sink=False), flow)


@pytest.mark.parametrize("size", [2, 3, 16, 23])
def test_hubs_serve_a_chain_in_two_layers(size):
    mask = hub_mask(size).dense()
    assert np.array_equal(dependence(mask, 2, sink=True), np.tri(size, dtype=bool))
    assert np.array_equal(dependence(mask, 1, sink=True), mask)


def test_a_mask_for_each_layer():
    """Four positions, three layers, three masks.

    The flow is their product, first layer first, and the order matters.
    """
    tables = np.stack([np.eye(4, dtype=bool)] * 3)
    tables[0, 1, 0] = tables[1, 2, 1] = tables[2, 3, 2] = True
    assert np.array_equal(dependence(tables, 3, sink=True), product(*tables))
    assert dependence(tables, 3, sink=True)[3, 0]
    assert np.array_equal(dependence(tables[::-1].copy(), 3, sink=True), product(*tables[::-1]))
    assert not dependence(tables[::-1].copy(), 3, sink=True)[3, 0]


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("name", CLOSED)
def test_sparse_answers_carry_the_flow_of_the_tasks(name, layers, tmp_path):
    """Outputs of loss positions depend on the classes that the dense answer shows them, and on no others."""
    instance = catalog.FAMILIES[name]()
    dense, merged = minimal(instance), sparse_of(instance, Random(name), layers)
    batch = exported(merged, tmp_path / "answer")
    found = dependence(tables_of(batch).numpy(), layers, sink=True)
    classes = classes_by_identity(dense)
    for position in set(batch.loss_position.tolist()):
        assert {classes[at] for at in np.flatnonzero(found[position])} == {
            classes[at] for at in dense.mask.row(position)
        }


@pytest.mark.parametrize("layers", [2, 3, 4])
@pytest.mark.parametrize(
    "make", [lambda: catalog.butterfly(n=5), lambda: catalog.causal_lm(n=10), catalog.medusa_tree, catalog.prefix_lm]
)
def test_the_fewest_edges_carry_the_flow_and_one_less_does_not(make, layers):
    """As `solve` answers: in families without copies the dependence is the dense mask itself."""
    instance = make()
    flow = merge(instance).mask.dense()
    mask = solve(instance, sparse=True, layers=layers).merged.mask.dense()
    assert np.array_equal(dependence(mask, layers, sink=True), flow)
    rng = Random(layers)
    for edge in rng.sample(np.argwhere(mask & ~np.eye(len(mask), dtype=bool)).tolist(), 3):
        less = mask.copy()
        less[tuple(edge)] = False
        assert not np.array_equal(dependence(less, layers, sink=True), flow)


def classes_by_identity(dense: MergedTask):
    """The class of each position: by its row of identities, down to the bottom."""
    classes = [(at.input, at.position, at.kind) for at in dense.positions]
    for _ in classes:
        classes = [
            (own[:3], tuple(sorted(map(hash, (classes[key] for key in dense.mask.row(at))))))
            for at, own in enumerate(classes)
        ]
    return classes


def test_the_batch_of_a_sparse_answer_is_its_mask():
    instance = Instance(catalog.causal_lm(n=9).family, "chain")
    merged = sparse_of(instance, Random(1), 2)
    assert batch_of(merged).mask.equal(torch.from_numpy(merged.mask.dense()))
    assert batch_of(replace(merged, mask=Mask.from_dense(np.tri(8, dtype=bool)))).mask.sum() == 36
