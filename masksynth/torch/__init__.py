"""What needs torch: load an answer, its mask for each attention implementation, and the loss over its loss edges.

Install it with ``pip install 'masksynth[torch]'``; ``import masksynth`` never imports this package.
"""

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ImportError("masksynth.torch needs torch; install it with: pip install 'masksynth[torch]'")

from masksynth.torch.attention import attention_mask, block_mask
from masksynth.torch.batch import Batch, batch_of, load
from masksynth.torch.loss import merged_loss

__all__ = ["Batch", "attention_mask", "batch_of", "block_mask", "load", "merged_loss"]
