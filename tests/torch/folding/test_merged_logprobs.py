"""Log-probabilities and entropies of merged rows are those of the model's own logits."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaForSequenceClassification

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch import fold, merged_logprobs
from masksynth.torch.folding import class_logits
from tests.torch.folding.rows import Rows, pad, texts
from tests.torch.model_zoo import EXACT, make_model
from tests.torch.zoo_comparison import DoublePrecision

SETTINGS = {
    "Gemma 2, windows": {"final_logit_softcapping": 3.0},
    "Cohere": {"logit_scale": 0.3},
    "Granite": {"logits_scaling": 2.5},
}
LEFT = [False, True] * 3


def own(model, rows: Rows, labels, temperature=1.0, **arguments):
    """Return log-probabilities, entropies and where labels are, from all of the model's own logits."""
    logits = (
        model(input_ids=rows.input_ids, attention_mask=rows.attention_mask, **arguments).logits[:, :-1] / temperature
    )
    spread = torch.log_softmax(logits, -1)
    mask = (labels[:, 1:] != -100) & (rows.attention_mask[:, 1:] * rows.attention_mask[:, :-1]).bool()
    chosen = spread.gather(-1, labels[:, 1:, None].clamp(min=0))[..., 0]
    return chosen * mask, -(spread.exp() * spread).sum(-1) * mask, mask


def gradients(model, logprobs, entropy):
    """Return the gradients of a sum in which each token counts differently."""
    weight = torch.linspace(0.5, 2, logprobs.numel()).reshape(logprobs.shape)
    model.zero_grad(set_to_none=True)
    (logprobs * weight + entropy * weight.flip(1)).sum().backward()
    return [part.grad for part in model.parameters() if part.grad is not None]


@pytest.mark.parametrize("chunk", [None, 300])
@pytest.mark.parametrize(
    "name",
    [
        *SETTINGS,
        "Llama",
        "GPT-2",
        "OPT",
        "XLM-RoBERTa decoder",
        "CodeGen",
        "Gemma 3n, windows",
        "Llama 4, chunks",
        "Mixtral",
    ],
)
def test_values_and_gradients_are_those_of_the_models_own_logits(monkeypatch, name, chunk):
    shapes = []
    plain = class_logits.class_logits
    monkeypatch.setattr(class_logits, "class_logits", lambda *a: shapes.append(plain(*a)) or shapes[-1])
    if chunk:
        monkeypatch.setattr(class_logits, "CHUNK", chunk)
    token = {"XLM-RoBERTa decoder": 1, "OPT": 1}.get(name, 0)
    model = make_model(EXACT[name].with_settings(**SETTINGS.get(name, {})), EXACT[name].attention[0])
    rows = pad(texts(), LEFT if name != "GPT-2" else False, token=token)
    labels = rows.input_ids.masked_fill(rows.attention_mask == 0, -100)
    labels[:, :5] = -100
    counted = (rows.attention_mask.cumsum(1) - 1).clamp(min=0) + (2 if token and name != "OPT" else 0)
    backbone = "model.decoder" if name == "OPT" else None
    with DoublePrecision():
        theirs = own(model, rows, labels, 0.7, position_ids=counted)
        expected = gradients(model, *theirs[:2])
        ours = merged_logprobs(model, *rows, labels, temperature=0.7, backbone=backbone)
        found = gradients(model, *ours[:2])
    assert ours.label_mask.equal(theirs[2])
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)
    scale = max(part.abs().max() for part in expected)
    assert max((a - b).abs().max() for a, b in zip(found, expected, strict=True)) < 1e-10 * scale
    assert max(part.numel() for part in shapes) <= (chunk or 71 * 60)


def test_half_precision_is_scored_in_float32_and_a_fold_is_used():
    model, rows = make_model(EXACT["Llama"], "sdpa", torch.bfloat16), pad(texts())
    plain = merged_logprobs(model, *rows)
    with fold(model, strict=True) as folded:
        result = merged_logprobs(model, *rows)
    assert (folded.report().folded, result.log_probs.dtype) == (1, torch.float32)
    assert result.log_probs.equal(plain.log_probs)
    assert result.log_probs[~result.label_mask].count_nonzero() == 0
    assert result.label_mask.equal((rows.attention_mask[:, 1:] * rows.attention_mask[:, :-1]).bool())


def test_rows_that_share_nothing_and_rows_without_labels():
    model, rows = make_model(EXACT["Llama"], "sdpa"), pad([[5, 6, 7], [8, 9, 10, 11]])
    theirs = own(model, rows, rows.input_ids)
    result = merged_logprobs(model, *rows)
    assert torch.allclose(result.log_probs, theirs[0], atol=1e-6)
    assert torch.allclose(result.entropy, theirs[1], atol=1e-6)
    empty = merged_logprobs(model, *rows, torch.full_like(rows.input_ids, -100))
    empty.log_probs.sum().backward()
    assert (empty.log_probs.count_nonzero(), empty.label_mask.sum()) == (0, 0)
    assert all(part.grad is not None for part in model.parameters())


