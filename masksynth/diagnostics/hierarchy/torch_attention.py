"""Compute hierarchical self-attention in torch, with autograd, batches, padding and grouped keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

if find_spec("torch") is None:
    raise ImportError(f"{__name__} needs torch; install it with: pip install 'masksynth[torch]'")

import torch
from torch import Tensor, nn

from masksynth.diagnostics.hierarchy.torch_checks import check_embeddings, check_shapes, check_trees
from masksynth.diagnostics.hierarchy.torch_passes import Rule, attended
from masksynth.diagnostics.hierarchy.torch_plan import Plan, plan_of
from masksynth.diagnostics.hierarchy.torch_prefixes import prefix_rows
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance

__all__ = ["HierarchicalAttention", "Plan", "hierarchical_attention", "plan_of", "prefix_attention"]


def hierarchical_attention(
    tree: Tree | Sequence[Tree] | Plan,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    included: bool = False,
    causal: bool = False,
    padding: Tensor | None = None,
    eps: Sequence[Tensor] | None = None,
) -> Tensor:
    """Compute block-tied attention, batched and differentiable.

    The numpy reference is `masksynth.diagnostics.hierarchy.hierarchical_attention`.

    Parameters
    ----------
    tree : Tree, sequence of Tree, or Plan
        One tree for the complete batch, or one for each of the B samples of (B, H, N, d), over its first positions; the
        others are padding. A plan saves building index tensors at each call, and has the masks, and other first
        positions (`plan_of`).
    q : (..., H, N, d)
    k, v : (..., H / g, N, d) and (..., H / g, N, c)
        With fewer heads each is shared by g neighbouring query heads (grouped-query attention).
    scale : float, optional
        Factor of the dot products [default: 1 / sqrt(d)].
    included, causal : bool
        Whether positions attend to themselves; whether to left siblings only (the leaves must be in order).
    padding : (..., N) bool, optional
        True for real positions. The others are taken out of the tree, exactly: no mean and no count has them. Its
        leading axes are those of ``q`` without the heads. With masks the trees must have real positions alone.
    eps : sequence of (n_l, e), optional
        For each depth l from 1 to that of the tree the position embeddings of its n_l nodes, in the order of ``Tree``;
        of several trees, those of the first tree, then those of the second, and so on.

    Returns
    -------
    (..., H, N, c)
        0 in rows that may attend to nothing, padding included.

    Raises
    ------
    InvalidInstance
        For shapes that do not fit, or a causal tree whose leaves are not in order.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import tree_of_lists
    >>> x = torch.tensor([[[2.0], [3.0], [5.0]]], dtype=torch.float64).log()
    >>> hierarchical_attention(tree_of_lists([0, 1, 2]), torch.ones_like(x), x, x).flatten().round(decimals=3)
    tensor([1.4180, 1.3480, 0.9360], dtype=torch.float64)
    """
    plan = _plan(tree, q)
    check_shapes(plan, q, k, v, padding, causal)
    check_trees(plan, q, padding)
    check_embeddings(plan, eps, scale)
    return _spread(attended, plan, (q, k, v), padding, Rule(_scale(q, scale), included, causal, None, eps))


def prefix_attention(
    tree: Tree | Sequence[Tree] | Plan,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    padding: Tensor | None = None,
    eps: Sequence[Tensor] | None = None,
) -> Tensor:
    """Compute causal attention on any tree without leaks: row i is the last row on the tree cut off after position i.

    Row i of causal block-tied attention depends on later positions of its node (`leaking_rows`). Here each row has the
    tree of the positions up to its own, on which a decoder would compute it (arXiv 2509.15448, appendix G): its
    position, the left siblings of its ancestors, and nothing else. Positions attend to themselves. `Decoder` computes
    the same rows one by one.

    Parameters
    ----------
    tree, q, k, v, scale, padding, eps
        As in `hierarchical_attention`; the leaves must be in the order of their positions. With masks a block of the
        cut tree is used iff all its pairs are allowed.

    Returns
    -------
    (..., H, N, c)
        In O(N b) scores for each level of the tree; 0 in rows of padding.

    Raises
    ------
    InvalidInstance
        For shapes that do not fit, or leaves that are not in order.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import windows
    >>> x = torch.arange(12.0).reshape(1, 1, 4, 3)
    >>> other = x.clone()
    >>> other[..., 3, :] = -5
    >>> rows = [prefix_attention(windows(4, (2, 2)), each, each, each) for each in (x, other)]
    >>> torch.equal(rows[0][..., :3, :], rows[1][..., :3, :])
    True
    """
    plan = _plan(tree, q)
    check_shapes(plan, q, k, v, padding, True)
    check_trees(plan, q, padding)
    check_embeddings(plan, eps, scale)
    return _spread(prefix_rows, plan, (q, k, v), padding, Rule(_scale(q, scale), True, True, None, eps))


def _plan(tree: Tree | Sequence[Tree] | Plan, q: Tensor) -> Plan:
    if isinstance(tree, Plan):
        return tree
    return plan_of(tree, q.device, length=None if isinstance(tree, Tree) or q.dim() < 2 else q.shape[-2])


def _scale(q: Tensor, scale: float | None) -> float:
    return float(q.shape[-1] ** -0.5) if scale is None else scale


def _spread(
    compute: Callable[..., Tensor], plan: Plan, qkv: tuple[Tensor, Tensor, Tensor], padding: Tensor | None, rule: Rule
) -> Tensor:
    """Return the result for all heads; samples with trees of their own lie one behind the other."""
    if plan.trees:  # (B, H, N, d) as (H, B N, d)
        qkv = tuple(table.transpose(0, 1).flatten(1, 2) for table in qkv)  # type: ignore[assignment]
        padding = None if padding is None else padding.flatten()
    q, k, v = qkv
    shape = (*q.shape[:-1], v.shape[-1])
    if q.shape[-3] != k.shape[-3]:  # (..., H / g, g, N, d) with (..., H / g, 1, N, d)
        q = q.reshape(*q.shape[:-3], k.shape[-3], -1, *q.shape[-2:])
        k, v = k.unsqueeze(-3), v.unsqueeze(-3)
    if padding is not None:
        padding = padding.reshape(*padding.shape[:-1], *(1,) * (q.dim() - 1 - padding.dim()), padding.shape[-1])
    result = compute(plan, q, k, v, rule._replace(real=padding)).reshape(shape)
    if not plan.trees:
        return result
    return result.reshape(len(result), plan.trees, plan.size, -1).transpose(0, 1)


class HierarchicalAttention(nn.Module):
    """Mix positions by block-tied attention: a layer with projections, heads and optional position embeddings.

    Siblings are embedded by their place in the family, at each depth with numbers of their own, as the paper has it.

    Parameters
    ----------
    tree : Tree
        The tree of all samples for which the call names none. At each depth its largest family is the largest that has
        embeddings.
    width : int
        Width of the state of each position, split over the heads.
    heads : int
    included : bool
        Whether positions attend to themselves, as in `hierarchical_attention`.
    causal : bool
        Left siblings only and without leaks, as in `prefix_attention`; positions then attend to themselves.
    places : int
        Width of the position embeddings; 0 for none.

    Raises
    ------
    InvalidInstance
        For a width that the heads do not divide, or a causal layer without ``included``: first positions would have
        nothing to attend to.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import windows
    >>> layer = HierarchicalAttention(windows(12, (2, 3)), width=8, heads=2, places=4)
    >>> layer(torch.ones(5, 12, 8)).shape
    torch.Size([5, 12, 8])
    >>> layer(torch.ones(2, 12, 8), trees=[windows(9, (2, 3)), windows(11, (2, 3))]).shape
    torch.Size([2, 12, 8])
    """

    def __init__(
        self, tree: Tree, width: int, heads: int = 1, *, included: bool = False, causal: bool = False, places: int = 0
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise InvalidInstance(f"expected a width that is a multiple of {heads} heads, got {width}", "")
        if causal and not included:
            raise InvalidInstance("causal, and positions do not attend to themselves", "", "give included=True")
        self.tree, self.heads, self.included, self.causal = tree, heads, included, causal
        self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
        most = [max(group.child.shape[1] for group in families) for families in tree.plan]
        self.embeddings = nn.ModuleList([nn.Embedding(size, places) for size in most] if places else [])
        self._plans: dict[torch.device, Plan] = {}

    def forward(self, x: Tensor, padding: Tensor | None = None, trees: Sequence[Tree] | Plan | None = None) -> Tensor:
        """Map (..., N, width) to the same shape; ``trees`` are those of the samples, or their plan."""
        plan = self._plan(x, trees)
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for project in (self.query, self.key, self.value)
        )
        eps = self._places(plan) if self.embeddings else None
        if self.causal:
            result = prefix_attention(plan, q, k, v, padding=padding, eps=eps)
        else:
            result = hierarchical_attention(plan, q, k, v, included=self.included, padding=padding, eps=eps)
        mixed: Tensor = self.mix(result.transpose(-2, -3).flatten(-2))
        return mixed

    def _plan(self, x: Tensor, trees: Sequence[Tree] | Plan | None) -> Plan:
        if isinstance(trees, Plan):
            return trees
        if trees is not None:
            return plan_of(trees, x.device, length=x.shape[-2])
        if x.device not in self._plans:
            self._plans[x.device] = plan_of(self.tree, x.device)
        return self._plans[x.device]

    def _places(self, plan: Plan) -> list[Tensor]:
        """Return the embeddings of the nodes at each depth from 1."""
        for depth, level in enumerate(plan.levels[1:], 1):
            most = len(self.embeddings[depth - 1].weight) if depth <= len(self.embeddings) else 0  # type: ignore[arg-type]
            if (largest := int(level.inside.max()) + 1) > most:
                raise InvalidInstance(
                    f"a family of {largest} at depth {depth}, where {most} places have embeddings",
                    "",
                    "build the layer with a tree that has such families",
                )
        return [table(level.inside) for table, level in zip(self.embeddings, plan.levels[1:], strict=False)]
