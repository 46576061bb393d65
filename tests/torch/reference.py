"""Each task on its own, read from its definition.

Rows, reach and losses by the naive definitions, without the package's merge.
"""

from __future__ import annotations

import json

import numpy as np
import torch


def text(value):
    return json.dumps(value, sort_keys=True)


def rows_of(task):
    """P bool arrays (n, n) of a task: literal rows, or their reflexive and transitive closure by boolean powers."""
    index = {node.name: place for place, node in enumerate(task.nodes)}
    tables = np.zeros((len(task.attends), len(index), len(index)), bool)
    for number, table in enumerate(task.attends):
        for name, row in table.items():
            tables[number, index[name], [index[key] for key in row]] = True
    if task.closure:
        step = tables[0] | np.eye(len(index), dtype=bool)
        power = step
        for _ in index:
            power = (power.astype(int) @ step.astype(int)) > 0
        tables = power[None]
    return torch.from_numpy(tables)


def live_of(task):
    """Bool (n,): the nodes that some prediction reads at any depth."""
    step = rows_of(task).any(0).numpy() | np.eye(len(task.nodes), dtype=bool)
    found = np.array([any(p.node == node.name for p in task.predict) for node in task.nodes], bool)
    for _ in task.nodes:
        found = found | (found.astype(int) @ step.astype(int) > 0)
    return found


def identities_of(task):
    return [(node.input, node.position, node.kind) for node in task.nodes]


def labels_of(family):
    """Label text -> class, numbered backwards so that a label index is never its class by accident."""
    texts = sorted({text(p.label) for task in family.tasks for p in task.predict}, reverse=True)
    return {label: number + 1 for number, label in enumerate(texts)}


def separate(model, family):
    """One pass per task: outputs at its predictions, and its weighted loss, summed over the family."""
    classes, outputs, loss = labels_of(family), [], torch.zeros((), dtype=torch.float64)
    for task in family.tasks:
        if not task.predict:
            continue
        logits = model(identities_of(task), rows_of(task))
        names = [node.name for node in task.nodes]
        for prediction in task.predict:
            row = logits[names.index(prediction.node)]
            outputs.append(row)
            loss = loss - prediction.weight * torch.log_softmax(row, -1)[classes[text(prediction.label)]]
    return outputs, loss
