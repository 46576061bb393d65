"""Samples made up for tests, and a packer as anybody would write it.

A prefix tree of Python dicts, one node after another.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask import Mask
from masksynth.pack import PackedBatch
from tests.pack.written import packed_folder

IGNORED = -100
FIELDS = ("advantages", "old_logprobs", "ref_logprobs")


def sample(name, group, prompt, answer, weight=1.0, **fields):
    """A sample that trains its answer."""
    ids = [*prompt, *answer]
    labels = [IGNORED] * len(prompt) + list(answer)
    return {"id": name, "group": group, "input_ids": ids, "labels": labels, "weight": weight, **fields}


def rollouts(groups=3, answers=4, seed=0, vocabulary=40, prompt=9, answer=7):
    """Answers to prompts, in the manner of GRPO: two answers of a group have the same beginning, and weights differ."""
    random = np.random.default_rng(seed)
    found = []
    for group in range(groups):
        question = random.integers(0, vocabulary, prompt + group).tolist()
        first = random.integers(0, vocabulary, answer).tolist()
        for number in range(answers):
            tail = random.integers(0, vocabulary, int(random.integers(1, answer + 1))).tolist()
            text = first[: 3 * (number % 2)] + tail
            size = len(question) + len(text)
            fields = {name: random.normal(size=size).round(6).tolist() for name in FIELDS}
            found.append(sample(f"q{group}/{number}", f"q{group}", question, text, 0.5 + number, **fields))
    return found


def calls(conversations=2, turns=3, seed=1, vocabulary=40):
    """Agent calls: every call repeats the conversation so far and trains its own answer.

    Thinking of earlier turns is gone.
    """
    random = np.random.default_rng(seed)
    found = []
    for number in range(conversations):
        history = random.integers(0, vocabulary, 5).tolist()
        for turn in range(turns):
            history += random.integers(0, vocabulary, 3).tolist()
            thinking, answer = (random.integers(0, vocabulary, size).tolist() for size in (4, 3))
            found.append(sample(f"c{number}/{turn}", f"c{number}", history, thinking + answer))
            history += answer
    return found


def pairs(count=3, seed=2, vocabulary=40):
    """Preference pairs: a chosen and a rejected answer to one prompt."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        prompt = random.integers(0, vocabulary, 6).tolist()
        for which in ("chosen", "rejected"):
            answer = random.integers(0, vocabulary, int(random.integers(2, 8))).tolist()
            ref = random.normal(size=len(prompt) + len(answer)).round(6).tolist()
            found.append(sample(f"p{number}/{which}", f"p{number}", prompt, answer, ref_logprobs=ref))
    return found


def live(one):
    """How many tokens of a causal sample some label depends on: all before the last label."""
    return max((i for i, label in enumerate(one["labels"]) if label != IGNORED), default=0)


def packed(samples):
    """One batch of all samples, positions in depth-first order of their prefix trees."""
    children, parent, token, depth = {}, [], [], []
    paths = []
    for one in samples:
        at, path = -1, []
        for place, value in enumerate(one["input_ids"][: live(one)]):
            step = (at if place else ("root", one["group"]), value)
            if step not in children:
                children[step] = len(parent)
                parent.append(at if place else -1)
                token.append(value)
                depth.append(place)
            at = children[step]
            path.append(at)
        paths.append(path)
    order = depth_first(parent)
    where = {node: place for place, node in enumerate(order)}
    ancestors = []
    for node in order:
        row = [where[node]]
        while parent[node] >= 0:
            node = parent[node]
            row.append(where[node])
        ancestors.append(sorted(row))
    edges = [
        (where[paths[s][i - 1]], label, s, one["weight"], i)
        for s, one in enumerate(samples)
        for i, label in enumerate(one["labels"])
        if label != IGNORED
    ]
    position, label, owner, weight, index = (
        (list(column) for column in zip(*edges, strict=True)) if edges else ([],) * 5
    )
    dead = [range(live(one), len(one["input_ids"])) for one in samples]
    names = [name for name in FIELDS if all(name in one for one in samples)]
    return PackedBatch(
        samples=tuple(one["id"] for one in samples),
        input_ids=ints([token[node] for node in order]),
        position_ids=ints([depth[node] for node in order]),
        mask=Mask.from_intervals([[intervals(row) for row in ancestors]]),
        loss_position=ints(position),
        loss_label=ints(label),
        loss_sample=ints(owner),
        loss_weight=np.array(weight, np.float64),
        sample_offset=ints(np.cumsum([0, *map(len, paths)])),
        sample_position=ints([where[node] for path in paths for node in path]),
        sample_weight=np.array([one["weight"] for one in samples], np.float64),
        loss_index=ints(index),
        dead_offset=ints(np.cumsum([0, *map(len, dead)])),
        dead_index=ints([i for places in dead for i in places]),
        dead_token=ints([one["input_ids"][i] for one, places in zip(samples, dead, strict=True) for i in places]),
        fields={
            name: np.array([samples[s][name][i] for s, i in zip(owner, index, strict=True)], np.float64)
            for name in names
        },
    )


def ints(values):
    return np.array(values, np.int64)


def depth_first(parent):
    below = {}
    for node, above in enumerate(parent):
        below.setdefault(above, []).append(node)
    order, stack = [], below.get(-1, [])[::-1]
    while stack:
        order.append(node := stack.pop())
        stack += below.get(node, [])[::-1]
    return order


def intervals(row):
    """Sorted keys as maximal half-open intervals."""
    found = []
    for key in row:
        if found and found[-1][1] == key:
            found[-1][1] = key + 1
        else:
            found.append([key, key + 1])
    return [tuple(pair) for pair in found]


def folder_of(path, batches):
    """A packed folder of given batches."""
    return packed_folder(path, batches)
