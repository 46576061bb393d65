"""Write ``models.md``: which models of transformers train on merged batches exactly, and which are refused, by running all of them.

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
from masksynth.torch.versions import TRANSFORMERS  # noqa: E402
from tests.torch.model_zoo import CHUNK, ENCODERS, EXACT, FLEX, MIXING, WINDOW, Entry  # noqa: E402
from tests.torch.zoo_comparison import TOLERANCE, Outcome, compare_entry  # noqa: E402

PAGE = HERE / "models.md"
HEAD = f"""<!-- Written by docs/models.py. -->
# Models

`Collator(model=model)` reads a loaded model of transformers once and makes batches that are right for it: the window, chunk or layer type of
every layer, how its class takes masks, its position ids. Nothing is concluded from the name of a class. The model is run on a few tokens with
recording attention, so that classes that are not listed here are understood too, or refused with the layer's name.

The tables below are the outcome of a run, and a test compares them with another one. Each model is random and tiny, with windows of
{WINDOW} tokens and chunks of {CHUNK}; the samples have 17 to 24 tokens and share prefixes. *Exact* means: the log-probability of every label and
the gradient of every parameter equal those of the model's own run of each sample alone, without any mask of ours, to a part in
{1 / TOLERANCE:.0e} of the largest. For that, what a model casts to float32 (norms, softmax, rotary tables) is kept in float64; without, they agree
to float32's rounding. Supported are transformers from {{low}} on, below {{high}}.

## Exact

"""
FLEX_NOTE = """
*flex* is compared in float32 (its backward pass does not run on a CPU) for the models that say so. A class without *sdpa* has no such
implementation in transformers. Experts run as `experts_implementation="eager"`, since grouped products take no float64.
"""
REFUSED = """
## Refused

Layers that carry a state along the sequence (linear attention, convolution, state-space models) mix positions without a mask, and position
biases that count along the sequence are wrong at every branch. No mask makes such a model right on a merged batch. `Collator(model=model)`
says so and names the layer; `Collator(model=model, merge=False)` gives one sample a row, padded, with the same losses. That, too, was run
for each of these models.

"""
ENCODER_NOTE = """
## Encoders

Every token of a sample sees all others (`segments` with `"within": "full"`), and labels are those of masked tokens. RoBERTa counts its
positions from behind the padding id.

"""


def describe_layers(architecture: Architecture) -> str:
    """Return the masks of the layers in their order: "causal, window 5 (0, 2); causal (1)".

    Layers are named only where they differ.
    """
    reaches = [str(reach) for reach in architecture.layers]
    if len(set(reaches)) == 1:
        return reaches[0]
    layers = {reach: [str(i) for i, other in enumerate(reaches) if other == reach] for reach in dict.fromkeys(reaches)}
    return "; ".join(
        f"{reach} (layer{'s' * (len(numbers) > 1)} {', '.join(numbers)})" for reach, numbers in layers.items()
    )


def describe_masks(architecture: Architecture) -> str:
    """Return how the class takes masks."""
    return {"tensor": "one mask", "mapping": "by layer type", "registered": "one a layer"}[architecture.mask_argument]


def exact_row(name: str, entry: Entry, outcomes: dict[str, Outcome], flex: str) -> str:
    """Return the row of a model that is not refused; a difference would be shown in place of "exact"."""
    record = outcomes[entry.attention[0]].architecture
    if record is None:
        return f"| {name} | `{entry.model}` | refused: {outcomes[entry.attention[0]].refusal} | | | | |"
    cells = [outcomes[kind].verdict if kind in outcomes else "none" for kind in ("sdpa", "eager")]
    return f"| {name} | `{entry.model}` | {describe_layers(record)} | {describe_masks(record)} | {' | '.join(cells)} | {flex} |"


def refused_row(name: str, entry: Entry, outcome: Outcome) -> str:
    """Return the row of a refused model: the reason without the remedy that the page says once."""
    reason = (outcome.refusal or "not refused").partition("; ")[0]
    return f"| {name} | `{entry.model}` | {reason} |"


def entry_row(name: str) -> str:
    """Return the row of the model of that name, after running it."""
    if name in MIXING:
        return refused_row(name, MIXING[name], compare_entry(name, MIXING[name].attention[0]))
    entry = {**EXACT, **ENCODERS}[name]
    return exact_row(
        name, entry, {kind: compare_entry(name, kind) for kind in entry.attention}, "exact" if name in FLEX else ""
    )


def page(rows: dict[str, str]) -> str:
    """Return the page with these rows, by the models' names."""
    head = "| model | class | each token sees | masks | sdpa | eager | flex |\n|---|---|---|---|---|---|---|\n"
    low, high = ("%d.%d" % version for version in TRANSFORMERS)
    parts = [HEAD.format(low=low, high=high), head, _lines(rows[name] for name in EXACT), FLEX_NOTE, ENCODER_NOTE, head]
    parts += [_lines(rows[name] for name in ENCODERS), REFUSED, "| model | class | because |\n|---|---|---|\n"]
    return "".join([*parts, _lines(rows[name] for name in MIXING)])


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    written = page({name: entry_row(name) for name in {**EXACT, **ENCODERS, **MIXING}})
    if sys.argv[1:] == ["--check"]:
        sys.exit(
            0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == written else "stale: run python docs/models.py"
        )
    PAGE.write_text(written, encoding="utf-8")
