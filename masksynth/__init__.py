"""masksynth: the smallest single forward pass that trains a family of tasks, proved, checked, and handed to PyTorch."""

from masksynth import early_interrupt as early_interrupt  # first: it minds Ctrl-C while the rest is imported

# isort: split
import importlib
import typing

__version__ = "0.1.0"

from masksynth import catalog
from masksynth.backends import Limits, Status
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported, WrongAnswer
from masksynth.mask import Mask
from masksynth.search import Result, search, sweep
from masksynth.spanner import SparseAnswer, sparsify
from masksynth.synthesis import Answer, solve, write
from masksynth.tasks import Instance, MergedTask, Node, Prediction, Task, TaskFamily
from masksynth.tasks.files import dumps, load, loads
from masksynth.verify import verify

if typing.TYPE_CHECKING:
    from masksynth.pack import pack_batches, pack_samples, unpack_samples

__all__ = ["Answer", "Instance", "InvalidInstance", "Limits", "Mask", "MasksynthError", "MergedTask", "Node", "Prediction"]
__all__ += ["Result", "SparseAnswer", "Status", "Task", "TaskFamily", "Unsupported", "WrongAnswer", "catalog", "dumps", "load", "loads"]
__all__ += ["pack_batches", "pack_samples", "search", "solve", "sparsify", "sweep", "unpack_samples", "verify", "write"]


def __getattr__(name: str) -> typing.Any:
    if name in ("pack_batches", "pack_samples", "unpack_samples"):  # packing needs more than numpy: imported when it is asked for
        return getattr(importlib.import_module("masksynth.pack"), name)
    raise AttributeError(f"module 'masksynth' has no attribute {name!r}")
