"""Segments of trees for varlen kernels, read by their definition; what is no tree; wrong arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export import tree_segments
from masksynth.export.format_sizes import summary
from masksynth.export.targets import export_arrays
from masksynth.export.tree_segments import check_tree_segments, count_tree_keys, cut_tree, to_tree_segments
from masksynth.mask import Mask
from masksynth.pack import pack_batches
from tests.export.masks import MASKS
from tests.export.samples import chain_mask, random_mask, star_mask, tree_mask
from tests.pack.strategies import causal_samples

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)
PARENTS = st.lists(st.integers(-1, 30), max_size=30).map(
    lambda wanted: np.array([min(parent, q - 1) for q, parent in enumerate(wanted)], np.int64)
)
"""Parents of positions, each before its position; many are the position before, as in chains."""


def dense_of(segments, size):
    """The mask of segments, query by query: the last query sees all keys, the one before it all but the last, ..."""
    dense = np.zeros((size, size), bool)
    cuts, keys = segments.cu_seqlens_q.tolist(), segments.cu_seqlens_k.tolist()
    for number, (first, stop) in enumerate(itertools.pairwise(cuts)):
        path = segments.kv_index[keys[number] : keys[number + 1]].tolist()
        for query in range(first, stop):
            dense[query, path[: len(path) - (stop - 1 - query)]] = True
    return dense


def dense_of_parents(parents):
    dense = np.eye(len(parents), dtype=bool)
    for query, parent in enumerate(parents.tolist()):
        if parent >= 0:
            dense[query] |= dense[parent]
    return dense


@SETTINGS
@given(PARENTS)
def test_every_tree(parents):
    dense = dense_of_parents(parents)
    mask = Mask.from_dense(dense)
    found = to_tree_segments(mask)
    assert np.array_equal(dense_of(found, len(parents)), dense)
    assert all(np.array_equal(a, b) for a, b in zip(found, cut_tree(parents), strict=True))
    assert count_tree_keys(mask) == (len(found.cu_seqlens_q) - 1, len(found.kv_index))
    assert found.max_seqlen_q == np.diff(found.cu_seqlens_q).max(initial=0)
    assert found.max_seqlen_k == np.diff(found.cu_seqlens_k).max(initial=0)


@SETTINGS
@given(MASKS)
def test_what_is_no_tree_is_refused_by_its_first_row(mask):
    dense = mask.dense()
    rows = {row.tobytes(): query for query, row in enumerate(dense)}
    for query, row in enumerate(dense):
        above = row.copy()
        above[query] = False
        is_path = row[query] and (not above.any() or rows.get(above.tobytes(), query) < query)
        if not is_path:
            with pytest.raises(Unsupported, match=rf"cannot express: row {query} attends to .*: not to itself and"):
                to_tree_segments(mask)
            return
    assert np.array_equal(dense_of(to_tree_segments(mask), mask.size), dense)


@SETTINGS
@given(causal_samples())
def test_packed_batches(samples):
    for batch in pack_batches(samples):
        assert np.array_equal(dense_of(to_tree_segments(batch.mask), batch.positions), batch.mask.dense())


def test_a_prompt_with_answers_is_gathered_once_for_each_answer_but_not_for_itself():
    prompt, answers = 100, [20, 30, 40]
    parents = np.concatenate(
        [np.arange(-1, 99), *([99, *range(s, s + n - 1)] for s, n in ((100, 20), (120, 30), (150, 40)))]
    )
    found = cut_tree(parents)
    assert np.diff(found.cu_seqlens_q).tolist() == [120, 30, 40]
    assert np.diff(found.cu_seqlens_k).tolist() == [prompt + answer for answer in answers]


def test_masks_by_name():
    window = np.tril(np.ones((6, 6), bool)) & ~np.tril(np.ones((6, 6), bool), -3)
    with pytest.raises(Unsupported, match=r"row 3 attends to 1..3: not to itself and to what"):
        export_arrays(Mask.from_dense(window), "varlen")
    with pytest.raises(Unsupported, match=r"row 0 attends to 0..1: not to itself and to"):
        to_tree_segments(Mask.from_dense(np.ones((2, 2), bool)))
    with pytest.raises(Unsupported, match=r"row 0 attends to nothing: not to itself"):
        to_tree_segments(Mask.from_dense(np.zeros((2, 2), bool)))
    with pytest.raises(Unsupported, match=r"row 0 attends to 0..2: not to itself"):  # the path is there, but later
        to_tree_segments(Mask.from_dense(np.triu(np.ones((3, 3), bool))))
    assert set(export_arrays(chain_mask(5), "varlen")) == {"cu_seqlens", "max_seqlen", "causal"}
    arrays = export_arrays(star_mask(20), "varlen")
    assert set(arrays) == {"cu_seqlens_q", "cu_seqlens_k", "kv_index", "max_seqlen_q", "max_seqlen_k", "causal"}
    assert all(array.dtype in (np.int32, bool) for array in arrays.values())


def test_tables_of_a_pattern():
    tree = tree_mask(40, 5)
    mask = Mask.from_dense(np.stack([random_mask(40).dense(), tree.dense()]))
    assert np.array_equal(dense_of(to_tree_segments(mask, 1), 40), tree.dense())


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_large_trees(size):
    mask = tree_mask(size, 50)
    found = to_tree_segments(mask)
    [note] = [entry.note for entry in summary(mask) if entry.format == "varlen"]
    assert note.startswith(f"{len(found.cu_seqlens_q) - 1:,} segments gather {len(found.kv_index):,} keys, ")


def test_too_many_keys(monkeypatch):
    monkeypatch.setattr(tree_segments, "MAX_GATHERED", 1000)
    with pytest.raises(Unsupported, match="cannot express: more than 1,000 keys are gathered; pack shorter batches"):
        to_tree_segments(tree_mask(900, 5))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("kv_index", lambda a: a[1:], "cu_seqlens_k does not increase strictly"),
        ("kv_index", lambda a: np.where(a == 3, 90, a), "expected 0 to 39"),
        ("kv_index", lambda a: np.where(np.arange(len(a)) == len(a) - 1, 0, a), "row 39"),
        ("cu_seqlens_q", lambda a: np.delete(a, 2), "a segment has fewer keys than queries"),
        ("cu_seqlens_q", lambda a: a - (np.arange(len(a)) == 1), "row|fewer"),
        ("cu_seqlens_k", lambda a: a - 1, "cu_seqlens_k does not increase"),
        ("max_seqlen_q", lambda a: a + 1, "max_seqlen_q is"),
        ("max_seqlen_k", lambda a: a - 1, "max_seqlen_k is"),
    ],
)
def test_wrong_arrays(name, change, said):
    mask = tree_mask(40, 5, seed=3)
    found = to_tree_segments(mask)
    check_tree_segments(mask, found)
    with pytest.raises(WrongAnswer, match=said):
        check_tree_segments(mask, found._replace(**{name: change(getattr(found, name))}))
