"""Masks that a packer might write, with the position of every token of every sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from masksynth.audit import Subject, with_samples
from masksynth.mask import Mask
from masksynth.subject.token_file import with_tokens
from tests.audit.samples.naive import cut, position_ids, predictors, segment_rows

FULL = ("full", 0)


@dataclass
class Layout:
    """Dense tables, inputs, position ids and labels, and ``place[s][j]``: the position of token j of sample s."""

    samples: list
    tables: np.ndarray
    inputs: list
    positions: list
    labels: list
    place: list
    rules: tuple = (FULL,)
    extra: dict = field(default_factory=dict)

    def subject(self, samples=None, **tokens):
        """Return the subject; tokens replace what the layout says."""
        known = {
            "inputs": self.inputs,
            "positions": self.positions,
            "labels": [[*one, []] for one in self.labels],
            **self.extra,
            **tokens,
        }
        known = {key: value for key, value in known.items() if value is not None}
        return with_samples(
            with_tokens(Subject(Mask.from_dense(self.tables), "layout"), known),
            self.samples if samples is None else samples,
        )

    def owners(self, position):
        """Return the (sample id, token) pairs that a position serves."""
        return {
            (sample["id"], token)
            for sample, places in zip(self.samples, self.place, strict=True)
            for token, here in enumerate(places)
            if here == position
        }


def random_samples(rng, count=4, longest=8, tokens=5, segments=False):
    """Return samples that share beginnings, with few token ids, so that many look the same."""
    made = []
    for number in range(count):
        size = int(rng.integers(2, longest + 1))
        text = rng.integers(1, tokens + 1, size).tolist()
        if made and rng.random() < 0.6:
            other = made[int(rng.integers(len(made)))]["input_ids"]
            shared = min(int(rng.integers(1, size + 1)), len(other))
            text[:shared] = other[:shared]
        labels = [-100] + [token if rng.random() < 0.8 else -100 for token in text[1:]]
        if all(label == -100 for label in labels):
            labels[-1] = text[-1]
        made.append({"id": f"s{number}", "input_ids": text, "labels": labels})
    return [segmented(sample, rng) for sample in made] if segments else made


def segmented(sample, rng):
    """Return the sample in two or three segments, of random visibility."""
    size = len(sample["input_ids"])
    cuts = sorted({0, size, *rng.integers(1, size, 2).tolist()}) if size > 1 else [0, size]
    parts = []
    for number, (low, high) in enumerate(pairwise(cuts)):
        within = ("causal", "full", "self")[int(rng.integers(3))]
        sees = [other for other in range(number) if rng.random() < 0.7]
        parts.append({"length": high - low, "within": within, "sees": sees, "position": int(rng.integers(0, 3)) + low})
    return {**sample, "segments": parts}


def lay_out(samples, place, rules=(FULL,), pads=0):
    """Return the right layout for given places, which may share positions where tokens are equivalent."""
    size = 1 + max(max(places) for places in place) if place else 0
    tables = np.zeros((len(rules), size + pads, size + pads), bool)
    inputs, positions = [0] * (size + pads), [0] * (size + pads)
    labels = []
    for sample, places in zip(samples, place, strict=True):
        for table, rule in enumerate(rules):
            for token, row in enumerate(cut(segment_rows(sample), rule)):
                for key in row:
                    tables[table, places[token], places[key]] = True
        for token, identity in enumerate(zip(sample["input_ids"], position_ids(sample), strict=True)):
            inputs[places[token]], positions[places[token]] = identity
        labels += [(places[token], label) for token, label in predictors(sample)]
    for pad in range(size, size + pads):
        tables[:, pad, pad] = True
    extra = {"padding": {"positions": list(range(size, size + pads))}} if pads else {}
    return Layout(samples, tables, inputs, positions, labels, place, rules, extra)


def documents(samples, rules=(FULL,), pads=0):
    """Samples one after the other, each seeing itself alone."""
    place, begin = [], 0
    for sample in samples:
        place.append(list(range(begin, begin + len(sample["input_ids"]))))
        begin += len(sample["input_ids"])
    return lay_out(samples, place, rules, pads)


def tree(samples, rules=(FULL,), pads=0, rng=None):
    """The prefix tree of causal samples in depth-first order, or with ``rng`` in any order."""
    order, place = {}, []
    for sample in sorted(samples, key=lambda one: one["input_ids"]):
        for end in range(1, len(sample["input_ids"]) + 1):
            order.setdefault(tuple(sample["input_ids"][:end]), len(order))
    if rng is not None:
        order = dict(zip(order, rng.permutation(len(order)).tolist(), strict=True))
    for sample in samples:
        place.append([order[tuple(sample["input_ids"][: end + 1])] for end in range(len(sample["input_ids"]))])
    return lay_out(samples, place, rules, pads)
