"""Run the two passes of hierarchical self-attention over tensors: energies up, masses and values down.

Energies that are infinite (of a leaf that does not see itself, of a node without siblings to see) are flags next to
finite numbers that are dropped, never large numbers: values are exact and no gradient is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from masksynth.diagnostics.hierarchy.torch_plan import Group, Level, Plan


class Sums(NamedTuple):
    """Nodes of a level, over batch and heads: means, numbers of leaves, log e^-phi, and if e^-phi is above 0."""

    q: Tensor
    k: Tensor
    v: Tensor
    leaves: Tensor
    inner: Tensor
    lives: Tensor


class Seen(NamedTuple):
    """Values that nodes receive from their siblings: the mean, log e^-eta, and whether there is any."""

    value: Tensor
    outer: Tensor
    crosses: Tensor


class Rule(NamedTuple):
    """Scale of dot products, attended siblings, real positions (None: all), embeddings of nodes per depth from 1."""

    scale: float
    included: bool
    causal: bool
    real: Tensor | None
    eps: Sequence[Tensor] | None


def attended(plan: Plan, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
    """Return the output for each position.

    Batch axes of q, k, v broadcast, and all have the same number of axes.

    Half precision is computed in float32, as it cannot count more than some thousand leaves, and rounded at the end.
    """
    given, kind = v.dtype, torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
    q, k, v = (table.to(kind) for table in (q, k, v))
    levels = plan.levels
    sums, sights = rising(levels, q, k, v, rule)
    output = _down(levels, sums, sights, v)
    if output.shape[-2] < len(plan.place):  # the last row is that of all positions without a leaf
        output = pad(output, (0, 0, 0, 1))
    output = output.index_select(-2, plan.place)
    return (output if rule.real is None else torch.where(rule.real.unsqueeze(-1), output, 0.0)).to(given)


def rising(levels: tuple[Level, ...], q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> tuple[list[Sums], list[Seen]]:
    """Return the sums of the nodes of each level, and what those of each level but the first see in their families."""
    deepest = len(levels) - 1
    below = _leaves(levels[-1], deepest, q, k, v, rule)
    sums, sights = [below], []
    for depth in range(deepest - 1, -1, -1):
        looked = _siblings(levels[depth], depth, below, rule)
        below = _parents(levels[depth], below, looked, _leaves(levels[depth], depth, q, k, v, rule))
        sums.append(below)
        sights.append(looked)
    return sums[::-1], sights[::-1]


def _down(levels: tuple[Level, ...], sums: list[Sums], sights: list[Seen], v: Tensor) -> Tensor:
    """Pass masses s(A) and values from the roots to the leaves, level by level."""
    root = sums[0]
    shape = (root.inner[..., 0] + v[..., 0, 0]).shape
    roots = len(levels[0].above)
    value, mass = v.new_zeros(*shape, roots, v.shape[-1]), v.new_ones(*shape, roots)
    result = [_ends(levels[0], value, mass, root)]
    for level, nodes, looked in zip(levels[1:], sums[1:], sights, strict=True):
        keep, cross = shares(nodes.inner, nodes.lives, looked.outer, looked.crosses)
        given = mass.index_select(-1, level.above)
        value = value.index_select(-2, level.above) + (given * cross).unsqueeze(-1) * looked.value
        mass = given * keep
        result.append(_ends(level, value, mass, nodes))
    return torch.cat(result, -2)


def _ends(level: Level, value: Tensor, mass: Tensor, nodes: Sums) -> Tensor:
    """Return the outputs of the leaves of a level."""
    kept = torch.where(nodes.lives, mass, 0.0).index_select(-1, level.leaf)
    return value.index_select(-2, level.leaf) + kept.unsqueeze(-1) * nodes.v.index_select(-2, level.leaf)


def shares(inner: Tensor, lives: Tensor, outer: Tensor, crosses: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of its mass that a row keeps inside each node and gives to the siblings."""
    both = lives & crosses
    gap = torch.where(both, outer - inner, 0.0)
    keep = torch.where(both, logsigmoid(-gap).exp(), lives.to(gap.dtype))
    cross = torch.where(both, logsigmoid(gap).exp(), crosses.to(gap.dtype))
    return keep, cross


def log_mass(inner: Tensor, lives: Tensor, outer: Tensor, crosses: Tensor) -> Tensor:
    """Return log(e^-phi + e^-eta), and any finite number for nodes that have neither."""
    return torch.where(lives & crosses, torch.logaddexp(inner, outer), torch.where(lives, inner, outer))


