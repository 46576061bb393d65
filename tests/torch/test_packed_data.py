"""Folder -> dataset -> loader: laziness, workers, pickling, masks of each kind, refusals."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.utils.data import DataLoader

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.pack import pack_batches
from masksynth.torch import Collator, PackedDataset, PackedSampler, packed_loss, self_test
from masksynth.torch.join_batches import join_batches
from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.packed_dataset import Silent
from tests.torch import trie
from tests.torch.models import gpt2

BATCHES = [
    trie.packed(data)
    for data in (trie.rollouts(seed=1), trie.rollouts(seed=2, groups=5), trie.rollouts(seed=3, answers=2))
]


@pytest.fixture
def folder(tmp_path):
    return trie.folder_of(tmp_path / "packed", BATCHES)


def same(found, batch):
    """Whether a training batch holds the arrays of a packed batch."""
    names = ("input_ids", "position_ids", "loss_position", "loss_label", "loss_sample", "loss_weight", "sample_weight")
    assert all(np.array_equal(getattr(found, name).numpy(), getattr(batch, name)) for name in names)
    assert {name: values.tolist() for name, values in found.fields.items()} == {
        name: v.tolist() for name, v in batch.fields.items()
    }
    assert found.samples == batch.samples
    assert found.loss_place[found.loss_slot].equal(found.loss_position)
    assert (found.loss_place.diff() > 0).all()
    for number in range(len(found.samples)):
        assert (found.loss_sample[found.loss_offset[number] : found.loss_offset[number + 1]] == number).all()
    assert found.loss_offset[-1] == len(found.loss_sample)


def test_dataset(folder):
    data = PackedDataset(folder)
    assert len(data) == 3
    assert data.positions.tolist() == [batch.positions for batch in BATCHES]
    assert data.pairs().tolist() == [batch.mask.pairs for batch in BATCHES]
    again = pickle.loads(pickle.dumps(data))
    for number, batch in enumerate(BATCHES):
        same(Collator()([again[number]]), batch)
    for number in (3, -1):
        with pytest.raises(IndexError, match=f"expected 0 <= index < 3, got {number}"):
            data[number]
    (folder / "batch-00001.safetensors").unlink()
    assert data[0].positions == BATCHES[0].positions
    with pytest.raises(InvalidInstance, match="batch-00001"):
        data[1]


@pytest.mark.parametrize("kind", ["sdpa", "eager", "flex"])
def test_loader_with_workers(kind, folder):
    """Processes send the arrays; the mask is made where it is used, since a BlockMask does not travel."""
    loader = DataLoader(PackedDataset(folder), batch_size=1, collate_fn=Collator(kind), num_workers=2)
    for _ in range(2):
        found = list(loader)
        for one, batch in zip(found, BATCHES, strict=True):
            same(one, batch)
            inputs = one.model_inputs
            assert inputs["input_ids"].shape == inputs["position_ids"].shape == (1, batch.positions)
            assert inputs["use_cache"] is False
            assert isinstance(inputs["attention_mask"], BlockMask if kind == "flex" else torch.Tensor)


def test_loader_with_a_sampler(folder):
    data = PackedDataset(folder)
    sampler = PackedSampler(data, seed=5)
    loader = DataLoader(data, batch_size=1, sampler=sampler, collate_fn=Collator(), num_workers=1)
    assert [one.samples for one in loader] == [BATCHES[number].samples for number in sampler.order()]
    second = PackedSampler(data, rank=1, ranks=2, shuffle=False)
    found = list(DataLoader(data, batch_size=1, sampler=second, collate_fn=Collator(), num_workers=1))
    assert [one.samples for one in found] == [BATCHES[1].samples, ()]
    assert found[1].source.positions == min(data.positions)


def test_masks():
    for batch in (*BATCHES, join_batches(BATCHES)):
        dense = torch.from_numpy(batch.mask.dense())
        assert dense_mask(batch.mask).equal(dense)
        assert Collator("sdpa")(batch).attention_mask[0, 0].equal(dense)
        for dtype in (torch.float64, torch.bfloat16):
            added = Collator("eager", dtype)(batch).attention_mask
            assert added.dtype == dtype
            assert added.shape == (1, 1, *dense.shape)
            assert (added[0, 0] == 0).equal(dense)
            assert (added[0, 0] == -torch.inf).equal(~dense)
        found = Collator("flex", block_size=16)(batch).attention_mask
        size = batch.positions
        expected = create_block_mask(
            lambda b, h, q, k, dense=dense: dense[q, k], 1, 1, size, size, device="cpu", BLOCK_SIZE=16
        )
        assert found.to_dense().equal(expected.to_dense())
        assert found.kv_indices.equal(expected.kv_indices)


def test_batches_travel_without_their_masks():
    for kind in ("sdpa", "flex"):
        one = Collator(kind)(BATCHES[0])
        assert one.model_inputs["attention_mask"] is one.attention_mask
        again = pickle.loads(pickle.dumps(one))
        same(again, BATCHES[0])
        assert "attention_mask" not in vars(again)
        moved = one.to("meta")
        assert moved.device.type == moved.fields["advantages"].device.type == moved.loss_slot.device.type == "meta"
        assert "attention_mask" not in vars(moved)


def test_joined_batches():
    whole = join_batches(BATCHES)
    sizes = np.cumsum([0, *(batch.positions for batch in BATCHES)])
    dense = whole.mask.dense()
    for batch, start, end in zip(BATCHES, sizes, sizes[1:], strict=False):
        assert np.array_equal(dense[start:end, start:end], batch.mask.dense())
        dense[start:end, start:end] = False
    assert not dense.any()
    assert whole.samples == sum((batch.samples for batch in BATCHES), ())
    assert whole.sample_offset[-1] == len(whole.sample_position)
    assert whole.dead_offset[-1] == len(whole.dead_token)
    assert np.array_equal(
        whole.input_ids[whole.loss_position], np.concatenate([b.input_ids[b.loss_position] for b in BATCHES])
    )
    assert whole.fields["advantages"].tolist() == [x for b in BATCHES for x in b.fields["advantages"].tolist()]


def test_filling_up():
    """More positions, the same training: they see themselves and no other position sees them."""
    plain, full = Collator()(BATCHES[0]), Collator(multiple=64)(BATCHES[0])
    size = len(plain.input_ids)
    assert len(full.input_ids) % 64 == 0 < len(full.input_ids) - size
    assert full.attention_mask[0, 0, :size, :size].equal(plain.attention_mask[0, 0])
    assert (
        full.attention_mask[0, 0, size:].sum()
        == full.attention_mask[0, 0, size:].diagonal(size).sum()
        == len(full.input_ids) - size
    )
    assert not full.attention_mask[0, 0, :size, size:].any()
    assert self_test(gpt2(), full).forbidden == 0
    model = gpt2()
    losses = [packed_loss(model(**batch.model_inputs).logits, batch) for batch in (plain, full)]
    assert (losses[0] - losses[1]).abs() < 1e-11
    assert Collator(multiple=len(full.input_ids))(full.source).source is full.source
    with pytest.raises(InvalidInstance, match="multiple: expected a positive number, got 0"):
        Collator(multiple=0)


def test_silent_batches(folder):
    one = Collator()([PackedDataset(folder)[Silent(1)]])
    assert (one.samples, len(one.loss_label), one.source.positions) == ((), 0, BATCHES[1].positions)
    logits = torch.randn(1, one.source.positions, 50, requires_grad=True)
    loss = packed_loss(logits, one, "mean", divisor=3.0)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_refusals():
    long = Mask.from_intervals([[((0, 1),)] * 8193])
    ids = np.zeros(8193, np.int64)
    batch = replace(BATCHES[0], mask=long, input_ids=ids, position_ids=ids)
    with pytest.raises(Unsupported, match=r'refused above 8192 positions, the batch has 8193; use Collator\("flex"\)'):
        Collator("sdpa")([batch])
    assert Collator("flex")([batch]).attention_mask.seq_lengths == (8193, 8193)
    with pytest.raises(InvalidInstance, match="unknown attention 'flash'; use one of sdpa, eager, flex"):
        Collator("flash")
    with pytest.raises(InvalidInstance, match="at least one batch to collate"):
        Collator()([])
    with pytest.raises(InvalidInstance, match="cannot be concatenated"):
        Collator()([BATCHES[0], trie.packed(trie.calls())])
    with pytest.raises(InvalidInstance, match="loss edges are not sorted by sample"):
        Collator()(replace(BATCHES[0], loss_sample=BATCHES[0].loss_sample[::-1].copy()))
    empty = Mask.from_intervals([[(), *[((0, 1),)] * (BATCHES[0].positions - 1)]])
    with pytest.raises(InvalidInstance, match="row 0 has no key"):
        Collator("flex")(replace(BATCHES[0], mask=empty))
    with pytest.raises(InvalidInstance, match=r"manifest.json cannot be read"):
        PackedDataset("/nowhere")


def test_text_joins_images():
    """A batch of text alone stores no additional dimensions of position ids; they equal the first."""
    image = {"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "position_ids": [[0, 1, 2], [0, 3, 4], [0, 5, 6]]}
    text = {"input_ids": [5, 6, 8], "labels": [-100, 6, 8]}
    for rows in ([image, text], [text, image]):
        joined = Collator("sdpa")([batch for row in rows for batch in pack_batches([row])])
        [dimensions] = joined.model_inputs["position_ids"].transpose(0, 1).tolist()
        one, other = ([0, 1], [0, 1], [0, 1]), ([0, 1], [0, 3], [0, 5])
        expected = zip(*((other, one) if rows[0] is image else (one, other)), strict=True)
        assert dimensions == [[*left, *right] for left, right in expected]
