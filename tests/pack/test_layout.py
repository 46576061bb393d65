"""Forests of samples that extend one another, and their layouts, against sorting and a trie, token by token."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.assemble import batches_of_forest
from masksynth.pack.check_samples import tables_of
from masksynth.pack.label_runs import label_runs, live_lengths, slice_rows, take_rows
from masksynth.pack.position_layout import build_mask, lay_out, paths_of_samples
from masksynth.pack.prefix import Forest, are_chained, chain_ends, forest_of, nearest_smaller
from tests.pack.test_prefix import naive_prefix


@st.composite
def chained(draw):
    """Texts each of which extends, repeats or cuts the one before or an earlier one, or is new; and a key of each."""
    texts, keys = [], []
    for _ in range(draw(st.integers(1, 12))):
        tail = draw(st.lists(st.integers(0, 2), max_size=3))
        way = draw(st.sampled_from(["extend", "extend", "extend", "earlier", "cut", "new"])) if texts else "new"
        before = texts[draw(st.integers(0, len(texts) - 1))] if way == "earlier" else texts[-1] if texts else []
        keep = {"extend": len(before), "earlier": len(before), "cut": draw(st.integers(0, len(before))), "new": 0}[way]
        texts.append([*before[:keep], *tail])
        keys.append(keys[-1] if keys and draw(st.integers(0, 4)) else draw(st.integers(0, 2)))
    return texts, keys


def table_of_texts(texts):
    """Samples whose tokens are all live but the last, which is trained."""
    rows = [{"id": i, "input_ids": [*text, 7], "labels": [-100] * len(text) + [7]} for i, text in enumerate(texts)]
    [table] = tables_of(rows)
    return table


def forest_of_texts(texts, keys):
    return forest_of(table_of_texts(texts), np.array([len(text) for text in texts]), np.array(keys))


@settings(max_examples=100, deadline=None)
@given(chained())
def test_a_forest_is_the_sorted_texts(drawn):
    texts, keys = drawn
    forest = forest_of_texts(texts, keys)
    expected = sorted(range(len(texts)), key=lambda i: (keys[i], [t.to_bytes(4, "little") for t in texts[i]], i))
    assert forest.samples.tolist() == expected
    assert forest.length.tolist() == [len(texts[i]) for i in expected]
    pairs = zip(expected, [None, *expected], strict=False)
    shared = [0 if b is None or keys[a] != keys[b] else naive_prefix(texts[a], texts[b]) for a, b in pairs]
    assert forest.shared.tolist() == shared


def test_both_ways_of_sorting_are_taken():
    chain = [[1] * length for length in range(1, 9)]
    for texts, chained_texts in ((chain, True), (chain[::-1], False)):
        table = table_of_texts(texts)
        length = np.array([len(text) for text in texts])
        assert are_chained(table.tokens, table.offset, length) is chained_texts
        forest = forest_of(table, length)
        assert forest.length.tolist() == [*range(1, 9)]
        assert forest.shared.tolist() == [*range(8)]
    assert [part.tolist() for part in chain_ends([])[1:]] == [[]]


def trie(texts, keys, order):
    """(path of each text, row of each position) of a trie whose nodes are numbered as they are met."""
    children, paths, rows = {}, {}, []
    for i in order:
        path = []
        for token in texts[i]:
            parent = path[-1] if path else ("root", keys[i])
            node = children.setdefault((parent, token), len(children))
            path.append(node)
            if node == len(rows):
                rows.append(sorted(path))
        paths[i] = path
    return paths, rows


@settings(max_examples=100, deadline=None)
@given(chained())
def test_a_layout_is_a_trie_depth_first(drawn):
    texts, keys = drawn
    forest = forest_of_texts(texts, keys)
    paths, rows = trie(texts, keys, forest.samples.tolist())
    layout = lay_out(forest)
    mask = build_mask(layout)
    offset, start, end = mask.row_offset[0], mask.key_start, mask.key_end
    assert offset.tolist()[-1] == len(start) == len(end)
    bounds = [range(offset[q], offset[q + 1]) for q in range(len(offset) - 1)]
    assert [[key for t in row for key in range(start[t], end[t])] for row in bounds] == rows
    touching = start[1:] <= end[:-1]
    assert not touching[np.setdiff1d(np.arange(1, len(start)), offset) - 1].any()
    order = np.argsort(forest.samples)
    path = paths_of_samples(layout, forest, order)
    runs = [[*range(first, first + n)] for first, n in zip(path.start.tolist(), path.count.tolist(), strict=True)]
    walked = [[position for run in runs[a:b] for position in run] for a, b in pairwise(path.cut.tolist())]
    assert walked == [paths[i] for i in range(len(texts))]
    assert path.count.min(initial=1) > 0


@settings(max_examples=60, deadline=None)
@given(chained(), st.data())
def test_the_batches_of_consecutive_parts_of_a_forest(drawn, data):
    """Parts begin anywhere, and the first sample of each shares nothing any more."""
    texts, keys = drawn
    table, forest = table_of_texts(texts), forest_of_texts(texts, keys)
    cut = [0, *sorted(data.draw(st.sets(st.integers(1, max(1, len(texts) - 1))))), len(texts)]
    cut = sorted(set(cut))
    shared = forest.shared.copy()
    shared[cut[:-1]] = 0
    parts = Forest(forest.samples, forest.length, shared)
    batches = list(batches_of_forest(table, parts, np.array(cut), label_runs(table)))
    assert len(batches) == len(cut) - 1
    for (samples, batch), low, high in zip(batches, cut[:-1], cut[1:], strict=True):
        chosen = sorted(forest.samples[low:high].tolist())
        paths, rows = trie(texts, keys, forest.samples[low:high].tolist())
        assert list(batch.samples) == samples.tolist() == chosen
        assert batch.positions == len(rows)
        assert batch.sample_position.tolist() == [position for i in chosen for position in paths[i]]
        assert [batch.mask.row(q).tolist() for q in range(batch.positions)] == rows
        assert batch.loss_position.tolist() == [paths[i][-1] for i in chosen if texts[i]]
        assert batch.dead_index.tolist() == [len(texts[i]) for i in chosen]
        for i, path in paths.items():
            assert batch.input_ids[path].tolist() == texts[i]
            assert batch.position_ids[path].tolist() == [*range(len(path))]


@st.composite
def labelled(draw):
    """Labels of a few causal samples: the first token of each trains nothing."""
    flags = draw(st.lists(st.lists(st.booleans(), min_size=1, max_size=20), min_size=1, max_size=5))
    return [[-100, *(7 if flag else -100 for flag in sample[1:])] for sample in flags]


@settings(max_examples=100, deadline=None)
@given(labelled(), st.data())
def test_runs_of_labels(labels, data):
    rows = [{"id": i, "input_ids": [1] * len(row), "labels": row} for i, row in enumerate(labels)]
    [table] = tables_of(rows)
    runs = label_runs(table)
    trained = [[table.offset[i] + k for k, label in enumerate(row) if label != -100] for i, row in enumerate(labels)]
    low = data.draw(st.integers(0, len(labels)))
    high = data.draw(st.integers(low, len(labels)))
    chosen = data.draw(st.permutations(range(len(labels))))
    parts = (
        (runs, trained),
        (slice_rows(runs, low, high), trained[low:high]),
        (take_rows(runs, np.array(chosen)), [trained[i] for i in chosen]),
    )
    for part, expected in parts:
        walked = [[*range(a, a + n)] for a, n in zip(part.start.tolist(), part.count.tolist(), strict=True)]
        assert [[k for run in walked[a:b] for k in run] for a, b in pairwise(part.cut.tolist())] == expected
        assert part.count.min(initial=1) > 0
    assert len(runs.start) == sum(a - 1 not in row for row in trained for a in row)  # none can be extended
    last = [max((k for k, label in enumerate(row) if label != -100), default=0) for row in labels]
    assert live_lengths(table, runs).tolist() == last


@pytest.mark.parametrize(
    "values", [[], [5], [2, 2, 1, 3, 3, 0, 4], [-1, 3, 2, -1, 2], [*range(600), 300, 0], [*range(50)] * 3]
)
def test_nearest_smaller(values):
    expected = [max((j for j in range(i) if values[j] < value), default=-1) for i, value in enumerate(values)]
    assert nearest_smaller(np.array(values, np.int64)).tolist() == expected
