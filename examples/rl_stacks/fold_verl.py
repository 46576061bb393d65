"""Fold each model that verl's FSDP engine builds, before it is sharded.

Set ``actor_rollout_ref.model.external_lib`` to the name of this module.
"""

from __future__ import annotations

from typing import Any

from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from masksynth.torch import fold

build = FSDPEngine._build_fsdp_module


def build_folded(engine: Any, module: Any) -> Any:
    """Return the sharded module of an engine, folded; ``engine.fold.report()`` counts."""
    if engine.engine_config.ulysses_sequence_parallel_size > 1:
        raise ValueError("ulysses_sequence_parallel_size: expected 1, since it slices rows before the model")
    engine.fold = fold(module)
    return build(engine, module)


FSDPEngine._build_fsdp_module = build_folded
