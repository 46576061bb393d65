"""verl's and OpenRLHF's passes, tensor by tensor as theirs, folded and not (the packages themselves: examples)."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn.functional import linear, pad
from transformers import Qwen2Config, Qwen2ForCausalLM

from masksynth.torch import fold
from tests.torch.trainers.stacks import gpt2

TEMPERATURE = 0.7


def qwen2():
    torch.manual_seed(0)
    shape = {
        "vocab_size": 40,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    return Qwen2ForCausalLM(Qwen2Config(**shape, num_key_value_heads=1)).double()


MODELS = {"gpt2": (gpt2, 1e-11), "qwen2": (qwen2, 1e-6)}  # norms and rotary tables of Qwen2 are float32


@pytest.fixture(params=MODELS)
def model(request):
    make, limit = MODELS[request.param]
    result = make().eval()
    result.limit = limit
    return result


def rollouts():
    """(prompt, answer) of two groups of three; the answers of one group agree for two tokens."""
    generator = torch.Generator().manual_seed(3)
    words = partial(torch.randint, 3, 40, generator=generator)
    common = words((2,))
    return [
        (prompt, torch.cat([start, words((size,))]))
        for prompt, start in ((words((9,)), common), (words((5,)), common[:0]))
        for size in (3, 1, 4)
    ]


def trie_size(rows):
    """Number of prefixes of some rows."""
    return len({tuple(row[: end + 1]) for row in rows for end in range(len(row))})


def jagged():
    rows = rollouts()
    nest = partial(torch.nested.nested_tensor, layout=torch.jagged)
    sizes = [len(prompt) + len(answer) for prompt, answer in rows]
    return nest([torch.cat(row) for row in rows]), nest([torch.arange(size) for size in sizes])


def scores(logits, labels):
    """Log-probabilities of labels, and entropies."""
    spread = torch.log_softmax(logits, -1)
    return spread.gather(-1, labels[..., None])[..., 0], -(spread.exp() * spread).sum(-1)


def remove_padding(model, bucket=0):
    """verl: all rows in one, without a mask, labels rolled over row ends, a suffix of pads if there is a bucket."""
    ids, positions = jagged()
    flat, numbers = ids.values()[None], positions.values()[None]
    rolled = torch.roll(flat, -1, 1)
    fill = -flat.shape[1] % bucket if bucket else 0
    numbers = torch.cat([numbers, torch.arange(fill)[None]], 1)
    output = model(input_ids=pad(flat, (0, fill)), attention_mask=None, position_ids=numbers, use_cache=False)
    temperature = torch.full((flat.shape[1] + fill, 1), TEMPERATURE)
    logits = output.logits.squeeze(0) / temperature.clamp(min=1e-8).to(output.logits.dtype)
    found = scores(logits, pad(rolled, (0, fill))[0])
    return tuple(
        torch.nested.nested_tensor_from_jagged(part[: flat.shape[1]], ids.offsets()).values() for part in found
    )


def padded(model):
    """verl: rows padded on the right, an int32 mask, position ids 0 at pads; logits made jagged again."""
    ids, positions = jagged()
    sizes = ids.offsets().diff()
    shape = (len(sizes), int(sizes.max()))
    mask = (torch.arange(shape[1])[None] < sizes[:, None]).to(torch.int32)
    dense = [torch.nested.to_padded_tensor(part, padding=0, output_size=shape) for part in (ids, positions)]
    output = model(input_ids=dense[0], attention_mask=mask, position_ids=dense[1], use_cache=False)
    logits = output.logits / torch.full((len(sizes), 1, 1), TEMPERATURE).to(output.logits.dtype)
    rows = torch.nested.narrow(logits, 1, torch.zeros_like(sizes), sizes, layout=torch.jagged)
    return scores(torch.cat(list(rows.unbind())), torch.roll(ids.values(), -1, 0))


def fused(model):
    """verl: the head's forward is replaced; the backbone is called with all its old arguments, most of them None."""
    ids, positions = jagged()
    nothing = dict.fromkeys(("past_key_values", "inputs_embeds", "return_dict"))
    if isinstance(model, Qwen2ForCausalLM):
        nothing["cache_position"] = None  # goes to **kwargs
    output = model.base_model(
        input_ids=ids.values()[None],
        attention_mask=None,
        position_ids=positions.values()[None],
        use_cache=False,
        output_attentions=model.config.output_attentions,
        output_hidden_states=model.config.output_hidden_states,
        **nothing,
    )
    parts = output[0][0].split(16)
    labels = torch.roll(ids.values(), -1, 0).split(16)
    found = [
        scores(linear(part, model.lm_head.weight) / TEMPERATURE, label)
        for part, label in zip(parts, labels, strict=True)
    ]
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


