"""masksynth: the smallest single forward pass that trains a family of tasks, proved, checked, and handed to PyTorch."""

import sys

from masksynth import abort as abort  # the first import: Ctrl-C during the others is one line of the command
from masksynth.lazy import MODULE_OF, PUBLIC_MODULES, LazyPackage
from masksynth.renamed import install

__version__ = "0.1.0"
__all__ = sorted([*MODULE_OF, *PUBLIC_MODULES])

TYPE_CHECKING = False  # `typing` takes time to import
if TYPE_CHECKING:
    from masksynth import catalog as catalog
    from masksynth.answer import Answer as Answer
    from masksynth.answer import write as write
    from masksynth.backends import Limits as Limits
    from masksynth.backends import Status as Status
    from masksynth.chats import tokenize_chats as tokenize_chats
    from masksynth.discover.discover import discover as discover
    from masksynth.discover.discovery import Discovery as Discovery
    from masksynth.errors import Contradiction as Contradiction
    from masksynth.errors import InvalidInstance as InvalidInstance
    from masksynth.errors import MasksynthError as MasksynthError
    from masksynth.errors import Unsupported as Unsupported
    from masksynth.errors import WrongAnswer as WrongAnswer
    from masksynth.mask import Mask as Mask
    from masksynth.pack import pack_batches as pack_batches
    from masksynth.pack import pack_samples as pack_samples
    from masksynth.pack import unpack_samples as unpack_samples
    from masksynth.search import Result as Result
    from masksynth.search import search as search
    from masksynth.search import sweep as sweep
    from masksynth.solve import solve as solve
    from masksynth.sparse.sparse_answer import SparseAnswer as SparseAnswer
    from masksynth.sparse.sparsify import sparsify as sparsify
    from masksynth.tasks import Instance as Instance
    from masksynth.tasks import MergedTask as MergedTask
    from masksynth.tasks import Node as Node
    from masksynth.tasks import Prediction as Prediction
    from masksynth.tasks import Task as Task
    from masksynth.tasks import TaskFamily as TaskFamily
    from masksynth.tasks.instance_files import dumps as dumps
    from masksynth.tasks.instance_files import load as load
    from masksynth.tasks.instance_files import loads as loads
    from masksynth.verify import verify as verify

install()
sys.modules[__name__].__class__ = LazyPackage
