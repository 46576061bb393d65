"""The self-test compares with the model's own run of lone samples:

through wrappers, beyond windows, with all dimensions of position ids.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from masksynth.errors import InvalidInstance, MasksynthWarning, WrongAnswer
from masksynth.torch import Collator, check_model, self_test
from masksynth.torch.model_check.separate_samples import batch_with_long_samples, choose_samples
from tests.torch import trie
from tests.torch.model_check.zoo import fault_cases, fault_models
from tests.torch.models import gpt2, rotary
from tests.torch.test_packed_self_test import plain

SOURCE = fault_models.source_of()
SHORT = fault_models.source_of(prompt=2, answers=(2, 1))


def wrapped(model):
    return lambda **inputs: model(**inputs)


def parts(model):
    """The model's backbone and head, called one by one."""
    return lambda **inputs: model.lm_head(model.model(**inputs).last_hidden_state)


@pytest.mark.parametrize("wrap", [lambda model: model, wrapped, parts], ids=["model", "lambda", "parts"])
@pytest.mark.parametrize("name", ["Mistral", "Gemma 3"])
def test_a_dropped_window_is_caught(name, wrap):
    model = fault_models.build(name)
    with pytest.raises(
        WrongAnswer, match=r"logits: the logits at position \d+ \(token \d+ of sample 'answer \d'\) differ"
    ):
        self_test(wrap(model), Collator("sdpa")(SOURCE))
    found = self_test(wrap(model), Collator(model=model)(SOURCE))
    assert found
    assert (found.compared, found.longest, found.window, found.not_compared) == (3, 16, 5, ())
    assert "derivative by tokens outside the samples: 0" in str(found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_dropped_window_is_caught_with_flex():
    torch._dynamo.reset()  # a second length makes torch's CPU code generator fail
    model = fault_models.build("Mistral")
    model.set_attn_implementation("flex_attention")
    with pytest.raises(WrongAnswer, match="logits"):
        self_test(wrapped(model), Collator("flex")(SOURCE), samples=1, probes=1)
    found = self_test(wrapped(model), Collator(model=model)(SOURCE), samples=1, probes=1)
    assert found
    assert "not compared: derivative" in str(found)
    assert "outside the samples: 0" not in str(found)
    assert model.config._attn_implementation == "flex_attention"


@pytest.mark.parametrize("name", ["Mistral", "Qwen2", "Gemma 3", "Llama 4"])
def test_where_samples_are_short_a_longer_one_is_made(name):
    model = fault_models.build(name)
    with pytest.raises(
        WrongAnswer, match="logits: on a sample of 8 tokens, longer than the model's window of 5: the logits at"
    ):
        self_test(wrapped(model), Collator("sdpa")(SHORT))
    found = self_test(wrapped(model), Collator(model=model)(SHORT))
    assert (bool(found), found.longest, found.window) == (True, 8, 5)


@pytest.mark.parametrize(("name", "key"), [("Mistral", "sliding_window"), ("Llama 4", "attention_chunk_size")])
def test_a_window_that_no_sample_can_exceed_is_made_smaller(name, key):
    """300 tokens of 256 positions, or more than a dense mask may have: the class is run with a smaller window."""
    model = fault_models.build(name)
    for window in (300, 9000):
        setattr(model.config, key, window)
        found = self_test(wrapped(model), Collator(model=model)(SOURCE))
        assert (bool(found), found.longest, found.window, found.not_compared) == (True, 16, 14, ())
        assert getattr(model.config, key) == window
        with pytest.raises(
            WrongAnswer, match="with the model's window made 14 tokens, which a sample of 16 exceeds: the logits"
        ):
            self_test(wrapped(model), Collator("sdpa")(SOURCE))
        assert getattr(model.config, key) == window


def test_a_window_that_is_not_exceeded_is_not_called_compared():
    """Windows given by hand stay as they are; the model's is beyond its positions."""
    model = fault_models.build("Mistral")
    model.config.sliding_window = 300
    found = self_test(model, Collator(attention_window=300)(SHORT))
    assert not found
    assert found.compared == 2
    words = "samples longer than the window of 300 tokens: the batch has none, and the model has 256 positions"
    assert f"not compared: {words}" in str(found)


def test_a_sample_one_token_longer_than_the_window_suffices():
    """Its last token tells a window that is one too long."""
    model, source = fault_models.build("Mistral"), fault_models.source_of(prompt=3, answers=(3, 2))  # of 6 tokens
    found = self_test(model, Collator(model=model)(source))
    assert (bool(found), found.longest) == (True, 6)
    with pytest.raises(WrongAnswer, match=r"logits: the logits at position 5 \(token 5 "):
        self_test(model, Collator(attention_window=6)(source))


def test_batches_made_for_windows_without_a_model():
    """What is made for the test is collated as the batch was."""
    model, typed = fault_models.build("Mistral"), fault_models.build("Gemma 3")
    assert self_test(model, Collator(attention_window=5)(SHORT))
    tables = {"full_attention": None, "sliding_attention": 5}
    assert self_test(typed, Collator(tables=tables)(SHORT))
    with pytest.raises(WrongAnswer, match="longer than the model's window of 5"):
        self_test(model, Collator(attention_window=6)(SHORT))
    with pytest.raises(WrongAnswer, match="longer than the model's window of 5"):
        self_test(typed, Collator(tables={**tables, "sliding_attention": 4})(SHORT))


def test_without_a_reference_nothing_reads_as_a_pass():
    found = self_test(plain(), Collator()(trie.packed(trie.rollouts())))
    assert not found
    assert (found.compared, found.samples) == (0, 4)
    for text in (str(found), repr(found)):
        assert (
            "not compared: with a model's own run: no transformers model is called with the sequence; pass reference="
            in text
        )
        assert "samples compared" not in text


def test_a_reference_of_one_plain_sample():
    model, source = plain(), trie.packed(trie.rollouts())

    def alone(input_ids, position_ids):
        size = input_ids.shape[1]
        return model(input_ids, position_ids, torch.ones(1, 1, size, size, dtype=torch.bool).tril(), False)

    found = self_test(model, Collator()(source), reference=alone, samples=99)
    assert found
    assert found.compared == 12
    assert "12 samples compared" in str(found)
    with pytest.raises(WrongAnswer, match="logits"):
        self_test(model, Collator()(source), reference=lambda ids, places: alone(ids, places + 1))
    with pytest.raises(InvalidInstance, match=r"outputs of the sample alone are \[.*\], of the merged batch"):
        self_test(model, Collator()(source), reference=lambda ids, places: alone(ids, places)[:, :3])


def test_a_transformers_model_as_reference():
    model, other = rotary("llama"), rotary("llama", seed=1)
    batch = Collator()(trie.packed(trie.rollouts()))

    def own_code(**inputs):
        with torch.no_grad():
            return model(**inputs).logits + 0.0

    assert self_test(own_code, batch, reference=model)
    with pytest.raises(WrongAnswer, match="logits"):
        self_test(own_code, batch, reference=other)


def test_what_a_wrapper_does_after_the_model():
    model, batch = rotary("llama"), Collator()(trie.packed(trie.rollouts()))
    size = batch.source.positions
    assert self_test(lambda **inputs: model(**inputs).logits / 0.7, batch)
    by_index = torch.arange(size)[:, None] / size
    with pytest.raises(WrongAnswer, match="logits"):
        self_test(lambda **inputs: model(**inputs).logits + by_index[: inputs["input_ids"].shape[1]], batch)

    def needs_a_mask(attention_mask, **inputs):
        return model(attention_mask=attention_mask & True, **inputs).logits / 0.7

    found = self_test(needs_a_mask, batch)
    assert not found
    assert "not compared: what the callable does after the model" in str(found)
    assert self_test(lambda attention_mask, **inputs: model(attention_mask=attention_mask & True, **inputs), batch)


@pytest.mark.parametrize("name", ["Llama", "Gemma 3"])
def test_mixed_precision(name):
    """The model's own run computes as the call does.

    And half precision that is widened is compared as half precision.
    """
    model, half = fault_models.build(name), fault_models.build(name, torch.bfloat16)

    def automatic(**inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return model(**inputs).logits.float()

    for call in (automatic, lambda **inputs: half(**inputs).logits.float() / 0.7):
        batch = Collator(model=model)(SOURCE)
        assert self_test(call, batch)
        assert not check_model(call, batch).findings
    if name == "Gemma 3":
        for check in (self_test, check_model):
            with pytest.raises(WrongAnswer, match=r"logits|window"):
                check(automatic, Collator("sdpa")(SOURCE))


def test_two_models_in_one_callable_need_a_reference():
    first, second = rotary("llama"), rotary("llama", seed=1)
    batch = Collator()(trie.packed(trie.rollouts()))
    both = self_test(lambda **inputs: first(**inputs).logits + second(**inputs).logits, batch)
    assert not both
    assert "2 transformers models are called" in str(both)


KEYED = fault_models.source_of(keys=True)


def test_dimensions_of_position_ids_travel():
    model = fault_models.build("Qwen2-VL")
    names = ("position_ids_1", "position_ids_2")
    right = Collator(model=model)(KEYED)
    assert self_test(wrapped(model), right).not_compared == ()
    equal = self_test(wrapped(model), Collator(model=model)(SOURCE))
    assert equal.not_compared == ("3 dimensions of position ids: on this batch all are equal",)
    assert not check_model(wrapped(model), right).findings
    plainly = Collator()(replace(KEYED, keys={"height": KEYED.keys[names[0]], "width": KEYED.keys[names[1]]}))
    stacked = torch.stack([plainly.position_ids, plainly.keys["height"], plainly.keys["width"]])[:, None]
    first = plainly.position_ids[None].expand(3, 1, -1)
    by_hand = lambda **inputs: model(**{**inputs, "position_ids": stacked})  # noqa: E731
    assert self_test(by_hand, plainly)
    assert not check_model(by_hand, plainly).findings
    for wrong in (wrapped(model), lambda **inputs: model(**{**inputs, "position_ids": first})):
        with pytest.raises(WrongAnswer, match="logits"):
            self_test(wrong, plainly)
        with pytest.raises(WrongAnswer, match="position-id dimensions dropped: the model is given"):
            check_model(wrong, plainly)


def test_samples_that_come_last_are_compared():
    """A fault that only the last sample shows is found with one sample, whatever the seed."""
    random = np.random.default_rng(0)
    assert choose_samples(SOURCE, 1, random) == [2]
    assert choose_samples(SOURCE, 3, random)[:2] == [2, 0]
    assert sorted(choose_samples(SOURCE, 99, random)) == [0, 1, 2]
    model, last = rotary("llama"), SOURCE.positions - 1
    batch = Collator()(SOURCE)

    def wrong(**inputs):
        logits = model(**inputs).logits.clone()
        logits[:, last:] *= 1.01
        return logits

    for seed in range(4):
        with pytest.raises(WrongAnswer, match=f"logits: the logits at position {last} "):
            self_test(wrong, batch, samples=1, seed=seed)


def test_a_leak_that_rounding_hides():
    """What is leaked is too small to move a rounded logit; the derivative is not 0."""
    model = gpt2().bfloat16()
    batch = Collator(dtype=torch.bfloat16)(SOURCE)
    assert self_test(model, batch)

    def leaking(**inputs):
        logits = model(**inputs).logits
        return logits + 1e-6 * logits[:, :1].detach() + 1e-6 * logits.roll(1, 1)

    quiet = leaking(**batch.model_inputs)
    assert torch.allclose(quiet, model(**batch.model_inputs).logits, atol=1e-2)
    with pytest.raises(
        WrongAnswer, match=r"leak: the logits of sample .* have a derivative of .* which is outside the sample"
    ):
        self_test(leaking, batch, probes=0)


def test_dropout():
    model = fault_models.build("Llama", dropout=0.2).train()
    assert self_test(wrapped(model), Collator()(SOURCE))
    assert model.training
    always = lambda **inputs: torch.nn.functional.dropout(model(**inputs).logits, 0.2, training=True)  # noqa: E731
    with pytest.raises((InvalidInstance, WrongAnswer), match=r"two equal runs differ|moved"):
        self_test(always, Collator()(SOURCE))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LFM2", "layer 0 (Lfm2ShortConv, layer type 'conv')"),
        ("Qwen3-Next", "layer 0 (Qwen3NextGatedDeltaNet, layer type 'linear_attention')"),
    ],
)
def test_layers_that_no_mask_reaches_are_named(name, words):
    setting = fault_cases.setting_of(name)
    for check in (self_test, check_model):
        with pytest.raises(WrongAnswer) as caught:
            check(wrapped(setting.model), setting.batch)
        assert words in str(caught.value)
        assert "merge=False" in str(caught.value)
        assert "[1, 1, N, N]" not in str(caught.value)