def openrlhf(model):
    """OpenRLHF: prompts padded on the left, answers on the right, position ids 1 at pads, logits scaled in place."""
    rows = rollouts()
    left, right = (max(len(row[side]) for row in rows) for side in (0, 1))
    ids, mask = torch.zeros(2, len(rows), left + right, dtype=torch.int64)
    for number, (prompt, answer) in enumerate(rows):
        real = slice(left - len(prompt), left + len(answer))
        ids[number, real], mask[number, real] = torch.cat([prompt, answer]), 1
    positions = mask.long().cumsum(-1) - 1
    positions.masked_fill_(mask == 0, 1)
    output = model(ids, attention_mask=mask, position_ids=positions)
    output["logits"].div_(TEMPERATURE)
    log_probs, entropy = scores(output["logits"], torch.roll(ids, -1, 1))
    actions = mask[:, left:]
    return tuple(part[:, :-1][:, -right:] * actions for part in (log_probs, entropy))


PASSES = {
    "verl, remove padding": remove_padding,
    "verl, remove padding, bucket": partial(remove_padding, bucket=32),
    "verl, padded": padded,
    "verl, fused": fused,
    "OpenRLHF": openrlhf,
}


def measure(model, run):
    """Log-probabilities, entropies and the gradient of a policy loss."""
    model.zero_grad()
    log_probs, entropy = run(model)
    weight = torch.linspace(-1, 1, log_probs.numel(), dtype=log_probs.dtype).reshape(log_probs.shape)
    (-(log_probs * weight).sum() + 0.01 * entropy.sum()).backward()
    return log_probs.detach(), entropy.detach(), *(part.grad.clone() for part in model.parameters())


@pytest.mark.parametrize("name", PASSES)
def test_folded_passes_are_the_plain_ones(model, name):
    model.config.use_cache = False
    plain = measure(model, PASSES[name])
    with fold(model, strict=True) as folded:
        merged = measure(model, PASSES[name])
    largest = max(float(part.abs().max()) for part in plain[2:])
    for numbers, expected in zip(merged[:2], plain[:2], strict=True):
        assert torch.allclose(numbers, expected, rtol=0, atol=model.limit)
    for numbers, expected in zip(merged[2:], plain[2:], strict=True):
        assert torch.allclose(numbers, expected, rtol=0, atol=model.limit * largest)
    rows = [torch.cat(row).tolist() for row in rollouts()]
    tokens = sum(map(len, rows))
    fill = -tokens % 32 if "bucket" in name else 0
    report = folded.report()
    assert (report.tokens, report.positions) == (tokens + fill, trie_size(rows) + fill)
    assert (report.calls, report.checks) == (1, 1)


def test_a_slice_that_begins_within_a_row_runs_as_the_plain_one(model):
    """Sequence parallelism slices before the model: what a rank computes alone is not changed by fold."""
    ids, positions = jagged()
    part = slice(6, None)
    call = {"input_ids": ids.values()[None, part], "position_ids": positions.values()[None, part], "use_cache": False}
    with torch.no_grad():
        plain = model(**call).logits
        with fold(model) as folded:
            assert torch.allclose(model(**call).logits, plain, rtol=0, atol=model.limit * 10)
    assert folded.report().folded == 1
