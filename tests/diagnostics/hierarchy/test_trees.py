"""Trees: what is refused, what is read, windows, packed batches."""

from __future__ import annotations

import json

import numpy as np
import pytest

from masksynth.diagnostics.hierarchy import (
    Tree,
    grid_windows,
    lists_of_tree,
    packed_tree,
    read_tree,
    tree_of_lists,
    tree_of_parents,
    windows,
)
from masksynth.errors import InvalidInstance
from masksynth.pack import pack_batches
from tests.diagnostics.hierarchy.trees import random_tree

SELF = [0]
SELF.append(SELF)


@pytest.mark.parametrize(
    ("nested", "said"),
    [
        ([], "the tree is empty"),
        ([0, []], "is empty"),
        ([[0, 1], [1, 2]], "position 1 occurs more than once"),
        ([0, 0], "position 0 occurs more than once"),
        ([[0, 1], [3]], "position 2 is missing"),
        ([0, "a"], "expected a list or a position, got 'a'"),
        ([0, True], "expected a list or a position, got True"),
        ([0, -1], "expected a list or a position, got -1"),
        ([0, 1.0], "expected a list or a position, got 1.0"),
        (SELF, "contains itself: a cycle"),
    ],
)
def test_one_line_says_what_is_wrong(nested, said):
    with pytest.raises(InvalidInstance, match=said) as error:
        tree_of_lists(nested)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parent", "position", "said"),
    [
        ([], [], "the tree is empty"),
        ([-1], [], "1 parents for 0 nodes"),
        ([1, 2, 0], [-1, 0, 1], "is its own ancestor: a cycle"),
        ([-1, 0, 3, 2], [-1, 0, -1, 1], "is its own ancestor: a cycle"),
        ([-1, -1], [0, 1], "both roots"),
        ([-1, 5], [-1, 0], "has parent 5 of 2 nodes"),
        ([-1, 0, 1], [-1, 0, 1], "position 0 has children"),
        ([-1, 0, 0], [-1, 0, -1], "the family of node 2 is empty"),
        ([-1, 0.5], [-1, 0], "expected lists of integers"),
        ([[-1]], [0], "expected lists of integers"),
    ],
)
def test_parents_that_are_no_tree(parent, position, said):
    with pytest.raises(InvalidInstance, match=said):
        tree_of_parents(parent, position)


def test_arrays_must_stand_in_level_order():
    with pytest.raises(InvalidInstance, match="level order"):
        Tree(np.array([-1, 0, 1, 0]), np.array([-1, -1, 0, 1]))
    tree = windows(8)
    with pytest.raises(ValueError, match="read-only"):
        tree.parent[0] = 3


def test_numbers_of_random_trees_agree_with_their_lists():
    random = np.random.default_rng(0)
    for _ in range(100):
        tree = random_tree(random, int(random.integers(1, 30)))
        nested = lists_of_tree(tree)
        flat = json.loads(f"[{json.dumps(nested).replace('[', '').replace(']', '')}]")
        assert tree.order.tolist() == flat
        assert tree_of_lists(nested).parent.tolist() == tree.parent.tolist()
        assert tree.families == json.dumps(nested).count("[")
        assert tree.count[0] == tree.size == len(flat)
        for node in range(tree.nodes):
            children = np.flatnonzero(tree.parent == node)
            assert children.tolist() == list(range(*tree.child_offset[node : node + 2]))
            if len(children):
                assert tree.count[node] == tree.count[children].sum()
                assert tree.first[node] == tree.first[children[0]]
        assert tree.sibling_pairs == sum(g.child.size * g.child.shape[1] for level in tree.plan for g in level)


def test_nodes_may_be_numbered_in_any_way():
    random = np.random.default_rng(1)
    tree = random_tree(random, 20)
    mixed = random.permutation(tree.nodes)
    number = np.argsort(mixed)
    parent = np.where(tree.parent[mixed] < 0, -1, number[tree.parent[mixed]])
    again = tree_of_parents(parent, tree.position[mixed])
    sets = [
        {frozenset(one.order[one.first[v] : one.first[v] + one.count[v]].tolist()) for v in range(one.nodes)}
        for one in (tree, again)
    ]
    assert sets[0] == sets[1]


def test_a_very_deep_tree():
    nested = 2000
    for place in range(1999, -1, -1):
        nested = [place, nested]
    tree = tree_of_lists(nested)
    assert (tree.size, tree.depth, tree.families) == (2001, 2000, 2000)
    assert tree.order.tolist() == list(range(2001))


