"""Run what a prediction of an answer depends on alone, and compare its logits with those of the whole answer.

The positions on which prediction p depends through L layers are its *cone*. In a model in which positions mix by
attention alone, the cone under the rows between its positions gives p the same logits as the whole sequence does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.torch.attention import layer_masks
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.black_box import default_inputs
from masksynth.torch.model_check.compare_outputs import RELATIVE, Model, output_rows
from masksynth.torch.model_check.mask_flow import reachable_inputs
from masksynth.torch.model_check.self_test_result import SelfTest
from masksynth.torch.models.architecture import KINDS, REGISTERED
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.unwrap import unwrap


def compare_predictions(model: Model, batch: Batch, samples: int, seed: int, tolerance: float | None) -> SelfTest:
    """Compare some predictions of an answer with runs of their cones alone.

    Parameters
    ----------
    model : callable
        A transformers model, or a callable with the same keywords.
    batch : Batch
    samples : int
        Number of predictions.
    seed : int
    tolerance : float, optional
        Largest difference, relative to the largest logit.

    Raises
    ------
    WrongAnswer
        If a prediction has other logits alone: the model mixes positions by other means than the mask.
    """
    inputs = default_inputs(model, batch)
    name = "input_ids" if "input_ids" in inputs else "inputs_embeds"
    layers = getattr(getattr(unwrap(model), "config", None), "num_hidden_layers", None)
    places = np.unique(batch.loss_position.cpu().numpy())
    if not len(places):
        raise InvalidInstance("the batch has no predictions", "", "solve a family whose tasks predict something")
    chosen = np.random.default_rng(seed).permutation(places)[:samples]
    apart, sizes = 0.0, list[int]()
    with torch.no_grad(), evaluating(model):
        whole = output_rows(model(**inputs), batch.rows.size)
        scale = float(whole.abs().max())
        allowed = (RELATIVE.get(whole.dtype, 1e-4) if tolerance is None else tolerance) * scale
        for place in chosen.tolist():
            cone = np.flatnonzero(reachable_inputs(batch.rows, np.arange(batch.rows.size) == place, layers))
            alone = output_rows(model(**_inputs_of_cone(model, batch, inputs, name, cone)), len(cone))
            difference = float((alone[int(np.searchsorted(cone, place))] - whole[place]).abs().max())
            if not difference <= allowed:
                fact = (
                    f"the logits at position {place} differ by {difference:.3g} from those of the {len(cone)} positions"
                )
                raise WrongAnswer("equality", f"{fact} that it depends on, run alone")
            apart, sizes = max(apart, difference), [*sizes, len(cone)]
    missing = (
        () if min(sizes) < batch.rows.size else ("predictions that depend on part of the sequence: none was drawn",)
    )
    return SelfTest(0.0, apart, 0, len(chosen), len(chosen), max(sizes), None, missing, telling=not missing)


def _inputs_of_cone(model: Model, batch: Batch, inputs: dict[str, Any], name: str, cone: Int64Array) -> dict[str, Any]:
    """Return the arguments of a call with some positions alone, under the rows between them."""
    size, index = batch.rows.size, torch.from_numpy(cone).to(batch.device)
    tables: BoolArray = batch.rows.dense().reshape(batch.tables, size, size)[:, cone[:, None], cone]
    part = replace(batch, rows=Mask.from_dense(tables if batch.tables > 1 else tables[0]))
    implementation = str(getattr(getattr(model, "config", None), "_attn_implementation", "sdpa"))
    kind = KINDS.get(implementation.removeprefix(REGISTERED), "sdpa")
    values: Tensor = inputs[name]
    masks = layer_masks(part, kind, getattr(model, "dtype", torch.float32))
    more = {key: value for key, value in inputs.items() if key not in (name, "position_ids", "attention_mask")}
    return {**more, name: values[:, index], "position_ids": batch.position_ids[index][None], "attention_mask": masks}
