"""flex_mask.py as a user runs it.

Loaded from the answer's folder, its masks against the arrays and against torch's own construction.
"""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch._dynamo.config
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from masksynth import catalog
from masksynth.errors import WrongAnswer
from masksynth.export import bit_form, block_lists, chain_ranks, check_blocks, forms, solution_record, write_answer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.torch import batch_of, block_mask
from masksynth.torch.mask_tensors import lists_of
from tests.export.samples import chain_mask, chains_mask, merged_task, random_mask, star_mask
from tests.verify.hubs import hub_mask

LISTS = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
LISTS += ("q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices")
UNFUSED = "ignore:flex_attention called without torch.compile"


def flex_mask(merged, folder):
    """The module of an answer's folder, imported as a file."""
    path = write_answer(folder, solution_record(merged), merged) / "flex_mask.py"
    spec = importlib.util.spec_from_file_location("flex_mask", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["flex_mask"] = module
    spec.loader.exec_module(module)
    return module


def dense_of(merged):
    return torch.from_numpy(merged.mask.dense().reshape(merged.mask.tables, merged.mask.size, merged.mask.size))


def check_mods(merged, module, beyond):
    """Every entry, those of block padding included."""
    size, index = merged.mask.size, torch.arange(merged.mask.size + beyond)
    mods = module.make_mask_mods()
    assert len(mods) == merged.mask.tables
    for mod, dense in zip(mods, dense_of(merged), strict=True):
        found = mod(torch.tensor(0), torch.tensor(0), index[:, None], index[None, :])
        assert found.dtype == torch.bool
        assert found[:size, :size].equal(dense)
        assert not found[size:].any()
        assert not found[:, size:].any()


def check_attention(merged, masks, attend):
    """FlexAttention under every BlockMask equals scaled dot product attention under the boolean mask."""
    for table, (mask, dense) in enumerate(zip(masks, dense_of(merged), strict=True)):
        check_blocks(merged.mask, lists_of(mask), table)
        q, k, v = torch.randn(3, 1, 2, merged.mask.size, 16)
        with torch.no_grad():
            assert (
                attend(q, k, v, block_mask=mask) - scaled_dot_product_attention(q, k, v, attn_mask=dense)
            ).abs().max() < 1e-5


@pytest.mark.filterwarnings(UNFUSED)
@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_every_family(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.attention.flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    merged = merge(catalog.FAMILIES[name]())
    module = flex_mask(merged, tmp_path / "out")
    check_mods(merged, module, beyond=128)
    check_attention(merged, module.make_block_masks(), flex_attention)
    for found in module.make_block_masks():
        size = merged.mask.size
        compare_lists(found, create_block_mask(found.mask_mod, 1, 1, size, size, device="cpu"))


MASKS = {
    "chain": chain_mask(300),
    "star": star_mask(600),
    "random pattern": random_mask(130, 3),
    "exactly eight intervals": Mask.from_intervals([[tuple((2 * i, 2 * i + 1) for i in range(8))] * 16]),
    "nine intervals": Mask.from_intervals([[tuple((2 * i, 2 * i + 1) for i in range(9))] * 18]),
    "mixed forms": Mask.from_dense(np.stack([random_mask(50).dense(), chain_mask(50).dense()])),
    "nothing allowed": Mask.from_intervals([[()] * 10]),
    "one": random_mask(1),
    "empty": random_mask(0),
    "empty pattern": random_mask(0, 2),
}


@pytest.mark.parametrize("name", MASKS)
def test_mask_mods(name, tmp_path):
    merged = merged_task(MASKS[name])
    check_mods(merged, flex_mask(merged, tmp_path / "out"), beyond=1024)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("exactly eight intervals", ["table 0: row intervals, at most 8 per row"]),
        ("nine intervals", ["table 0: column intervals, at most 1 per key, since row 0 has 9 intervals (more than 8)"]),
        ("empty", ["table 0: row intervals, at most 0 per row"]),
    ],
)
def test_the_form_is_said(name, lines, tmp_path):
    module = flex_mask(merged_task(MASKS[name]), tmp_path / "out")
    assert module.describe() == lines


def test_the_file_runs_alone(tmp_path):
    """From another folder, in a fresh process that finds no masksynth."""
    merged = merged_task(MASKS["mixed forms"])
    module = flex_mask(merged, tmp_path / "out")
    program = (
        "import runpy, sys; sys.modules['masksynth'] = None;"
        "found = runpy.run_path(sys.argv[1], run_name='__main__'); print(len(found['make_block_masks']()))"
    )
    said = subprocess.check_output([sys.executable, "-c", program, module.__file__], text=True, cwd="/")
    assert said.splitlines() == [*module.describe(), "2"]


