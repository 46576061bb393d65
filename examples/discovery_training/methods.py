"""The methods that are compared: a causal model, masked language models, and structures for leave-one-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from examples.discovery_training.train import Method
from masksynth.contracts import Contracts
from masksynth.contracts.families import leave_one_out
from masksynth.discover.as_answer import to_merged
from masksynth.discover.constructions import butterfly, cyclic_hole, cyclic_reaches, direct, expanding_hole
from masksynth.discover.constructions.hole import Sites, doubling_reaches
from masksynth.discover.fullest import Stage
from masksynth.discover.structure import Reads, Structure, prune
from masksynth.torch.structures.layer_steps import LayerStep, StructureInputs, structure_inputs
from masksynth.verify.discovery import verify_contracts

SQUARE = 8
"""Side of the grid of 64 elements."""
GRID_REACHES = (1, 3)
"""Reaches of the hole on the grid, in moves of a king: the last layer reads all queries farther away than 3."""


def text_methods(n: int, layers: int) -> list[Method]:
    """Return the methods for sequences of n tokens, L = ``layers`` >= 4."""
    line = np.abs(np.arange(n)[:, None] - np.arange(n))
    return [
        causal(n, layers),
        masked(n, layers, 0.15),
        masked(n, layers, 0.4),
        raw_keys(n, layers),
        dense_butterfly(n, layers),
        hole("hole with raw keys", line, doubling_reaches(n - 1, layers), layers),
        hole_of_circle(n, layers),
        fullest(n, layers),
    ]


def grid_methods(layers: int) -> list[Method]:
    """Return the methods for an image of 8 x 8 pixels: leave-one-out is blind-spot denoising."""
    n = SQUARE * SQUARE
    row, column = np.divmod(np.arange(n), SQUARE)
    square = np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column))
    return [
        masked(n, layers, 0.15),
        masked(n, layers, 0.4),
        raw_keys(n, layers),
        hole("hole on the grid", square, GRID_REACHES, layers),
    ]


def whole(n: int, layers: int, mask: np.ndarray, target: Sequence[int], label: Sequence[int]) -> StructureInputs:
    """Return n tokens that are all updated in each layer, under one mask."""
    everywhere = torch.arange(n)
    step = LayerStep(everywhere, everywhere, torch.from_numpy(mask))
    return StructureInputs(everywhere, everywhere, (step,) * layers, torch.tensor(target), torch.tensor(label))


def causal(n: int, layers: int) -> Method:
    """Return next-token prediction, which sees the left side alone."""
    inputs = whole(n, layers, np.tri(n, dtype=bool), range(n - 1), range(1, n))
    return Method("causal", inputs, sees="the left side")


def masked(n: int, layers: int, share: float) -> Method:
    """Return a masked language model; it is scored with one blank a pass, n passes a sequence."""
    everything = np.ones((n, n), bool)
    return Method(f"MLM {share:.0%}", whole(n, layers, everything, range(n), range(n)), share)


def checked(name: str, contracts: Contracts, structure: Structure, layers: int) -> Method:
    """Return a structure as a method, after its contracts were checked."""
    merged = to_merged(structure, contracts)[1]
    verify_contracts(contracts, merged)
    return Method(name, structure_inputs(contracts, merged, layers))


def raw_keys(n: int, layers: int) -> Method:
    """Return queries that read every other token raw, in every layer."""
    contracts = leave_one_out(n=n, layers=layers)
    once = direct(contracts)
    return checked("raw keys only", contracts, replace(once, reads=(once.reads[-1],) * layers), layers)


def hole(name: str, distance: np.ndarray, reaches: Sequence[int], layers: int) -> Method:
    """Return the expanding hole in a metric, with raw keys: 2n positions, n of them updated."""
    n = len(distance)
    structure = expanding_hole(Sites(np.arange(n), np.arange(n), distance), reaches, layers)
    return checked(name, leave_one_out(n=n, layers=layers), structure, layers)


def hole_of_circle(n: int, layers: int) -> Method:
    """Return the cyclic hole: n positions, each embeds a token and predicts the next one from both sides."""
    contracts = leave_one_out(n=n, layers=layers, place="any")
    return checked("cyclic hole", contracts, cyclic_hole(n, cyclic_reaches(n, layers)), layers)


def dense_butterfly(n: int, layers: int) -> Method:
    """Return Butterfly with every pair that its mask allows: two chains and n queries, 3n - 2 positions, any depth."""
    sparse = butterfly(n)
    mask = np.zeros((sparse.size, sparse.size), bool)
    mask[sparse.reads[0].query, sparse.reads[0].key] = True
    for middle in range(sparse.size):  # transitive closure
        mask |= mask[:, middle, None] & mask[middle]
    reads = Reads.of_pairs(*np.nonzero(mask), sparse.size)
    return checked("Butterfly, dense", leave_one_out(n=n), replace(sparse, reads=(reads,)), layers)


def fullest(n: int, layers: int) -> Method:
    """Return the structure in which the search for most reads of mixed contexts begins and mostly ends: reservoirs.

    ``masksynth discover --objective pairs`` improves it by single elements; this is its plan alone, the same each time.
    """
    contracts = leave_one_out(n=n, layers=layers)
    stage = Stage(contracts)
    plans = [stage.reservoirs(np.arange(n), (size,) * (layers - 1)) for size in range(2, 9)]
    plan = max(plans, key=lambda plan: stage.run(plan)[0])
    return checked("most mixed reads", contracts, prune(stage.structure(plan, "reservoirs"), "layered"), layers)
