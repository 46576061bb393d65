"""Causal families: full texts, packed documents, bidirectional prefixes, sliding windows."""

from __future__ import annotations

from collections.abc import Iterable

from masksynth.catalog.task_parts import (
    block_rows,
    build_instance,
    chain_rows,
    closed_task,
    node_names,
    predict_hidden,
    predict_next,
    token_nodes,
)
from masksynth.tasks import Instance, Task
from masksynth.tasks.parameters import check_at_least, check_integers, check_size, require


def causal_lm(n: int = 8) -> Instance:
    """Causal language modelling: task i < n - 1 has nodes w[0..i], a chain, and w[i] predicts t[i + 1].

    Parameters
    ----------
    n : int
        Tokens of the text, n >= 1.

    Notes
    -----
    Published mask: k <= q. Count: w[i] sees w[0..i] in every task that holds it, so w[0..n-2] remain: n - 1 positions
    of n(n - 1)/2. Source: Radford et al. 2018 (GPT).

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(causal_lm(n=4)).mask)
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """
    check_at_least(1, n=n)
    check_size(n * (n - 1) // 2, n=n)
    nodes = token_nodes(0, n - 1)
    tasks = (
        closed_task(
            f"predict w{i + 1}", nodes[: i + 1], chain_rows(nodes[: i + 1]), [predict_hidden(f"w{i}", f"w{i + 1}")]
        )
        for i in range(n - 1)
    )
    return build_instance("causal_lm", [n], tasks, n - 1, "causal language modelling, Radford et al. 2018 (GPT)")


def prefix_lm(n: int = 8, P: int = 3) -> Instance:
    """Prefix language modelling: task P - 1 <= i < n - 1 has nodes w[0..i]; w[a] sees w[b] iff b < P or b <= a.

    The last token w[i] predicts t[i + 1].

    Parameters
    ----------
    n : int
        Tokens of the text.
    P : int
        Tokens of the prefix, which attend to one another in both directions, 1 <= P < n.

    Notes
    -----
    Published mask: k < P or k <= q. Count: the rows of w[a] are the same in all tasks, and w[0..n-2] are live: n - 1
    positions. Two splits of one text share nothing (every colour holds its prefix). Source: Raffel et al., arXiv
    1910.10683.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(prefix_lm(n=5, P=2)).mask)
    ■ ■ · ·
    ■ ■ · ·
    ■ ■ ■ ·
    ■ ■ ■ ■
    """
    check_at_least(1, n=n, P=P)
    require(n > P, "P", P, f"is not less than n={n}", "give 1 <= P < n")
    check_size((n - P) * (n - 1 + P) // 2, n=n)
    nodes = token_nodes(0, n - 1)
    tasks = (
        closed_task(
            f"predict w{i + 1}",
            nodes[: i + 1],
            block_rows([nodes[:P], *zip(nodes[P : i + 1])]),
            [predict_hidden(f"w{i}", f"w{i + 1}")],
        )
        for i in range(P - 1, n - 1)
    )
    return build_instance("prefix_lm", [n, P], tasks, n - 1, "prefix language modelling, arXiv 1910.10683 (T5)")


def packed_docs(lengths: tuple[int, ...] = (3, 4, 2)) -> Instance:
    """Packed documents: one task per document, its own tokens from position 0, a chain, each token predicting the next.

    Parameters
    ----------
    lengths : tuple of int
        Tokens of the documents, each >= 1.

    Notes
    -----
    Published mask: doc(q) = doc(k) and k <= q. Count: the last token of a document predicts nothing: sum of (length -
    1). Source: Krell et al., arXiv 2107.02027 (packing without cross-contamination).

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(packed_docs(lengths=(3, 4))).mask)
    ■ · · · ·
    ■ ■ · · ·
    · · ■ · ·
    · · ■ ■ ·
    · · ■ ■ ■
    """
    lengths = check_integers("lengths", lengths, 1)
    check_size(sum(lengths), lengths=lengths)
    tasks, first = [], 0
    for number, length in enumerate(lengths):
        nodes = token_nodes(first, first + length, 0)
        tasks.append(closed_task(f"document {number}", nodes, chain_rows(nodes), predict_next(nodes)))
        first += length
    return build_instance("packed_docs", [lengths], tasks, first - len(lengths), "packed documents, arXiv 2107.02027")


def sliding_window(n: int = 8, w: int = 3) -> Instance:
    """Sliding window: task i < n - 1 has nodes w[0..i]; w[a] sees w[b] iff 0 <= a - b < w; w[i] predicts t[i + 1].

    Parameters
    ----------
    n : int
        Tokens of the text, n >= 1.
    w : int
        Keys of a full row, the query included, w >= 1 (a look-back of w - 1).

    Notes
    -----
    Published mask: 0 <= q - k < w, literal: its closure is the causal mask, its values are not. Count: rows are equal
    in all tasks: n - 1. Source: Beltagy et al., arXiv 2004.05150 (Longformer).

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(sliding_window(n=5, w=2)).mask)
    ■ · · ·
    ■ ■ · ·
    · ■ ■ ·
    · · ■ ■
    """
    check_at_least(1, n=n, w=w)
    check_size(n * (n - 1) // 2, n * (n - 1) // 2 * min(w, n), n=n, w=w)
    tasks = _literal_prefixes(n, (tuple(range(max(0, a - w + 1), a + 1)) for a in range(n - 1)))
    return build_instance(
        "sliding_window", [n, w], tasks, n - 1, "sliding window attention, arXiv 2004.05150 (Longformer)"
    )


def local_global(n: int = 8, w: int = 2, d: int = 2) -> Instance:
    """Interleaved layers: tasks as in ``sliding_window`` under a pattern of three tables.

    The tables are a window, a dilated window and the causal mask. In table 1 w[a] sees w[b] iff 0 <= a - b < w; in
    table 2 iff 0 <= a - b <= w d and d divides a - b; in table 3 iff b <= a.

    Parameters
    ----------
    n : int
        Tokens of the text, n >= 1.
    w : int
        Window, w >= 1.
    d : int
        Dilation, d >= 1.

    Notes
    -----
    Published masks: the three rules above, each over the same n - 1 positions. Count: rows are equal in all tasks,
    table by table: n - 1. Source: dilated windows: arXiv 2004.05150 (Longformer); interleaved local and global layers:
    arXiv 2408.00118 (Gemma 2).

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(local_global(n=6, w=2, d=2)).mask)
    ■ · · · ·
    ■ ■ · · ·
    · ■ ■ · ·
    · · ■ ■ ·
    · · · ■ ■
    <BLANKLINE>
    ■ · · · ·
    · ■ · · ·
    ■ · ■ · ·
    · ■ · ■ ·
    ■ · ■ · ■
    <BLANKLINE>
    ■ · · · ·
    ■ ■ · · ·
    ■ ■ ■ · ·
    ■ ■ ■ ■ ·
    ■ ■ ■ ■ ■
    """
    check_at_least(1, n=n, w=w, d=d)
    nodes = n * (n - 1) // 2
    check_size(nodes, nodes * (min(w, n) + min(w + 1, n)) + n * n * n // 6, n=n, w=w)
    window = (tuple(range(max(0, a - w + 1), a + 1)) for a in range(n - 1))
    dilated = (tuple(range(max(a - w * d, a % d), a + 1, d)) for a in range(n - 1))
    full = (tuple(range(a + 1)) for a in range(n - 1))
    tasks = _literal_prefixes(n, window, dilated, full)
    source = "dilated windows, arXiv 2004.05150 (Longformer); interleaved layers, arXiv 2408.00118 (Gemma 2)"
    return build_instance("local_global", [n, w, d], tasks, n - 1, source)


def _literal_prefixes(n: int, *tables: Iterable[tuple[int, ...]]) -> list[Task]:
    """Return tasks i < n - 1 over w[0..i] with the literal rows of ``tables`` (row a lists indices <= a)."""
    nodes = token_nodes(0, n - 1)
    called = node_names(nodes)
    rows = [[(called[a], tuple(called[b] for b in row)) for a, row in enumerate(table)] for table in tables]
    return [
        Task(
            f"predict w{i + 1}",
            nodes[: i + 1],
            tuple(dict(table[: i + 1]) for table in rows),
            (predict_hidden(f"w{i}", f"w{i + 1}"),),
        )
        for i in range(n - 1)
    ]
