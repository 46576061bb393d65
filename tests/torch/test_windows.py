"""Cutting rows to windows and chunks, against the definition over all pairs; where a cut is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.pack.packing import pack_batches
from masksynth.torch import Collator, Reach
from masksynth.torch.join_batches import example_batch, join_batches, without_samples
from masksynth.torch.window_rows import cut_mask, token_index
from tests.torch import trie

REACHES = [
    *(Reach(window=w) for w in (1, 2, 5, 9, 100)),
    *(Reach(chunk=c) for c in (1, 3, 8, 100)),
    *(Reach("bidirectional", window=w) for w in (0, 1, 4)),
    Reach(window=4, chunk=6),
    Reach("bidirectional", chunk=4),
]


def allowed_pairs(mask, index, reach):
    """The definition, pair by pair of an N x N array."""
    query, key = index[:, None], index[None]
    seen = mask.dense()
    if reach.window is not None:
        seen = seen & ((query - key < reach.window) if reach.kind == "causal" else (abs(query - key) <= reach.window))
    return seen if reach.chunk is None else seen & (query // reach.chunk == key // reach.chunk)


def index_by_walk(batch):
    """The index of each position's token in its sample, one token after another."""
    index = batch.position_ids.copy()
    for number in range(len(batch.samples)):
        live = batch.sample_position[batch.sample_offset[number] : batch.sample_offset[number + 1]].tolist()
        dead = set(batch.dead_index[batch.dead_offset[number] : batch.dead_offset[number + 1]].tolist())
        places = [i for i in range(len(live) + len(dead)) if i not in dead]
        for position, place in zip(live, places, strict=True):
            index[position] = place
    return index


def random_trees(seed):
    random = np.random.default_rng(seed)
    shape = {"groups": int(random.integers(1, 4)), "answers": int(random.integers(1, 5)), "vocabulary": 3}
    return trie.rollouts(seed=seed, prompt=int(random.integers(1, 8)), answer=int(random.integers(1, 12)), **shape)


def random_segments(seed):
    """Samples of a shared full or causal beginning, and two branches that see it; the second may see the first."""
    random = np.random.default_rng(seed)
    lengths = [int(n) for n in random.integers(1, 6, 3)]
    begin = random.integers(1, 9, lengths[0]).tolist()
    found = []
    for number in range(3):
        tails = [random.integers(1, 4, n).tolist() for n in lengths[1:]]
        ids = begin + tails[0] + tails[1]
        labels = [-100] * len(begin) + tails[0] + (tails[1] if number else [-100] * len(tails[1]))
        sees = [[0], [0, 1] if seed % 2 else [0]]
        segments = [
            {"length": lengths[0], "within": "full" if seed % 3 else "causal"},
            {"length": lengths[1], "sees": sees[0], "predict": "self"},
            {"length": lengths[2], "sees": sees[1], "predict": "self"},
        ]
        found.append({"id": number, "group": 0, "input_ids": ids, "labels": labels, "segments": segments})
    return found


@pytest.mark.parametrize("make", [random_trees, random_segments])
@pytest.mark.parametrize("seed", range(12))
def test_the_cut_is_the_definition(make, seed):
    for batch in pack_batches(make(seed)):
        index = token_index(batch)
        assert np.array_equal(index, index_by_walk(batch))
        for reach in REACHES:
            cut = cut_mask(batch.mask, index, reach).dense()
            assert np.array_equal(cut, allowed_pairs(batch.mask, index, reach)), reach


@pytest.mark.parametrize("seed", range(20))
def test_any_mask_and_any_indices(seed):
    """Rows and indices that no packing gives: each interval may cross many runs."""
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 30))
    mask = Mask.from_dense(random.random((size, size)) < random.random())
    index = random.integers(0, 6, size) if seed % 2 else np.sort(random.integers(0, 30, size))
    for reach in REACHES:
        assert np.array_equal(cut_mask(mask, index, reach).dense(), allowed_pairs(mask, index, reach)), reach


