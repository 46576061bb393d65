"""What needs torch: answers and packed folders as tensors, masks for each attention implementation, and losses over loss edges.

Install it with ``pip install 'masksynth[torch]'``; ``import masksynth`` never imports this package.
"""

import warnings
from importlib import import_module
from importlib.util import find_spec

if find_spec("torch") is None:
    raise ImportError("masksynth.torch needs torch; install it with: pip install 'masksynth[torch]'")

from masksynth.torch.architecture import Architecture, architecture_of_config, read_architecture
from masksynth.torch.attention import attention_mask, block_mask
from masksynth.torch.loss_edges import SampleLogprobs, loss_divisor, packed_loss, sample_logprobs, total_weight
from masksynth.torch.merged_batch import Batch, batch_of, load
from masksynth.torch.merged_loss import merged_loss
from masksynth.torch.model_check.check_model import ModelFinding, ModelReport, WrongModel, check_model
from masksynth.torch.model_check.self_test import self_test
from masksynth.torch.packed_dataset import Collator, PackedDataset, TrainingBatch
from masksynth.torch.registered_attention import use_registered_attention
from masksynth.torch.sampling import PackedSampler
from masksynth.torch.window_rows import Reach

__all__ = [
    "Architecture",
    "Batch",
    "Collator",
    "ModelFinding",
    "ModelReport",
    "PackedDataset",
    "PackedSampler",
    "Reach",
    "SampleLogprobs",
    "TrainingBatch",
    "WrongModel",
    "architecture_of_config",
    "attention_mask",
    "batch_of",
    "block_mask",
    "check_model",
    "load",
    "loss_divisor",
    "merged_loss",
    "packed_loss",
    "read_architecture",
    "sample_logprobs",
    "self_test",
    "total_weight",
    "use_registered_attention",
]

MOVED = {
    "HierarchicalAttention": "masksynth.diagnostics.hierarchy.torch_attention",
    "hierarchical_attention": "masksynth.diagnostics.hierarchy.torch_attention",
    "hierarchical_layers": "masksynth.diagnostics.hierarchy.torch_models",
    "diagnose_module": "masksynth.diagnostics.symmetry.torch_weights",
    "make_skew": "masksynth.diagnostics.symmetry.torch_weights",
    "make_symmetric": "masksynth.diagnostics.symmetry.torch_weights",
}
"""Names that were public here -> the module where they live now."""


def __getattr__(name: str) -> object:
    if name not in MOVED:
        raise AttributeError(f"module 'masksynth.torch' has no attribute {name!r}")
    warnings.warn(
        f"masksynth.torch.{name} is deprecated; import it from {MOVED[name]}", DeprecationWarning, stacklevel=2
    )
    return getattr(import_module(MOVED[name]), name)
