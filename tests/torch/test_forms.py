"""Stored forms as flex_mask.py reads them, against the masks that they store, and what torch makes of them."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
from torch._inductor.graph import GraphLowering
from torch._inductor.kernel.flex.interval_mask_packing import select_packed_mask_intervals
from torch._inductor.virtualized import V
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export import bit_form as bits
from masksynth.export import chain_ranks as chains
from masksynth.export import forms, merged_arrays, solution_record, write_answer
from masksynth.export.formats import safetensors_bytes
from masksynth.export.forms import choose_form, form_of
from masksynth.export.stored_forms import form_arrays, pack_form, unpack_form
from masksynth.export.targets import export_arrays, write_arrays
from masksynth.mask import Mask
from masksynth.torch import flex_mask
from masksynth.torch.mask_tensors import block_mask_of_rows, unchecked_block_mask
from tests.export.masks import MASKS
from tests.export.samples import chain_mask, chains_mask, merged_task, random_mask, star_mask, tree_mask

LIMITS = ((forms, "MAX_INTERVALS"), (forms, "MAX_COLUMNS"), (chains, "MAX_CHAINS"), (bits, "FLAT"))


def tensors_of(mask, table=0):
    """The stored form of one table, as tensors."""
    return {name: torch.from_numpy(array) for name, array in pack_form(choose_form(mask, table)).items()}


def flatten(part):
    """Return the tensors in nested tuples and mask_mods, in order."""
    if isinstance(part, torch.Tensor):
        return [part]
    parts = part if isinstance(part, tuple) else tuple(cells_of(part).values())
    return [tensor for each in parts for tensor in flatten(each)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    MASKS,
    st.tuples(
        st.sampled_from([0, 1, 8]), st.sampled_from([0, 1, 2]), st.sampled_from([1, 2, 8]), st.sampled_from([0, 8192])
    ),
)
def test_mask_mods_of_every_form(mask, limits):
    """The mask_mod of a stored form is the mask, block padding forbidden; the stored form comes back."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), limit in zip(LIMITS, limits, strict=True):
            patch.setattr(module, name, limit)
        form, stored = form_of(mask), tensors_of(mask)
    mod = flex_mask.make_mask_mod(stored)
    index = torch.arange(mask.size + 1024)
    dense = mod(0, 0, index[:, None], index[None, :])
    assert dense[: mask.size, : mask.size].equal(torch.from_numpy(mask.dense()))
    assert int(dense.sum()) == mask.pairs
    words = flex_mask.describe_form(stored)
    assert words.startswith(form.name.removesuffix("in chains"))
    assert words.endswith(f", since {form.why}" if form.why else " per row")
    tensors = flatten(mod)
    assert all(tensor.dtype == torch.int32 and tensor.dim() == 1 and tensor.is_contiguous() for tensor in tensors)
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    back = unpack_form({name: tensor.numpy() for name, tensor in stored.items()}, mask.size)
    assert back[:2] == form[:2]
    assert back.arrays.keys() == form.arrays.keys()
    assert all(np.array_equal(back.arrays[name], array) for name, array in form.arrays.items())


@pytest.mark.parametrize(
    "mask", [tree_mask(9_000, 3), chains_mask(250, 4), star_mask(2_000)], ids=["tree", "chains", "star"]
)
def test_larger_masks(mask):
    mod, keys = flex_mask.make_mask_mod(tensors_of(mask)), torch.arange(mask.size + 1024)
    for row in (0, 1, 127, 128, mask.size // 2, mask.size - 1, mask.size):
        expected = torch.zeros(mask.size + 1024, dtype=torch.bool)
        if row < mask.size:
            expected[torch.from_numpy(mask.row(row))] = True
        assert mod(0, 0, torch.tensor(row), keys).equal(expected)


def cells_of(mask_mod):
    """Return the free variables of a mask_mod by name: the arguments of its factory."""
    cells = (cell.cell_contents for cell in mask_mod.__closure__)
    return dict(zip(mask_mod.__code__.co_freevars, cells, strict=True))


def recognize(factory, cells):
    """Return what torch's packing of masks makes of a mask_mod, traced with its tensors as inputs."""

    def traced(b, h, q, k, *inputs):
        rest = iter(inputs)

        def rebuild(part):
            return tuple(map(rebuild, part)) if isinstance(part, tuple) else next(rest)

        with TransformGetItemToIndex():
            return factory(**{name: rebuild(part) for name, part in cells.items()})(b, h, q, k)

    scalars = [torch.zeros((), dtype=torch.int32) for _ in range(4)]
    graph = make_fx(traced)(*scalars, *flatten(tuple(cells.values())))
    with V.set_graph_handler(GraphLowering(graph)):
        return select_packed_mask_intervals(graph)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_torch_packs_row_intervals(count):
    mask = Mask.from_intervals([[[(3 * i, 3 * i + 1 + row % 2) for i in range(count)] for row in range(30)]])
    cells = cells_of(flex_mask.make_mask_mod(tensors_of(mask)))
    assert cells.keys() == {"bounds"}
    assert len(recognize(flex_mask.interval_mask_mod, cells)) == count


def test_torch_packs_no_other_form():
    """The price of the other forms: they are evaluated pair by pair."""
    columns, chains, packed = (
        cells_of(flex_mask.make_mask_mod(tensors_of(mask)))
        for mask in (star_mask(300), chains_mask(200, 3), random_mask(60))
    )
    assert recognize(flex_mask.column_mask_mod, cells_of(columns["transposed"])) is None
    assert chains.keys() == {"own", "chains"}
    assert recognize(flex_mask.chain_mask_mod, chains) is None
    assert packed.keys() == {"line", "bits"}
    assert recognize(flex_mask.packed_mask_mod, packed) is None


def test_a_packed_batch_is_read(tmp_path):
    """One table, row_offset [N + 1], next to arrays of other meaning."""
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


@pytest.mark.parametrize(
    "mask", [random_mask(90), star_mask(300), random_mask(40, 2), random_mask(0, 2), random_mask(0)]
)
def test_an_answer_of_an_older_version_is_read(mask, tmp_path):
    """Without stored forms; only where masksynth is installed."""
    merged = merged_task(mask)
    (tmp_path / "mask.safetensors").write_bytes(safetensors_bytes(merged_arrays(merged)))
    path = write_answer(tmp_path / "new", solution_record(merged), merged) / "mask.safetensors"
    assert "flex_0_reason" in load_file(path)
    assert flex_mask.describe(tmp_path / "mask.safetensors") == flex_mask.describe(path)
    for old, new in zip(
        flex_mask.make_mask_mods(path=tmp_path / "mask.safetensors"), flex_mask.make_mask_mods(path=path), strict=True
    ):
        assert all(a.equal(b) for a, b in zip(flatten(old), flatten(new), strict=True))


def test_without_masksynth_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "masksynth.export.stored_forms", None)
    (tmp_path / "mask.safetensors").write_bytes(safetensors_bytes(merged_arrays(merged_task(random_mask(9)))))
    with pytest.raises(ValueError, match=r"does not store the form of its mask: run `masksynth export .* --to flex"):
        flex_mask.make_block_masks(path=tmp_path / "mask.safetensors")