def test_experts_that_round_in_groups_are_no_leak():
    """A token's logits move by rounding when other tokens choose other experts."""
    model = fault_models.build("GPT-OSS")
    for source in (SHORT, SOURCE, trie.packed(trie.rollouts(prompt=1, answer=2))):
        batch = Collator(model=model)(source)
        assert self_test(model, batch, samples=99, probes=9)
        assert not check_model(model, batch).findings


def test_encoders_with_whole_samples():
    setting = fault_cases.setting_of("ModernBERT")
    found = self_test(wrapped(setting.model), setting.batch, visible="mask")
    assert found
    assert found.compared == 3
    with pytest.warns(MasksynthWarning, match="samples are causal"):
        batch = Collator(model=setting.model)(SOURCE)
    with pytest.raises(WrongAnswer, match='ModernBertForMaskedLM are bidirectional: pass visible="mask"'):
        self_test(setting.model, batch)


def test_samples_with_their_own_visibility():
    """Where the model has no window, the sample under its part of the mask is the truth.

    Where it has, nothing knows it.
    """
    mask = fault_models.source_of(causal=False).mask
    source = replace(fault_models.source_of(causal=False), mask=mask)  # complete samples in a causal model
    assert self_test(fault_models.build("Llama"), Collator()(source), visible="mask")
    found = self_test(fault_models.build("Mistral"), Collator()(source), visible="mask")
    assert not found
    assert "samples with their own visibility" in str(found)


