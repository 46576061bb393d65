"""One merged pass against one pass per task."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from masksynth.export import solution_record, write_answer
from masksynth.torch import attention_mask, load, merged_loss
from tests.torch.reference import labels_of, separate, text


@dataclass
class Difference:
    outputs: float
    loss: float
    gradients: float

    @property
    def largest(self):
        return max(self.outputs, self.loss, self.gradients)


def exported(merged, folder):
    """The batch of the merged task after a way through the files."""
    write_answer(folder, solution_record(merged), merged)
    return load(folder)


def class_ids(batch, family):
    classes = labels_of(family)
    return [classes[text(label)] for label in batch.labels]


def tables_of(batch):
    return torch.stack([attention_mask(batch, "sdpa", table=table)[0, 0] for table in range(batch.tables)])


def forward(model, batch, tables=None):
    """Logits of the merged pass, (N, V)."""
    identities = list(zip(batch.inputs, batch.position_ids.tolist(), batch.kinds, strict=True))
    return model(identities, tables_of(batch) if tables is None else tables)


def difference(model, family, batch, tables=None, expected=None):
    """Largest differences in the outputs at every prediction, in the weighted loss, and in all parameter gradients."""
    outputs, loss, gradients = expected or separate_pass(model, family)
    logits = forward(model, batch, tables)
    total = merged_loss(logits, batch, class_ids(batch, family))
    found = logits[batch.loss_position]
    return Difference(
        (found - outputs).abs().max().item(),
        (total - loss).abs().item(),
        max((a - b).abs().max().item() for a, b in zip(gradients_of(model, total), gradients, strict=True)),
    )


def separate_pass(model, family):
    outputs, loss = separate(model, family)
    return torch.stack(outputs).detach(), loss.detach(), gradients_of(model, loss)


def gradients_of(model, loss):
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
