"""Generate token samples as agents leave them: one sample for each model call, most of which extend the one before.

All rollouts begin with one system prompt; the rollouts of a task (its group) share the task's text. A call's sample is
the conversation so far and the answer, the only part that is trained; the next call's conversation has the answer and
the environment's reply appended. Some rollouts branch off an earlier one of their task, as retries do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr
from masksynth.mask.typing import Int64Array
from masksynth.pack.sample_columns import IGNORED, SampleTable

VOCABULARY = 150_000


@dataclass(frozen=True)
class Agents:
    """Shape of generated trajectories; lengths are means of geometric distributions, in tokens.

    Parameters
    ----------
    tasks, rollouts, calls : int
        Number of tasks, of rollouts of each task, and of model calls in each rollout.
    system, task, reply, answer : int
        Length of the system prompt, and mean length of a task's text, of an environment's reply and of an answer.
    retries : float
        Share of rollouts that begin with some calls of an earlier rollout of their task.
    """

    tasks: int = 40
    rollouts: int = 4
    calls: int = 14
    system: int = 1100
    task: int = 350
    reply: int = 150
    answer: int = 80
    retries: float = 0.1


def generate_trajectories(agents: Agents = Agents(), seed: int = 0) -> SampleTable:
    """Return the samples of seeded trajectories; with the default shape about 7 million tokens, 13 to a position.

    Examples
    --------
    >>> table = generate_trajectories(Agents(tasks=2, rollouts=2, calls=3))
    >>> len(table), len(set(table.groups))
    (12, 2)
    """
    rng = np.random.default_rng(seed)
    samples: list[tuple[int, Int64Array, int]] = []  # (task, tokens, number of trained tokens at the end)
    system = rng.integers(0, VOCABULARY, agents.system)
    for task in range(agents.tasks):
        prompt = np.concatenate([system, _text(rng, agents.task)])
        rollouts: list[list[tuple[int, Int64Array, int]]] = []
        for _ in range(agents.rollouts):
            calls = _begin_rollout(rng, agents, rollouts)
            context = np.concatenate([calls[-1][1], _text(rng, agents.reply)]) if calls else prompt
            while len(calls) < agents.calls:
                answer = _text(rng, agents.answer)
                calls.append((task, np.concatenate([context, answer]), len(answer)))
                context = np.concatenate([calls[-1][1], _text(rng, agents.reply)])
            rollouts.append(calls)
            samples += calls
    return _table_of_samples(samples)


def _begin_rollout(
    rng: np.random.Generator, agents: Agents, rollouts: list[list[tuple[int, Int64Array, int]]]
) -> list[tuple[int, Int64Array, int]]:
    """Return the first calls of a new rollout: those of an earlier one where it is a retry, else none."""
    if not rollouts or rng.random() >= agents.retries:
        return []
    earlier = rollouts[int(rng.integers(len(rollouts)))]
    return earlier[: int(rng.integers(1, agents.calls))]


def _text(rng: np.random.Generator, mean: int) -> Int64Array:
    """Return random tokens, a geometric number of them."""
    return rng.integers(0, VOCABULARY, int(rng.geometric(1 / mean)))


def _table_of_samples(samples: list[tuple[int, Int64Array, int]]) -> SampleTable:
    tokens = np.concatenate([tokens for _, tokens, _ in samples])
    offset = indptr([len(tokens) for _, tokens, _ in samples])
    labels = np.full(len(tokens), IGNORED, np.int64)
    for end, (_, _, trained) in zip(offset[1:].tolist(), samples, strict=True):
        labels[end - trained : end] = tokens[end - trained : end]
    count = len(samples)
    return SampleTable(
        ids=tuple(range(count)),
        groups=tuple(f"task {task}" for task, _, _ in samples),
        place=tuple(f"trajectories:{number}" for number in range(1, count + 1)),
        weight=np.ones(count),
        offset=offset,
        tokens=tokens,
        labels=labels,
        first_label=np.full(count, IGNORED, np.int64),
        segments=(None,) * count,
    )
