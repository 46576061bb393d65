"""Windows of a stream: never larger than requested, nothing lost, groups kept together while they last."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.check_samples import tables_of
from masksynth.pack.stream_windows import windows
from masksynth.pack.table_parts import part_of

GROUPS = st.sampled_from(["a", "b", "1", 1, None])


def tables(groups, block, length=2):
    """A stream of tables of ``block`` samples; sample i has id i."""
    rows = [
        {"id": i, "group": group, "input_ids": [1] * length, "labels": [-100] * length}
        for i, group in enumerate(groups)
    ]
    for begin in range(0, len(rows), block):
        yield from tables_of(rows[begin : begin + block])


def same(left, right):
    return type(left) is type(right) and left == right


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(GROUPS, st.integers(1, 4)), max_size=8), st.integers(1, 6), st.integers(1, 7))
def test_windows(runs, size, block):
    groups = [group for group, times in runs for _ in range(times)]
    found = list(windows(map(part_of, tables(groups, block)), size))
    ids = [list(window.table.ids) for window in found]
    assert sorted(name for window in ids for name in window) == list(range(len(groups)))
    assert all(1 <= len(window) <= size for window in ids)
    for window in ids:  # the order of the stream is kept within a window
        assert window == sorted(window)
    seen = []
    for window in found:
        here = [group for i, group in enumerate(window.table.groups) if group is not None]
        expected = [group for group in here if any(same(group, old) for old in seen)]
        assert [(type(g), g) for g in window.scattered] == list(dict.fromkeys((type(g), g) for g in expected))
        seen += here


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=6), st.integers(4, 9), st.integers(1, 7))
def test_a_group_in_one_run_that_fits_is_in_one_window(times, size, block):
    groups = [f"g{number}" for number, count in enumerate(times) for _ in range(count)]
    assert all(window.scattered == () for window in windows(map(part_of, tables(groups, block)), size))


def test_a_window_closes_at_a_number_of_tokens():
    found = list(windows(map(part_of, tables([None] * 10, 1, length=5)), 1000, tokens=10))
    assert [len(window.table) for window in found] == [2] * 5
