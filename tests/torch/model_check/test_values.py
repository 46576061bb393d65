"""`check_model` tells masks of equal flow apart by values, names what it finds, and lists what a batch cannot tell."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from masksynth import catalog
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.torch import Collator, WrongModel, batch_of, check_model
from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.model_check.forced_masks import force_transformers_model
from masksynth.torch.model_check.layer_faults import RightLayers, faults_of_equal_flow
from masksynth.torch.model_check.transformers_models import record_calls, run_separately, select_call
from masksynth.torch.models.reach import Reach
from masksynth.torch.window_rows import cut_mask, token_index
from tests.torch import trie
from tests.torch.model_check.zoo import fault_cases, fault_models
from tests.torch.models import gpt2, rotary

SOURCE, SHORT = fault_models.source_of(), fault_models.source_of(prompt=2, answers=(2, 1))
ALL = 999


def wrong(model, batch, **others):
    with pytest.raises(WrongModel) as caught:
        check_model(model, batch, **others)
    assert "\n" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.report == caught.value.report
    return caught.value.report


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "Mistral", "Qwen2", "Gemma 3", "Llama 4", "GPT-OSS"])
def test_forced_masks_are_what_the_model_does_alone(name):
    """With its own masks cut to windows, each layer of a merged run gives a sample what the model gives it alone.

    The two computations share no code of ours.
    """
    setting = fault_cases.setting_of(name)
    inputs = {**setting.batch.model_inputs, "attention_mask": torch.zeros(1, 1, SOURCE.positions, SOURCE.positions)}
    with torch.no_grad():
        _, calls = record_calls(lambda: setting.model(**inputs), SOURCE.positions)
        call = select_call(calls)
        cuts = [dense_mask(cut_mask(SOURCE.mask, token_index(SOURCE), reach)) for reach in setting.record.layers]
        merged = force_transformers_model(call)(cuts)
        assert merged.layers == 3
        for sample in range(3):
            tokens = torch.from_numpy(
                SOURCE.sample_position[SOURCE.sample_offset[sample] : SOURCE.sample_offset[sample + 1]]
            )
            alone = run_separately(setting.model, call, torch.from_numpy(SOURCE.input_ids)[tokens], None)
            assert torch.allclose(merged.outputs[tokens], alone, atol=1e-4)


def test_every_single_pair_is_told_by_value():
    """Whatever pair of one layer is added or removed, the outputs are not those of the right mask.

    Even where nothing else can flow.
    """
    model = rotary("llama")
    batch = Collator()(SOURCE)
    _, calls = record_calls(lambda: model(**batch.model_inputs), SOURCE.positions)
    force = force_transformers_model(select_call(calls))
    right = dense_mask(SOURCE.mask)
    base = force([right]).outputs
    for layer in range(3):
        for query, key in ((25, 0), (25, 21), (18, 13), (12, 8)):
            other = right.clone()
            other[query, key] ^= True
            masks = [right] * 3
            masks[layer] = other
            assert (force(masks).outputs - base)[query].abs().max() > 1e-4


def test_a_lost_pair_of_one_layer():
    """Its key still reaches the query through the other layers: the flow is as it should be."""
    setting = fault_cases.setting_of("Llama")

    def lost(mask):
        changed = mask.clone()
        changed[..., 25, 3] = False
        return changed

    report = wrong(
        setting.model,
        setting.batch,
        inputs={**setting.batch.model_inputs, "attention_mask": lost(setting.batch.attention_mask)},
    )
    assert {finding.kind for finding in report.findings} == {"values"}
    assert report.findings[0].position == 25
    assert "differs by" in str(report)


@pytest.mark.parametrize("name", ["Qwen2", "Gemma 3"])
def test_a_right_report_says_what_it_told_apart(name):
    setting = fault_cases.setting_of(name)
    report = check_model(setting.model, setting.batch)
    assert report.not_told_apart == ()
    assert set(report.told_apart) == {
        "windows dropped",
        "windows one token longer",
        "windows one token shorter",
        "tables swapped",
        "one table in every layer",
        "another table in one layer",
    }
    assert str(report).endswith("the model uses the mask")
    assert "distinguished by values: windows dropped, " in str(report)


def test_what_short_samples_cannot_tell_is_listed():
    model = fault_models.build("Mistral")
    for batch in (Collator("sdpa")(SHORT), Collator(model=model)(SHORT)):
        report = check_model(model, batch)
        assert report.told_apart == ()
        assert "windows dropped: on this batch the masks are the same" in report.not_told_apart
        assert "not distinguished: windows dropped: on this batch the masks are the same" in str(report)
    # samples of 5 tokens: a window of 5 is not reached, one of 4 would be
    report = check_model(model, Collator("sdpa")(fault_models.source_of(prompt=3, answers=(2, 1))))
    assert report.told_apart == ("windows one token shorter",)
    assert len(report.not_told_apart) == 2


def test_an_answer_of_two_tables():
    """The tables of an answer's pattern go to the layers by their type."""
    model = fault_models.build("Gemma 3")
    rows = Mask.from_dense(
        torch.stack(
            [dense_mask(cut_mask(SOURCE.mask, token_index(SOURCE), Reach(window=5))), dense_mask(SOURCE.mask)]
        ).numpy()
    )
    batch = replace(batch_of(merge(catalog.causal_lm(SOURCE.positions + 1))), rows=rows)
    local, full = (
        dense_mask(mask)[None, None]
        for mask in (cut_mask(SOURCE.mask, token_index(SOURCE), Reach(window=5)), SOURCE.mask)
    )
    ids = torch.from_numpy(SOURCE.input_ids)[None]
    inputs = {"input_ids": ids, "position_ids": batch.position_ids[None], "use_cache": False}

    def called(first, second):
        return {**inputs, "attention_mask": {"sliding_attention": first, "full_attention": second}}

    report = check_model(model, batch, inputs=called(local, full))
    assert "tables swapped" in report.told_apart
    swapped = wrong(model, batch, inputs=called(full, local))
    assert swapped.diagnosis.likeness == "the tables of the layers swapped"
    dropped = wrong(model, batch, inputs=called(full, full))
    assert dropped.diagnosis.name == "window dropped"


