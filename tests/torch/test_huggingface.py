"""A random GPT-2 of Hugging Face transformers, in float64.

Merged training is separate training for sdpa and eager attention.

GPT-2 because its layer norm and softmax stay in float64; Llama's compute in float32, which ends agreement near 1e-7.
"""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from masksynth import catalog
from masksynth.merge import merge
from masksynth.torch import attention_mask, batch_of, merged_loss
from tests.torch.compare import class_ids, gradients_of
from tests.torch.reference import labels_of, rows_of, text

EXACT, SEEN = 1e-9, 1e-6
FAMILIES = {name: make() for name, make in catalog.FAMILIES.items() if make().family.tables == 1}
"""Those with one mask for all layers.

An aggregate input counts as a token of its own, and kinds are ignored by such a model.
"""


def vocabulary_of(family):
    return {
        name: i for i, name in enumerate(sorted({text(node.input) for task in family.tasks for node in task.nodes}))
    }


def model_of(family, kind):
    config = GPT2Config(
        vocab_size=max(len(vocabulary_of(family)), len(labels_of(family)) + 1),
        n_positions=1 + max(node.position for task in family.tasks for node in task.nodes),
        n_embd=16,
        n_layer=3,
        n_head=2,
        attn_implementation=kind,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).double().eval()


def logits_of(model, tokens, positions, mask):
    return model(
        input_ids=torch.tensor([tokens]),
        position_ids=torch.as_tensor(positions)[None],
        attention_mask=mask,
        use_cache=False,
    ).logits


def separate(model, family, kind):
    vocabulary, classes, outputs, loss = vocabulary_of(family), labels_of(family), [], 0.0
    for task in family.tasks:
        allowed = rows_of(task)[0][None, None]
        mask = (
            allowed
            if kind == "sdpa"
            else torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, float("-inf"))
        )
        logits = logits_of(
            model, [vocabulary[text(n.input)] for n in task.nodes], [n.position for n in task.nodes], mask
        )[0]
        names = [node.name for node in task.nodes]
        for prediction in task.predict:
            outputs.append(logits[names.index(prediction.node)])
            loss = loss + prediction.weight * torch.nn.functional.cross_entropy(
                outputs[-1], torch.tensor(classes[text(prediction.label)])
            )
    return torch.stack(outputs), loss


def merged(model, family, batch, mask):
    vocabulary = vocabulary_of(family)
    logits = logits_of(model, [vocabulary[text(value)] for value in batch.inputs], batch.position_ids, mask)
    return logits[0, batch.loss_position], merged_loss(logits, batch, class_ids(batch, family))


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", FAMILIES)
def test_logits_loss_and_gradients(name, kind):
    family, batch = FAMILIES[name].family, batch_of(merge(FAMILIES[name]))
    model = model_of(family, kind)
    outputs, loss = separate(model, family, kind)
    found, total = merged(model, family, batch, attention_mask(batch, kind, torch.float64))
    assert (found - outputs).abs().max() < EXACT
    assert (total - loss).abs() < EXACT
    assert all(
        (a - b).abs().max() < EXACT for a, b in zip(gradients_of(model, total), gradients_of(model, loss), strict=True)
    )


@pytest.mark.parametrize("name", ["prefix_lm", "butterfly"])
def test_the_other_kind_of_mask_is_silently_wrong(name):
    """Why the kind has to be given: eager attention adds a boolean mask as 0 and 1."""
    family, batch = FAMILIES[name].family, batch_of(merge(FAMILIES[name]))
    model = model_of(family, "eager")
    outputs, _ = separate(model, family, "eager")
    found, _ = merged(model, family, batch, attention_mask(batch, "sdpa"))
    assert (found - outputs).abs().max() > SEEN
