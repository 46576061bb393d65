"""The forms that flex_mask.py finds with torch against those that masksynth.export.forms finds with numpy, and what torch makes of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
from torch._inductor.graph import GraphLowering
from torch._inductor.kernel.flex.interval_mask_packing import select_packed_mask_intervals
from torch._inductor.virtualized import V
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export import bit_form as bits
from masksynth.export import chain_ranks as chains
from masksynth.export import forms
from masksynth.export.formats import safetensors_bytes
from masksynth.export.forms import form_of
from masksynth.export.targets import export_arrays, write_arrays
from masksynth.mask import Mask
from masksynth.torch import flex_mask
from masksynth.torch.mask_tensors import block_mask_of_rows
from tests.export.masks import MASKS
from tests.export.samples import chain_mask, chains_mask, random_mask, star_mask, tree_mask

LIMITS = (
    (forms, "MAX_INTERVALS", "MAX_INTERVALS"),
    (forms, "MAX_COLUMNS", "MAX_COLUMNS"),
    (chains, "MAX_CHAINS", "MAX_CHAINS"),
    (bits, "FLAT", "FLAT"),
)


def rows_of(mask, table=0):
    offset = mask.row_offset[table]
    part = slice(int(offset[0]), int(offset[-1]))
    return flex_mask.Rows(
        *(torch.from_numpy(a.copy()) for a in (offset - offset[0], mask.key_start[part], mask.key_end[part]))
    )


def flat(parts):
    """The tensors in nested tuples, in order."""
    return [tensor for part in parts for tensor in (flat(part) if isinstance(part, tuple) else [part])]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    MASKS,
    st.tuples(
        st.sampled_from([0, 1, 8]), st.sampled_from([0, 1, 2]), st.sampled_from([1, 2, 8]), st.sampled_from([0, 8192])
    ),
)
def test_two_searches_find_the_same(mask, limits):
    with pytest.MonkeyPatch.context() as patch:
        for (module, here, there), limit in zip(LIMITS, limits, strict=True):
            patch.setattr(module, here, limit)
            patch.setattr(flex_mask, there, limit)
        expected, found = form_of(mask), flex_mask.find_form(rows_of(mask))
    index = torch.arange(mask.size + 1024)
    dense = found.factory(*found.tensors)(0, 0, index[:, None], index[None, :])
    assert dense[: mask.size, : mask.size].equal(torch.from_numpy(mask.dense()))
    assert int(dense.sum()) == mask.pairs
    assert expected.why in found.words
    assert found.words.startswith(expected.name.removesuffix("in chains"))
    tensors = flat(found.tensors)
    assert all(tensor.dtype == torch.int32 and tensor.dim() == 1 and tensor.is_contiguous() for tensor in tensors)
    if expected.name.startswith(("row", "column")):
        for name, tensor in zip(expected.arrays, tensors, strict=True):
            assert np.array_equal(tensor[: mask.size], expected.arrays[name])


@pytest.mark.parametrize(
    "mask", [tree_mask(9_000, 3), chains_mask(250, 4), star_mask(2_000)], ids=["tree", "chains", "star"]
)
def test_one_search_is_the_other_on_larger_masks(mask):
    expected, found = form_of(mask), flex_mask.find_form(rows_of(mask))
    assert expected.why in found.words
    assert found.words.startswith(expected.name.removesuffix("in chains"))


def recognised(factory, parts):
    """Whether torch's packing of masks takes the mask_mod, traced with its tensors as inputs, as a kernel traces it."""
    tensors = flat(parts)

    def traced(b, h, q, k, *inputs):
        rest = iter(inputs)

        def rebuilt(part):
            return tuple(map(rebuilt, part)) if isinstance(part, tuple) else next(rest)

        with TransformGetItemToIndex():
            return factory(*rebuilt(parts))(b, h, q, k)

    scalars = [torch.zeros((), dtype=torch.int32) for _ in range(4)]
    graph = make_fx(traced)(*scalars, *tensors)
    with V.set_graph_handler(GraphLowering(graph)):
        return select_packed_mask_intervals(graph)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_torch_packs_row_intervals(count):
    mask = Mask.from_intervals([[[(3 * i, 3 * i + 1 + row % 2) for i in range(count)] for row in range(30)]])
    form = flex_mask.find_form(rows_of(mask))
    assert form.factory is flex_mask.interval_mask_mod
    assert len(recognised(form.factory, form.tensors)) == count


