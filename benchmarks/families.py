"""Build families of a given number of task nodes."""

from __future__ import annotations

import random
from itertools import pairwise

from masksynth import catalog
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily


def sample(name: str, tokens: list[int]) -> Task:
    """Return a causal sample: a chain of tokens, each of which except the last predicts the next."""
    nodes = [Node(f"n{place}", token, place) for place, token in enumerate(tokens)]
    rows = {later.name: (earlier.name,) for earlier, later in pairwise(nodes)}
    predict = [Prediction(earlier.name, later.input) for earlier, later in pairwise(nodes)]
    return Task(name, tuple(nodes), (rows,), tuple(predict), True)


def chains(nodes: int) -> Instance:
    """Return a chain in two copies, each with half of the nodes: rows as long as possible, all of which merge."""
    rng = random.Random(0)
    tokens = [rng.randrange(50_000) for _ in range(nodes // 2)]
    return Instance(TaskFamily((sample("first", tokens), sample("second", tokens))), f"chains-{nodes}")


def sequences(nodes: int, length: int = 500) -> list[list[int]]:
    """Return token sequences of ``length``, each of which shares a random prefix with an earlier one."""
    rng = random.Random(0)
    samples: list[list[int]] = []
    for _ in range(max(1, nodes // length)):
        old = rng.choice(samples)[: rng.randrange(length)] if samples else []
        samples.append(old + [rng.randrange(50_000) for _ in range(length - len(old))])
    return samples


def prefix_tree(nodes: int) -> Instance:
    """Return the causal samples of ``sequences``."""
    tasks = tuple(
        sample(f"sample {number}", tokens) for number, tokens in enumerate(sequences(nodes, min(500, nodes // 4)))
    )
    return Instance(TaskFamily(tasks), f"prefix-tree-{nodes}")


def butterfly(nodes: int) -> Instance:
    """Return ``butterfly``, n tasks of n nodes each, with n^2 near ``nodes``."""
    return catalog.butterfly(n=max(2, round(nodes**0.5)))


def block_two_stream(nodes: int) -> Instance:
    """Blocks of 16 tokens; B blocks have 16 (B(B - 1)/2 + B) nodes."""
    blocks = max(1, round((nodes / 8) ** 0.5))
    return catalog.block_two_stream(n=16 * blocks, l=16)


def random_family(nodes: int) -> Instance:
    """Return closed tasks of 6 nodes over two tokens and two position ids, with cycles: many nodes may coincide."""
    rng = random.Random(nodes)
    tasks = []
    for number in range(max(1, nodes // 6)):
        task_nodes = [Node(f"n{i}", rng.choice("ab"), rng.choice((0, 1))) for i in range(6)]
        rows = {
            f"n{i}": tuple(f"n{j}" for j in range(6) if i != j and rng.random() < (0.4 if j < i else 0.05))
            for i in range(6)
        }
        tasks.append(
            Task(f"t{number}", tuple(task_nodes), (rows,), (Prediction("n5", "x"), Prediction("n4", "y")), True)
        )
    return Instance(TaskFamily(tuple(tasks)), f"random-{nodes}")


def trees(nodes: int) -> Instance:
    """Return closed random trees of 1,000 nodes over three tokens, half of whose nodes predict."""
    rng = random.Random(1)
    tasks = []
    for number in range(max(1, nodes // 1000)):
        parent = [max(0, i - rng.randrange(1, 8)) for i in range(1000)]
        depth = [0] * 1000
        for i in range(1, 1000):
            depth[i] = depth[parent[i]] + 1
        members = [Node(f"n{i}", rng.randrange(3), depth[i]) for i in range(1000)]
        rows = {f"n{i}": (f"n{parent[i]}",) for i in range(1, 1000)}
        predict = [Prediction(f"n{i}", rng.randrange(100)) for i in range(1, 1000, 2)]
        tasks.append(Task(f"t{number}", tuple(members), (rows,), tuple(predict), True))
    return Instance(TaskFamily(tuple(tasks)), f"trees-{nodes}")


def posets(nodes: int) -> Instance:
    """Return closed random orders of 100 nodes, each above up to three of the 20 before it."""
    rng = random.Random(2)
    tasks = []
    for number in range(max(1, nodes // 100)):
        rows = {f"n{i}": tuple(f"n{j}" for j in rng.sample(range(max(0, i - 20), i), min(i, 3))) for i in range(1, 100)}
        members = [Node(f"n{i}", rng.randrange(4), rng.randrange(3)) for i in range(100)]
        predict = [Prediction(f"n{i}", rng.randrange(100)) for i in range(50, 100)]
        tasks.append(Task(f"t{number}", tuple(members), (rows,), tuple(predict), True))
    return Instance(TaskFamily(tuple(tasks)), f"posets-{nodes}")


def windows(nodes: int) -> Instance:
    """Return literal sliding windows of 5 tokens over samples of 500 tokens that share prefixes."""
    tasks = []
    for number, tokens in enumerate(sequences(nodes, min(500, nodes // 4))):
        members = [Node(f"n{i}", token, i) for i, token in enumerate(tokens)]
        rows = {f"n{i}": tuple(f"n{j}" for j in range(max(0, i - 4), i + 1)) for i in range(len(tokens))}
        predict = [Prediction(f"n{i}", token) for i, token in enumerate(tokens[1:])]
        tasks.append(Task(f"t{number}", tuple(members), (rows,), tuple(predict)))
    return Instance(TaskFamily(tuple(tasks)), f"windows-{nodes}")


MERGED = {"chains": chains, "prefix tree": prefix_tree, "butterfly": butterfly, "block two-stream": block_two_stream}
"""Families of the merge benchmark."""

SOLVED = {**MERGED, "trees": trees, "posets": posets, "windows": windows, "tasks of 6 nodes": random_family}
"""Families of the solve benchmark."""

SEARCHED = {
    "butterfly": [catalog.butterfly(n=n) for n in (4, 6, 8, 10, 12, 14, 16)],
    "causal_lm": [catalog.causal_lm(n=n) for n in (8, 12, 16, 20, 24, 32)],
    "block_two_stream": [catalog.block_two_stream(n=n, l=2) for n in (8, 12, 16, 20, 24, 32)],
    "random": [random_family(nodes) for nodes in (24, 48, 96, 192, 384, 576)],
}
"""Families of the search benchmark, in growing sizes."""
