"""Models that run flash attention: fold gives its varlen kernel the keys of each path, through transformers' own code.

No flash kernel runs on a CPU, so transformers is handed functions of the same signature that are written out in torch;
everything between them and the model is transformers' own.
"""

from __future__ import annotations

import pytest
import torch
from transformers import AttentionInterface, modeling_flash_attention_utils
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.masking_utils import AttentionMaskInterface, flash_attention_mask

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.torch import fold
from masksynth.torch.models import flash_trees
from masksynth.torch.models.attention_name import attention_named
from tests.torch.folding import flash_kernels
from tests.torch.folding.rows import apart, flatten, pad, step, texts
from tests.torch.model_zoo import EXACT, MIXING, make_model
from tests.torch.zoo_comparison import TOLERANCE, DoublePrecision

ROWS = pad(texts(), [False, True] * 3)
HUB = "kernels-community/flash-attn2"


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Hand the functions to transformers, and register a kernel of a hub as transformers registers one."""
    serve(monkeypatch, flash_kernels.flash_attn_varlen_func)
    interfaces = (AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping)
    for mapping, function in zip(interfaces, (flash_attention_forward, flash_attention_mask), strict=True):
        monkeypatch.setitem(mapping, HUB, function)
        monkeypatch.setitem(mapping, "flash_attention_2", function)
    monkeypatch.setattr(flash_trees, "_ALIGNED", set())


def serve(monkeypatch, varlen):
    functions = (flash_kernels.flash_attn_func, varlen, None)
    pads = (modeling_flash_attention_utils._pad_input, modeling_flash_attention_utils._unpad_input)
    monkeypatch.setattr(modeling_flash_attention_utils, "_lazy_imports", lambda *_, **__: (*functions, *pads))
    monkeypatch.setattr(modeling_flash_attention_utils, "_loaded_implementation", None)


@pytest.mark.parametrize(
    "name",
    [
        "Llama",
        "GPT-2",
        "Mistral, window",
        "Gemma 2, windows",
        "Gemma 3, windows",
        "GPT-OSS, windows and sinks",
        "DeepSeek-V3",
        "Mixtral, window",
    ],
)
@pytest.mark.parametrize("limit", [None, 30])
def test_folded_rows_are_those_of_flash_attention_and_of_the_models_other_attention(name, limit):
    model = make_model(EXACT[name], EXACT[name].attention[0])
    with DoublePrecision():
        other = step(model, ROWS)
        with attention_named(model, "flash_attention_2"):
            plain = step(model, ROWS)
            with fold(model, strict=True, max_length=limit, min_ratio=1) as folded:
                merged = step(model, ROWS)
    assert max(apart(merged, plain), apart(merged, other)) < TOLERANCE
    assert (folded.report().folded, folded.report().checks) == (1, 1)


def test_the_attention_is_looked_up_at_each_call():
    model = make_model(EXACT["Mistral, window"], "sdpa", torch.float32)
    plain = step(model, ROWS)
    with fold(model, strict=True) as folded:
        assert apart(step(model, ROWS), plain) < 1e-5
        for name in ("flash_attention_2", HUB):
            with attention_named(model, name):
                assert apart(step(model, ROWS), plain) < 1e-5
        assert apart(step(model, ROWS), plain) < 1e-5
    assert folded.report().checks == 3


def test_calls_that_are_not_merged_and_recomputed_layers_run_as_before():
    model = make_model(EXACT["Mistral, window"], "sdpa", torch.float32)
    prompts = ROWS.input_ids[::2, :9]
    generate = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    with attention_named(model, "flash_attention_2"):
        expected, holes = model.generate(prompts, **generate), pad(texts(), holes=True)
        plain = model(**holes._asdict()).logits
        with fold(model) as folded:
            assert model.generate(prompts, **generate).equal(expected)
            assert model(**holes._asdict()).logits.equal(plain)
        assert folded.report().passed == {"cache": 3, "holes": 1}
        model.train()
        model.activation_checkpointing_enable()
        plain = step(model, ROWS)
        with fold(model, strict=True):
            assert apart(step(model, ROWS), plain) < 1e-5


def test_packed_rows_are_told_apart_in_one_row_with_a_cache_too():
    model, packed = make_model(EXACT["Gemma 3, windows"], "sdpa", torch.float32), flatten(texts())
    del packed["use_cache"]
    assert model.config.use_cache
    with attention_named(model, "flash_attention_2"):
        plain = model(**packed).logits
        with fold(model, strict=True) as folded:
            assert torch.allclose(model(**packed).logits, plain, atol=1e-4)
            with pytest.raises(Unsupported, match="lets packed rows attend to one another; pass one row per sample"):
                model(**{name: torch.cat([part, part]) for name, part in packed.items()})
        assert folded.report().positions == 71


def test_a_kernel_that_aligns_queries_with_the_first_keys_is_an_error(monkeypatch):
    model = make_model(EXACT["Llama"], "sdpa", torch.float32)
    serve(monkeypatch, flash_kernels.align_first)
    with attention_named(model, "flash_attention_2"):
        step(model, ROWS)  # where each row has its own queries, nothing is wrong
        with fold(model), pytest.raises(WrongAnswer, match=r"'flash_attention_2' on cpu .* load the model with sdpa"):
            step(model, ROWS)


def test_what_flash_attention_cannot_merge_is_refused(monkeypatch):
    for name, said in (
        ("Falcon", "FalconModel has flash attention of its own, which takes no plans of segments; load"),
        ("Llama 4, chunks", "Llama4TextModel: varlen attention does not support layer 0: causal, chunk 8; use sdpa"),
        ("Qwen3-Next", "layer 0 .* mixes positions without a mask; train it without fold"),
    ):
        model = make_model({**EXACT, **MIXING}[name], "sdpa", torch.float32)
        with attention_named(model, "flash_attention_2"), pytest.raises(Unsupported, match=said):
            fold(model)
    model = make_model(EXACT["Llama"], "sdpa", torch.float32)
    monkeypatch.setitem(AttentionInterface._global_mapping, "own/flash-mla", flash_attention_forward)
    said = "attention 'own/flash-mla' of LlamaModel does not support masks of pairs; load the model with attn_impl"
    with attention_named(model, "own/flash-mla"), pytest.raises(Unsupported, match=said):
        fold(model)
