"""Merged training in trainers: TRL, transformers, Lightning, accelerate.

Install with ``pip install 'masksynth[trl]'`` or ``'masksynth[lightning]'``. Each name is imported on first use.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from masksynth.torch.trainers.group_order import why_rows_stay_shuffled
    from masksynth.torch.trainers.lightning_callbacks import FoldCallback, TokenMeanCallback
    from masksynth.torch.trainers.packed_trainer import PackedTrainer
    from masksynth.torch.trainers.token_mean import TokenMean
    from masksynth.torch.trainers.trainer_fold import TrainerFold, fold_trainer

_HOMES = {
    "group_order": ("why_rows_stay_shuffled",),
    "lightning_callbacks": ("FoldCallback", "TokenMeanCallback"),
    "packed_trainer": ("PackedTrainer",),
    "token_mean": ("TokenMean",),
    "trainer_fold": ("TrainerFold", "fold_trainer"),
}
"""Module of this package -> its public names."""
_MODULES = {name: f"masksynth.torch.trainers.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "FoldCallback",
    "PackedTrainer",
    "TokenMean",
    "TokenMeanCallback",
    "TrainerFold",
    "fold_trainer",
    "why_rows_stay_shuffled",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'masksynth.torch.trainers' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # later uses do not come here
    return value


def __dir__() -> list[str]:
    return __all__
