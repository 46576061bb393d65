"""masksynth: the smallest single forward pass that trains a family of tasks, proved, checked, and handed to PyTorch."""

__version__ = "0.1.0"

from masksynth import abort as abort  # the first import: Ctrl-C during the others is one line of the command
from masksynth import catalog
from masksynth.backends import Limits, Status
from masksynth.errors import Contradiction, InvalidInstance, MasksynthError, Unsupported, WrongAnswer
from masksynth.mask import Mask
from masksynth.search import Result, search, sweep
from masksynth.solve import Answer, solve, write
from masksynth.sparse.sparsify import SparseAnswer, sparsify
from masksynth.tasks import Instance, MergedTask, Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import dumps, load, loads
from masksynth.verify import verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from masksynth.pack import pack_batches, pack_samples, unpack_samples
del TYPE_CHECKING

__all__ = [
    "Answer",
    "Contradiction",
    "Instance",
    "InvalidInstance",
    "Limits",
    "Mask",
    "MasksynthError",
    "MergedTask",
    "Node",
]
__all__ += [
    "Prediction",
    "Result",
    "SparseAnswer",
    "Status",
    "Task",
    "TaskFamily",
    "Unsupported",
    "WrongAnswer",
    "catalog",
    "dumps",
]
__all__ += [
    "load",
    "loads",
    "pack_batches",
    "pack_samples",
    "search",
    "solve",
    "sparsify",
    "sweep",
    "unpack_samples",
    "verify",
    "write",
]


def __getattr__(name: str) -> object:
    if name in (
        "pack_batches",
        "pack_samples",
        "unpack_samples",
    ):  # packing needs more than numpy: imported when it is asked for
        return getattr(__import__("masksynth.pack", fromlist=[name]), name)
    raise AttributeError(f"module 'masksynth' has no attribute {name!r}")
