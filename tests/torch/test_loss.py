"""The loss over loss edges against a loop over the edges, and its refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from masksynth.errors import InvalidInstance
from masksynth.tasks import LossEdge
from masksynth.torch import batch_of, merged_loss
from tests.export.samples import merged_task, random_mask


def batch_with(labels, edges, size=4):
    return batch_of(
        replace(
            merged_task(random_mask(size)), labels=tuple(labels), loss_edges=tuple(LossEdge(*edge) for edge in edges)
        )
    )


EDGES = [(0, 0, 0, 1.0), (0, 1, 0, 0.5), (2, 1, 1, -2.0), (2, 1, 0, 0.0), (3, 0, 1, 1e3), (0, 0, 1, 1.0)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lead", [(), (1,)])
def test_one_weighted_term_per_edge(dtype, lead):
    batch, ids = batch_with("ab", EDGES), [5, 2]
    logits = (3 * torch.randn(*lead, 4, 7)).to(dtype).requires_grad_()
    wide = logits.detach().reshape(4, 7).double().requires_grad_()
    terms = torch.stack([w * cross_entropy(wide[p], torch.tensor(ids[label])) for p, label, _, w in EDGES])
    tolerance = {"rtol": 1e-5 if dtype != torch.float64 else 1e-12, "atol": 1e-4 if dtype != torch.float64 else 1e-10}
    found = merged_loss(logits, batch, ids, reduction="none")
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.allclose(found.double(), terms, **tolerance)
    assert torch.allclose(merged_loss(logits, batch, ids).double(), terms.sum(), **tolerance)
    assert torch.allclose(merged_loss(logits, batch, ids, "mean").double(), terms.sum() / 1000.5, **tolerance)
    merged_loss(logits, batch, ids).backward()
    terms.sum().backward()
    assert torch.allclose(
        logits.grad.reshape(4, 7).double(), wide.grad, rtol=1e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-3
    )


def test_no_shift_and_no_summing():
    """An edge reads the logits of its own position, and equal edges count twice."""
    logits = torch.full((4, 3), -50.0)
    logits[1, 2] = 50.0
    assert merged_loss(logits, batch_with("a", [(1, 0, 0, 1.0)]), [2]) == 0
    assert merged_loss(logits, batch_with("a", [(0, 0, 0, 1.0)] * 2), [2]).item() == pytest.approx(2 * math.log(3.0))


def test_integer_labels_are_their_own_classes():
    logits = torch.randn(4, 9)
    batch = batch_with([7, 3], EDGES)
    assert (
        merged_loss(logits, batch)
        == merged_loss(logits, batch, [7, 3])
        == merged_loss(logits, batch, torch.tensor([7, 3]))
    )


def test_large_logits_are_stable():
    logits = torch.tensor([[1e4, 0.0]] * 4)
    assert merged_loss(logits, batch_with("ab", [(0, 0, 0, 1.0), (0, 1, 0, 1.0)]), [0, 1], "none").tolist() == [
        0.0,
        1e4,
    ]


def test_no_edges():
    batch, logits = batch_with("ab", []), torch.randn(4, 3, requires_grad=True)
    assert merged_loss(logits, batch, [0, 1], "none").shape == (0,)
    merged_loss(logits, batch, [0, 1]).backward()
    assert (logits.grad == 0).all()
    with pytest.raises(InvalidInstance, match="sum to 0"):
        merged_loss(logits, batch, [0, 1], "mean")
    assert merged_loss(torch.zeros(0, 3), batch_of(replace(merged_task(random_mask(0)), labels=())), []) == 0


@pytest.mark.parametrize(
    ("shape", "labels", "ids", "text"),
    [
        ((5, 3), "ab", [0, 1], r"logits are float32 \[5, 3\], the batch has 4 positions"),
        ((2, 4, 3), "ab", [0, 1], r"\[2, 4, 3\]"),
        ((4,), "ab", [0, 1], r"\[4\]"),
        ((4, 3), "ab", None, "label 'a' is not an integer; pass label_ids"),
        ((4, 3), [True, 1], None, "label True is not an integer"),
        ((4, 3), "ab", [0], r"label_ids has shape \[1\], the batch has 2 labels"),
        ((4, 3), "ab", [[0], [1]], r"shape \[2, 1\]"),
        ((4, 3), "ab", [0, 3], "class 3 of label 'b' is not one of the 3 classes"),
        ((4, 3), "ab", [-100, 1], "class -100 of label 'a'"),
        ((4, 3), "ab", [0.0, 1.0], "label_ids: expected integers, got float32"),
        ((4, 3), "ab", [True, False], "label_ids: expected integers, got bool"),
    ],
)
def test_disagreements_are_named(shape, labels, ids, text):
    with pytest.raises(InvalidInstance, match=text):
        merged_loss(torch.zeros(shape), batch_with(labels, EDGES), ids)


def test_other_refusals():
    with pytest.raises(InvalidInstance, match="unknown reduction 'avg'"):
        merged_loss(torch.zeros(4, 3), batch_with("ab", EDGES), [0, 1], "avg")
    with pytest.raises(InvalidInstance, match="logits are int64"):
        merged_loss(torch.zeros(4, 3, dtype=torch.int64), batch_with("ab", EDGES), [0, 1])