def test_joined_batches_are_cut_each_by_its_own_samples():
    [one], [two] = pack_batches(random_trees(1)), pack_batches(random_trees(2))
    batch = join_batches([replace(part, fields={}) for part in (one, two)])
    reach = Reach(window=3)
    parts = [cut_mask(part.mask, token_index(part), reach).dense() for part in (one, two)]
    cut = cut_mask(batch.mask, token_index(batch), reach).dense()
    assert np.array_equal(cut[: one.positions, : one.positions], parts[0])
    assert np.array_equal(cut[one.positions :, one.positions :], parts[1])
    assert cut.sum() == sum(part.sum() for part in parts)


def test_a_path_of_a_prefix_tree_keeps_its_intervals():
    """A cut moves the ends of intervals and never splits one: its cost is that of the stored rows."""
    [batch] = pack_batches(trie.rollouts(groups=3, answers=6, answer=20))
    for reach in REACHES:
        assert len(cut_mask(batch.mask, token_index(batch), reach).key_start) <= len(batch.mask.key_start)


def test_position_ids_that_jump_do_not_count():
    """Models without a mask count tokens: images and other jumps of position ids leave the window as it is."""
    samples = trie.rollouts()
    jumps = [[7 * i for i in range(len(sample["input_ids"]))] for sample in samples]
    moved = [{**sample, "position_ids": ids} for sample, ids in zip(samples, jumps, strict=True)]
    [jumping], [plain] = pack_batches(moved), pack_batches(samples)
    masks = [cut_mask(batch.mask, token_index(batch), Reach(window=4)) for batch in (jumping, plain)]
    assert masks[0] == masks[1]


def test_a_position_at_two_indices_is_refused():
    """The second part of sample 1 is the third of sample 0: they see the same, and share positions."""
    segments = [{"length": 2}, {"length": 3, "position": 9, "predict": "self"}]
    other = [{"length": 3, "position": 9, "predict": "self"}]
    one = {"id": "a", "group": 0, "input_ids": [1, 2, 5, 6, 7], "labels": [-100, 2, 5, 6, 7], "segments": segments}
    two = {"id": "b", "group": 0, "input_ids": [5, 6, 7], "labels": [5, 6, 7], "segments": other}
    [batch] = pack_batches([one, two])
    words = "is token 2 of sample 'a' and token 0 of sample 'b', so a window or chunk cannot be cut for both"
    with pytest.raises(Unsupported, match=words):
        token_index(batch)
    assert Collator("sdpa")([batch]).layer_mask == batch.mask
    with pytest.raises(Unsupported, match=words):
        Collator("sdpa", attention_window=4)([batch])
    assert Collator("sdpa", attention_window=5)([batch]).layer_mask == batch.mask  # no sample is longer: nothing is cut


def test_a_position_that_is_two_tokens_of_one_sample():
    """The same document twice in a sample; another kind keeps the two apart, and the window is right for both."""
    segments = [{"length": 3, "position": 0, "predict": "self"}] * 2
    sample = {"id": "a", "input_ids": [5, 6, 7] * 2, "labels": [5, 6, 7] * 2, "segments": segments}
    [batch] = pack_batches([sample])
    words = r"is token 0 of sample 'a' and token 3 of sample 'a', .* give the two different `kinds`$"
    with pytest.raises(Unsupported, match=words):
        Collator("sdpa", attention_window=2)([batch])
    [apart] = pack_batches([{**sample, "kinds": [0] * 3 + [1] * 3}])
    block = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], bool)
    expected = np.kron(np.eye(2, dtype=bool), block)
    order = np.argsort(apart.keys["kinds"] * 3 + apart.position_ids)
    assert np.array_equal(Collator("sdpa", attention_window=2)([apart]).layer_mask.dense()[order][:, order], expected)


@pytest.mark.parametrize("reach", [*REACHES, Reach(window=1), Reach(chunk=1), Reach("bidirectional", window=0)])
def test_a_reach_cuts_samples_from_a_length_on(reach):
    for length in range(12):
        mask = Mask.from_dense(
            np.tril(np.ones((length, length), bool)) if reach.kind == "causal" else np.ones((length, length), bool)
        )
        assert reach.cuts(length) == (cut_mask(mask, np.arange(length), reach) != mask)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "5"])
