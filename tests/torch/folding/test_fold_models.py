"""Folded and plain rows have equal log-probabilities and gradients in every model of the zoo that is exact."""

from __future__ import annotations

import pytest
import torch

from masksynth.errors import Unsupported
from masksynth.torch import fold, use_varlen_attention
from tests.torch.folding.rows import Rows, apart, pad, step, texts
from tests.torch.model_zoo import ENCODERS, EXACT, MIXING, make_model
from tests.torch.zoo_comparison import TOLERANCE, DoublePrecision

BACKBONES = {"OPT": "model.decoder"}
MIXED = [False, True] * 3
"""Padding sides of the rows."""


def compare(name: str, attention: str, rows: Rows, **limits) -> tuple[float, int]:
    """Return how far folded training is from plain training, and the number of merged positions."""
    model = make_model(EXACT[name], attention)
    with DoublePrecision():
        plain = step(model, rows)
        with fold(model, backbone=BACKBONES.get(name), strict=True, **limits) as folded:
            merged = step(model, rows)
    return apart(merged, plain), folded.report().positions


@pytest.mark.parametrize("name", EXACT)
def test_rows_padded_on_either_side_with_holes(name):
    pads = {"XLM-RoBERTa decoder": 1, "OPT": 1}
    rows = pad(texts(), MIXED, holes=True, token=pads.get(name, 0))
    difference, positions = compare(name, EXACT[name].attention[0], rows, min_ratio=1)
    assert difference < TOLERANCE
    assert positions < rows.attention_mask.sum()


@pytest.mark.parametrize(
    "name", ["Llama", "Gemma 3, windows", "Llama 4, chunks", "Mistral, window", "SmolLM3, windows"]
)
def test_eager_attention_and_rows_without_pads(name):
    rows = pad([row[:14] for row in texts()])
    difference, positions = compare(name, "eager", rows)
    assert difference < TOLERANCE
    assert (positions, rows.attention_mask.sum()) == (37, 84)


@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.parametrize("name", ["Llama", "Gemma 3, windows"])
def test_varlen_kernels_take_the_same_rows(name, limit):
    model, rows = use_varlen_attention(make_model(EXACT[name], "sdpa")), pad(texts(), MIXED)
    with DoublePrecision():
        plain = step(model, rows)
        with fold(model, strict=True, max_length=limit, min_ratio=1):
            merged = step(model, rows)
        assert apart(merged, plain) < TOLERANCE
        with fold(model) as folded:
            model(**pad(texts(), holes=True)._asdict())
    assert folded.report().passed == ({} if name == "Llama" else {"holes": 1})


@pytest.mark.parametrize("name", ["Llama", "Gemma 3, windows"])
@pytest.mark.parametrize("limit", [20, 30, 70, 71])
def test_pieces_of_limited_length_are_rows_of_one_call(name, limit):
    rows = pad(texts())
    calls = []
    model = make_model(EXACT[name], "sdpa")
    with DoublePrecision():
        plain = step(model, rows)
        with fold(model, max_length=limit, min_ratio=1) as folded:
            step(model, rows)
            model.base_model.register_forward_pre_hook(
                lambda module, args, kwargs: calls.append(kwargs["input_ids"].shape), with_kwargs=True
            )
            merged = step(model, rows)
    assert apart(merged, plain) < TOLERANCE
    count, width = calls[-1]  # before it, a check of the hook
    assert folded.report().folded == 2
    assert width <= max(limit, 21)
    assert (count == 1) == (limit >= 71)


@pytest.mark.parametrize("name", [*MIXING, *ENCODERS])
def test_models_that_are_not_exact_are_refused(name):
    entry = {**MIXING, **ENCODERS}[name]
    model = make_model(entry, entry.attention[0], torch.float32)
    with pytest.raises(Unsupported, match="train it without fold") as refusal:
        fold(model)
    assert "Collator" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "argument"), [("Mixtral", "router_logits"), ("Qwen3-MoE", "router_logits")])
def test_router_losses_are_those_of_the_rows(name, argument):
    model, rows = make_model(EXACT[name], "sdpa"), pad(texts(), holes=True)
    labels = rows.input_ids.clone()
    labels[:, 1:][rows.attention_mask[:, :-1] == 0] = -100  # what a pad predicts
    inputs = {"input_ids": rows.input_ids, "attention_mask": rows.attention_mask, "labels": labels}
    with DoublePrecision():
        plain = model(**inputs, output_router_logits=True)
        with fold(model, strict=True):
            merged = model(**inputs, output_router_logits=True)
    assert torch.allclose(merged.aux_loss, plain.aux_loss, rtol=1e-12)
    assert merged[argument][0].shape == plain[argument][0].shape


ROPES = {
    "dynamic": {"max_position_embeddings": 16},
    "longrope": {"short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0], "original_max_position_embeddings": 16},
}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", ROPES)
def test_rotary_frequencies_that_depend_on_the_longest_row(kind, wide):
    settings = dict(ROPES[kind])
    outer = {"max_position_embeddings": settings.pop("max_position_embeddings", 64)}
    rope = {"rope_type": kind, "factor": 4.0, "rope_theta": 10000.0, **settings}
    entry = EXACT["Llama"].with_settings(rope_parameters=rope, **outer)
    rows = pad([row[:14] for row in texts()]) if wide else pad(texts())
    if wide:  # pads reach beyond the limit, no token does
        rows = Rows(*(torch.nn.functional.pad(part, (0, 14)) for part in rows))
    with DoublePrecision():
        plain = step(make_model(entry, "sdpa"), rows)
        model = make_model(entry, "sdpa")
        with fold(model, strict=True):
            assert apart(step(model, rows), plain) < TOLERANCE


@pytest.mark.parametrize("returned", [True, False])
def test_hidden_states_and_tuples(returned):
    model, rows = make_model(EXACT["Llama"], "sdpa"), pad(texts())
    inputs = {"input_ids": rows.input_ids, "attention_mask": rows.attention_mask, "return_dict": returned}
    real = rows.attention_mask.bool()
    plain = model.model(**inputs, output_hidden_states=True)
    with fold(model, strict=True):
        merged = model.model(**inputs, output_hidden_states=True)
    states = [(plain.hidden_states, merged.hidden_states) if returned else (plain[-1], merged[-1])]
    assert type(merged) is type(plain)
    for theirs, ours in states:
        assert len(theirs) == len(ours) == 4
        assert all(torch.allclose(a[real], b[real], atol=1e-6) for a, b in zip(theirs, ours, strict=True))
        assert all(b[~real].count_nonzero() == 0 for b in ours)
