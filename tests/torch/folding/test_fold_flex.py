"""Fold with FlexAttention on a CPU: forward (torch has no backward pass there), and few lengths for many batches."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.utils import counters

from masksynth.torch import fold
from tests.torch.folding.rows import pad, texts
from tests.torch.model_zoo import EXACT, make_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's compiler
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile"),
]

BATCHES = [pad(texts(seed, answers=3 + seed % 2), [False, True] * (3 + seed % 2)) for seed in range(4)]


def compare(name: str, **limits) -> tuple[float, list[torch.Size], int]:
    """Return the largest difference from the plain model, the shapes of the merged calls, and the graphs by then."""
    model, plain = (make_model(EXACT[name], attention, torch.float32) for attention in ("flex_attention", "sdpa"))
    worst, shapes, graphs = 0.0, [], []
    with torch.no_grad(), fold(model, strict=True, min_ratio=1, **limits) as folded:
        folded.backbone.register_forward_pre_hook(
            lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
        )
        for rows in BATCHES:
            real, expected = rows.attention_mask.bool(), plain(**rows._asdict()).logits
            apart = (model(**rows._asdict()).logits - expected)[real].abs().max() / expected[real].abs().max()
            worst = max(worst, apart.item())
            graphs.append(counters["stats"]["unique_graphs"])
        assert (folded.report().folded, folded.report().checks) == (len(BATCHES), 1)
    assert graphs[-1] == graphs[0], "later batches compile nothing"
    return worst, shapes[-len(BATCHES) :], graphs[-1]


@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.parametrize("name", ["Llama", "Gemma 3, windows", "Llama 4, chunks"])
def test_block_masks_of_merged_rows(name, limit):
    """By the definition of the attention and of the masks, without a compiler."""
    with torch.compiler.set_stance("force_eager"):
        worst, shapes, _ = compare(name, max_length=limit)
    assert worst < 1e-5
    assert {width for _, width in shapes} == {128}
    assert ({rows for rows, _ in shapes} == {1}) == (limit is None)


def test_batches_of_many_lengths_are_of_one_compiled_length():
    torch._dynamo.reset()
    counters.clear()
    # torch's code for CPUs does not compile a second length of its own accord
    with torch._dynamo.config.patch(automatic_dynamic_shapes=False):
        worst, shapes, graphs = compare("Llama")
    torch._dynamo.reset()
    assert len({rows.input_ids.shape for rows in BATCHES}) > 1
    assert set(shapes) == {(1, 128)}
    assert graphs > 0
    assert worst < 1e-5