def test_windows_that_are_no_numbers(value):
    with pytest.raises(InvalidInstance, match=re.escape(f"window: expected an integer of at least 1, got {value!r}")):
        Collator("sdpa", attention_window=value)


def test_every_layer_with_one_window_without_a_model():
    batch = Collator("sdpa", attention_window=1)([example_batch()])
    assert batch.model_inputs["attention_mask"][0, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert np.array_equal(batch.layer_mask.dense(), np.eye(3, dtype=bool))


def test_tables_without_a_model():
    tables = {"full_attention": None, "sliding_attention": 1, "chunked": Reach(chunk=2)}
    batch = Collator("sdpa", tables=tables)([example_batch()])
    masks = batch.model_inputs["attention_mask"]
    assert {name: mask[0, 0].int().tolist() for name, mask in masks.items()} == {
        "full_attention": [[1, 0, 0], [1, 1, 0], [1, 0, 1]],
        "sliding_attention": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "chunked": [[1, 0, 0], [1, 1, 0], [1, 0, 1]],
    }
    assert masks["full_attention"] is masks["chunked"]  # equal masks are one tensor
    with pytest.raises(Unsupported, match="tables= names masks, not layers"):
        _ = batch.layer_mask
    same = Collator("sdpa", tables={"full_attention": None, "other": None})([example_batch()])
    assert same.layer_mask == example_batch().mask


def test_one_who_says_what_the_layers_see():
    with pytest.raises(InvalidInstance, match="attention_window and tables both define the masks of the layers"):
        Collator("sdpa", attention_window=3, tables={"full_attention": None})


def test_windows_and_filling():
    batch = Collator("sdpa", attention_window=2, multiple=8)([example_batch()])
    assert batch.attention_mask.shape == (1, 1, 8, 8)
    assert batch.attention_mask[0, 0, 3:].nonzero().tolist() == [[i, i + 3] for i in range(5)]


def test_windows_of_encoders_without_a_model():
    [source] = pack_batches(random_segments(1))
    reach = Reach("bidirectional", window=1)
    batch = Collator("sdpa", attention_window=reach)([source])
    assert np.array_equal(batch.layer_mask.dense(), allowed_pairs(source.mask, token_index(source), reach))


def test_silent_batches_have_windows_too():
    """A rank without work runs positions of no sample: the masks have their kinds and shapes, and no loss."""
    [source] = pack_batches(trie.rollouts())
    batch = Collator("sdpa", attention_window=3)([without_samples(source)])
    assert batch.attention_mask.shape == (1, 1, source.positions, source.positions)
    assert batch.attention_mask.any(-1).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tables": {}}, "tables: expected a mapping of windows by layer type, got dict {}"),
        ({"tables": [4]}, r"tables: expected a mapping of windows by layer type, got list \[4\]"),
        ({"tables": {"full_attention": "4"}}, "window: expected an integer of at least 1, got '4'"),
        ({"attention": Reach()}, r"attention: expected str, got Reach; pass a model as Collator\(model=model\)"),
        ({"attention": "flash"}, "unknown attention 'flash'"),
        ({"multiple": 0}, "multiple: expected a positive number, got 0"),
    ],
)
def test_options_of_other_types(options, words):
    with pytest.raises(InvalidInstance, match=words) as caught:
        Collator(**options)
    assert "\n" not in str(caught.value)


def test_long_rows_are_cut_without_pairs():
    """A hundred thousand positions: the array of all pairs would take 10 GB."""
    size = 100_000
    ends = np.arange(1, size + 1, dtype=np.int32)
    mask = Mask(np.arange(size + 1)[None], np.zeros(size, np.int32), ends)
    window = cut_mask(mask, np.arange(size), Reach(window=7))
    assert np.array_equal(window.key_start, np.maximum(np.arange(size) - 6, 0))
    chunk = cut_mask(mask, np.arange(size), Reach(chunk=4096))
    assert np.array_equal(chunk.key_start, np.arange(size) // 4096 * 4096)
    assert all(np.array_equal(cut.key_end, ends) for cut in (window, chunk))