def test_batches_of_separate_rows_are_refused():
    model = rotary("llama")
    batch = Collator(model=model, merge=False)(SOURCE)
    for check in (self_test, check_model):
        with pytest.raises(InvalidInstance, match="one sample per row"):
            check(model, batch)


def test_long_samples_are_causal_and_share_their_beginning():
    made = batch_with_long_samples(SOURCE, 7)
    dense = made.mask.dense()
    for sample in range(2):
        tokens = made.sample_position[made.sample_offset[sample] : made.sample_offset[sample + 1]]
        assert np.array_equal(made.position_ids[tokens], np.arange(10))
        assert np.array_equal(dense[tokens][:, tokens], np.tri(10, dtype=bool))
        assert dense[tokens].sum() == np.tri(10).sum()


def untrained(name, dtype=torch.float32, scale=0.02):
    """A model with small weights, as classes initialize them: small logits, which depend little on context."""
    model, random = fault_models.build(name), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * scale)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["Llama", "Mistral", "Gemma 3"])
def test_small_logits_hide_no_fault(name, dtype):
    """Wrong position ids move them by less than half precision rounds, and are wrong all the same."""
    model = untrained(name, dtype)
    batch = Collator(model=model)(SOURCE)
    assert self_test(wrapped(model), batch)
    assert not check_model(wrapped(model), batch).findings
    for check in (self_test, check_model):
        with pytest.raises(WrongAnswer, match=r"logits|positions"):
            check(fault_cases.without(model, "position_ids"), batch)
        with pytest.raises(WrongAnswer):
            check(fault_cases.without(model, "attention_mask"), batch)
        if name != "Llama":
            with pytest.raises(WrongAnswer):
                check(wrapped(model), Collator("sdpa", dtype)(SOURCE))


