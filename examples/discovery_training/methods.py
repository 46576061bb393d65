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
from masksynth.discover.structure import Reads, Structure
from masksynth.torch.structures.layer_steps import LayerStep, StructureInputs, structure_inputs
from masksynth.verify.discovery import verify_contracts

SQUARE = 8
"""Side of the grid of 64 elements."""


def text_methods(n: int, layers: int) -> list[Method]:
    """Return the methods for sequences of n tokens, L = ``layers`` >= 4."""
    reach = schedule(n, layers)
    line = np.abs(np.arange(n)[:, None] - np.arange(n))
    circle = np.minimum(line, n - line)
    return [
        causal(n, layers),
        masked(n, layers, 0.15),
        masked(n, layers, 0.4),
        raw_keys(n, layers),
        butterfly(n, layers),
        hole("hole with raw keys", line, reach),
        cyclic_hole(n, circle, layers),
    ]


def grid_methods(layers: int) -> list[Method]:
    """Return the methods for an image of 8 x 8 pixels: leave-one-out is blind-spot denoising."""
    n = SQUARE * SQUARE
    row, column = np.divmod(np.arange(n), SQUARE)
    square = np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column))
    reach = [*[1, 2, 4, 6, 8][: layers - 1], SQUARE]
    return [
        masked(n, layers, 0.15),
        masked(n, layers, 0.4),
        raw_keys(n, layers),
        hole("hole on the grid", square, reach),
    ]


def schedule(n: int, layers: int) -> list[int]:
    """Return reaches r_1 < .. < r_L that double plus two, r_L = n: 2, 6, 14, 30, .., the last layer reads the rest."""
    return [2 ** (layer + 1) - 2 for layer in range(1, layers)] + [n]


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
    query, key = np.nonzero(~np.eye(n, dtype=bool))
    reads = Reads.of_pairs(query, n + key, 2 * n)
    elements = np.concatenate([np.full(n, -1), np.arange(n)])
    structure = Structure(elements, (reads,) * layers, np.arange(n))
    return checked("raw keys only", leave_one_out(n=n, layers=layers), structure, layers)


def hole(name: str, distance: np.ndarray, reach: Sequence[int]) -> Method:
    """Return the expanding hole in a metric, with raw keys: 2n positions, n of them updated."""
    n, layers = len(distance), len(reach)
    reads = []
    for layer, far in enumerate(reach, start=1):
        last, near = layer == layers, reach[layer - 2] if layer > 1 else n
        raw = (distance > 0) & (last | (distance <= far))
        mixed = (distance > near) & (last | (distance <= far - near))
        query, key = np.nonzero(np.concatenate([mixed, raw], axis=1))
        reads.append(Reads.of_pairs(query, key, 2 * n))
    elements = np.concatenate([np.full(n, -1), np.arange(n)])
    return checked(name, leave_one_out(n=n, layers=layers), Structure(elements, tuple(reads), np.arange(n)), layers)


def cyclic_hole(n: int, circle: np.ndarray, layers: int) -> Method:
    """Return the cyclic hole: n positions, each embeds a token and predicts the next one from both sides."""
    reach = schedule(n, layers)
    embeds = (np.arange(n) - 1) % n  # position t predicts token t and embeds the token before it
    reads = []
    for layer in range(1, layers + 1):
        if layer == 1:
            allowed = (circle[:, embeds] > 0) & (circle[:, embeds] <= reach[0])
        else:
            near, far = reach[layer - 2], reach[layer - 1]
            allowed = (circle > near) & ((layer == layers) | (circle <= far - near))
        reads.append(Reads.of_pairs(*np.nonzero(allowed), n))
    contracts = leave_one_out(n=n, layers=layers)
    contracts = replace(contracts, targets=tuple(replace(target, place="any") for target in contracts.targets))
    return checked("cyclic hole", contracts, Structure(embeds, tuple(reads), np.arange(n)), layers)


def butterfly(n: int, layers: int) -> Method:
    """Return Butterfly with its dense mask: two chains and n queries, 3n - 2 positions, safe at any depth."""
    tokens = np.arange(n)
    element = np.concatenate([tokens[:-1], tokens[1:], np.full(n, -1)])
    size = len(element)
    mask = np.zeros((size, size), bool)
    left, right, query = slice(0, n - 1), slice(n - 1, size - n), slice(size - n, size)
    mask[left, left] = np.tri(n - 1)
    mask[right, right] = np.tri(n - 1).T
    mask[query, left] = np.tri(n, n - 1, -1)  # query k reads tokens 0 .. k - 1 of the left chain
    mask[query, right] = np.tri(n - 1, n, 0).T  # and tokens k + 1 .. n - 1 of the right one
    structure = Structure(element, (Reads.of_pairs(*np.nonzero(mask), size),), np.arange(size - n, size))
    return checked("Butterfly, dense", leave_one_out(n=n), structure, layers)