class TwoLayers(torch.nn.Module):
    """A plain PyTorch model of four layers that takes one table for each of two kinds."""

    def __init__(self, own=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed = torch.nn.Embedding(40, 16)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(16, 48) for _ in range(4))
        self.own = own

    def forward(self, input_ids, tables, **_):
        x = self.embed(input_ids[0])
        for layer, project in enumerate(self.layers):
            q, k, v = project(x).chunk(3, -1)
            x = x + self.attend(q[None, None], k[None, None], v[None, None], tables[layer % 2])
        return x

    def attend(self, q, k, v, mask):
        if not self.own:
            return scaled_dot_product_attention(q, k, v, attn_mask=mask)[0, 0]
        return ((q @ k.mT).masked_fill(~mask, -torch.inf).softmax(-1) @ v)[0, 0]


def test_a_plain_torch_model():
    """Layer patterns of equal flow, in a model that is not a transformers model."""
    window, full = cut_mask(SOURCE.mask, token_index(SOURCE), Reach(window=5)), SOURCE.mask
    rows = Mask.from_dense(torch.stack([dense_mask(window), dense_mask(full)]).numpy())
    batch = replace(
        batch_of(merge(catalog.causal_lm(SOURCE.positions + 1))),
        rows=rows,
        position_ids=torch.from_numpy(SOURCE.position_ids),
    )
    local, wide = dense_mask(window), dense_mask(full)
    inputs = {"input_ids": torch.from_numpy(SOURCE.input_ids)[None]}
    model = TwoLayers()
    report = check_model(lambda **given: model(tables=(local, wide), **given), batch, inputs=inputs, layers=4)
    assert {"tables swapped", "windows dropped", "windows one token longer"} <= set(report.told_apart)
    for tables, words in (
        ((wide, local), "the tables of the layers swapped"),
        ((wide, wide), "the mask without the windows or chunks of its layers"),
        (
            (dense_mask(cut_mask(full, token_index(SOURCE), Reach(window=6))), wide),
            "one token further than they should",
        ),
    ):
        found = wrong(lambda tables=tables, **given: model(tables=tables, **given), batch, inputs=inputs, layers=4)
        assert words in found.diagnosis.likeness
    own = TwoLayers(own=True)
    untold = check_model(lambda **given: own(tables=(local, wide), **given), batch, inputs=inputs, layers=4)
    assert untold.no_values.endswith("the model does not call scaled_dot_product_attention")
    assert "masks that let the same inputs reach the same outputs" in untold.not_told_apart
    assert not str(untold).endswith("the model uses the mask")


