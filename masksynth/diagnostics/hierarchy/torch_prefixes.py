"""Compute for each position the last row of block-tied attention on the tree that is cut off after it.

A position and its ancestors, each cut off after the position, are a path. From the leaf up, each node of the path mixes
its row with its left siblings, which are complete: their means and energies are those of the whole causal tree. A mask
closes the block of the node and a sibling if it forbids one of its pairs, up to the position.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from masksynth.diagnostics.hierarchy.torch_passes import Rule, Seen, Sums, families_of, log_mass, rising, shares
from masksynth.diagnostics.hierarchy.torch_plan import Group, Level, Plan


class Path(NamedTuple):
    """For each position the node of its path at one level.

    ``row`` is the output so far, ``query`` the sum of the queries up to the position, ``inner`` the log e^-phi,
    ``leaves`` the number of real positions, and ``lives`` whether e^-phi is above 0.
    """

    row: Tensor
    query: Tensor
    inner: Tensor
    leaves: Tensor
    lives: Tensor


AXES = (-2, -2, -1, -1, -1)
"""The axis of positions in the fields of a `Path`."""


def prefix_rows(plan: Plan, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
    """Return the output for each position; half precision is computed in float32."""
    given, kind = v.dtype, torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
    q, k, v = (table.to(kind) for table in (q, k, v))
    sums, sights = rising(plan.levels, q, k, v, rule)
    path = _leaf_paths(plan, q, k, v, rule)
    node = torch.full_like(plan.place, -1)
    for depth in range(len(plan.levels) - 1, 0, -1):
        level = plan.levels[depth]
        node[level.position] = level.leaf
        path = _one_level(plan.levels[depth - 1], level, node, path, (sums[depth], sights[depth - 1]), rule, depth)
        node = torch.where(node < 0, node, level.above[node])
    real = torch.ones_like(plan.place, dtype=torch.bool) if rule.real is None else rule.real
    real = real & (plan.place < sum(len(level.leaf) for level in plan.levels))
    return torch.where(real.unsqueeze(-1), path.row, 0.0).to(given)


def _leaf_paths(plan: Plan, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Path:
    own = rule.scale * (q * k).sum(-1)
    if rule.eps is not None:
        squares = [own.new_zeros(len(plan.levels[0].leaf))]
        squares += [
            (eps.index_select(0, one.leaf) ** 2).sum(-1) for eps, one in zip(rule.eps, plan.levels[1:], strict=True)
        ]
        own = own + pad(torch.cat(squares), (0, 1)).index_select(0, plan.place)
    row = v.expand(*own.shape, v.shape[-1])
    lives = _leaf_sight(plan).expand(own.shape)
    return Path(
        torch.where(lives.unsqueeze(-1), row, 0.0), q, torch.where(lives, own, 0.0), own.new_ones(own.shape), lives
    )


def _leaf_sight(plan: Plan) -> Tensor:
    """Return whether each position may attend to itself, (N,)."""
    parts = [torch.ones_like(one.leaf, dtype=torch.bool) if one.itself is None else one.itself for one in plan.levels]
    return pad(torch.cat(parts), (0, 1)).index_select(0, plan.place)


def _one_level(
    above: Level, level: Level, node: Tensor, path: Path, seen: tuple[Sums, Seen], rule: Rule, depth: int
) -> Path:
    """Mix the rows of the nodes at one depth with their left siblings, and return the paths one level up."""
    ends = torch.nonzero(node < 0)[:, 0]
    at, parts = [ends], [_taken(path, ends)]
    for group in above.groups:
        family = torch.full_like(level.above, -1)
        family[group.child] = torch.arange(len(group.child), device=family.device)[:, None]
        mine = torch.nonzero((node >= 0) & (family[node] >= 0))[:, 0]  # node -1 takes the last family, and is dropped
        at.append(mine)
        eps = None if rule.eps is None else rule.eps[depth - 1]
        place = level.inside[node[mine]]
        parts.append(_mixed(group, _taken(path, mine), (family[node[mine]], place), seen, rule.scale, eps))
    order = torch.argsort(torch.cat(at))
    return Path(
        *(
            torch.cat(one, axis).index_select(axis, order)
            for one, axis in zip(zip(*parts, strict=True), AXES, strict=True)
        )
    )


def _taken(path: Path, at: Tensor) -> Path:
    return Path(*(table.index_select(axis, at) for table, axis in zip(path, AXES, strict=True)))


def _mixed(
    group: Group, path: Path, where: tuple[Tensor, Tensor], seen: tuple[Sums, Seen], scale: float, eps: Tensor | None
) -> Path:
    """Return the paths of some positions in their parents; ``where`` is the family and the place in it, (n,)."""
    family, place = where
    below = seen[0]
    q, k, v = (families_of(table, group, -2) for table in (below.q, below.k, below.v))
    leaves = families_of(below.leaves, group, -1)
    mean = path.query / path.leaves.unsqueeze(-1)
    score = scale * (k.index_select(-3, family) @ mean.unsqueeze(-1)).squeeze(-1)
    if eps is not None:
        table = eps[group.child]
        score = score + (table[family] @ table[family, place].unsqueeze(-1)).squeeze(-1)
    count = leaves.index_select(-2, family)
    left = torch.arange(score.shape[-1], device=place.device) < place.unsqueeze(-1)
    may = left & (count > 0)
    may = may if group.rows is None else may & group.rows
    crosses = may.any(-1).expand(score.shape[:-1])
    score = torch.where(may, score + count.clamp(min=1).log(), float("-inf"))
    score = torch.where(crosses.unsqueeze(-1), score, 0.0)  # rows that see nothing: any finite numbers, dropped at once
    outer = score.logsumexp(-1)
    value = (score - outer.unsqueeze(-1)).exp().unsqueeze(-2) @ v.index_select(-3, family)
    outer = torch.where(crosses, outer, 0.0)
    keep, cross = shares(path.inner, path.lives, outer, crosses)
    row = keep.unsqueeze(-1) * path.row + cross.unsqueeze(-1) * value.squeeze(-2)
    whole = log_mass(path.inner, path.lives, outer, crosses)
    energies = [families_of(one, group, -1) for one in (below.inner, below.lives, seen[1].outer, seen[1].crosses)]
    dead = (leaves > 0) & ~(energies[1] | energies[3])
    sums = (leaves, leaves * log_mass(*energies), dead.to(leaves.dtype), leaves.unsqueeze(-1) * q)
    before = [
        _before(table, axis)[(..., family, place) + ((slice(None),) if axis < -1 else ())]
        for table, axis in zip(sums, (-1, -1, -1, -2), strict=True)
    ]
    total = before[0] + path.leaves
    lives = (path.lives | crosses) & (before[2] == 0)
    inner = torch.where(lives, (before[1] + path.leaves * whole) / total, 0.0)
    return Path(row, before[3] + path.query, inner, total.expand(whole.shape), lives)


def _before(table: Tensor, axis: int) -> Tensor:
    """Return the sum over all siblings to the left, into which nothing else enters, not even as rounding."""
    last = table.shape[axis] - 1
    return torch.cat([torch.zeros_like(table.narrow(axis, 0, 1)), table.narrow(axis, 0, last).cumsum(axis)], axis)
