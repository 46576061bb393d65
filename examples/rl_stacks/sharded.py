"""Build modules by verl's FSDP engine in one process on a CPU, folded by ``fold_verl`` and not, and compare them."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
import verl.utils.fsdp_utils as sharding
import verl.workers.engine.fsdp.transformer_impl as engines
from torch.distributed.device_mesh import init_device_mesh

from examples.rl_stacks import fold_verl


class Settings(SimpleNamespace):
    """Settings that are read as attributes and by ``get``."""

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or the default."""
        return getattr(self, name, default)


def use_cpu() -> None:
    """Let one process on a CPU stand for a GPU's."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    for module in (engines, sharding):
        module.get_device_id = lambda: torch.device("cpu")
    wrapper = engines.FSDP

    def without_broadcast(module: Any, **settings: Any) -> Any:
        return wrapper(module, **{**settings, "sync_module_states": False})  # which needs a GPU

    without_broadcast.set_state_dict_type = wrapper.set_state_dict_type  # type: ignore[attr-defined]
    engines.FSDP = without_broadcast


def build(model: Any, strategy: str, folded: bool) -> tuple[Any, Any]:
    """Return the engine and its module, ``strategy`` being fsdp or fsdp2."""
    engine = object.__new__(engines.FSDPEngineWithLMHead)
    engine.model_config = Settings(lora_rank=0, enable_activation_offload=False)
    engine.engine_config = Settings(
        strategy=strategy,
        mixed_precision={f"{part}_dtype": "fp32" for part in ("param", "reduce", "buffer")},
        wrap_policy={},
        reshard_after_forward=True,
        forward_only=False,
        forward_prefetch=False,
        use_orig_params=False,
        offload_policy=False,
        ulysses_sequence_parallel_size=1,
    )
    engine.device_mesh = init_device_mesh("cpu", (1,), mesh_dim_names=("fsdp",))
    make = type(engine)._build_fsdp_module if folded else fold_verl.build
    return engine, make(engine, model)