def test_a_pair_that_the_stack_takes_from_the_mask():
    """Attention that is neither a transformers model's nor torch's: the pairs of the mask in the call are removed."""
    own, full = TwoLayers(own=True), dense_mask(SOURCE.mask)
    batch = Collator()(SOURCE)
    near = dense_mask(cut_mask(SOURCE.mask, token_index(SOURCE), Reach(window=8)))

    def stack(input_ids, attention_mask, windowed=True, **_):
        table = attention_mask[0, 0]
        return own(input_ids, (table & near if windowed else table,) * 2)

    report = wrong(stack, batch)
    assert report.findings[0].kind == "values"
    assert "is removed from its row of attention_mask" in report.findings[0].message
    right = check_model(lambda **inputs: stack(windowed=False, **inputs), batch)
    assert "2 pairs of the masks in the call were removed, and each is used" in str(right)
    assert full.any()


def test_alibi_by_index_is_caught_by_the_samples_alone():
    setting = fault_cases.setting_of("MPT")
    report = wrong(setting.model, setting.batch)
    assert {finding.kind for finding in report.findings} == {"values"}
    assert "from that of the sample alone" in report.findings[0].message
    assert "merge=False" in report.remedy


def test_dropped_arguments_are_seen_within_the_wrapper():
    model, mask = rotary("llama"), Collator()(SOURCE).attention_mask
    batch = Collator()(SOURCE)
    ids = {"input_ids": batch.model_inputs["input_ids"]}
    report = wrong(lambda input_ids: model(input_ids, attention_mask=mask, use_cache=False), batch, inputs=ids)
    assert "the model inside is called without position_ids" in report.findings[0].message


@pytest.mark.parametrize("data", [trie.rollouts(), trie.calls()], ids=["rollouts", "calls"])
@pytest.mark.parametrize("name", ["Mistral", "Gemma 3", "Llama 4", "GPT-OSS"])
def test_right_batches_of_windowed_models_are_silent(name, data):
    model = fault_models.build(name)
    batch = Collator(model=model)(trie.packed(data))
    assert not check_model(model, batch, probes=8).findings
    assert not check_model(lambda **inputs: model(**inputs), batch, probes=8, gradients=False).findings


def test_the_model_is_left_as_it_was():
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    model = fault_models.build("Gemma 3").train()
    batch = Collator(model=model)(SOURCE)
    before = model.config.to_dict()
    check_model(lambda **inputs: model(**inputs), batch)
    assert model.training
    assert model.config.to_dict() == before
    assert "get_interface" not in vars(ALL_ATTENTION_FUNCTIONS)


def test_faults_of_a_pattern_are_different_masks():
    masks = tuple(
        cut_mask(SOURCE.mask, token_index(SOURCE), reach) for reach in (Reach(window=5), Reach(), Reach(window=5))
    )
    right = RightLayers(masks, SOURCE.mask, token_index(SOURCE))
    names = [fault.name for fault in faults_of_equal_flow(right)]
    assert names == [
        "window dropped",
        "window one more",
        "window one less",
        "tables swapped",
        "one table",
        "one table",
        *["wrong table"] * 3,
    ]
    longer = next(fault for fault in faults_of_equal_flow(right) if fault.name == "window one more")
    assert longer.masks[0] == cut_mask(SOURCE.mask, token_index(SOURCE), Reach(window=6))
    assert longer.masks[1] == SOURCE.mask
    assert list(faults_of_equal_flow(RightLayers((SOURCE.mask,), SOURCE.mask, token_index(SOURCE)))) == []


def test_a_model_in_float64_and_learned_positions():
    assert check_model(gpt2(), Collator("sdpa")(SOURCE)).no_values == ""


def test_rounding_that_follows_other_tokens_is_no_mixing():
    """Sums of grouped experts round otherwise when other tokens change: by 1e-7 of the output, with no derivative."""
    model = rotary("llama")
    causal = torch.ones(1, 1, SOURCE.positions, SOURCE.positions, dtype=torch.bool).tril()
    batch = Collator()(SOURCE)
    call = {**batch.model_inputs, "attention_mask": causal}
    plain = wrong(model, batch, inputs=call)
    model.lm_head.register_forward_hook(lambda _, inputs, output: output + 1e-7 * output.detach().mean(1, keepdim=True))
    rounded = wrong(model, batch, inputs=call)
    assert "mixes positions without a mask" not in str(rounded)
    assert rounded.diagnosis.name == plain.diagnosis.name == "causal"


def test_recording_leaves_no_global_hooks():
    """Else calls of compiled modules warn of them."""
    record_calls(lambda: torch.nn.Linear(2, 2)(torch.zeros(1, 2)), 3)
    assert not torch.nn.modules.module._has_any_global_hook()
