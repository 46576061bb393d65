"""Seeded tiny families: closed and literal tasks, cycles, twins, layer patterns, dead nodes, several labels."""

from __future__ import annotations

import random

from masksynth.tasks import Node, Prediction, Task, TaskFamily


def random_task(rng: random.Random, name: str, most: int, closed: bool, pattern: int, letters: str) -> Task:
    """A task of at most ``most`` nodes over few inputs and positions, so that many nodes may meet."""
    count = rng.randint(1, most)
    nodes = [
        Node(f"n{i}", rng.choice(letters), rng.choice((0, 0, 1)), rng.choice(("token", "token", "token", "query")))
        for i in range(count)
    ]
    density = rng.choice((0.2, 0.4, 0.7))
    acyclic = rng.random() < 0.5
    tables = []
    for _ in range(1 if closed else pattern):
        table = {}
        for i in range(count):
            keys = [j for j in range(count) if (j < i if acyclic else j != i) and rng.random() < density]
            if not closed and (rng.random() < 0.8 or not keys):
                keys.append(i)
            rng.shuffle(keys)
            if keys:
                table[f"n{i}"] = tuple(f"n{j}" for j in keys)
        tables.append(table)
    predict = [
        Prediction(f"n{rng.randrange(count)}", rng.choice("xyz"), rng.choice((1.0, 0.5, -1.0, 0.0)))
        for _ in range(rng.randint(1, 2))
    ]
    return Task(name, tuple(nodes), tuple(tables), tuple(predict), closed)


def random_family(seed: int, tasks: int = 3, most: int = 4) -> TaskFamily:
    """The family of a seed."""
    rng = random.Random(seed)
    mode = rng.choice(("closed", "literal", "mixed"))
    pattern = 1 if mode != "literal" else rng.choice((1, 1, 2, 3))
    letters = rng.choice(("a", "aab", "abc"))
    made = [
        random_task(
            rng, f"t{number}", most, {"closed": True, "literal": False}.get(mode, rng.random() < 0.5), pattern, letters
        )
        for number in range(rng.randint(1, tasks))
    ]
    return TaskFamily(tuple(made))
