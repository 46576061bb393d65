"""Write ``models.md``: which models of transformers train exactly on merged batches, by running all of them.

python docs/models.py            writes it
python docs/models.py --check    exits 1 if it is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from masksynth.torch import Architecture  # noqa: E402
from masksynth.torch.models.transformers_version import TRANSFORMERS  # noqa: E402
from tests.torch.model_zoo import CHUNK, ENCODERS, EXACT, FLEX, MIXING, WINDOW, Entry  # noqa: E402
from tests.torch.zoo_comparison import TOLERANCE, Outcome, compare_entry  # noqa: E402

PAGE = HERE / "models.md"
HEAD = """<!-- Written by docs/models.py. -->
# Models

`Collator(model=model)` reads a loaded model of transformers once and makes batches that are right for it: the
window, chunk or layer type of every layer, how its class takes masks, its position ids. Nothing is concluded from
the name of a class: the model is run on a few tokens with recording attention. A class that is not listed here is
understood in the same way, or refused by the name of a layer.

The tables are the outcome of a run, which a test repeats. Models are random and tiny, with windows of {window}
tokens and chunks of {chunk}; samples have 17 to 24 tokens, share prefixes and branch inside windows and chunks.
*Exact* means that the log-probability of every label and the gradient of every parameter equal those of the model's
own run of each sample alone, without our masks, to {tolerance:.0e} of the largest. For this, what a model casts
to float32 (norms, softmax, rotary tables) is kept in float64; with the casts as they are, log-probabilities agree
to 1e-6 and gradients to 1e-5. Supported are transformers from {low} on, below {high}.

## Exact

"""
FLEX_NOTE = """
*flex* is compared in float32, forward only (its backward pass does not run on a CPU), for the models that say so. A
class without *sdpa* has no such implementation in transformers. Experts run as `experts_implementation="eager"`, since
grouped products take no float64. Seven of these models are also compared in bfloat16 and float16: merged
log-probabilities are as near to those in float64 as the separate ones are.
"""
ENCODER_NOTE = """
## Encoders

Every token of a sample sees all others (`segments` with `"within": "full"`), and labels are those of masked tokens.
A plain causal sample stays causal: an encoder is then trained under a causal mask, though its own run sees all tokens,
and the collator warns. RoBERTa counts its positions from behind the padding id; the batch does so too. Documents that
several questions
share are compared as well, each sample alone under a mask made pair by pair.

"""
REFUSED = """
## Refused

Layers that carry a state along the sequence (linear attention, convolution, state-space models) mix positions
without a mask, and position biases that count along the sequence are wrong at every branch. No mask makes such a
model right on a merged batch, so `Collator(model=model)` refuses it and names the layer. `Collator(model=model,
merge=False)` gives one sample per row, padded, with the same losses; that was run for each of these models, and is
equal to the separate samples to the same tolerance. A model in which pads change the other outputs (FNet) is refused
there too.

"""
ROUTERS = """
## Mixture of experts

The language-model loss of a merged batch is that of the separate samples, since experts treat each token by itself.
(Capacity limits, which drop tokens by their number in the batch, are not.) The auxiliary loss of the routers is a
statistic of tokens, so it matters what counts. In a batch of `Collator(model=model)`, `output_router_logits=True`,
or the config's own switch, counts each position once for each sample that has it: `aux_loss` and its gradients are
the model's own over the samples' live tokens, padded into one call. Tokens after a sample's last label are in no
batch and are not counted.

```python
import torch
from transformers import MixtralConfig, MixtralForCausalLM

import masksynth as ms
from masksynth.torch import Collator, packed_loss

torch.manual_seed(0)
shape = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_local_experts=4)
heads = dict(num_attention_heads=2, num_key_value_heads=1, attn_implementation="sdpa")
model = MixtralForCausalLM(MixtralConfig(**shape, **heads))


def sample(answer):
    ids = [11, 12, 13, 14, 15, answer, 1]
    return {"id": answer, "group": "q", "input_ids": ids, "labels": [-100] * 5 + ids[5:]}


[packed] = ms.pack_batches([sample(answer) for answer in (20, 21, 22)])
batch = Collator(model=model)(packed)

output = model(**batch.model_inputs, output_router_logits=True)
loss = packed_loss(output.logits, batch, "mean") + model.config.router_aux_loss_coef * output.aux_loss
loss.backward()

rows = Collator(model=model, merge=False)(packed)
separate = model(**rows.model_inputs, output_router_logits=True).aux_loss
print(len(batch.input_ids), "positions for", rows.model_inputs["attention_mask"].sum().item(), "tokens")
print("auxiliary losses equal:", torch.allclose(output.aux_loss, separate))
```

