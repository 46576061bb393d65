"""Infer the rule of each table (complete samples, a window, chunks) from rows of causal samples."""

from __future__ import annotations

import numpy as np

from masksynth.audit.samples.expected_mask import Expected
from masksynth.audit.samples.path_matching import Paths, Trie
from masksynth.audit.samples.window_rules import FULL, infer_rule
from masksynth.mask.typing import Int64Array
from masksynth.subject.subject import Subject
from masksynth.subject.table_rule import TableRule

PROBES = 384
"""Maximum number of tokens whose rows are read per table."""


def infer_tables(subject: Subject, expected: Expected, paths: Paths) -> tuple[TableRule, ...]:
    """Return the rule of each table, from the rows of positions that paths place in causal samples.

    Paths may here continue through positions that a row does not contain, as at the first token of a chunk. Positions
    that no path reaches are taken to have the index that their position id says.
    """
    node = paths.nodes_through_nearby()
    longest = int(np.diff(expected.table.offset).max(initial=0))
    observed = [_observe_rows(subject, table, expected, paths.trie, node) for table in range(subject.mask.tables)]
    rules = []
    for table, (index, lowest, sample) in enumerate(observed):
        others = [other[1] for number, other in enumerate(observed) if number != table and len(other[1]) == len(lowest)]
        rule = infer_rule(index, lowest, sample, np.minimum.reduce(others) if others else None)
        rules.append(rule if rule.width < longest else FULL)  # a rule that cuts no sample is not evidence
    return tuple(rules)


def _observe_rows(subject: Subject, table: int, expected: Expected, trie: Trie, node: Int64Array) -> Int64Array:
    """Return (index of the token, lowest index in its row, sample) of some rows, shape (3, R)."""
    position = np.full(len(trie.key), -1, np.int64)  # a position of each node
    position[node[node >= 0]] = np.flatnonzero(node >= 0)
    tokens = np.flatnonzero((trie.node >= 0) & (expected.index > 0))
    tokens = _thin_out(tokens[position[trie.node[tokens]] >= 0])
    observed: list[tuple[int, int, int]] = []
    in_row = np.zeros(len(trie.key) + 1, bool)  # the last entry represents positions without a node
    for token in tokens.tolist():
        keys = node[subject.mask.row(int(position[trie.node[token]]), table)]
        in_row[keys] = True
        in_row[-1] = False
        earlier = in_row[trie.node[token - int(expected.index[token]) : token + 1]]
        in_row[keys] = False
        if earlier.any():
            observed.append((int(expected.index[token]), int(earlier.argmax()), int(expected.sample[token])))
    if subject.positions is not None and expected.causal.all() and "position_ids" not in expected.table.keys:
        empty = np.diff(subject.mask.row_offset[table]) == 0
        for query in _thin_out(np.flatnonzero((node < 0) & ~empty & (subject.positions > 0))).tolist():
            ids = subject.positions[subject.mask.row(query, table)]
            observed.append((int(subject.positions[query]), int(ids.min()), -1 - query))
    return np.array(observed, np.int64).reshape(-1, 3).T


def _thin_out(numbers: Int64Array) -> Int64Array:
    """Return at most ``PROBES`` of the numbers, evenly spaced."""
    if len(numbers) <= PROBES:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, PROBES).astype(np.int64)]
