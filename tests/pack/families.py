"""Samples as a family of tasks, token by token, and a packed batch as its merged task.

The slow road that knows no runs.
"""

from __future__ import annotations

import numpy as np

from masksynth.pack.batch import PackedBatch
from masksynth.tasks import Instance, LossEdge, MergedTask, Node, Position, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import question_of
from tests.pack.strategies import ROUTE

KEYS = ("kinds", ROUTE)
"""Further keys of the samples."""


def kind_of(keys, group):
    """A kind that holds the keys of a token and its group: nodes of different groups are never equivalent."""
    return f"{tuple(map(int, keys))} {group!r}"


def rows_of_sample(sample):
    """(rows, predictor of each label) of one sample, written out."""
    tokens = len(sample["input_ids"])
    segments = sample.get("segments") or [{"length": tokens}]
    starts = np.cumsum([0, *(s["length"] for s in segments)]).tolist()
    rows, predictor = [], {}
    for number, segment in enumerate(segments):
        own = list(range(starts[number], starts[number + 1]))
        chosen = [s for item in segment.get("sees", []) for s in (range(*item) if isinstance(item, list) else [item])]
        seen = [t for s in chosen for t in range(starts[s], starts[s + 1])]
        for place, token in enumerate(own):
            within = {"causal": own[: place + 1], "full": own, "self": [token]}[segment.get("within", "causal")]
            rows.append(seen + within)
            if segment.get("predict", "next") == "self":
                predictor[token] = token
            elif place:
                predictor[token] = token - 1
            elif segment.get("after", number - 1) >= 0:
                predictor[token] = starts[segment.get("after", number - 1) + 1] - 1
    return rows, predictor


def positions_of_sample(sample):
    if sample.get("position_ids"):
        return sample["position_ids"]
    result = []
    for segment in sample.get("segments") or [{"length": len(sample["input_ids"])}]:
        begin = segment.get("position", len(result))
        result += range(begin, begin + segment["length"])
    return result


def task_of(sample, separate=False) -> Task:
    rows, predictor = rows_of_sample(sample)
    zeros = [0] * len(rows)
    keys = zip(*(sample.get(name) or zeros for name in KEYS), strict=True)
    kinds = [kind_of(key, sample.get("group") if separate else ...) for key in keys]
    places = positions_of_sample(sample)
    nodes = [Node(f"t{i}", token, places[i], kinds[i]) for i, token in enumerate(sample["input_ids"])]
    attends = {f"t{i}": [f"t{k}" for k in row] for i, row in enumerate(rows)}
    weight = sample.get("weight", 1.0)
    predict = [
        Prediction(f"t{predictor[i]}", label, weight) for i, label in enumerate(sample["labels"]) if label != -100
    ]
    return Task(str(sample["id"]), nodes, attends, predict)


def family_of(samples, separate=False) -> Instance:
    """The family of some samples; ``separate``: nodes of different groups are never equivalent."""
    return Instance(TaskFamily([task_of(sample, separate) for sample in samples]), "samples")


def groups_of_positions(batch, groups):
    """The group that each position serves; a copy that no sample uses belongs to that of the position before it."""
    result = [...] * batch.positions
    for number, group in enumerate(groups):
        for place in batch.sample_position[batch.sample_offset[number] : batch.sample_offset[number + 1]].tolist():
            assert result[place] in (..., group), "a position serves two groups"
            result[place] = group
    for place in range(batch.positions):
        result[place] = result[place - 1] if result[place] is ... else result[place]
    return result


def merged_of(batch: PackedBatch, instance: Instance, groups=None) -> MergedTask:
    """The merged task that a batch of these samples, in this order and these separate groups, claims to be."""
    labels = tuple(dict.fromkeys(batch.loss_label.tolist()))
    zeros = np.zeros(batch.positions, np.int64)
    keys = zip(*(batch.keys.get(name, zeros).tolist() for name in KEYS), strict=True)
    group = groups_of_positions(batch, groups or [...] * len(batch.samples))
    kinds = [kind_of(*both) for both in zip(keys, group, strict=True)]
    embeddings = {}
    for number, task in enumerate(instance.family.tasks):
        dead = set(batch.dead_index[batch.dead_offset[number] : batch.dead_offset[number + 1]].tolist())
        live = [f"t{i}" for i in range(len(task.nodes)) if i not in dead]
        places = batch.sample_position[batch.sample_offset[number] : batch.sample_offset[number + 1]].tolist()
        embeddings[task.name] = dict(zip(live, places, strict=True))
    edges = zip(
        batch.loss_position.tolist(),
        batch.loss_label.tolist(),
        batch.loss_sample.tolist(),
        batch.loss_weight.tolist(),
        strict=True,
    )
    return MergedTask(
        tuple(
            Position(i, p, k)
            for i, p, k in zip(batch.input_ids.tolist(), batch.position_ids.tolist(), kinds, strict=True)
        ),
        batch.mask,
        embeddings,
        labels,
        tuple(task.name for task in instance.family.tasks),
        tuple(LossEdge(p, labels.index(label), s, w) for p, label, s, w in edges),
        question_of(instance.family),
    )
