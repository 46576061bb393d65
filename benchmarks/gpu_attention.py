"""Attention alone on one GPU: merged batches against separate runs, forms of masks, block sizes, lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.gpu_setting import Row, Setting, divide, merge_and_pack, rollouts
from masksynth.export import chain_ranks, forms
from masksynth.mask import Mask
from masksynth.pack import PackedBatch
from masksynth.torch import plan_tree, tree_attention
from masksynth.torch.mask_tensors import block_mask_of_rows

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@cache
def compiled_flex(compiles: bool) -> Any:
    """Return FlexAttention, compiled unless a tiny run asks for none."""
    return torch.compile(flex_attention, dynamic=False) if compiles else flex_attention


def flex(setting: Setting, mask: BlockMask) -> Attend:
    """Return FlexAttention under a mask."""
    function = compiled_flex(not setting.tiny)
    return lambda q, k, v: function(q, k, v, block_mask=mask)


def document_mask(setting: Setting, plain: PackedBatch) -> BlockMask:
    """Return the mask of plain packing as a user writes it: equal documents, and not later."""
    document = torch.from_numpy(plain.sample_offset.searchsorted(range(plain.positions), "right")).to(setting.device)

    def mask_mod(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (document[q] == document[k]) & (q >= k)

    make = create_block_mask if setting.tiny else torch.compile(create_block_mask)
    mask: BlockMask = make(mask_mod, None, None, plain.positions, plain.positions, device=setting.device)
    return mask


def one_by_one(plain: PackedBatch) -> Attend:
    """Return causal attention of each sample on its own."""
    cuts = plain.sample_offset.tolist()

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = [slice(a, b) for a, b in pairwise(cuts)]
        outputs = [scaled_dot_product_attention(q[:, :, p], k[:, :, p], v[:, :, p], is_causal=True) for p in parts]
        return torch.cat(outputs, 2)

    return attend


def _tensors(setting: Setting, size: int, dtype: torch.dtype) -> list[Tensor]:
    heads, width = (2, 16) if setting.tiny else (16, 64)
    generator = torch.Generator(setting.device).manual_seed(0)
    shape, options = (1, heads, size, width), {"generator": generator, "device": setting.device}
    return [torch.randn(shape, dtype=torch.float32, **options).to(dtype).requires_grad_() for _ in range(3)]


def _time_attention(setting: Setting, attend: Attend, tensors: list[Tensor], backward: bool) -> tuple[float, Any]:
    """Return milliseconds forward, and forward and backward (None if there is no backward)."""
    detached = [part.detach() for part in tensors]

    def forward() -> Tensor:
        return attend(*detached)

    def step() -> None:
        torch.autograd.grad(attend(*tensors).sum(), tensors)

    return setting.time(forward), setting.time(step) if backward else None


def measure_attention(setting: Setting, length: int, dtype: torch.dtype) -> Iterator[Row]:
    """Yield a row for each way to attend in a merged batch and in the same samples, not merged."""
    merged, plain = merge_and_pack(rollouts(length))
    tensors = _tensors(setting, merged.positions, dtype)
    index = torch.from_numpy(merged.sample_position).to(setting.device)  # of each token of the plain batch
    unmerged = [part.detach()[:, :, index].requires_grad_() for part in tensors]
    with torch.no_grad():
        right = one_by_one(plain)(*(part.double() for part in unmerged))
    has_flex, slowest = setting.has_flex_backward, None
    for name, attend, inputs, backward in (
        ("separate, sdpa", one_by_one(plain), unmerged, True),
        ("packed, flex, documents", flex(setting, document_mask(setting, plain)), unmerged, has_flex),
        ("merged, flex", flex(setting, block_mask_of_rows(merged.mask, setting.device)), tensors, has_flex),
        ("merged, varlen", _varlen(plan_tree(merged.mask, setting.device)), tensors, True),
    ):
        forward, both = _time_attention(setting, attend, inputs, backward)
        output = attend(*(part.detach() for part in inputs))
        output = output[:, :, index] if inputs is tensors else output
        slowest = slowest or (forward, both)
        yield {
            "positions": merged.positions,
            "tokens": plain.positions,
            "dtype": str(dtype).removeprefix("torch."),
            "attention": name,
            "forward ms": f"{forward:.3f}",
            "forward + backward ms": "-" if both is None else f"{both:.3f}",
            "separate / this, forward": divide(slowest[0], forward),
            "separate / this, both": "-" if both is None else divide(slowest[1], both),
            "difference": f"{(output.double() - right).abs().max().item():.1e}",
        }


def _varlen(plan: Any) -> Attend:
    return lambda q, k, v: tree_attention(q, k, v, plan)


@contextmanager
def _only(form: str) -> Iterator[None]:
    """Let the search for a form of a mask_mod find one form only."""
    saved = forms.MAX_INTERVALS, forms.MAX_COLUMNS, chain_ranks.MAX_CHAINS
    allowed = form == "row intervals", form == "column intervals"
    forms.MAX_INTERVALS, forms.MAX_COLUMNS, chain_ranks.MAX_CHAINS = 64 * allowed[0], 64 * allowed[1], 0
    try:
        yield
    finally:
        forms.MAX_INTERVALS, forms.MAX_COLUMNS, chain_ranks.MAX_CHAINS = saved


def measure_forms(setting: Setting, length: int) -> Iterator[Row]:
    """Yield a row for each form of the mask_mod of one mask, and for a document mask of as many positions."""
    merged, _ = merge_and_pack(rollouts(length))
    _, plain = merge_and_pack(rollouts(merged.positions // 3))  # plain packing takes 2.75 positions for each merged one
    dtype = torch.float32 if setting.tiny else torch.bfloat16
    for form in ("row intervals", "column intervals", "bits", "documents (another mask)"):
        if form.startswith("documents"):
            mask, size = document_mask(setting, plain), plain.positions
        else:
            with _only(form):
                mask, size = block_mask_of_rows(merged.mask, setting.device), merged.positions
        tensors = _tensors(setting, size, dtype)
        forward, both = _time_attention(setting, flex(setting, mask), tensors, setting.has_flex_backward)
        times = {"forward ms": f"{forward:.3f}", "forward + backward ms": "-" if both is None else f"{both:.3f}"}
        yield {"positions": size, "mask_mod": form, **times}


def measure_blocks(setting: Setting, length: int) -> Iterator[Row]:
    """Yield a row for each block size of a BlockMask."""
    merged, _ = merge_and_pack(rollouts(length))
    tensors = _tensors(setting, merged.positions, torch.float32 if setting.tiny else torch.bfloat16)
    for size in (128, (256, 128), 256, 64):
        mask = block_mask_of_rows(merged.mask, setting.device, size)
        forward, both = _time_attention(setting, flex(setting, mask), tensors, setting.has_flex_backward)
        times = {"forward ms": f"{forward:.3f}", "forward + backward ms": "-" if both is None else f"{both:.3f}"}
        blocks = int(mask.kv_num_blocks.sum()) + int(mask.full_kv_num_blocks.sum())
        yield {"positions": merged.positions, "block size": str(size), "blocks": blocks, **times}


def measure_lengths(setting: Setting, length: int) -> Iterator[Row]:
    """Yield a row for each of some batches of different lengths, padded to few: how often a graph is compiled."""
    from torch._dynamo.utils import counters

    from masksynth.torch.join_batches import fill

    multiple = 64 if setting.tiny else 2048
    for number in range(6):
        merged, _ = merge_and_pack(rollouts(length - number * length // 40, seed=number))
        padded = fill(merged, -merged.positions % multiple)
        mask: Mask = padded.mask
        tensors = _tensors(setting, padded.positions, torch.float32 if setting.tiny else torch.bfloat16)
        before = counters["stats"]["unique_graphs"]
        attend = flex(setting, block_mask_of_rows(mask, setting.device))
        forward, _ = _time_attention(setting, attend, tensors, False)
        graphs = counters["stats"]["unique_graphs"] - before
        sizes = {"batch": number, "positions": merged.positions, "padded to": padded.positions}
        yield {**sizes, "graphs compiled": graphs, "forward ms": f"{forward:.3f}"}
