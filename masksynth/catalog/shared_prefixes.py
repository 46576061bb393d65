"""Shared beginnings.

Several answers to one prompt, preference pairs, rollouts, draft trees and chains of mask tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.catalog.task_parts import (
    build_instance,
    chain_rows,
    closed_task,
    number_prefixes,
    predict_hidden,
    predict_next,
    token_nodes,
)
from masksynth.tasks import Instance, Node, Prediction, Task
from masksynth.tasks.parameters import check_at_least, check_integer_rows, check_size, require


def shared_prefix_group(P: int = 4, R: int = 3, G: int = 3) -> Instance:
    """Group of answers: task g has the prompt w[0..P-1] and answer g of R tokens, a chain.

    The answer's tokens are predicted.

    Parameters
    ----------
    P : int
        Tokens of the prompt, P >= 1.
    R : int
        Tokens of an answer, R >= 1.
    G : int
        Answers.

    Notes
    -----
    Published mask: k <= q and (k in the prompt or same answer). Count: the prompt once, and every answer without its
    last token, which predicts nothing: P + G(R - 1) of G(P + R). Source: group sampling as in GRPO, Shao et al., arXiv
    2402.03300.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(shared_prefix_group(P=2, R=3, G=2)).mask)
    ■ · · · · ·
    ■ ■ · · · ·
    ■ ■ ■ · · ·
    ■ ■ ■ ■ · ·
    ■ ■ · · ■ ·
    ■ ■ · · ■ ■
    """
    check_at_least(1, P=P, R=R, G=G)
    check_size(G * (P + R), P=P, R=R, G=G)
    tasks = _answers(P, [R] * G, [f"answer {g}" for g in range(G)])
    return build_instance("shared_prefix_group", [P, R, G], tasks, P + G * (R - 1), "GRPO, arXiv 2402.03300")


def dpo_prefix_sharing(P: int = 4, chosen: int = 3, rejected: int = 2) -> Instance:
    """Preference pair: tasks chosen and rejected have the prompt w[0..P-1] and their answer, a chain.

    The answer's tokens are predicted.

    Parameters
    ----------
    P : int
        Tokens of the prompt, P >= 1.
    chosen, rejected : int
        Tokens of the answers, >= 1.

    Notes
    -----
    Published mask: k <= q and (k in the prompt or same answer). Count: P + chosen + rejected - 2, the last token of an
    answer predicting nothing; the last prompt token has two labels. Source: prefix sharing for DPO, Rafailov et al.,
    arXiv 2305.18290.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(dpo_prefix_sharing(P=2, chosen=3, rejected=2)).mask)
    ■ · · · ·
    ■ ■ · · ·
    ■ ■ ■ · ·
    ■ ■ ■ ■ ·
    ■ ■ · · ■
    """
    check_at_least(1, P=P, chosen=chosen, rejected=rejected)
    check_size(2 * P + chosen + rejected, P=P, chosen=chosen, rejected=rejected)
    tasks = _answers(P, [chosen, rejected], ["chosen", "rejected"])
    source = "prefix sharing for DPO, arXiv 2305.18290"
    return build_instance("dpo_prefix_sharing", [P, chosen, rejected], tasks, P + chosen + rejected - 2, source)


def _answers(P: int, lengths: Sequence[int], titles: Sequence[str]) -> list[Task]:
    prompt, first, tasks = token_nodes(0, P), P, []
    for title, length in zip(titles, lengths, strict=True):
        nodes = prompt + token_nodes(first, first + length, P)
        tasks.append(closed_task(title, nodes, chain_rows(nodes), predict_next(nodes, P)))
        first += length
    return tasks


def agent_trie(rollouts: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3), (0, 1, 2, 4, 5), (0, 6, 7))) -> Instance:
    """Agent rollouts: one task per rollout, its tokens a chain, every token predicting the next.

    Parameters
    ----------
    rollouts : tuple of tuples of int
        Token numbers; token v has input w[v]. Rollouts may share beginnings, be equal, and repeat tokens.

    Notes
    -----
    Published mask, positions in depth-first order with subtree tin..tout: tin_k <= tin_q < tout_k. Count: a node is its
    prefix, and lives iff some rollout goes on: the number of different non-empty proper prefixes. Elements are places
    of the rollout (t[i]), since tokens may repeat. Source: prefix-tree training of agent trajectories.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(agent_trie(rollouts=((0, 1, 2, 3), (0, 1, 4), (0, 5, 6)))).mask)
    ■ · · ·
    ■ ■ · ·
    ■ ■ ■ ·
    ■ · · ■
    """
    rollouts = check_integer_rows("rollouts", rollouts)
    check_size(sum(map(len, rollouts)), rollouts=rollouts)
    tasks = []
    for number, tokens in enumerate(rollouts):
        nodes = [Node(f"t{i}", f"w{token}", i, carries=(f"t{i}",)) for i, token in enumerate(tokens)]
        predict = [Prediction(f"t{i - 1}", f"w{tokens[i]}", hides=(f"t{i}",)) for i in range(1, len(tokens))]
        tasks.append(closed_task(f"rollout {number}", nodes, chain_rows(nodes), predict))
    proper = {prefix for path in number_prefixes(rollouts) for prefix in path[:-1]}
    return build_instance("agent_trie", [rollouts], tasks, len(proper), "prefix tree of agent rollouts")


def medusa_tree(P: int = 3, choices: tuple[tuple[int, ...], ...] = ((0,), (0, 0), (0, 1), (1,), (1, 0))) -> Instance:
    """Draft tree: one task per root-to-leaf path, the prefix w[0..P-1] and the path's tokens, a chain.

    Every path node predicts logits.
    The node at depth d that took candidate c of head d has input h[d].[c] at position P + d - 1.

    Parameters
    ----------
    P : int
        Tokens of the prefix, P >= 0.
    choices : tuple of tuples of int
        Nodes of the tree as candidate numbers from the root; beginnings of a choice are nodes too.

    Notes
    -----
    Published mask: k in the prefix, or k = q or an ancestor of q. Count: P + the number of different non-empty
    beginnings of choices. Source: Cai et al., arXiv 2401.10774.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(medusa_tree(P=2, choices=((0, 0), (0, 1), (1,)))).mask)
    ■ · · · · ·
    ■ ■ · · · ·
    ■ ■ ■ · · ·
    ■ ■ ■ ■ · ·
    ■ ■ ■ · ■ ·
    ■ ■ · · · ■
    """
    check_at_least(0, P=P)
    choices = check_integer_rows("choices", choices)
    require(
        all(choices) and bool(choices),
        "choices",
        choices,
        "contains no tree",
        "give at least one choice, none of them empty",
    )
    paths = number_prefixes(choices)
    inner = {number for path in paths for number in path[:-1]}
    leaves = {path[-1]: choice for path, choice in zip(paths, choices, strict=True) if path[-1] not in inner}
    check_size(sum(P + len(choice) for choice in leaves.values()), P=P, choices=choices)
    prefix, tasks = token_nodes(0, P), []
    for choice in leaves.values():
        draft = tuple(Node(f"d{d}", f"h{d}.{c}", P + d - 1) for d, c in enumerate(choice, 1))
        title = "path " + ".".join(map(str, choice))
        tasks.append(
            closed_task(
                title, prefix + draft, chain_rows(prefix + draft), [Prediction(node.name, "logits") for node in draft]
            )
        )
    total = P + len({number for path in paths for number in path})
    return build_instance("medusa_tree", [P, choices], tasks, total, "Medusa, arXiv 2401.10774")


def mask_token_chain(n: int = 6, K: int = 3) -> Instance:
    """Chains of mask tokens: task a < n - 1 has w[0..a] and m[d]: M at position a + d, d = 1..K-1, a chain.

    w[a] predicts t[a + 1], and m[d] predicts t[a + d + 1]; mask tokens whose label is beyond the text are left out.

    Parameters
    ----------
    n : int
        Tokens of the text, n >= 1.
    K : int
        Tokens predicted at once, K >= 1.

    Notes
    -----
    Published mask, node (a, d) being the d-th mask token after w[0..a]: (d_k = 0 and a_k <= a_q) or (a_k = a_q and d_k
    <= d_q). Count: the sum over a of min(K, n - 1 - a) = K'(n - 1) - K'(K' - 1)/2 with K' = min(K, n - 1). Source:
    parallel drafting (P-EAGLE, PARD).

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(mask_token_chain(n=4, K=2)).mask)
    ■ · · · ·
    ■ ■ · · ·
    ■ ■ ■ · ·
    ■ · · ■ ·
    ■ ■ · · ■
    """
    check_at_least(1, n=n, K=K)
    depth = min(K, n - 1)
    total = depth * (n - 1) - depth * (depth - 1) // 2
    check_size((n - 1) * (n - 2) // 2 + total, n=n, K=K)
    content, tasks = token_nodes(0, n - 1), []
    for a in range(n - 1):
        drafts = tuple(Node(f"m{d}", "M", a + d, carries=()) for d in range(1, min(K, n - 1 - a)))
        nodes = (*content[: a + 1], *drafts)
        predict = [predict_hidden(node.name, f"w{node.position + 1}") for node in nodes[a:]]
        tasks.append(closed_task(f"anchor {a}", nodes, chain_rows(nodes), predict))
    return build_instance(
        "mask_token_chain", [n, K], tasks, total, "mask-token chains for parallel drafting (P-EAGLE, PARD)"
    )
