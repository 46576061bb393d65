"""The masks as their papers publish them.

Positions under names of their own, formulas over these names, labels per position.

Nothing here reads the rows of the catalogue. ``place`` says which published position a task's node is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from masksynth.tasks import Instance, MergedTask, Node

Key = Any
Sees = Callable[[Key, Key], bool]


@dataclass(frozen=True)
class Published:
    """``positions``: name -> (input, position, kind); ``tables``: one formula a table; ``labels``.

    What a position predicts.
    """

    positions: dict[Key, tuple[Any, ...]]
    tables: tuple[Sees, ...]
    place: Callable[[int, Node], Key]
    labels: Callable[[Key], list[Any]]


def causal_lm(n):
    return Published(
        {i: (f"w{i}", i, "token") for i in range(n - 1)},
        (lambda q, k: k <= q,),
        lambda t, v: v.position,
        lambda q: [f"w{q + 1}"],
    )


def prefix_lm(n, P):
    sees = lambda q, k: k < P or k <= q  # noqa: E731
    text = {i: (f"w{i}", i, "token") for i in range(n - 1)}
    return Published(text, (sees,), lambda t, v: v.position, lambda q: [f"w{q + 1}"] if q >= P - 1 else [])


def packed_docs(lengths):
    starts = [sum(lengths[:d]) for d in range(len(lengths))]
    words = {(d, i): (f"w{starts[d] + i}", i, "token") for d, length in enumerate(lengths) for i in range(length - 1)}
    sees = lambda q, k: q[0] == k[0] and k[1] <= q[1]  # noqa: E731
    return Published(words, (sees,), lambda t, v: (t, v.position), lambda q: [f"w{starts[q[0]] + q[1] + 1}"])


def sliding_window(n, w):
    return Published(
        {i: (f"w{i}", i, "token") for i in range(n - 1)},
        (lambda q, k: 0 <= q - k < w,),
        lambda t, v: v.position,
        lambda q: [f"w{q + 1}"],
    )


def local_global(n, w, d):
    tables = (lambda q, k: 0 <= q - k < w, lambda q, k: 0 <= q - k <= w * d and (q - k) % d == 0, lambda q, k: k <= q)
    return Published(
        {i: (f"w{i}", i, "token") for i in range(n - 1)}, tables, lambda t, v: v.position, lambda q: [f"w{q + 1}"]
    )


def encdec_flat(m, n):
    encoder = {("e", j): (f"w{j}", j, "enc") for j in range(m)}
    decoder = {("d", j): ("<bos>" if j == 0 else f"y{j - 1}", j, "dec") for j in range(n)}
    sees = lambda q, k: k[0] == "e" or (q[0] == "d" and k[1] <= q[1])  # noqa: E731
    return Published(
        encoder | decoder, (sees,), lambda t, v: (v.name[0], v.position), lambda q: [f"y{q[1]}"] if q[0] == "d" else []
    )


def xlnet_two_stream(n, T, z):
    rank = {i: z.index(i) if i in z else -1 for i in range(n)}
    content = {("h", i): (f"w{i}", i, "token") for i in range(n) if i != z[-1]}
    query = {("g", i): ("M", i, "token") for i in z}

    def sees(q, k):
        below = rank[k[1]] == -1 or rank[k[1]] < rank[q[1]]
        return k[0] == "h" and (below or (q[0] == "h" and k == q))

    return Published(
        content | query, (sees,), lambda t, v: (v.name[0], v.position), lambda q: [f"w{q[1]}"] if q[0] == "g" else []
    )


def block_two_stream(n, l, causal=False):  # noqa: E741
    words = {("w", i): (f"w{i}", i, "token") for i in range(n - l)}
    queries = {("m", i): ("M", i, "token") for i in range(n)}

    def sees(q, k):
        if q[0] == "w":
            return k[0] == "w" and k[1] <= q[1]
        if k[0] == "w":
            return k[1] // l < q[1] // l
        return k[1] // l == q[1] // l and (not causal or k[1] <= q[1])

    return Published(
        words | queries, (sees,), lambda t, v: (v.name[0], v.position), lambda q: [f"w{q[1]}"] if q[0] == "m" else []
    )


def block_two_stream_causal(n, l):  # noqa: E741
    return block_two_stream(n, l, causal=True)


def butterfly(n):
    forward = {("f", i): (f"w{i}", i, "token") for i in range(n - 1)}
    backward = {("b", i): (f"w{i}", i, "token") for i in range(1, n)}
    middle = {("p", i): (("mean", *(f"w{j}" for j in (i - 1, i + 1) if 0 <= j < n)), i, "token") for i in range(n)}

    def sees(q, k):
        if q[0] == "p":
            return k == q or (k[0] == "f" and k[1] < q[1]) or (k[0] == "b" and k[1] > q[1])
        return q[0] == k[0] and (k[1] <= q[1] if q[0] == "f" else k[1] >= q[1])

    return Published(
        forward | backward | middle,
        (sees,),
        lambda t, v: (v.name[0], v.position),
        lambda q: [f"w{q[1]}"] if q[0] == "p" else [],
    )


def bd3lm(n, l, masked):  # noqa: E741
    blocks = {i // l for i in masked}
    clean = {("c", i): (f"w{i}", i, "token") for i in range(max(blocks) * l)}
    noised = {("x", i): ("M" if i in masked else f"w{i}", i, "token") for i in range(n) if i // l in blocks}

    def sees(q, k):
        diagonal = q[0] == k[0] and q[1] // l == k[1] // l
        offset = q[0] == "x" and k[0] == "c" and k[1] // l < q[1] // l
        causal = q[0] == k[0] == "c" and k[1] // l <= q[1] // l
        return diagonal or offset or causal

    return Published(
        clean | noised,
        (sees,),
        lambda t, v: (v.name[0], v.position),
        lambda q: [f"w{q[1]}"] if q[0] == "x" and q[1] in masked else [],
    )


def complementary_bd(n, l, masked):  # noqa: E741
    views = [set(masked), set(range(n)) - set(masked)]
    order = [(b, v) for b in range(n // l) for v in (0, 1) if any(i // l == b for i in views[v])]
    clean = {("c", i): (f"w{i}", i, "token") for i in range(n - l)}
    noised = {
        (v, i): ("M" if i in views[v] else f"w{i}", i, "token") for b, v in order for i in range(b * l, b * l + l)
    }

    def sees(q, k):
        if q[0] == "c" or k[0] == "c":
            return k[0] == "c" and (k[1] // l < q[1] // l or (q[0] == "c" and k[1] // l == q[1] // l))
        return q[0] == k[0] and q[1] // l == k[1] // l

    place = lambda t, v: ("c" if v.name[0] == "c" else order[t][1], v.position)  # noqa: E731
    return Published(
        clean | noised, (sees,), place, lambda q: [f"w{q[1]}"] if q[0] != "c" and q[1] in views[q[0]] else []
    )


def mask_token_chain(n, K):
    nodes = {
        (a, d): (f"w{a}" if d == 0 else "M", a + d, "token") for a in range(n - 1) for d in range(K) if a + d + 1 < n
    }
    sees = lambda q, k: (k[1] == 0 and k[0] <= q[0]) or (k[0] == q[0] and k[1] <= q[1])  # noqa: E731
    place = lambda t, v: (v.position, 0) if v.name[0] == "w" else (t, v.position - t)  # noqa: E731
    return Published(nodes, (sees,), place, lambda q: [f"w{q[0] + q[1] + 1}"])


def medusa_tree(P, choices):
    tree = {choice[:d] for choice in choices for d in range(1, len(choice) + 1)}
    leaves = [choice for choice in dict.fromkeys(choices) if not any(node[:-1] == choice for node in tree)]
    prefix = {("w", i): (f"w{i}", i, "token") for i in range(P)}
    drafts = {("d", node): (f"h{len(node)}.{node[-1]}", P + len(node) - 1, "token") for node in tree}

    def sees(q, k):
        if k[0] == "w":
            return q[0] == "d" or k[1] <= q[1]
        return q[0] == "d" and q[1][: len(k[1])] == k[1]

    place = lambda t, v: ("w", v.position) if v.name[0] == "w" else ("d", leaves[t][: v.position - P + 1])  # noqa: E731
    labels = lambda q: ["logits"] * sum(leaf[: len(q[1])] == q[1] for leaf in leaves) if q[0] == "d" else []  # noqa: E731
    return Published(prefix | drafts, (sees,), place, labels)


def answers(P, lengths):
    starts = [P + sum(lengths[:g]) for g in range(len(lengths))]
    prompt = {("prompt", i): (f"w{i}", i, "token") for i in range(P)}
    tokens = {
        (g, j): (f"w{starts[g] + j}", P + j, "token") for g, length in enumerate(lengths) for j in range(length - 1)
    }
    sees = lambda q, k: (k[0] == "prompt" and (q[0] != "prompt" or k[1] <= q[1])) or (k[0] == q[0] and k[1] <= q[1])  # noqa: E731
    place = lambda t, v: ("prompt", v.position) if v.position < P else (t, v.position - P)  # noqa: E731

    def labels(q):
        if q == ("prompt", P - 1):
            return [f"w{start}" for start in starts]
        return [f"w{starts[q[0]] + q[1] + 1}"] if q[0] != "prompt" else []

    return Published(prompt | tokens, (sees,), place, labels)


def shared_prefix_group(P, R, G):
    return answers(P, [R] * G)


def dpo_prefix_sharing(P, chosen, rejected):
    return answers(P, [chosen, rejected])


def agent_trie(rollouts):
    live = sorted(
        {rollout[:i] for rollout in rollouts for i in range(1, len(rollout))}
    )  # sorted prefixes are in depth-first order
    tin = {prefix: place for place, prefix in enumerate(live)}
    tout = {prefix: 1 + max(tin[other] for other in live if other[: len(prefix)] == prefix) for prefix in live}
    return Published(
        {prefix: (f"w{prefix[-1]}", len(prefix) - 1, "token") for prefix in live},
        (lambda q, k: tin[k] <= tin[q] < tout[k],),
        lambda t, v: rollouts[t][: v.position + 1],
        lambda q: [f"w{rollout[len(q)]}" for rollout in rollouts if rollout[: len(q)] == q and len(rollout) > len(q)],
    )


def multiturn_layout(turns):
    """(turn, role, j) in published order, with (input, position, kind)."""
    last, token, past, layout = len(turns) - 1, 0, 0, {}
    for i, (h, t, a) in enumerate(turns):
        for j in range(h):
            layout[i, "human", j] = (f"w{token + j}", past + j, "token")
        for j in range(t):
            layout[i, "think", j] = (f"w{token + h + j}", past + h + j, "token")
        if i < last:
            for j in range(a):
                layout[i, "answer-in", j] = (f"w{token + h + t + j}", past + h + j, "token")
        if t or i == last:
            for j in range(a - 1):
                layout[i, "answer-out", j] = (f"w{token + h + t + j}", past + h + t + j, "token")
        token += h + t + a
        past += h + a
    if turns[-1][2] == 0:
        raise AssertionError("every turn answers")
    return layout


def multiturn_reasoning(turns):
    layout = multiturn_layout(turns)
    order = {key: place for place, key in enumerate(layout)}
    lengths = dict(enumerate(turns))
    first = [sum(sum(turn) for turn in turns[:i]) for i in range(len(turns))]

    def sees(q, k):
        same = q[0] == k[0]
        return order[k] <= order[q] and (
            k[1] == "human"
            or (k[1] == "answer-in" and (not same or q[1] != "answer-out"))
            or (same and k[1] == "think" and q[1] != "answer-in")
            or (same and k[1] == "answer-out")
        )

    def place(task, v):
        index = int(v.input[1:])
        i = max(i for i in lengths if first[i] <= index)
        h, t, _ = turns[i]
        j = index - first[i]
        if j < h:
            return i, "human", j
        if j < h + t:
            return i, "think", j - h
        out = task == i and (t > 0 or i == len(turns) - 1)
        return i, "answer-out" if out else "answer-in", j - h - t

    def labels(q):
        i, role, j = q
        h, t, a = turns[i]
        step = {"human": j, "think": h + j, "answer-out": h + t + j, "answer-in": h + j}[role]
        trained = (
            (role == "human" and j == h - 1)
            or role in ("think", "answer-out")
            or (role == "answer-in" and t == 0 and j < a - 1)
        )
        return [f"w{first[i] + step + 1}"] if trained else []

    return Published(layout, (sees,), place, labels)


def parallel_context(docs, questions, uses):
    uses = uses or (tuple(range(len(docs))),) * len(questions)
    used = {d for row in uses for d in row}
    start = {d: sum(docs[:d]) for d in used}
    begin = [sum(docs) + sum(questions[:x]) for x in range(len(questions))]
    after = [max((docs[d] for d in row), default=0) for row in uses]
    documents = {("doc", d, i): (f"w{start[d] + i}", i, "token") for d in used for i in range(docs[d])}
    asked = {
        ("q", x, i): (f"w{begin[x] + i}", after[x] + i, "token")
        for x in range(len(questions))
        for i in range(questions[x] - 1)
    }
    sees = lambda q, k: (q[:2] == k[:2] and k[2] <= q[2]) or (q[0] == "q" and k[0] == "doc" and k[1] in uses[q[1]])  # noqa: E731

    def place(t, v):
        index = int(v.input[1:]) if v.input != "<bos>" else int(v.name[1:])
        if index >= sum(docs):
            return "q", t, index - begin[t]
        d = max(d for d in used if start[d] <= index)
        return "doc", d, index - start[d]

    return Published(documents | asked, (sees,), place, lambda q: [f"w{begin[q[1]] + q[2] + 1}"] if q[0] == "q" else [])


def parallel_context_bos(docs, questions, uses):
    plain = parallel_context(docs, questions, uses)
    positions = {
        key: ("<bos>", 0, "token") if key[0] == "doc" and key[2] == 0 else value
        for key, value in plain.positions.items()
    }
    return Published(positions, plain.tables, plain.place, plain.labels)


def transfusion(segments):
    owner = [s for s, length in enumerate(segments) for _ in range(length)]
    total = len(owner)
    live = range(total - (1 if owner[-1] % 2 == 0 else 0))
    nodes = {i: (f"w{i}", i, "token") if owner[i] % 2 == 0 else (("noised", f"w{i}"), i, "image") for i in live}
    sees = lambda q, k: k <= q or (owner[q] == owner[k] and owner[q] % 2 == 1)  # noqa: E731
    labels = lambda q: (  # noqa: E731
        [f"eps{q}"] if owner[q] % 2 else [f"w{q + 1}"] if q + 1 < total and owner[q + 1] == owner[q] else []
    )
    return Published(nodes, (sees,), lambda t, v: v.position, labels)


def var_scales(patch_nums):
    scale = [s for s, side in enumerate(patch_nums) for _ in range(side * side)]
    nodes = {i: (f"w{i}", i, "token") for i in range(len(scale))}
    return Published(nodes, (lambda q, k: scale[k] <= scale[q],), lambda t, v: v.position, lambda q: [f"c{q}"])


def tabpfn(n, m):
    nodes = {i: (f"w{i}", 0, "token") for i in range(n + m)}
    return Published(
        nodes, (lambda q, k: k < n or k == q,), lambda t, v: int(v.input[1:]), lambda q: [f"y{q - n}"] if q >= n else []
    )


def tabpfn_duplicates(train, test):
    rows = {("train", i): (row, 0, "token") for i, row in enumerate(train)} | {
        ("test", row): (row, 0, "token") for row in test
    }
    place = lambda t, v: ("test", test[t]) if v.name == "test" else ("train", int(v.name[5:]))  # noqa: E731
    labels = lambda q: [f"y{j}" for j, row in enumerate(test) if q == ("test", row)]  # noqa: E731
    return Published(rows, (lambda q, k: k[0] == "train" or k == q,), place, labels)


def tnp_a(n, m):
    real = {("real", i): ((f"w{i}", f"y{i}"), i, "token") for i in range(n - 1)}
    fake = {("fake", i): ((f"w{i}", 0), i, "token") for i in range(m, n)}

    def sees(q, k):
        if k[0] == "fake":
            return False
        return k[1] < m or (k[1] < q[1] if q[0] == "fake" else k[1] <= q[1])

    place = lambda t, v: ("fake" if v.name == "fake" else "real", v.position)  # noqa: E731
    return Published(real | fake, (sees,), place, lambda q: [f"y{q[1]}"] if q[0] == "fake" else [])


def loo_mlm(n):
    nodes = {(j, i): ("M" if i == j else f"w{i}", i, "token") for j in range(n) for i in range(n)}
    return Published(
        nodes,
        (lambda q, k: q[0] == k[0],),
        lambda t, v: (t, v.position),
        lambda q: [f"w{q[0]}"] if q[0] == q[1] else [],
    )


def places(instance: Instance, merged: MergedTask, published: Published) -> dict[Key, int]:
    """Published position -> merged index, read off the embeddings.

    Two indices for one published position are a failure.
    """
    found: dict[Key, int] = {}
    for number, task in enumerate(instance.family.tasks):
        for name, index in merged.embeddings[task.name].items():
            key = published.place(number, task.nodes[task.index[name]])
            assert found.setdefault(key, index) == index, f"{key} stands at {found[key]} and {index}"
    return found


def compare(instance: Instance, merged: MergedTask, published: Published) -> None:
    """Element by element: positions, every table of the mask.

    And labels (with their multiplicities) agree with the published scheme.
    """
    found = places(instance, merged, published)
    assert found.keys() == published.positions.keys(), found.keys() ^ published.positions.keys()
    assert sorted(found.values()) == list(range(len(merged.positions))), "not one to one"
    dense = merged.mask.dense().reshape(len(published.tables), len(found), len(found))
    for key, index in found.items():
        assert tuple(merged.positions[index]) == published.positions[key], key
    for table, sees in zip(dense, published.tables, strict=True):
        for q, row in found.items():
            for k, column in found.items():
                assert bool(table[row, column]) == sees(q, k), (q, k)
    labels: dict[int, list[Any]] = {index: [] for index in found.values()}
    for edge in merged.loss_edges:
        labels[edge.position].append(merged.labels[edge.label])
    for key, index in found.items():
        assert sorted(labels[index]) == sorted(published.labels(key)), key


def compare_classes(merged: MergedTask, published: Published) -> None:
    """Where inputs repeat: every published row has, identity by identity.

    As many keys as the merged row of the same identity.
    """
    dense = merged.mask.dense()
    identities = [tuple(position) for position in merged.positions]
    for key, identity in published.positions.items():
        wanted = sorted(published.positions[k] for k in published.positions if published.tables[0](key, k))
        rows = [index for index, other in enumerate(identities) if other == identity]
        assert rows, identity
        for row in rows:
            assert sorted(identities[k] for k in dense[row].nonzero()[0]) == wanted, key
    assert set(identities) == set(published.positions.values())
