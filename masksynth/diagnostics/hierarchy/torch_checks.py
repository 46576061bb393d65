"""Refuse tensors that do not fit the trees of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor

from masksynth.diagnostics.hierarchy.torch_plan import Plan
from masksynth.errors import InvalidInstance


def check_shapes(plan: Plan, q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None, causal: bool) -> None:
    """Check that the tensors fit one another and the trees, and that the leaves of a causal tree are in order."""
    if q.dim() < 3 or not q.dim() == k.dim() == v.dim() or k.shape[:-1] != v.shape[:-1] or q.shape[-2:] != k.shape[-2:]:
        shapes = [tuple(given.shape) for given in (q, k, v)]
        raise InvalidInstance(f"expected shapes (..., H, N, d) with one N and one d, got {shapes}", "")
    check_floating(q, k, v)
    if q.shape[-2] != plan.size:
        raise InvalidInstance(f"expected the {plan.size} positions of the tree, got {q.shape[-2]}", "")
    if q.shape[:-3] != k.shape[:-3] or not k.shape[-3] or q.shape[-3] % k.shape[-3]:
        raise InvalidInstance(
            f"{q.shape[-3]} query heads cannot share {k.shape[-3]} key heads",
            "",
            "give a multiple, and one batch shape",
        )
    if padding is not None and (padding.dtype != torch.bool or padding.shape != (*q.shape[:-3], plan.size)):
        raise InvalidInstance(
            f"padding: expected bool (..., {plan.size}), got {padding.dtype} {tuple(padding.shape)}",
            "",
            "mark real positions with True",
        )
    if causal and not plan.ordered:
        raise InvalidInstance(
            "the leaves of the tree are not in the order of their positions", "", "order them, or leave causal out"
        )


def check_trees(plan: Plan, q: Tensor, padding: Tensor | None) -> None:
    """Check that a batch has one tree for each sample, and each real position a leaf."""
    if plan.trees and (q.dim() != 4 or q.shape[0] != plan.trees):
        raise InvalidInstance(
            f"expected ({plan.trees}, H, N, d) for {plan.trees} trees, got {tuple(q.shape)}",
            "",
            "give one tree a sample",
        )
    leaves = sum(len(level.leaf) for level in plan.levels)
    if plan.trees and padding is not None and bool((padding.flatten() & (plan.place == leaves)).any()):
        raise InvalidInstance(
            "padding: a real position is not in the tree of its sample",
            "",
            "pad on the right, or name the first position of each tree: plan_of(trees, start=...)",
        )
    masked = any(level.itself is not None for level in plan.levels)
    if masked and padding is not None and bool((~padding & (plan.place < leaves).reshape(-1, plan.size)).any()):
        raise InvalidInstance(
            "padding inside a tree with a mask, where its pairs would close blocks",
            "",
            "give each sample the tree and the mask of its real positions: plan_of(trees, mask=..., start=...)",
        )


def check_embeddings(plan: Plan, eps: Sequence[Tensor] | None, scale: float | None) -> None:
    """Check that the scale is finite, and that there are embeddings of all nodes of each depth."""
    if scale is not None and not isfinite(scale):
        raise InvalidInstance(f"expected a finite scale, got {scale}", "")
    nodes = [len(level.above) for level in plan.levels[1:]]
    if eps is not None and [each.shape[0] if each.dim() == 2 else -1 for each in eps] != nodes:
        shapes = [tuple(each.shape) for each in eps]
        raise InvalidInstance(f"eps: expected tables of {nodes!s:.60} rows, one for each depth, got {shapes!s:.60}", "")


def check_floating(*tables: Tensor) -> None:
    """Raise InvalidInstance for integers, whose weighted means would be rounded."""
    for table in tables:
        if not table.is_floating_point():
            raise InvalidInstance(
                f"expected q, k and v of floating-point numbers, got {table.dtype}", "", "convert them"
            )
