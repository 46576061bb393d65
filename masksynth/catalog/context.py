"""Shared contexts: encoder and decoder, conversations with stripped reasoning, documents shared by questions."""

from __future__ import annotations

from collections.abc import Sequence

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
from masksynth.tasks import Instance, Node, Task
from masksynth.tasks.parameters import check_at_least, check_integer_rows, check_integers, check_size, require


def encdec_flat(m: int = 4, n: int = 5) -> Instance:
    """Flat encoder-decoder: task i < n has e[0..m-1] (kind enc), which see one another, and d[0..i] (kind dec).

    The last decoder token d[i] predicts y[i].
    d[j] sees all e and d[k <= j]. e[j] has input w[j], d[0] has "<bos>", and d[j] has the token y[j - 1] that it may
    see.

    Parameters
    ----------
    m : int
        Tokens read by the encoder, m >= 1.
    n : int
        Tokens written by the decoder, n >= 1.

    Notes
    -----
    Published mask: e: all e; d[j]: all e, d[k <= j]. Count: the encoder once, and every decoder token predicts: m + n.
    Source: Vaswani et al., arXiv 1706.03762.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(encdec_flat(m=2, n=2)).mask)
    ■ ■ · ·
    ■ ■ · ·
    ■ ■ ■ ·
    ■ ■ ■ ■
    """
    check_at_least(1, m=m, n=n)
    check_size(n * m + n * (n + 1) // 2, m=m, n=n)
    encoder = [Node(f"e{j}", f"w{j}", j, "enc") for j in range(m)]
    decoder = [Node(f"d{j}", f"y{j - 1}" if j else "<bos>", j, "dec", None if j else ()) for j in range(n)]
    tasks = (
        closed_task(
            f"predict y{i}",
            (*encoder, *decoder[: i + 1]),
            block_rows([encoder, *zip(decoder[: i + 1])]),
            [predict_hidden(f"d{i}", f"y{i}")],
        )
        for i in range(n)
    )
    return build_instance("encdec_flat", [m, n], tasks, m + n, "encoder-decoder, arXiv 1706.03762")


def multiturn_reasoning(turns: tuple[tuple[int, ...], ...] = ((2, 3, 2), (1, 2, 2))) -> Instance:
    """Reasoning in turns: task i has H1 A1 .. H(i-1) A(i-1) H(i) T(i) A(i) from position 0, a chain.

    T(i) and A(i) are predicted.
    Earlier thinking is stripped, so an answer is T(i) positions later in its own turn than in later ones.

    Parameters
    ----------
    turns : tuple of (H, T, A)
        Tokens of the human, the thinking and the answer of every turn; H >= 1, T >= 0, A >= 1.

    Notes
    -----
    Published mask over human / think / answer-in / answer-out, in this order within a turn: k <= q and (k human; or k
    answer-in and (other turn or q not answer-out); or same turn and k think and q not answer-in; or same turn and k
    answer-out). Count: the sum of H, of A over all turns but the last (answer-in), and of T + A - 1 (thinking and
    answer-out without the last token); where T = 0 before the last turn answer-out is answer-in and adds nothing.
    Source: multi-turn reasoning with stripped thinking.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(multiturn_reasoning(turns=((1, 1, 2), (1, 1, 2)))).mask)
    ■ · · · · · · ·
    ■ ■ · · · · · ·
    ■ ■ ■ · · · · ·
    ■ ■ ■ ■ · · · ·
    ■ ■ ■ ■ ■ · · ·
    ■ ■ ■ ■ ■ ■ · ·
    ■ · · · · · ■ ·
    ■ · · · · · ■ ■
    """
    turns = check_integer_rows("turns", turns)
    for index, turn in enumerate(turns):
        fits = len(turn) == 3 and turn[0] >= 1 and turn[2] >= 1
        require(fits, f"turns[{index}]", turn, "is not (H, T, A) with H >= 1 and A >= 1", "give three lengths")
    last = len(turns) - 1
    kept = sum(h + a for h, _, a in turns)
    history = sum((h + a) * (last - index) for index, (h, _, a) in enumerate(turns))
    check_size(history + kept + sum(t for _, t, _ in turns), turns=turns)
    tasks, first = [], 0
    past: tuple[Node, ...] = ()
    for index, (h, t, a) in enumerate(turns):
        human = token_nodes(first, first + h, len(past))
        out = token_nodes(first + h, first + h + t + a, len(past) + h)
        nodes = past + human + out
        tasks.append(closed_task(f"turn {index}", nodes, chain_rows(nodes), predict_next(nodes, len(past) + h)))
        past += human + token_nodes(first + h + t, first + h + t + a, len(past) + h)
        first += h + t + a
    own_output = sum(t + a - 1 for index, (_, t, a) in enumerate(turns) if t or index == last)
    count = kept - turns[-1][2] + own_output if turns else 0
    return build_instance("multiturn_reasoning", [turns], tasks, count, "multi-turn reasoning with stripped thinking")


def parallel_context(
    docs: tuple[int, ...] = (2, 3), questions: tuple[int, ...] = (3, 2), uses: tuple[tuple[int, ...], ...] = ()
) -> Instance:
    """Parallel context: task x has its documents, each from position 0, and question x after the longest.

    Documents do not see one another.
    A document is a chain; a question token sees the documents and the question up to itself; question tokens predict
    the next.

    Parameters
    ----------
    docs : tuple of int
        Tokens of the documents, each >= 1.
    questions : tuple of int
        Tokens of the questions, each >= 2.
    uses : tuple of tuples of int
        The documents of every question; empty: all documents for every question.

    Notes
    -----
    Published mask: same owner and k <= q, or q in question x and k in a document of x. Count: every used document once,
    and the questions without their last token: sum of docs used + sum of (question - 1). Source: Ratner et al., arXiv
    2212.10947.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(parallel_context(docs=(2, 2), questions=(2, 3), uses=((0, 1), (1,)))).mask)
    ■ · · · · · ·
    ■ ■ · · · · ·
    · · ■ · · · ·
    · · ■ ■ · · ·
    · · ■ ■ ■ · ·
    · · ■ ■ ■ ■ ·
    ■ ■ ■ ■ · · ■
    """
    docs, questions, chosen = _documents(docs, questions, uses)
    used = set().union(*chosen)
    count = sum(docs[d] for d in used) + sum(questions) - len(questions)
    tasks = _questions(docs, questions, chosen, bos=False)
    return build_instance(
        "parallel_context", [docs, questions], tasks, count, "parallel context windows, arXiv 2212.10947"
    )


def parallel_context_bos(
    docs: tuple[int, ...] = (2, 3), questions: tuple[int, ...] = (3, 2), uses: tuple[tuple[int, ...], ...] = ()
) -> Instance:
    """Parallel context whose documents all begin with "<bos>".

    Same as ``parallel_context``, except that the first inputs of all documents are equal.

    Parameters
    ----------
    docs : tuple of int
        Tokens of the documents, "<bos>" included, each >= 1.
    questions : tuple of int
        Tokens of the questions, each >= 2.
    uses : tuple of tuples of int
        The documents of every question; empty: all documents for every question.

    Notes
    -----
    Published mask: that of ``parallel_context``. Count: all "<bos>" nodes are one class, and a question attends to as
    many of them as it has documents, so there are max |uses(x)| copies: that, + sum of (docs used - 1) + sum of
    (question - 1). Source: arXiv 2212.10947.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(parallel_context_bos(docs=(2, 2), questions=(2,), uses=((0, 1),))).mask)
    ■ · · · ·
    · ■ · · ·
    ■ · ■ · ·
    ■ · · ■ ·
    ■ ■ ■ ■ ■
    """
    docs, questions, chosen = _documents(docs, questions, uses)
    used = set().union(*chosen)
    copies = max(map(len, chosen), default=0)
    count = copies + sum(docs[d] - 1 for d in used) + sum(questions) - len(questions)
    tasks = _questions(docs, questions, chosen, bos=True)
    return build_instance(
        "parallel_context_bos", [docs, questions], tasks, count, "parallel context windows with BOS, arXiv 2212.10947"
    )


def _documents(
    docs: tuple[int, ...], questions: tuple[int, ...], uses: tuple[tuple[int, ...], ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, ...], ...]]:
    docs, questions, uses = (
        check_integers("docs", docs, 1),
        check_integers("questions", questions, 2),
        check_integer_rows("uses", uses),
    )
    check_size(sum(questions) + (0 if uses else len(questions) * sum(docs)), docs=docs, questions=questions)
    chosen = uses or (tuple(range(len(docs))),) * len(questions)
    require(
        len(chosen) == len(questions),
        "uses",
        uses,
        f"does not have one entry for each of {len(questions)} questions",
        "give one for each question",
    )
    for index, row in enumerate(chosen):
        fits = len(set(row)) == len(row) and all(d < len(docs) for d in row)
        require(fits, f"uses[{index}]", row, f"is not different documents below {len(docs)}", "list each document once")
    check_size(sum(questions) + sum(docs[d] for row in chosen for d in row), docs=docs, questions=questions)
    return docs, questions, chosen


def _questions(docs: Sequence[int], questions: Sequence[int], uses: Sequence[Sequence[int]], bos: bool) -> list[Task]:
    starts = [sum(docs[:d]) for d in range(len(docs))]
    documents = [token_nodes(start, start + length, 0) for start, length in zip(starts, docs, strict=True)]
    if bos:
        documents = [(Node(nodes[0].name, "<bos>", 0, carries=()), *nodes[1:]) for nodes in documents]
    tasks, first = [], sum(docs)
    for x, (length, used) in enumerate(zip(questions, uses, strict=True)):
        question = token_nodes(first, first + length, max((docs[d] for d in used), default=0))
        rows = chain_rows(question)
        for d in used:
            rows |= chain_rows(documents[d])
        if used:
            rows[question[0].name] = node_names(documents[d][-1] for d in used)
        nodes = [node for d in used for node in documents[d]]
        tasks.append(closed_task(f"question {x}", (*nodes, *question), rows, predict_next(question)))
        first += length
    return tasks