@pytest.mark.parametrize("mask", [tree_mask(300), random_mask(90, 2), random_mask(0)])
def test_without_masksynth_stored_intervals_are_read(mask, tmp_path, monkeypatch):
    """A batch of `pack` with a copy of flex_mask.py needs torch and safetensors only."""
    monkeypatch.setitem(sys.modules, "masksynth.export.stored_forms", None)
    offset = mask.row_offset if mask.tables > 1 else mask.row_offset[0]
    arrays = {"row_offset": offset, "key_start": mask.key_start, "key_end": mask.key_end}
    path = tmp_path / "batch-00000.safetensors"
    path.write_bytes(safetensors_bytes({**arrays, "position_ids": np.arange(mask.size)}))
    index = torch.arange(mask.size)
    mods = flex_mask.make_mask_mods(path=path)
    tables = mask.dense().reshape(mask.tables, mask.size, mask.size)
    for mod, dense in zip(mods, tables, strict=True):
        assert mod(0, 0, index[:, None], index[None, :]).equal(torch.from_numpy(dense))
    assert len(flex_mask.make_block_masks(path=path)) == len(flex_mask.describe(path)) == mask.tables


def check_file(path, mask):
    (mod,) = flex_mask.make_mask_mods(path=path)
    (found,) = flex_mask.make_block_masks(path=path)
    index = torch.arange(mask.size)
    assert mod(0, 0, index[:, None], index[None, :]).equal(torch.from_numpy(mask.dense()))
    assert found.seq_lengths == (mask.size, mask.size)
    assert flex_mask.describe(path) == [f"table 0: {flex_mask.describe_form(tensors_of(mask))}"]


LISTS = [f"{full}{axis}_{name}" for full in ("", "full_") for axis in ("kv", "q") for name in ("num_blocks", "indices")]


@pytest.mark.parametrize(
    ("size", "block"), [*itertools.product([127, 128, 385, 1000], [128, 64, (256, 128), (32, 64)])]
)
def test_lists_equal_torch(size, block, tmp_path):
    """All eight tensors, ragged lengths, every builder.

    And what BlockMask.from_kv_blocks makes of the forward lists.
    """
    mask = tree_mask(size, 40, seed=size)
    answer = {"mask": mask.dense(), "position_ids": np.zeros(size, np.int64)} | form_arrays(mask)
    query, key = np.nonzero(mask.dense())
    edges = {"edge_query": query[query != key], "edge_key": key[query != key]} | answer
    del edges["mask"]
    found = [block_mask_of_rows(mask, block_size=block), unchecked_block_mask(mask, block_size=block)]
    for name, arrays in (("dense", answer), ("rows", export_arrays(mask, "flex")), ("edges", edges)):
        save_file(arrays, tmp_path / name)
        found += flex_mask.make_block_masks(block_size=block, path=tmp_path / name)
    expected = create_block_mask(found[0].mask_mod, 1, 1, size, size, device="cpu", BLOCK_SIZE=block)
    forward = [getattr(found[0], name) for name in LISTS if "kv" in name]
    mod = found[0].mask_mod
    found.append(BlockMask.from_kv_blocks(*forward, BLOCK_SIZE=block, mask_mod=mod, seq_lengths=(size, size)))
    for other in found:
        for name in LISTS:
            assert getattr(other, name).equal(getattr(expected, name)), name
            assert getattr(other, name).dtype == torch.int32
        assert (other.BLOCK_SIZE, other.seq_lengths) == (expected.BLOCK_SIZE, expected.seq_lengths)


def test_block_masks_are_refused_in_one_line(monkeypatch):
    with pytest.raises(InvalidInstance, match="block size 2048 is above 1024"):
        block_mask_of_rows(chain_mask(4), block_size=2048)
    for module, name, most in ((forms, "MAX_INTERVALS", 0), (forms, "MAX_COLUMNS", 0), (chains, "MAX_CHAINS", -1)):
        monkeypatch.setattr(module, name, most)
    monkeypatch.setattr(bits, "FLAT", 0)
    monkeypatch.setattr(bits, "MAX_BITS", 4096)
    with pytest.raises(Unsupported, match="its bits need more than 4,096 bytes"):
        block_mask_of_rows(random_mask(50))
    assert form_arrays(random_mask(50)) == {}
