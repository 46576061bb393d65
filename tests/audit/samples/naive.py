"""What samples ask of a mask, written out on dense arrays and plain Python: the specification that the audit is
compared with.
"""

from __future__ import annotations

from collections import Counter

import numpy as np


def segment_rows(sample):
    """Return the tokens that each token of a sample sees."""
    size = len(sample["input_ids"])
    if sample.get("segments") is None:
        return [list(range(token + 1)) for token in range(size)]
    spans, rows, start = [], [], 0
    for part in sample["segments"]:
        spans.append(range(start, start + part["length"]))
        seen = []
        for item in part.get("sees", []):
            low, high = (item, item + 1) if isinstance(item, int) else item
            for number in range(low, high):
                seen += spans[number]
        within = part.get("within", "causal")
        for token in spans[-1]:
            own = {"causal": range(start, token + 1), "full": spans[-1], "self": [token]}[within]
            rows.append(sorted({*seen, *own}))
        start += part["length"]
    return rows


def predictors(sample):
    """Return (predicting token, label) of every trained label."""
    found, start, spans = [], 0, []
    parts = sample.get("segments") or [{"length": len(sample["input_ids"])}]
    for number, part in enumerate(parts):
        spans.append((start, start + part["length"]))
        for token in range(start, start + part["length"]):
            label = sample["labels"][token]
            if label == -100:
                continue
            if part.get("predict") == "self":
                found.append((token, label))
            elif token > start:
                found.append((token - 1, label))
            else:
                after = part.get("after", number - 1)
                found.append((spans[number - 1 if after is None else after][1] - 1, label))
        start += part["length"]
    return found


def position_ids(sample):
    """Return the position ids of a sample."""
    if "position_ids" in sample:
        return sample["position_ids"]
    if sample.get("segments") is None:
        return list(range(len(sample["input_ids"])))
    found, start = [], 0
    for part in sample["segments"]:
        first = part.get("position", start)
        found += range(first, first + part["length"])
        start += part["length"]
    return found


def cut(rows, rule):
    """Return rows of one sample, cut to a window or a chunk: ("full", 0), ("window", W) or ("chunk", C)."""
    kind, width = rule
    if kind == "window":
        return [[key for key in row if key > token - width] for token, row in enumerate(rows)]
    if kind == "chunk":
        return [[key for key in row if key // width == token // width] for token, row in enumerate(rows)]
    return rows


def is_right(tables, inputs, positions, labels, samples, rules, layers=None):
    """Return whether every label is predicted, as often as expected, from the value that its own sample gives.

    Values are named level by level: identity and the multiset of values in each table's row.
    """
    nodes = [("mask", place) for place in range(len(inputs))]
    nodes += [(number, token) for number, sample in enumerate(samples) for token in range(len(sample["input_ids"]))]
    names = {("mask", place): (inputs[place], positions[place]) for place in range(len(inputs))}
    rows = {
        ("mask", place): [[("mask", int(k)) for k in np.flatnonzero(t[place])] for t in tables]
        for place in range(len(inputs))
    }
    for number, sample in enumerate(samples):
        per_table = [cut(segment_rows(sample), rule) for rule in rules]
        for token, identity in enumerate(zip(sample["input_ids"], position_ids(sample), strict=True)):
            names[number, token] = identity
            rows[number, token] = [[(number, key) for key in table[token]] for table in per_table]
    depth = 2 * len(nodes) if layers is None else layers
    for layer in range(depth):
        used = range(len(tables)) if layers is None else [layer % len(tables)]
        known: dict = {}
        names, before = (
            {
                node: known.setdefault(
                    (names[node], *(tuple(sorted(map(repr, (names[k] for k in rows[node][t])))) for t in used)),
                    len(known),
                )
                for node in nodes
            },
            len(set(names.values())),
        )
        if layers is None and len(known) == before:
            break
    asked = Counter(
        (names[number, token], label) for number, sample in enumerate(samples) for token, label in predictors(sample)
    )
    return asked == Counter((names["mask", place], label) for place, label in labels)
