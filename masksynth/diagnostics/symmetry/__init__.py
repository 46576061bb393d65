"""Score symmetry and directionality of attention weights, and predict them from a mask (arXiv 2502.10927)."""

from masksynth.diagnostics.statements import Statement
from masksynth.diagnostics.symmetry.checkpoints import (
    Checkpoint,
    Comparison,
    Series,
    diagnose_checkpoints,
)
from masksynth.diagnostics.symmetry.heads import Scores, factor_scores, head_scores, layer_scores
from masksynth.diagnostics.symmetry.initial import skew_query, skew_rotation, symmetric_query
from masksynth.diagnostics.symmetry.mask_prediction import (
    causal_reciprocity,
    count_ratio,
    prefix_reciprocity,
    reciprocity,
    update_symmetry,
    window_reciprocity,
)
from masksynth.diagnostics.symmetry.montecarlo import (
    MaskDiagnosis,
    Sampled,
    TablePrediction,
    diagnose_mask,
    drawn_score,
    sample,
)
from masksynth.diagnostics.symmetry.published import PUBLISHED, Published, published_range
from masksynth.diagnostics.symmetry.run_folders import is_run
from masksynth.diagnostics.symmetry.scores import (
    GAMMA,
    MODES,
    directionality_of_norms,
    directionality_score,
    symmetry_score,
)
from masksynth.diagnostics.symmetry.speedup import speed_up
from masksynth.diagnostics.symmetry.statements import OF_MASK, OF_WEIGHTS, STATEMENTS
from masksynth.diagnostics.symmetry.training_curves import Curve, TrainingDiagnosis, Trend, trend
from masksynth.diagnostics.symmetry.weight_store import Store, open_checkpoint, store_of
from masksynth.diagnostics.symmetry.weights import LayerScores, WeightDiagnosis, diagnose_weights

__all__ = [
    "GAMMA",
    "MODES",
    "OF_MASK",
    "OF_WEIGHTS",
    "PUBLISHED",
    "STATEMENTS",
    "Checkpoint",
    "Comparison",
    "Curve",
    "LayerScores",
    "MaskDiagnosis",
    "Published",
    "Sampled",
    "Scores",
    "Series",
    "Statement",
    "Store",
    "TablePrediction",
    "TrainingDiagnosis",
    "Trend",
    "WeightDiagnosis",
    "causal_reciprocity",
    "count_ratio",
    "diagnose_checkpoints",
    "diagnose_mask",
    "diagnose_weights",
    "directionality_of_norms",
    "directionality_score",
    "drawn_score",
    "factor_scores",
    "head_scores",
    "is_run",
    "layer_scores",
    "open_checkpoint",
    "prefix_reciprocity",
    "published_range",
    "reciprocity",
    "sample",
    "skew_query",
    "skew_rotation",
    "speed_up",
    "store_of",
    "symmetric_query",
    "symmetry_score",
    "trend",
    "update_symmetry",
    "window_reciprocity",
]
