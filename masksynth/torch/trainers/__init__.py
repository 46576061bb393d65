"""Merged training in trainers: TRL, transformers, Lightning, accelerate.

Install with ``pip install 'masksynth[trl]'`` or ``'masksynth[lightning]'``. Each name is imported on first use.
"""

from masksynth.lazy import import_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from masksynth.torch.trainers.group_order import why_rows_stay_shuffled
    from masksynth.torch.trainers.lightning_callbacks import FoldCallback, TokenMeanCallback
    from masksynth.torch.trainers.packed_trainer import PackedTrainer
    from masksynth.torch.trainers.prefix_order import prefix_batches
    from masksynth.torch.trainers.token_mean import TokenMean
    from masksynth.torch.trainers.trainer_fold import TrainerFold, fold_trainer

_HOMES = {
    "group_order": ("why_rows_stay_shuffled",),
    "lightning_callbacks": ("FoldCallback", "TokenMeanCallback"),
    "packed_trainer": ("PackedTrainer",),
    "prefix_order": ("prefix_batches",),
    "token_mean": ("TokenMean",),
    "trainer_fold": ("TrainerFold", "fold_trainer"),
}
"""Module of this package -> its public names."""

__all__ = [
    "FoldCallback",
    "PackedTrainer",
    "TokenMean",
    "TokenMeanCallback",
    "TrainerFold",
    "fold_trainer",
    "prefix_batches",
    "why_rows_stay_shuffled",
]


__getattr__ = import_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
