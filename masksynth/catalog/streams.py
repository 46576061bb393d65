"""Two-stream families.

Content that carries the tokens, and queries, mask tokens or means that predict without seeing them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from masksynth.catalog.task_parts import (
    block_rows,
    build_instance,
    chain_rows,
    closed_task,
    mask_nodes,
    node_names,
    predict_hidden,
    token_nodes,
)
from masksynth.tasks import Instance, Node, Task
from masksynth.tasks.parameters import check_at_least, check_integers, check_size, require


def butterfly(n: int = 8) -> Instance:
    """Butterfly: task k has chains f[0..k-1] forward and b[k+1..n-1] backward, and p, which sees both.

    p predicts t[k]. f[i] and b[i] have input t[i]; p has the mean of t[k-1] and t[k+1] (of the one that exists at the
    ends) at position k.

    Parameters
    ----------
    n : int
        Tokens of the text, n >= 2.

    Notes
    -----
    Published mask: f[i]: f[j <= i]; b[i]: b[j >= i]; p[k]: f[j < k], b[j > k], itself. Count: f[0..n-2], b[1..n-1] and
    n predictions: 3n - 2 positions of n^2. Source: arXiv 2606.09951.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(butterfly(n=3)).mask)
    ■ · · · · · ·
    ■ ■ · · · · ·
    ■ ■ ■ · · · ·
    · · · ■ · · ·
    · · · ■ ■ · ·
    · · · ■ ■ ■ ·
    ■ · · ■ · · ■
    """
    check_at_least(2, n=n)
    check_size(n * n, n=n)
    forward = [Node(f"f{i}", f"w{i}", i) for i in range(n)]
    backward = [Node(f"b{i}", f"w{i}", i) for i in reversed(range(n))]
    tasks = (_two_wings(k, forward[:k], backward[: n - 1 - k]) for k in range(n))
    return build_instance("butterfly", [n], tasks, 3 * n - 2, "arXiv 2606.09951")


def _two_wings(k: int, left: Sequence[Node], right: Sequence[Node]) -> Task:
    near = [wing[-1] for wing in (left, right) if wing]
    tokens = tuple(node.input for node in near)
    nodes = (*left, *right, Node("p", ("mean", *tokens), k, carries=tokens))
    return closed_task(
        f"predict w{k}",
        nodes,
        {**chain_rows(left), **chain_rows(right), "p": node_names(near)},
        [predict_hidden("p", f"w{k}")],
    )


def block_two_stream(n: int = 8, l: int = 2) -> Instance:  # noqa: E741 - the paper's name
    """Block Two-Stream: task b has content w[0..bl-1], a chain, and mask tokens m[bl..bl+l-1]; m sees all w and m.

    Mask token m[i] predicts t[i].

    Parameters
    ----------
    n : int
        Tokens of the text.
    l : int
        Block length, a divisor of n.

    Notes
    -----
    Published mask: w[i]: w[j <= i]; m[i]: w of earlier blocks, m of its block. Count: content of all blocks but the
    last and n mask tokens: 2n - l. Source: arXiv 2606.09951.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(block_two_stream(n=4, l=2)).mask)
    ■ ■ · · · ·
    ■ ■ · · · ·
    · · ■ · · ·
    · · ■ ■ · ·
    · · ■ ■ ■ ■
    · · ■ ■ ■ ■
    """
    _check_blocks(n, l)
    tasks = (_block(b, l, [mask_nodes(b * l, b * l + l)]) for b in range(n // l))
    return build_instance("block_two_stream", [n, l], tasks, 2 * n - l, "arXiv 2606.09951")


def block_two_stream_causal(n: int = 8, l: int = 2) -> Instance:  # noqa: E741 - the paper's name
    """Block Two-Stream, causal in the block: as ``block_two_stream``, but m[i] sees all w and m[j <= i].

    Parameters
    ----------
    n : int
        Tokens of the text.
    l : int
        Block length, a divisor of n.

    Notes
    -----
    Published mask: w[i]: w[j <= i]; m[i]: w of earlier blocks, m[j <= i] of its block. Count: 2n - l, as for
    ``block_two_stream``. Source: arXiv 2606.09951.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(block_two_stream_causal(n=4, l=2)).mask)
    ■ · · · · ·
    ■ ■ · · · ·
    · · ■ · · ·
    · · ■ ■ · ·
    · · ■ ■ ■ ·
    · · ■ ■ ■ ■
    """
    _check_blocks(n, l)
    tasks = (_block(b, l, [(m,) for m in mask_nodes(b * l, b * l + l)]) for b in range(n // l))
    return build_instance("block_two_stream_causal", [n, l], tasks, 2 * n - l, "arXiv 2606.09951")


def _check_blocks(n: int, length: int) -> None:
    check_at_least(1, n=n, l=length)
    require(n % length == 0, "l", length, f"does not divide n={n}", "give a divisor of n")
    blocks = n // length
    check_size(length * blocks * (blocks + 1) // 2, n=n, l=length)


def _block(b: int, length: int, queries: Sequence[Sequence[Node]]) -> Task:
    """Return the task of block b: a content chain below the given blocks of mask tokens."""
    content = token_nodes(0, b * length)
    inner = [node for block in queries for node in block]
    rows = block_rows([*zip(content, strict=True), *queries])
    return closed_task(
        f"block {b}", (*content, *inner), rows, [predict_hidden(node.name, f"w{node.position}") for node in inner]
    )


def xlnet_two_stream(n: int = 6, T: int = 3, z: tuple[int, ...] = ()) -> Instance:
    """XLNet: task r < T has content h of the context and of the targets of rank < r, and a query g.

    Query g is the mask token M at position z[r], and predicts the token there.

    Content of the context sees the context; content of a target sees the context and the targets up to itself; g sees
    all h, not itself.

    Parameters
    ----------
    n : int
        Tokens of the text.
    T : int
        Targets, 1 <= T < n (the context is not empty).
    z : tuple of int
        Positions of the T targets in factorisation order; empty: the last T positions in order.

    Notes
    -----
    Published mask, r = rank of a target, -1 for context: content row: r_k = -1 or r_k < r_q or k = q; query row:
    content k with r_k = -1 or r_k < r_q. Count: n - T context nodes, T - 1 content targets, T queries: n + T - 1.
    Source: Yang et al., arXiv 1906.08237.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(xlnet_two_stream(n=4, T=2, z=(2, 0))).mask)
    ■ ■ · · ·
    ■ ■ · · ·
    ■ ■ · · ·
    ■ ■ · ■ ·
    ■ ■ · ■ ·
    """
    check_at_least(1, n=n, T=T)
    require(n > T, "T", T, f"is not less than n={n}", "give 1 <= T < n")
    _check_query_size(n - T, T, n=n, T=T)
    z = check_integers("z", z) or tuple(range(n - T, n))
    require(
        len(set(z)) == len(z) == T and max(z) < n,
        "z",
        z,
        f"is not {T} different positions below n={n}",
        "list each target once",
    )
    content = {i: Node(f"h{i}", f"w{i}", i) for i in range(n)}
    context = [content[i] for i in range(n) if i not in set(z)]
    queries = [(Node("g", "M", i, carries=()), f"w{i}") for i in z]
    tasks = _query_tasks(context, [content[i] for i in z], queries)
    return build_instance("xlnet_two_stream", [n, T], tasks, n + T - 1, "XLNet, arXiv 1906.08237")


def tnp_a(n: int = 6, m: int = 3) -> Instance:
    """Autoregressive Transformer neural process.

    Task t has the context, the real targets before t and a fake target, which predicts y[t].

    A real point has the input [w[i], y[i]], a fake one [w[i], 0]. The context sees the context; real j: context and
    real <= j; fake: context and real, not itself.

    Parameters
    ----------
    n : int
        Points.
    m : int
        Context points, 1 <= m < n; the n - m others are targets.

    Notes
    -----
    Published mask: context clique; real j: context, real <= j; fake t: context, real < t. Count: m context, n - m - 1
    real and n - m fake points: 2n - m - 1. Source: Nguyen and Grover, arXiv 2207.04179.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(tnp_a(n=4, m=2)).mask)
    ■ ■ · · ·
    ■ ■ · · ·
    ■ ■ · · ·
    ■ ■ · ■ ·
    ■ ■ · ■ ·
    """
    check_at_least(1, n=n, m=m)
    require(n > m, "m", m, f"is not less than n={n}", "give 1 <= m < n")
    _check_query_size(m, n - m, n=n, m=m)
    real = [Node(f"r{i}", (f"w{i}", f"y{i}"), i, carries=(f"w{i}", f"y{i}")) for i in range(n)]
    fake = [(Node("fake", (f"w{i}", 0), i, carries=(f"w{i}",)), f"y{i}") for i in range(m, n)]
    return build_instance(
        "tnp_a", [n, m], _query_tasks(real[:m], real[m:], fake), 2 * n - m - 1, "TNP-A, arXiv 2207.04179"
    )


def _check_query_size(c: int, targets: int, **parameters: int) -> None:
    pairs = targets * (targets - 1) // 2
    keys = targets * c * (c + 1) + (c + 1) * pairs + (targets - 1) * targets * (targets + 1) // 6
    check_size(targets * (c + 1) + pairs, keys, **parameters)


def _query_tasks(context: Sequence[Node], targets: Sequence[Node], queries: Iterable[tuple[Node, str]]) -> list[Task]:
    """Return tasks r: context clique, first r targets in order, and query r, which sees all of them but not itself."""
    called = node_names([*context, *targets])
    c = len(context)
    rows = {name: called[: max(c, rank + 1)] for rank, name in enumerate(called)}
    return [
        Task(
            f"predict {label}",
            (*context, *targets[:r], query),
            ({**{name: rows[name] for name in called[: c + r]}, query.name: called[: c + r]},),
            (predict_hidden(query.name, label),),
        )
        for r, (query, label) in enumerate(queries)
    ]
