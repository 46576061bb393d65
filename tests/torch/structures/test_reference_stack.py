"""The reference stack against a stack that computes every update and discards those that a structure does not make."""

import pytest
import torch

from masksynth.torch.structures.layer_steps import LayerStep, forward_flops, structure_inputs
from masksynth.torch.structures.reference_stack import ReferenceStack
from tests.discover.hole import answer_of_hole


def all_updates(model, tokens, merged, position_ids):
    """Compute every row of every layer, and keep it only where ``updated``."""
    state = model.token(tokens) + model.position(position_ids)
    everywhere = torch.arange(merged.mask.size)
    for block, mask, updated in zip(model.blocks, merged.mask.dense(), merged.updated, strict=True):
        following = block(state, LayerStep(everywhere, everywhere, torch.from_numpy(mask)), position_ids)
        state = torch.where(torch.from_numpy(updated)[None, :, None], following, state)
    return model.norm(state)


@pytest.fixture(scope="module")
def setting():
    contracts, merged = answer_of_hole(12, (2, 5, 12))
    torch.manual_seed(0)
    model = ReferenceStack(7, 12, 3, 16, 2).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model, contracts, merged, structure_inputs(contracts, merged)


def test_skipped_updates_change_nothing(setting):
    model, _, merged, inputs = setting
    tokens = inputs.embed(torch.randint(7, (3, 12)), 7)
    skipped = model(tokens, inputs.position_ids, inputs.steps)
    complete = all_updates(model, tokens, merged, inputs.position_ids)
    torch.testing.assert_close(skipped[:, inputs.target], complete[:, inputs.target], rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(states[:, inputs.target].square().sum(), model.parameters(), allow_unused=True)
        for states in (skipped, complete)
    ]
    for left, right in zip(*gradients, strict=True):
        if left is not None or right is not None:
            torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_a_prediction_depends_on_all_others_and_not_on_its_own_token(setting):
    model, _, _, inputs = setting
    tokens = inputs.embed(torch.randint(7, (1, 12)), 7)
    embedded = torch.nn.Parameter(model.token(tokens).detach())
    state = embedded + model.position(inputs.position_ids)
    for block, step in zip(model.blocks, inputs.steps, strict=True):
        state = block(state, step, inputs.position_ids)
    for target in range(12):
        value = state[0, inputs.target[target]].square().sum()
        (gradient,) = torch.autograd.grad(value, embedded, retain_graph=True)
        moved = gradient[0].abs().amax(dim=-1)[inputs.element >= 0]
        elements = inputs.element[inputs.element >= 0]
        assert moved[elements == target].max() == 0
        assert moved[elements != target].min() > 1e-6


def test_flops_count_what_is_computed(setting):
    _, _, merged, inputs = setting
    pairs = sum(int(mask[rows].sum()) for mask, rows in zip(merged.mask.dense(), merged.updated, strict=True))
    updates = int(merged.updated.sum())
    read_only = sum(
        int((mask[rows].any(0) & ~rows).sum()) for mask, rows in zip(merged.mask.dense(), merged.updated, strict=True)
    )
    assert forward_flops(inputs.steps, 16) == 24 * 256 * updates + 4 * 256 * read_only + 64 * pairs