def test_torch_packs_no_other_form():
    """The price of the other forms: they are evaluated pair by pair."""
    for mask, factory in (
        (star_mask(300), flex_mask.column_mask_mod),
        (chains_mask(200, 3), flex_mask.chain_mask_mod),
        (random_mask(60), flex_mask.packed_mask_mod),
    ):
        form = flex_mask.find_form(rows_of(mask))
        assert form.factory is factory
        assert recognised(form.factory, form.tensors) is None


def test_a_packed_batch_is_read(tmp_path):
    """One table, row_offset [N + 1], beside arrays of other meaning."""
    mask = tree_mask(300)
    arrays = {
        "row_offset": mask.row_offset[0],
        "key_start": mask.key_start,
        "key_end": mask.key_end,
        "input_ids": np.arange(300),
    }
    (tmp_path / "batch-00000.safetensors").write_bytes(safetensors_bytes({**arrays, "position_ids": np.arange(300)}))
    check_file(tmp_path / "batch-00000.safetensors", mask)


def test_an_export_is_read(tmp_path):
    mask = Mask.from_dense(np.stack([random_mask(90).dense(), chains_mask(90, 3).dense()]))
    for table in range(2):
        path = tmp_path / f"{table}.safetensors"
        write_arrays(export_arrays(mask, "flex", table), path)
        check_file(path, Mask.from_dense(mask.dense()[table]))


def check_file(path, mask):
    (mod,) = flex_mask.make_mask_mods(path=path)
    (found,) = flex_mask.make_block_masks(path=path)
    index = torch.arange(mask.size)
    assert mod(0, 0, index[:, None], index[None, :]).equal(torch.from_numpy(mask.dense()))
    assert found.seq_lengths == (mask.size, mask.size)
    assert flex_mask.describe(path) == [f"table 0: {flex_mask.form_of(rows_of(mask))}"]


LISTS = [f"{full}{axis}_{name}" for full in ("", "full_") for axis in ("kv", "q") for name in ("num_blocks", "indices")]


@pytest.mark.parametrize(
    ("size", "block"), [*itertools.product([127, 128, 385, 1000], [128, 64, (256, 128), (32, 64)])]
)
def test_lists_equal_torch(size, block):
    """All eight tensors, ragged lengths, both builders; and what BlockMask.from_kv_blocks makes of the forward lists."""
    mask = tree_mask(size, 40, seed=size)
    found, alone = block_mask_of_rows(mask, block_size=block), flex_mask.block_mask_of(rows_of(mask), block_size=block)
    expected = create_block_mask(found.mask_mod, 1, 1, size, size, device="cpu", BLOCK_SIZE=block)
    forward = [getattr(found, name) for name in LISTS if "kv" in name]
    again = BlockMask.from_kv_blocks(*forward, BLOCK_SIZE=block, mask_mod=found.mask_mod, seq_lengths=(size, size))
    for name in LISTS:
        for other in (found, alone, again):
            assert getattr(other, name).equal(getattr(expected, name)), name
    assert found.BLOCK_SIZE == alone.BLOCK_SIZE == expected.BLOCK_SIZE
    assert found.seq_lengths == alone.seq_lengths == expected.seq_lengths


def test_block_masks_are_refused_in_one_line(monkeypatch):
    with pytest.raises(InvalidInstance, match="block size 2048 is above 1024"):
        block_mask_of_rows(chain_mask(4), block_size=2048)
    for name, most in (("MAX_INTERVALS", 0), ("MAX_COLUMNS", 0), ("MAX_CHAINS", -1), ("FLAT", 0), ("MAX_BITS", 4096)):
        monkeypatch.setattr(flex_mask, name, most)
    with pytest.raises(Unsupported, match="needs 6,144 bytes of bits"):
        block_mask_of_rows(random_mask(50))


def test_limits_are_the_same():
    for module, here, there in (*LIMITS, (chains, "MAX_RUNS", "MAX_RUNS"), (bits, "MAX_BITS", "MAX_BITS")):
        assert getattr(module, here) == getattr(flex_mask, there)
