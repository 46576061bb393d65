"""Order positions for few non-empty blocks, few partial blocks and few row intervals, with a proved bound."""

from masksynth.arrange.apply import arranged_batch, arranged_merged, copies
from masksynth.arrange.best_order import Arrangement, arrange
from masksynth.arrange.order_bounds import bound
from masksynth.arrange.order_cost import Counts, counts
from masksynth.arrange.permute import permuted

__all__ = [
    "Arrangement",
    "Counts",
    "arrange",
    "arranged_batch",
    "arranged_merged",
    "bound",
    "copies",
    "counts",
    "permuted",
]