```text
8 positions for 18 tokens
auxiliary losses equal: True
```

A silent batch of `PackedSampler` has no samples; its auxiliary loss counts each position once. Multiply it by
`bool(batch.samples)` to leave it out without leaving out the backward pass.

As over padded rows, the auxiliary loss belongs to one call: over two batches it is not the mean of theirs. A batch
of `Collator("sdpa")`, which has no record of a model, has a mask of pairs only, on which the auxiliary loss of
transformers fails with an error about sizes; give the collator the model.

## Dropout

Positions that samples share get one draw, where separate samples get one each: the expectation is the same, single
steps are not. `Collator(model=model)` warns once for a model with a dropout rate above 0.
"""


def describe_layers(architecture: Architecture) -> str:
    """Return the masks of the layers in their order: "causal, window 5 (0, 2); causal (1)".

    Layers are named only where they differ.
    """
    reaches = [str(reach) for reach in architecture.layers]
    if len(set(reaches)) == 1:
        return reaches[0]
    layers = {reach: [str(i) for i, other in enumerate(reaches) if other == reach] for reach in dict.fromkeys(reaches)}
    words = {reach: f"layer{'s' * (len(numbers) > 1)} {', '.join(numbers)}" for reach, numbers in layers.items()}
    return "; ".join(f"{reach} ({where})" for reach, where in words.items())


def describe_masks(architecture: Architecture) -> str:
    """Return how the class takes masks."""
    return {"tensor": "one mask", "mapping": "by layer type", "registered": "one per layer"}[architecture.mask_argument]


def exact_row(name: str, entry: Entry, outcomes: dict[str, Outcome], flex: str) -> str:
    """Return the row of a model that is not refused; a difference would be shown in place of "exact"."""
    record = outcomes[entry.attention[0]].architecture
    if record is None:
        return f"| {name} | `{entry.model}` | refused: {outcomes[entry.attention[0]].refusal} | | | | |"
    cells = [outcomes[kind].verdict if kind in outcomes else "none" for kind in ("sdpa", "eager")]
    words = [name, f"`{entry.model}`", describe_layers(record), describe_masks(record), *cells, flex]
    return f"| {' | '.join(words)} |"


def refused_row(name: str, entry: Entry, outcome: Outcome) -> str:
    """Return the row of a refused model: the reason without the remedy that the page says once."""
    reason = (outcome.refusal or "not refused").partition("; ")[0]
    return f"| {name} | `{entry.model}` | {reason} |"


def entry_row(name: str) -> str:
    """Return the row of the model of that name, after running it."""
    if name in MIXING:
        return refused_row(name, MIXING[name], compare_entry(name, MIXING[name].attention[0]))
    entry = {**EXACT, **ENCODERS}[name]
    outcomes = {kind: compare_entry(name, kind) for kind in entry.attention}
    return exact_row(name, entry, outcomes, "exact" if name in FLEX else "")


def page(rows: dict[str, str]) -> str:
    """Return the page with these rows, by the models' names."""
    head = "| model | class | each token sees | masks | sdpa | eager | flex |\n|---|---|---|---|---|---|---|\n"
    low, high = (f"{major}.{minor}" for major, minor in TRANSFORMERS)
    intro = HEAD.format(window=WINDOW, chunk=CHUNK, tolerance=TOLERANCE, low=low, high=high)
    parts = [intro, head, _lines(rows[name] for name in EXACT), FLEX_NOTE, ENCODER_NOTE, head]
    parts += [_lines(rows[name] for name in ENCODERS), REFUSED, "| model | class | because |\n|---|---|---|\n"]
    return "".join([*parts, _lines(rows[name] for name in MIXING), ROUTERS])


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    written = page({name: entry_row(name) for name in {**EXACT, **ENCODERS, **MIXING}})
    if sys.argv[1:] == ["--check"]:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        sys.exit(0 if current == written else "stale: run python docs/models.py")
    PAGE.write_text(written, encoding="utf-8")
