"""The check finds each planted fault: also where the first batch is short, in bfloat16, and with dropout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.torch import fold
from masksynth.torch.folding import merge_call, model_facts
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.reach import Reach
from tests.torch.folding.rows import flatten, pad, step, texts
from tests.torch.model_zoo import EXACT, MIXING, WINDOW, make_model

DTYPES = (torch.float32, torch.bfloat16)


def train(model, seeds=(0,), prompt=9, **arguments):
    """Train one batch for each seed."""
    for seed in seeds:
        step(model, pad(texts(seed, prompt=prompt)), **arguments)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bool_mask_for_eager_attention(monkeypatch, dtype):
    plain = merge_call.model_mask
    monkeypatch.setattr(
        merge_call,
        "model_mask",
        lambda merged, record, device: plain(merged, replace(record, attention="sdpa"), device),
    )
    model = make_model(EXACT["Llama"], "eager", dtype)
    with fold(model), pytest.raises(WrongAnswer, match=r"hidden states (differ|depend)"):
        train(model)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Mistral, window", "Gemma 3, windows", "Llama 4, chunks"])
def test_a_dropped_window_is_found_at_the_first_row_longer_than_it(monkeypatch, name, dtype):
    model = make_model(EXACT[name], "sdpa", dtype)
    with fold(model, min_ratio=1) as folded:
        make = merge_call.model_mask

        def without_windows(merged, record, device):
            layers = tuple(Reach() for _ in record.layers)
            return make(merged, replace(record, layers=layers), device)

        monkeypatch.setattr(merge_call, "model_mask", without_windows)
        short = pad([[5, 6, 7, 8], [5, 6, 7, 9], [5, 6, 3]])
        for _ in range(2):
            step(model, short)
        assert (folded.report().checks, folded.report().folded) == (1, 2)
        with pytest.raises(WrongAnswer, match="hidden states differ"):
            train(model)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Llama", "GPT-2"])
def test_missing_position_ids(monkeypatch, name, dtype):
    plain = merge_call._merged_call

    def forget(*arguments):
        merged = plain(*arguments)
        del merged.arguments["position_ids"]
        return merged

    monkeypatch.setattr(merge_call, "_merged_call", forget)
    model = make_model(EXACT[name], "sdpa", dtype)
    with fold(model), pytest.raises(WrongAnswer, match="hidden states differ"):
        train(model)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["LFM2", "Qwen3-Next", "RWKV", "MPT"])
def test_a_model_that_mixes_positions_taken_for_one_that_does_not(monkeypatch, name, dtype, dropout):
    entry = MIXING[name]
    model = make_model(entry, entry.attention[0], dtype)
    layers = (Reach(),) * 2
    record = Architecture(name, entry.attention[0], dtype, layers, ("causal",) * 2)
    monkeypatch.setattr(model_facts, "read_architecture", lambda backbone: record)
    monkeypatch.setattr(model_facts, "read_rule", lambda runs, record: None)
    if name == "RWKV":  # takes no mask of pairs at all
        plain = model.base_model.forward
        monkeypatch.setattr(model.base_model, "forward", lambda input_ids, **_: plain(input_ids, use_cache=False))
    if dropout:
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
    with fold(model), pytest.raises(WrongAnswer, match=r"hidden states (differ|depend)"):
        train(model)


def test_packed_rows_that_see_each_other(monkeypatch):
    model = make_model(EXACT["Falcon"], "sdpa", torch.float32)
    packed = flatten(texts())
    with fold(model), pytest.raises(Unsupported, match="FalconModel lets packed rows attend to one another"):
        model(**packed)
    monkeypatch.setattr(model_facts, "separates_packed", lambda *_: True)
    with fold(model), pytest.raises(WrongAnswer, match="hidden states differ"):
        model(**packed)


def test_a_backbone_that_the_model_does_not_call():
    model = make_model(EXACT["OPT"], "sdpa")
    rows = pad(texts(), token=1)
    with fold(model) as folded:
        with pytest.raises(Unsupported, match=r"OPTForCausalLM ran without .* pass backbone='model.decoder'"):
            model(input_ids=rows.input_ids, labels=rows.input_ids)
        assert folded.report().calls == 0
    with fold(model, backbone="model.decoder") as folded:
        model(input_ids=rows.input_ids, labels=rows.input_ids)
        assert folded.report().folded == 1


def test_dropout_is_off_in_the_check_and_on_again_afterwards():
    model = make_model(EXACT["GPT-2"].with_settings(resid_pdrop=0.5, attn_pdrop=0.5, embd_pdrop=0.5), "sdpa").train()
    rows = pad(texts())
    with pytest.warns(UserWarning, match="dropout"):
        folded = fold(model)
    torch.manual_seed(3)
    first = step(model, rows)[0]
    assert folded.report().checks == 1
    torch.manual_seed(3)
    second = step(model, rows)[0]
    assert folded.report().checks == 1
    assert first.equal(second)  # the check has drawn nothing
    assert not first.equal(step(model, rows)[0])
    assert all(module.training for module in model.modules())


def test_the_check_is_repeated_for_another_attention_and_dtype_and_remembered_for_the_model():
    model = make_model(EXACT["Llama"], "sdpa", torch.float32)
    for expected in (1, 0):
        with fold(model) as folded:
            train(model, (0, 1, 2))
            assert folded.report().checks == expected
    with fold(model) as folded:
        model.set_attn_implementation("eager")
        train(model)
        model.to(torch.float64)
        train(model, (0, 1))
        assert (folded.report().checks, folded.report().folded) == (2, 3)


def test_each_window_is_checked_once():
    model = make_model(EXACT["Gemma 3, windows"], "sdpa", torch.float32)
    short = pad([[5, 6, 7, 8], [5, 6, 7, 9]])
    with fold(model) as folded:
        for rows, checks in ((short, 1), (short, 1), (pad(texts()), 2), (pad(texts(1)), 2)):
            assert (rows.input_ids.shape[1] > WINDOW) == (checks == 2)
            step(model, rows)
            assert folded.report().checks == checks


def test_a_layer_that_mixes_only_in_training_is_found_after_evaluation():
    model = make_model(EXACT["Llama"], "sdpa", torch.float32).eval()
    layer = model.model.layers[0].mlp
    layer.register_forward_hook(lambda module, args, output: output + 0.1 * output.roll(1, 1) * module.training)
    with fold(model) as folded:
        for _ in range(2):
            train(model)
        assert folded.report().checks == 1
        model.train()
        with pytest.raises(WrongAnswer, match=r"hidden states (differ|depend)"):
            train(model)


FAULTS = {
    "the number of the row": lambda output: output + torch.arange(len(output))[:, None, None].to(output),
    "a share of the token before, not derived": lambda output: output + 0.02 * output.detach().roll(1, 1),
    "other rows of the batch": lambda output: output - 0.5 * output.mean(0, keepdim=True).detach(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_layer_whose_output_depends_on_more_than_the_row(fault, dtype):
    model = make_model(EXACT["Llama"], "sdpa", dtype)
    with fold(model):
        model.model.layers[1].mlp.register_forward_hook(lambda module, args, output: FAULTS[fault](output))
        with pytest.raises(WrongAnswer, match=r"hidden states (differ|depend)"):
            train(model)


@pytest.mark.parametrize("limit", [1, 48])
def test_a_layer_that_mixes_in_long_rows_and_is_added_after_fold(limit):
    """It is found with the next rows, since there is one more hook, or with the first rows that are long enough."""
    model, short, long = make_model(EXACT["Llama"], "sdpa", torch.float32), pad(texts(answers=1)), pad(texts(prompt=50))

    def mix(module, args, output):
        return output + 0.1 * output.roll(1, 1) * (output.shape[1] > limit)

    with fold(model, min_ratio=1) as folded:
        step(model, short)
        model.model.layers[0].mlp.register_forward_hook(mix)
        if limit > 1:
            step(model, short)
            step(model, short)
            assert (folded.report().checks, folded.report().folded) == (2, 3)
        with pytest.raises(WrongAnswer, match=r"hidden states (differ|depend)"):
            step(model, short if limit == 1 else long)


def test_a_module_that_is_exchanged_is_checked_again():
    model = make_model(EXACT["Llama"], "sdpa", torch.float32)
    with fold(model) as folded:
        for _ in range(2):
            train(model)
        model.model.layers[0].mlp = torch.nn.Sequential(model.model.layers[0].mlp)
        train(model)
    assert (folded.report().checks, folded.report().folded) == (2, 3)