def _leaves(level: Level, depth: int, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Sums:
    queries, keys, values = (table.index_select(-2, level.position) for table in (q, k, v))
    own = rule.scale * (queries * keys).sum(-1)
    if rule.eps is not None and depth:
        own = own + (rule.eps[depth - 1].index_select(0, level.leaf) ** 2).sum(-1)
    real = (
        torch.ones_like(level.position, dtype=torch.bool)
        if rule.real is None
        else rule.real.index_select(-1, level.position)
    )
    itself = rule.included if level.itself is None else level.itself & rule.included
    lives = (real & itself).expand(own.shape)
    return Sums(queries, keys, values, real.to(q.dtype), torch.where(lives, own, 0.0), lives)


def _siblings(level: Level, depth: int, below: Sums, rule: Rule) -> Seen:
    """Return what each node of the next level gets from its siblings."""
    parts = [_seen(group, below, rule, None if rule.eps is None else rule.eps[depth]) for group in level.groups]
    value = torch.cat([part.value.flatten(-3, -2) for part in parts], -2)
    outer, crosses = (torch.cat([part[number].flatten(-2, -1) for part in parts], -1) for number in (1, 2))
    if level.children is None:
        return Seen(value, outer, crosses)
    return Seen(
        *(table.index_select(axis, level.children) for table, axis in ((value, -2), (outer, -1), (crosses, -1)))
    )


def _seen(group: Group, below: Sums, rule: Rule, eps: Tensor | None) -> Seen:
    q, k, v = (families_of(table, group, -2) for table in (below.q, below.k, below.v))
    count = families_of(below.leaves, group, -1)
    score = rule.scale * (q @ k.transpose(-1, -2)) + count.clamp(min=1).log().unsqueeze(-2)
    if eps is not None:
        score = score + eps[group.child] @ eps[group.child].transpose(-1, -2)
    square = torch.ones(score.shape[-2:], dtype=torch.bool, device=q.device)
    others = square.tril(-1) if rule.causal else square.tril(-1) | square.triu(1)
    others = others if group.may is None else others & group.may
    may = others & (count > 0).unsqueeze(-2)
    crosses = may.any(-1).expand(score.shape[:-1])
    score = torch.where(may, score, float("-inf"))
    score = torch.where(crosses.unsqueeze(-1), score, 0.0)  # rows that see nothing: any finite numbers, dropped at once
    outer = score.logsumexp(-1)
    value = torch.where(crosses.unsqueeze(-1), (score - outer.unsqueeze(-1)).exp() @ v, 0.0)
    return Seen(value, torch.where(crosses, outer, 0.0), crosses)


def families_of(table: Tensor, group: Group, axis: int) -> Tensor:
    """Return the children of the families of a group: (F, b) in place of the axis of nodes."""
    if table.shape[axis] != group.child.numel():  # otherwise the level is this group, in order
        table = table.index_select(axis, group.child.reshape(-1))
    after = table.shape[axis + 1 :] if axis < -1 else ()
    return table.reshape(*table.shape[:axis], *group.child.shape, *after)


def _parents(level: Level, below: Sums, looked: Seen, own: Sums) -> Sums:
    """Return the sums of a level from those of the next one, and from its own leaves."""
    parts = [_parent(group, below, looked) for group in level.groups]
    if not len(level.leaf) and len(parts) == 1:
        return parts[0]
    axes = (-2, -2, -2, -1, -1, -1)
    tables = [torch.cat(one, axis) for one, axis in zip(zip(own, *parts, strict=True), axes, strict=True)]
    if level.nodes is None:
        return Sums(*tables)
    return Sums(*(table.index_select(axis, level.nodes) for table, axis in zip(tables, axes, strict=True)))


def _parent(group: Group, below: Sums, looked: Seen) -> Sums:
    count, inner, lives = (families_of(table, group, -1) for table in below[3:])
    outer, crosses = (families_of(table, group, -1) for table in looked[1:])
    total = count.sum(-1)
    share = count / total.clamp(min=1).unsqueeze(-1)
    means = [(share.unsqueeze(-1) * families_of(table, group, -2)).sum(-2) for table in below[:3]]
    kept = (lives | crosses | (count == 0)).all(-1) & (total > 0)
    energy = torch.where(kept, (share * log_mass(inner, lives, outer, crosses)).sum(-1), 0.0)
    return Sums(means[0], means[1], means[2], total, energy, kept)