def test_interval_bounds_are_flat_tensors():
    """What the fused kernels need: 1-D int32 tensors, each its own, and no Python number in the closure."""
    batch = batch_of(merged_task(MASKS["exactly eight intervals"]))
    (bounds,) = (cell.cell_contents for cell in block_mask(batch).mask_mod.__closure__)
    assert len(bounds) == 8
    tensors = [tensor for pair in bounds for tensor in pair]
    assert all(tensor.dtype == torch.int32 and tensor.dim() == 1 and tensor.is_contiguous() for tensor in tensors)
    assert len({tensor.data_ptr() for tensor in tensors}) == 16


def test_factories_travel():
    from masksynth.torch import flex_mask as package

    for factory in (
        package.interval_mask_mod,
        package.packed_mask_mod,
        package.make_mask_mods,
        package.make_block_masks,
    ):
        assert pickle.loads(pickle.dumps(factory)) is factory


@pytest.mark.parametrize("form", ["intervals", "edges"])
def test_large_masks(form, tmp_path):
    """Above 8,192 positions: the interval and the edge form of the file, read row by row."""
    cover = Mask.from_intervals([[((max(i - 1, 0), i + 1),) for i in range(9000)]])
    merged = merged_task(cover if form == "edges" else chain_mask(9000), sparse=form == "edges")
    module = flex_mask(merged, tmp_path / "out")
    (mod,), (found,) = module.make_mask_mods(), module.make_block_masks()
    rows = torch.tensor([0, 1, 127, 128, 4500, 8999, 9000, 9215])
    keys = torch.arange(9216)
    for row in rows.tolist():
        expected = torch.zeros(9216, dtype=torch.bool)
        if row < 9000:
            expected[torch.from_numpy(merged.mask.row(row))] = True
        assert mod(0, 0, torch.tensor(row), keys).equal(expected)
    check_blocks(merged.mask, lists_of(found))
    assert found.seq_lengths == (9000, 9000)


def test_a_large_mask_with_many_intervals(tmp_path):
    merged = merged_task(star_mask(8300, 100))
    module = flex_mask(merged, tmp_path / "out")
    (mod,), keys = module.make_mask_mods(), torch.arange(8400)
    for row in (0, 255, 256, 8191, 8299, 8300):
        expected = torch.zeros(8400, dtype=torch.bool)
        if row < 8300:
            expected[torch.from_numpy(merged.mask.row(row))] = True
        assert mod(0, 0, torch.tensor(row), keys).equal(expected)