def test_logits_that_do_not_depend_on_context_are_no_proof():
    model = untrained("Llama", scale=1e-5)
    for call in (wrapped(model), fault_cases.without(model, "attention_mask")):
        found = self_test(call, Collator(model=model)(SOURCE))
        assert not found
        assert not found.telling
        assert "not compared: context: with other tokens before it the last token's logits move by" in str(found)
    without_ids = check_model(fault_cases.without(model, "position_ids"), Collator(model=model)(SOURCE))
    assert any(
        each.startswith("position ids: the model is called without position_ids") for each in without_ids.not_told_apart
    )


@pytest.mark.parametrize("name", ["Mistral", "Gemma 3", "Llama 4"])
def test_equal_tokens_do_not_show_a_window(name):
    """Attention over equal values gives that value, whatever the mask."""
    model, source = fault_models.build(name), replace(SOURCE, input_ids=np.full_like(SOURCE.input_ids, 7))
    try:
        found = self_test(wrapped(model), Collator("sdpa")(source))
    except WrongAnswer:  # rounding may be another one with the window
        found = None
    assert not found
    assert found is None or "not compared: windows dropped: the sample's logits differ by" in str(found)


def test_a_window_that_half_precision_hides():
    """Differences within the tolerance of bfloat16 are those of another window where they are much nearer to it."""
    model = fault_models.build("Mistral", torch.bfloat16)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight *= 0.001  # attention adds little to the residual stream
    assert self_test(wrapped(model), Collator(model=model)(SOURCE)).apart < 0.01
    for window, words in ((6, "one token longer"), (4, "one token shorter"), (None, "dropped")):
        wrong = Collator("eager", torch.bfloat16, attention_window=window)(SOURCE)
        with pytest.raises(
            WrongAnswer, match=f"logits: the logits of sample .* are those of the model with its windows {words}: "
        ):
            self_test(wrapped(model), wrong)


