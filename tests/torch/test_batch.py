"""Loading, dense masks and their refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from masksynth.errors import InvalidInstance, MasksynthError, Unsupported, WrongAnswer
from masksynth.export import merged_arrays, solution_record, write_answer
from masksynth.mask import Mask
from masksynth.torch import Batch, attention_mask, batch_of, block_mask, load
from tests.export.samples import chain_mask, merged_task, random_mask


def test_load_gives_the_arrays(tmp_path):
    merged = merged_task(random_mask(6, 2))
    batch = load(write_answer(tmp_path / "out", solution_record(merged), merged))
    assert isinstance(batch, Batch)
    assert batch.inputs == tuple(place.input for place in merged.positions)
    assert batch.kinds == tuple(place.kind for place in merged.positions)
    assert (batch.labels, batch.tasks, batch.tables) == (merged.labels, merged.tasks, 2)
    for name, array in merged_arrays(merged).items():
        tensor = getattr(batch, name)
        assert tensor.numpy().dtype == array.dtype
        assert np.array_equal(tensor.numpy(), array)
    assert batch.to("cpu").position_ids.equal(batch.position_ids)


def test_load_refuses_a_broken_folder(tmp_path):
    merged = merged_task(random_mask(6))
    folder = write_answer(tmp_path / "out", solution_record(merged), merged)
    data = bytearray((folder / "mask.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "mask.safetensors").write_bytes(data)
    with pytest.raises(WrongAnswer, match="hash"):
        load(folder)
    with pytest.raises(InvalidInstance, match="cannot be read"):
        load(tmp_path / "absent")


@pytest.mark.parametrize("tables", [1, 3])
def test_kinds_of_attention_mask(tables):
    merged = merged_task(random_mask(7, tables))
    batch, dense = batch_of(merged), merged.mask.dense().reshape(tables, 7, 7)
    for table in range(tables):
        allowed = attention_mask(batch, "sdpa", table=table)
        assert (allowed.dtype, allowed.shape) == (torch.bool, (1, 1, 7, 7))
        assert np.array_equal(allowed[0, 0].numpy(), dense[table])
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            added = attention_mask(batch, "eager", dtype, table)
            assert (added.dtype, added.shape) == (dtype, (1, 1, 7, 7))
            assert added.isneginf().equal(~allowed)
            assert (added[allowed] == 0).all()


def test_eager_and_sdpa_agree():
    batch = batch_of(merged_task(random_mask(30)))
    q, k, v = torch.randn(3, 1, 2, 30, 8, dtype=torch.float64)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask(batch))
    scores = q @ k.transpose(-1, -2) / 8**0.5 + attention_mask(batch, "eager", torch.float64)
    assert torch.allclose(scores.softmax(-1) @ v, expected, atol=1e-12)


@pytest.mark.parametrize("call", [attention_mask, block_mask])
def test_a_pattern_needs_its_table(call):
    batch = batch_of(merged_task(random_mask(5, 3)))
    with pytest.raises(InvalidInstance, match=r"3 tables; pass table=l % 3"):
        call(batch)
    with pytest.raises(InvalidInstance, match="table 3 is not one of the 3"):
        call(batch, table=3)
    call(batch, table=2)


def test_refusals():
    batch = batch_of(merged_task(random_mask(5)))
    with pytest.raises(InvalidInstance, match="unknown kind of attention 'flash'"):
        attention_mask(batch, "flash")
    empty = batch_of(merged_task(Mask.from_intervals([[((0, 1),), (), ((2, 3),)]])))
    for kind in ("sdpa", "eager"):
        with pytest.raises(InvalidInstance, match="row 1 of table 0 has no key"):
            attention_mask(empty, kind)
    large = batch_of(merged_task(chain_mask(8193)))
    for use in (lambda: large.mask, lambda: attention_mask(large)):
        with pytest.raises(Unsupported, match=r"8193; use block_mask"):
            use()


def test_an_empty_family_has_empty_tensors():
    batch = batch_of(merged_task(random_mask(0)))
    assert batch.mask.shape == (0, 0)
    assert attention_mask(batch).shape == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("use", "expected"), [("masksynth.export", "False"), ("masksynth.torch; masksynth.torch.Batch", "True")]
)
def test_only_the_torch_room_imports_torch(use, expected):
    program = f"import sys, {use}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == expected


def test_errors_are_masksynth_errors():
    assert issubclass(Unsupported, MasksynthError)
