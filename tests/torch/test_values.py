"""One merged pass gives the outputs, the loss and the gradients of the separate passes.

And the test notices any tampering.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from masksynth import catalog
from masksynth.merge import merge
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.torch import batch_of
from tests.random_families import random_family
from tests.torch.compare import difference, exported, separate_pass, tables_of
from tests.torch.reference import identities_of, rows_of
from tests.torch.transformer import Transformer

LAYERS, EXACT, SEEN = 4, 1e-9, 1e-6


@pytest.mark.parametrize("sink", [False, True], ids=["softmax", "sink"])
@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_merged_training_is_separate_training(name, sink, tmp_path):
    instance = catalog.FAMILIES[name]()
    batch = exported(merge(instance), tmp_path / "answer")
    found = difference(Transformer(instance.family, LAYERS, sink), instance.family, batch)
    assert found.largest < EXACT, found


@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_tampering_is_seen(name):
    family = catalog.FAMILIES[name]().family
    batch = batch_of(merge(catalog.FAMILIES[name]()))
    model = Transformer(family, LAYERS, sink=True)
    expected = separate_pass(model, family)
    assert difference(model, family, batch, expected=expected).largest < EXACT
    for tables in flipped_bits(batch):
        assert difference(model, family, batch, tables, expected).largest > SEEN, "a flipped bit of the mask"
    wrong = replace(batch, position_ids=swapped_positions(batch))
    assert difference(model, family, wrong, expected=expected).largest > SEEN, "a swapped position id"
    wrong = replace(batch, loss_position=moved_edge(batch))
    assert difference(model, family, wrong, expected=expected).largest > SEEN, "a moved loss edge"


def flipped_bits(batch):
    """Six masks with one bit changed in the row of a predicting position, in any table."""
    rng = random.Random(0)
    for _ in range(6):
        tables = tables_of(batch).clone()
        place = rng.randrange(batch.tables), rng.choice(batch.loss_position.tolist()), rng.randrange(len(batch.inputs))
        tables[place] = ~tables[place]
        yield tables


def swapped_positions(batch):
    """The id of a predicting position exchanged with a different one, or with an unused one where all are equal."""
    ids, first = batch.position_ids.clone(), int(batch.loss_position[0])
    other = next((place for place, value in enumerate(ids.tolist()) if value != ids[first]), None)
    if other is None:
        ids[first] += 1
    else:
        ids[first], ids[other] = batch.position_ids[other], batch.position_ids[first]
    return ids


def moved_edge(batch):
    """The first loss edge moved to a position of another identity."""
    places, first = batch.loss_position.clone(), int(batch.loss_position[0])
    identities = list(zip(batch.inputs, batch.position_ids.tolist(), batch.kinds, strict=True))
    places[0] = next(place for place, identity in enumerate(identities) if identity != identities[first])
    return places


@pytest.mark.parametrize("layers", [None, 1, 2, 3], ids=lambda layers: f"layers={layers}")
@pytest.mark.parametrize("block", range(5))
def test_random_families(block, layers):
    """Cycles, twins, layer patterns, kinds, dead nodes, weights of any sign; any depth and finite depth."""
    for seed in range(20 * block, 20 * block + 20):
        family = random_family(seed, tasks=3, most=6)
        batch = batch_of(merge(Instance(family, f"random-{seed}", layers=layers)))
        found = difference(Transformer(family, layers or LAYERS, sink=True, seed=seed), family, batch)
        assert found.largest < EXACT, (seed, found)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_finite_layers(name, layers):
    family = catalog.FAMILIES[name]().family
    batch = batch_of(merge(replace(catalog.FAMILIES[name](), layers=layers)))
    found = difference(Transformer(family, layers, sink=True), family, batch)
    assert found.largest < EXACT, found


def window_texts(texts, window):
    """Literal windows over several texts, the last node predicting."""
    tasks = []
    for number, letters in enumerate(texts):
        nodes = tuple(Node(f"n{i}", letter, i) for i, letter in enumerate(letters))
        rows = {f"n{i}": tuple(f"n{j}" for j in range(max(0, i - window + 1), i + 1)) for i in range(len(letters))}
        tasks.append(Task(f"t{number}", nodes, (rows,), (Prediction(nodes[-1].name, "next"),)))
    return TaskFamily(tuple(tasks))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_answer_for_l_layers_is_wrong_for_one_more(layers):
    """Texts that differ beyond the reach of L windows merge at depth L, and no deeper model may use that mask."""
    family = window_texts(["a" + "c" * (layers + 1), "b" + "c" * (layers + 1)], window=2)
    batch = batch_of(merge(Instance(family, "window", layers=layers)))
    assert len(set(batch.loss_position.tolist())) == 1
    assert difference(Transformer(family, layers, sink=True), family, batch).largest < EXACT
    assert difference(Transformer(family, layers + 1, sink=True), family, batch).largest > SEEN


def states_by_position(family, merged, layers):
    """Position -> the states (layers + 1, WIDTH) of every live task node at it.

    Each from its own task's pass.
    """
    model = Transformer(family, layers, sink=True)
    found = {}
    for task in family.tasks:
        states = torch.stack(model.hidden(identities_of(task), rows_of(task)), dim=1).detach()
        for place, node in enumerate(task.nodes):
            if node.name in merged.embeddings[task.name]:
                found.setdefault(merged.embeddings[task.name][node.name], []).append(states[place])
    return found


def check_classes(family, merged):
    layers = max((len(task.nodes) for task in family.tasks), default=1) + 1
    found = states_by_position(family, merged, layers)
    for states in found.values():
        assert all((state - states[0]).abs().max() < EXACT for state in states), "nodes of one class differ"
    last = torch.stack([states[0][-1] for states in found.values()])
    apart = torch.cdist(last, last) + torch.eye(len(last), dtype=torch.float64)
    assert apart.min() > SEEN, "nodes of two classes agree"


@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_classes_are_values_in_the_catalogue(name):
    instance = catalog.FAMILIES[name]()
    check_classes(instance.family, merge(instance))


@pytest.mark.parametrize("block", range(5))
def test_classes_are_values_in_random_families(block):
    for seed in range(20 * block, 20 * block + 20):
        family = random_family(seed, tasks=3, most=5)
        if any(task.predict for task in family.tasks):
            check_classes(family, merge(Instance(family, f"random-{seed}")))


@pytest.mark.parametrize(("sink", "equal"), [(False, True), (True, False)], ids=["softmax", "sink"])
def test_plain_softmax_cannot_count_and_a_sink_can(sink, equal):
    """Rows {a, a} and {a} have the same softmax, a ratio; the exact count keeps both copies, and a sink says why."""

    def task(name, copies):
        nodes = (*(Node(f"a{i}", "a", 0) for i in range(copies)), Node("q", "?", 1))
        rows = {node.name: tuple(n.name for n in nodes[:-1]) for node in nodes}
        return Task(name, nodes, (rows,), (Prediction("q", "y"),))

    family = TaskFamily((task("one", 1), task("two", 2)))
    outputs, _, _ = separate_pass(Transformer(family, 2, sink), family)
    assert ((outputs[0] - outputs[1]).abs().max() < EXACT) == equal
    assert len(merge(Instance(family, "count")).positions) == 5