@pytest.mark.parametrize("size", [8193, 16_000])
def test_large_sparse_answers(size, tmp_path):
    """Hubs of a chain: many rows of a dozen single keys, stored as edges.

    Looked up in the few blocks that are neither empty nor full.
    """
    merged = merged_task(hub_mask(size), sparse=True)
    module = flex_mask(merged, tmp_path / "out")
    assert "by blocks of 128 x 128" in module.describe()[0]
    (found,), keys = module.make_block_masks(), torch.arange(size + 1024)
    tensors = dict(
        zip(
            found.mask_mod.__code__.co_freevars,
            (cell.cell_contents for cell in found.mask_mod.__closure__),
            strict=True,
        )
    )
    blocks = tensors["bits"].numel() // (128 * 128 // 32)
    assert tensors["bits"].numel() * 4 < size * size // 64
    assert blocks // 2 < tensors["number"].max() + 1 <= blocks
    for row in (0, 1, 127, 128, size // 2 - 1, size // 2, size - 1, size, size + 1023):
        expected = torch.zeros(size + 1024, dtype=torch.bool)
        if row < size:
            expected[torch.from_numpy(merged.mask.row(row))] = True
        assert found.mask_mod(0, 0, torch.tensor(row), keys).equal(expected)
    check_blocks(merged.mask, lists_of(found))
    own = block_mask(batch_of(merged))
    assert all(np.array_equal(a, b) for a, b in zip(lists_of(own), lists_of(found), strict=True))


def only_bits(monkeypatch):
    for module, name, most in ((forms, "MAX_INTERVALS", 0), (forms, "MAX_COLUMNS", 0), (chain_ranks, "MAX_CHAINS", -1)):
        monkeypatch.setattr(module, name, most)


BLOCKED = {
    "hubs": hub_mask(700),
    "star": star_mask(600),
    "random": random_mask(390),
    "full and empty blocks between": Mask.from_dense(
        np.kron(np.random.default_rng(1).random((6, 9)) < 0.5, np.ones((150, 100), bool))
    ),
    "many intervals across full blocks": Mask.from_intervals(
        [[[*((2 * i, 2 * i + 1) for i in range(9)), (100, 400), (512, 900)]] * 900]
    ),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_lookup_by_blocks_is_the_lookup(name, tmp_path, monkeypatch):
    """The form of large masks on small ones, entry by entry."""
    merged = merged_task(BLOCKED[name])
    only_bits(monkeypatch)
    monkeypatch.setattr(bit_form, "FLAT", 0)
    module = flex_mask(merged, tmp_path / "out")
    assert "by blocks" in module.describe()[0]
    check_mods(merged, module, beyond=1024)


@pytest.mark.parametrize("size", [1, 30, 600])
def test_sparse_answers_below_the_limit(size, tmp_path):
    merged = merged_task(hub_mask(size), sparse=True)
    module = flex_mask(merged, tmp_path / "out")
    check_mods(merged, module, beyond=128)
    for found in (*module.make_block_masks(), block_mask(batch_of(merged))):
        compare_lists(found, create_block_mask(found.mask_mod, 1, 1, size, size, device="cpu"))
        check_blocks(merged.mask, lists_of(found))


def compare_lists(found, expected):
    for name in LISTS:
        assert getattr(found, name).equal(getattr(expected, name)), name
        assert getattr(found, name).dtype == getattr(expected, name).dtype == torch.int32
    assert (found.seq_lengths, found.BLOCK_SIZE) == (expected.seq_lengths, expected.BLOCK_SIZE)


@pytest.mark.parametrize("block", [16, 64, 128, (32, 16), (16, 32)])
@pytest.mark.parametrize("name", ["chain", "star", "random pattern", "nothing allowed", "one", "mixed forms"])
def test_block_lists_equal_torch_and_numpy(name, block):
    mask = MASKS[name]
    batch = batch_of(merged_task(mask))
    for table in range(mask.tables):
        found = block_mask(batch, block, table)
        compare_lists(
            found, create_block_mask(found.mask_mod, 1, 1, mask.size, mask.size, device="cpu", BLOCK_SIZE=block)
        )
        twin = block_lists(mask, table, block)
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(lists_of(found), twin, strict=True))


def test_wrong_torch_lists_are_refused():
    mask = MASKS["chain"]
    found = block_mask(batch_of(merged_task(mask)))
    found.full_kv_num_blocks[0, 0, 1] -= 1
    with pytest.raises(WrongAnswer, match="not listed"):
        check_blocks(mask, lists_of(found))


def test_an_empty_mask_has_no_blocks(tmp_path):
    (found,) = flex_mask(merged_task(random_mask(0)), tmp_path / "out").make_block_masks()
    assert found.kv_indices.shape == (1, 1, 0, 0)
    assert found.seq_lengths == (0, 0)


@pytest.mark.parametrize("block", [0, -128, 2048, (128, 0)])
def test_block_sizes_are_bounded(block, tmp_path):
    module = flex_mask(merged_task(random_mask(4)), tmp_path / "out")
    with pytest.raises(ValueError, match="expected block_size from 1 to 1024"):
        module.make_block_masks(block_size=block)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    "form",
    ["row intervals", "column intervals", "ranks in 3 chains", "bit-packed lookup", "bit-packed lookup by blocks"],
)
@torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True)
def test_compiled_attention(form, tmp_path, monkeypatch):
    """Each form compiled once, with several masks of that form and no second compilation.

    Here the block lists are used.
    """
    masks = (chain_mask(300), Mask.from_intervals([[((max(0, i - 70), i + 1),) for i in range(300)]]))
    if form == "column intervals":
        masks = star_mask(300), star_mask(300, 5)
    if "chains" in form:
        masks = chains_mask(300, 3), chains_mask(300, 3, seed=1)
    if "lookup" in form:
        masks = random_mask(300), random_mask(300, seed=1)
    torch._dynamo.reset()
    attend = torch.compile(flex_attention)
    if "blocks" in form:
        monkeypatch.setattr(bit_form, "FLAT", 0)
    module = flex_mask(merged_task(masks[0]), tmp_path / "0")
    flex_mask(merged := merged_task(masks[1]), tmp_path / "1")
    second = tmp_path / "1" / "mask.safetensors"
    assert form in module.describe()[0]
    assert form in module.describe(second)[0]
    check_attention(merged_task(masks[0]), module.make_block_masks(), attend)
    check_attention(merged, module.make_block_masks(path=second), attend)
    (wrong,) = module.make_block_masks(path=second)
    wrong.kv_num_blocks[0, 0, 2] -= 1
    q, k, v = torch.randn(3, 1, 2, 300, 16)
    with torch.no_grad():
        off = attend(q, k, v, block_mask=wrong) - scaled_dot_product_attention(q, k, v, attn_mask=dense_of(merged)[0])
    assert off.abs().max() > 0.01, "a needed block that is missing must show"
