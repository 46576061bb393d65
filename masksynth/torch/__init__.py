"""Answers and packed folders as tensors, masks for each attention implementation, losses, and checks of models.

Install with ``pip install 'masksynth[torch]'``; ``import masksynth`` never imports this package. Each name is imported
on first use.
"""

from importlib import import_module
from importlib.util import find_spec

from masksynth.lazy import import_names

if find_spec("torch") is None:
    raise ImportError("masksynth.torch needs torch; install it with: pip install 'masksynth[torch]'")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from masksynth.torch.attention import attention_mask, block_mask, layer_masks
    from masksynth.torch.collator import Collator
    from masksynth.torch.folding.fold import Fold, fold
    from masksynth.torch.folding.fold_report import FoldReport
    from masksynth.torch.folding.merged_logprobs import MergedLogprobs, merged_logprobs
    from masksynth.torch.loss_edges import (
        SampleLogprobs,
        loss_divisor,
        merged_loss,
        packed_loss,
        sample_logprobs,
        total_weight,
    )
    from masksynth.torch.merged_batch import Batch, batch_of, load
    from masksynth.torch.model_check.check_model import check_model
    from masksynth.torch.model_check.model_report import ModelFinding, ModelReport, WrongModel
    from masksynth.torch.model_check.self_test import self_test
    from masksynth.torch.models.architecture import Architecture
    from masksynth.torch.models.reach import Reach
    from masksynth.torch.models.read_architecture import architecture_of_config, read_architecture
    from masksynth.torch.models.registered_attention import use_registered_attention
    from masksynth.torch.models.varlen_attention import use_varlen_attention
    from masksynth.torch.packed_dataset import PackedDataset
    from masksynth.torch.sampling import PackedSampler
    from masksynth.torch.structures.layer_steps import LayerStep, StructureInputs, forward_flops, structure_inputs
    from masksynth.torch.structures.reference_stack import ReferenceStack
    from masksynth.torch.training_batch import TrainingBatch
    from masksynth.torch.varlen_tree import TreePlan, plan_tree, tree_attention

_HOMES = {
    "attention": ("attention_mask", "block_mask", "layer_masks"),
    "collator": ("Collator",),
    "folding.fold": ("Fold", "fold"),
    "folding.merged_logprobs": ("MergedLogprobs", "merged_logprobs"),
    "folding.fold_report": ("FoldReport",),
    "loss_edges": ("SampleLogprobs", "loss_divisor", "merged_loss", "packed_loss", "sample_logprobs", "total_weight"),
    "merged_batch": ("Batch", "batch_of", "load"),
    "model_check.check_model": ("check_model",),
    "model_check.model_report": ("ModelFinding", "ModelReport", "WrongModel"),
    "model_check.self_test": ("self_test",),
    "models.architecture": ("Architecture",),
    "models.reach": ("Reach",),
    "models.read_architecture": ("architecture_of_config", "read_architecture"),
    "models.registered_attention": ("use_registered_attention",),
    "models.varlen_attention": ("use_varlen_attention",),
    "packed_dataset": ("PackedDataset",),
    "sampling": ("PackedSampler",),
    "structures.layer_steps": ("LayerStep", "StructureInputs", "forward_flops", "structure_inputs"),
    "structures.reference_stack": ("ReferenceStack",),
    "training_batch": ("TrainingBatch",),
    "varlen_tree": ("TreePlan", "plan_tree", "tree_attention"),
}
"""Module of this package -> its public names."""
_import_name = import_names(__name__, _HOMES)
_MOVED = {
    "HierarchicalAttention": "masksynth.diagnostics.hierarchy.torch_attention",
    "hierarchical_attention": "masksynth.diagnostics.hierarchy.torch_attention",
    "hierarchical_layers": "masksynth.diagnostics.hierarchy.torch_models",
    "diagnose_module": "masksynth.diagnostics.symmetry.torch_weights",
    "make_skew": "masksynth.diagnostics.symmetry.torch_weights",
    "make_symmetric": "masksynth.diagnostics.symmetry.torch_weights",
}
"""Names that were public here until 0.1 -> the module where they are now."""

__all__ = [
    "Architecture",
    "Batch",
    "Collator",
    "Fold",
    "FoldReport",
    "LayerStep",
    "MergedLogprobs",
    "ModelFinding",
    "ModelReport",
    "PackedDataset",
    "PackedSampler",
    "Reach",
    "ReferenceStack",
    "SampleLogprobs",
    "StructureInputs",
    "TrainingBatch",
    "TreePlan",
    "WrongModel",
    "architecture_of_config",
    "attention_mask",
    "batch_of",
    "block_mask",
    "check_model",
    "fold",
    "forward_flops",
    "layer_masks",
    "load",
    "loss_divisor",
    "merged_logprobs",
    "merged_loss",
    "packed_loss",
    "plan_tree",
    "read_architecture",
    "sample_logprobs",
    "self_test",
    "structure_inputs",
    "total_weight",
    "tree_attention",
    "use_registered_attention",
    "use_varlen_attention",
]


def __getattr__(name: str) -> object:
    if name in _MOVED:
        import warnings

        text = f"masksynth.torch.{name} is deprecated; import it from {_MOVED[name]}"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(import_module(_MOVED[name]), name)
    return _import_name(name)


def __dir__() -> list[str]:
    return __all__
