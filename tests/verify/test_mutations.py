"""Every single change of a right answer is refused: thousands of mutants over the catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from random import Random

import numpy as np
import pytest

from masksynth import catalog
from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance, MergedTask, Node, Prediction, Task, TaskFamily
from masksynth.verify import verify
from tests.verify.mutants import embeddings, mask_bits, mutants
from tests.verify.naive import accepts, minimal, random_instance, unmerged

WEIGHTS = Task(
    "weights",
    [Node("a", "a", 0)],
    {"a": ["a"]},
    [Prediction("a", "x", weight) for weight in (0.0, -0.0, -1.5, 0.1, 0.0)],
)


def refused(instance: Instance, merged: MergedTask, asked: bool = True) -> str:
    """The requirement that a mutant breaks; empty if it is accepted."""
    try:
        verify(instance, merged, minimal=asked)
    except WrongAnswer as error:
        return error.requirement
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "every", "least"), [(None, 1, 15_000), (2, 4, 3_000)])
def test_every_mutant_of_the_catalogue_is_refused(layers: int | None, every: int, least: int) -> None:
    count: Counter[str] = Counter()
    families = [replace(make(), layers=layers) for make in list(catalog.FAMILIES.values())[::every]]
    for instance in [*families, Instance(TaskFamily((WEIGHTS,)), "weights", layers=layers)]:
        merged = merge(instance)
        for name, mutant in mutants(merged):
            requirement = refused(instance, mutant)
            count[requirement] += 1
            if not requirement:
                assert layers is not None, (instance.name, name)
                assert name.startswith("mask bit"), (instance.name, name)
                assert accepts(instance, mutant), (instance.name, name)
    print(f"layers={layers}: {sum(count.values())} mutants, {dict(count)}")
    assert sum(count.values()) - count[""] > least
    assert set(count) >= {"shape", "identity", "rows", "minimality", "labels", "loss edges", "problem"}


def test_every_mask_bit_and_embedding_without_minimality() -> None:
    """Of an answer that need not be minimal, only the row of a position that no node maps to is free."""
    for name in ("bd3lm", "local_global", "medusa_tree"):
        instance = catalog.FAMILIES[name]()
        merged = merge(instance)
        used = {index for nodes in merged.embeddings.values() for index in nodes.values()}
        assert len(used) == len(merged.positions)
        assert all(
            refused(instance, mutant, asked=False) for kind in (mask_bits, embeddings) for _, mutant in kind(merged)
        )


def some_places(rng: Random, merged: MergedTask) -> list[tuple[int, ...]]:
    """Up to eight places of the mask, at random."""
    places = list(np.ndindex(merged.mask.dense().shape))
    return rng.sample(places, min(len(places), 8))


def edges_at_their_nodes(instance: Instance, merged: MergedTask) -> bool:
    entries = [(task.name, p.node) for task in instance.family.tasks for p in task.predict]
    return all(
        edge.position == merged.embeddings[task][node]
        for edge, (task, node) in zip(merged.loss_edges, entries, strict=True)
    )


@pytest.mark.parametrize("layers", [None, 1, 2, 3])
def test_random_mutants_agree_with_the_naive_checker(layers: int | None) -> None:
    """Any number of mask bits and one embedding changed, tasks tiny: accepted iff the definitions accept."""
    rng, verdicts = Random(4), Counter[bool]()
    for _ in range(60 if layers else 30):
        instance = random_instance(rng, layers)
        right = merge(instance)
        answers = [right, minimal(instance), unmerged(instance)] if layers is None else [right]
        for merged in answers:
            assert accepts(instance, merged) == (refused(instance, merged) == "")
            bits = [mutant for _, mutant in mask_bits(merged, some_places(rng, merged))]
            twice = [mutant for once in bits[:3] for _, mutant in mask_bits(once, some_places(rng, merged))]
            moved = [mutant for name, mutant in embeddings(merged) if name.rpartition(" at ")[2].isdigit()]
            for mutant in chain(*(rng.sample(kind, min(len(kind), 8)) for kind in (bits, twice, moved))):
                # An edge that is not at its node's position is refused even where an equal position makes it
                # harmless.
                verdict = accepts(instance, mutant) and edges_at_their_nodes(instance, mutant)
                assert (refused(instance, mutant) == "") == verdict, (instance, mutant)
                verdicts[verdict] += 1
    print(f"layers={layers}: {dict(verdicts)}")
    assert verdicts[False] > 600
    assert verdicts[True] > 10


def test_witness_names_tokens() -> None:
    instance = catalog.causal_lm(n=4)
    merged = merge(instance)
    dense = merged.mask.dense()
    dense[2, 0] = False
    with pytest.raises(WrongAnswer) as caught:
        verify(instance, replace(merged, mask=Mask.from_dense(dense)))
    assert caught.value.requirement == "rows"
    assert 'sees 1 of ("w0", 0, "token") (class of position 0) in its task, position 2 sees 0 in the mask' in str(
        caught.value
    )