@pytest.mark.parametrize(
    ("size", "branching"), [(1, (2, 2)), (2, (2,)), (7, (2, 2)), (300, (2, 4, 8, 16)), (5, ()), (3, (1, 2)), (9, (4,))]
)
def test_windows_cut_positions_in_order(size, branching):
    tree = windows(size, branching)
    assert tree.order.tolist() == list(range(size))
    width = 1
    for level, step in zip(range(tree.depth - 1, -1, -1), branching, strict=False):
        width *= step
        low, high = tree.levels[level]
        assert (tree.count[low : high - 1] == width).all()


def test_windows_refuse_nonsense():
    for size, branching in ((0, (2,)), (3, (0,)), (3, ("a",)), (2.0, (2,))):
        with pytest.raises(InvalidInstance):
            windows(size, branching)


def test_trees_from_files(tmp_path):
    place = tmp_path / "tree.json"
    for text, said in (
        ("[[0,1],[1]]", "more than once among the leaves"),
        ("{", "not JSON"),
        ('{"parent": [-1]}', "missing required field `position`"),
        ('{"parent": 3, "position": []}', "Expected `array`, got `int`"),
        ("7", "expected nested lists or nodes: Expected `object`, got `int`"),
        ('{"parent": [-1, "a"], "position": [-1, 0]}', r"Expected `int \| null`, got `str` - at `\$.parent\[1\]`"),
        ("[" * 100000, "too deeply|not JSON"),
        ('{"parent": [-1], "position": [0], "parent": [-1]}', "key 'parent' is repeated"),
        (f"[0, {'1' * 5000}]", "an integer of 5000 digits"),
        ("[0, NaN]", "NaN is not a JSON number"),
    ):
        place.write_text(text)
        with pytest.raises(InvalidInstance, match=said) as error:
            read_tree(place)
        assert str(place) in str(error.value)
    place.write_text("[[0, 1], 2]")
    assert lists_of_tree(read_tree(place)) == [[0, 1], 2]


def test_a_packed_batch_has_prompts_answers_and_tokens():
    samples = [
        {
            "id": f"{prompt}{answer}",
            "group": prompt,
            "input_ids": [*range(start, start + 4), answer, 90, 91],
            "labels": [-100] * 4 + [1, 2, 3],
        }
        for prompt, start in (("p", 10), ("q", 20))
        for answer in (50, 60)
    ]
    (batch,) = pack_batches(samples, max_length=100)
    groups = np.repeat([0, 1], batch.positions // 2)
    tree = packed_tree(batch, groups)
    assert tree.order.tolist() == list(range(batch.positions))
    prompts = lists_of_tree(tree)
    assert [[len(run) for run in prompt] for prompt in prompts] == [[4, 2, 2], [4, 2, 2]]
    assert lists_of_tree(packed_tree(batch, groups, (2,)))[0][0] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("branching", [2, True, (2, True), (2.5,), (0,)])
def test_branchings_that_are_none_are_refused_in_one_line(branching):
    with pytest.raises(InvalidInstance, match="branching"):
        windows(5, branching)


@pytest.mark.parametrize(("height", "width", "side"), [(1, 1, 2), (5, 3, 2), (8, 8, 2), (7, 20, 3), (1, 9, 2)])
def test_squares_of_a_grid_have_the_pixels_of_one_square(height, width, side):
    tree = grid_windows(height, width, side)
    assert sorted(tree.order.tolist()) == list(range(height * width))
    bottom = tree.depth
    for node in range(tree.nodes):
        level = int(np.searchsorted(tree.level_offset, node, side="right")) - 1
        below = tree.order[tree.first[node] : tree.first[node] + tree.count[node]]
        edge = side ** (bottom - level)
        corners = {(int(pixel) // width // edge, int(pixel) % width // edge) for pixel in below}
        assert len(corners) == 1
        (row, column), whole = corners.pop(), edge
        assert len(below) == min(whole, height - row * whole) * min(whole, width - column * whole)


@pytest.mark.parametrize("wrong", [(0, 3, 2), (3, 0, 2), (3, 3, 1), (True, 3, 2), (2.0, 3, 2)])
def test_grids_that_are_none_are_refused(wrong):
    with pytest.raises(InvalidInstance, match="expected an integer of at least"):
        grid_windows(*wrong)