def test_classes_without_probability_and_large_logits():
    model, rows = make_model(EXACT["Llama"], "sdpa"), pad(texts())
    head = model.lm_head = torch.nn.Linear(model.config.hidden_size, 60, dtype=model.dtype)
    with torch.no_grad():
        head.weight.mul_(1e3)
        head.bias[[0, 1]] = -torch.inf  # no row has these tokens
        head.bias[2] = -1e5
        logits = model(*rows).logits[:, :-1]
    spread = torch.log_softmax(logits.double(), -1)
    expected = spread.gather(-1, rows.input_ids[:, 1:, None])[..., 0]
    result = merged_logprobs(model, *rows)
    real = result.label_mask
    assert torch.allclose(result.log_probs[real].double(), expected[real], rtol=1e-5, atol=1e-3)
    entropy = torch.special.entr(spread.exp()).sum(-1)
    assert torch.allclose(result.entropy[real].double(), entropy[real], atol=1e-3)
    (result.log_probs + result.entropy).sum().backward()
    assert all(part.grad.isfinite().all() for part in model.parameters())


def test_pads_before_tokens_of_a_model_with_absolute_positions():
    model, rows = make_model(EXACT["GPT-2"], "sdpa"), pad(texts(), left=True)
    with pytest.raises(Unsupported, match="GPT2Model has absolute positions, and pads stand before real tokens"):
        merged_logprobs(model, *rows)
    columns = torch.arange(rows.input_ids.shape[1])[None]
    result = merged_logprobs(model, *rows, position_ids=columns)
    assert torch.allclose(result.log_probs, own(model, rows, rows.input_ids)[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_through_adapters():
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model, rows = get_peft_model(make_model(EXACT["Llama"], "sdpa"), lora), pad(texts())
    assert torch.allclose(merged_logprobs(model, *rows).log_probs, own(model, rows, rows.input_ids)[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_learned_tokens_of_a_wrapper_are_refused():
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    wrapped = get_peft_model(make_model(EXACT["Llama"], "sdpa"), prompt)
    with pytest.raises(Unsupported, match="PeftModelForCausalLM prepends learned tokens"):
        merged_logprobs(wrapped, *pad(texts()))


class ValueHead(torch.nn.Module):
    """Reads what the model returns, which has hidden states and logits."""

    def __init__(self, model):
        super().__init__()
        self.pretrained_model, self.head = model, torch.nn.Linear(model.config.hidden_size, 1)

    def forward(self, input_ids, **arguments):
        output = self.pretrained_model(input_ids, output_hidden_states=True, **arguments)
        return output.logits, self.head(output.hidden_states[-1])


class Training(torch.nn.Module):
    """A module without a forward."""

    def __init__(self, model):
        super().__init__()
        self.model = model


@pytest.mark.parametrize("wrap", [ValueHead, Training])
def test_through_modules_that_contain_the_model(wrap):
    model, rows = make_model(EXACT["Llama"], "sdpa"), pad(texts())
    result = merged_logprobs(wrap(model), *rows)
    assert torch.allclose(result.log_probs, own(model, rows, rows.input_ids)[0], atol=1e-6)


def test_compiled():
    model, rows = make_model(EXACT["Llama"], "sdpa"), pad(texts())
    expected = own(model, rows, rows.input_ids)[0]
    assert torch.allclose(merged_logprobs(torch.compile(model, backend="eager"), *rows).log_probs, expected, atol=1e-6)
    model.model.compile(backend="eager")  # a module that is compiled in place is called in another way
    with torch.compiler.set_stance("force_eager"):
        result = merged_logprobs(model, *rows)
        assert torch.allclose(result.log_probs, expected, atol=1e-6)
        result.log_probs.sum().backward()


def test_a_head_that_is_not_reached_is_an_error():
    rows = pad(texts(), token=1)
    with pytest.raises(Unsupported, match=r"OPTForCausalLM ran without calling its OPTModel.*'model\.decoder'"):
        merged_logprobs(make_model(EXACT["OPT"], "sdpa"), *rows)
    scorer = LlamaForSequenceClassification(make_model(EXACT["Llama"], "sdpa").config)
    with pytest.raises(Unsupported, match="LlamaForSequenceClassification gives no logits for each token"):
        merged_logprobs(scorer, *pad(texts()))


def test_arguments_are_checked():
    model, rows = make_model(EXACT["Llama"], "sdpa"), pad(texts())
    with pytest.raises(InvalidInstance, match=r"labels: expected the shape \[B, T\] of input_ids, .* got \[6, 5\]"):
        merged_logprobs(model, *rows, rows.input_ids[:, :5])
    with pytest.raises(InvalidInstance, match="temperature: expected a number above 0, got 0"):
        merged_logprobs(model, *rows, temperature=0)
    with pytest.raises(InvalidInstance, match="LlamaModel has no head"):
        merged_logprobs(model.model, *rows)
    with pytest.raises(InvalidInstance, match="labels: expected token ids or -100, got -1"):
        merged_logprobs(model, *rows, rows.input_ids.masked_fill(rows.attention_mask == 0, -1))
    with pytest.raises(InvalidInstance, match="labels: expected token ids below 60, got 60"):
        merged_logprobs(model, *rows, rows.input_ids.clamp(min=60))
    with pytest.raises(InvalidInstance, match=r"position_ids: expected the shape \[B, T\] of input_ids"):
        merged_logprobs(model, *rows, position_ids=torch.arange(4)[None])
    with pytest.raises(InvalidInstance, match="max_length: expected a positive integer, got 0"):
        merged_logprobs(model, *rows, max_length=0)
    with pytest.raises(InvalidInstance, match=r"input_ids: expected integers \[B, T\], at least one, got list"):
        merged_logprobs(model, [[5, 6, 7]])