def test_a_wrapper_that_orders_positions_anew():
    """What the model within computes belongs to other positions: that is not compared, and no fault."""
    model, batch = fault_models.build("Llama"), Collator()(SOURCE)
    order = torch.from_numpy(np.random.default_rng(1).permutation(SOURCE.positions))

    def ordered(input_ids, position_ids, attention_mask, use_cache):
        mask = attention_mask[..., order, :][..., order]
        return model(input_ids=input_ids[:, order], position_ids=position_ids[:, order], attention_mask=mask).logits[
            :, order.argsort()
        ]

    report = check_model(ordered, batch)
    assert "in another order" in report.no_values
    assert "the model uses the mask" not in str(report)
    found = self_test(ordered, batch)
    assert not found
    assert (
        "not compared: with a sample alone: the model fails on one of 15 tokens (IndexError); pass reference="
        in str(found)
    )
    assert self_test(ordered, batch, reference=model)

    numbered = lambda input_ids, **inputs: model(input_ids=(input_ids + 7) % fault_models.VOCABULARY, **inputs)  # noqa: E731
    assert self_test(numbered, batch)
    assert not check_model(numbered, batch).findings


def test_an_argument_that_the_model_does_not_know():
    """Transformers hands it through to the attention, where its name must not collide with one of ours."""
    model, batch = fault_models.build("Llama"), Collator()(SOURCE)
    renamed = lambda attention_mask, **inputs: model(mask=attention_mask, **inputs)  # noqa: E731
    for check in (self_test, check_model):
        with pytest.raises(WrongAnswer, match=r"logits|missing context"):
            check(renamed, batch)


def test_lost_position_ids_of_a_plain_model():
    """No call of a transformers model is watched.

    Twins show that the ids are lost, and where there are none it is said.
    """
    table = torch.randn(2, 300, 8, generator=torch.Generator().manual_seed(0))

    def model(input_ids, attention_mask, position_ids=None, use_cache=False):
        ids = torch.arange(input_ids.shape[1])[None] if position_ids is None else position_ids
        inputs = table[0][input_ids] + table[1][ids]
        return torch.nn.functional.scaled_dot_product_attention(inputs, inputs, inputs, attention_mask[0])

    batch = Collator()(SOURCE)
    assert check_model(model, batch, layers=1).not_told_apart == ()
    with pytest.raises(
        WrongAnswer, match=r"positions: positions .* have position id .*, one context and, in this run, one input"
    ):
        check_model(fault_cases.without(model, "position_ids"), batch, layers=1)
    chain = replace(SOURCE, position_ids=SOURCE.position_ids + np.arange(SOURCE.positions) * 3)
    untold = check_model(model, Collator()(chain), layers=1).not_told_apart
    assert untold == ("position ids: on this batch no two positions have one position id and one context",)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda ids, places: 1 / 0, "reference raised ZeroDivisionError: division by zero; it is called as reference"),
        (
            lambda ids: ids,
            "reference raised TypeError: .* takes 1 positional argument but 2 were given; it is called as",
        ),
        (lambda ids, places: None, "reference returns NoneType for 15 positions; return logits"),
        (3, "expected a callable as reference, got int; pass a model"),
        (torch.nn.Linear, "expected a callable as reference, got Linear; pass a model"),
    ],
)
def test_references_that_do_not_run(reference, message):
    with pytest.raises(InvalidInstance, match=message):
        self_test(fault_models.build("Llama"), Collator()(SOURCE), reference=reference)


@pytest.mark.parametrize("check", [self_test, check_model])
def test_what_is_no_batch(check):
    for given, kind in ((SOURCE, "PackedBatch"), (Collator(), "Collator")):
        with pytest.raises(InvalidInstance, match=f"expected a TrainingBatch, got {kind}; "):
            check(fault_models.build("Llama"), given)


def test_what_is_not_a_number_is_named():
    model = fault_models.build("Llama")
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(
        WrongAnswer,
        match=r"because LlamaForCausalLM gives outputs that are not finite .*; look for NaN among its weights",
    ):
        check_model(model, Collator()(SOURCE))


def test_a_leak_that_only_a_gradient_shows_is_not_said_to_move_by_0():
    model, batch = gpt2().bfloat16(), Collator(dtype=torch.bfloat16)(SOURCE)

    def leaking(**inputs):
        logits = model(**inputs).logits
        return logits + 1e-9 * logits.roll(1, 1)

    with pytest.raises(
        WrongAnswer, match=r"leak: the output at position .* has a gradient other than 0 at the input at position"
    ):
        check_model(leaking, batch)
