"""Tasks, families, instances and merged tasks, each imported on first use: texts of messages need no numpy."""

from importlib import import_module

TYPE_CHECKING = False  # `typing` takes time to import
if TYPE_CHECKING:
    from masksynth.tasks.merged import Leak, LossEdge, MergedTask, Position, Question
    from masksynth.tasks.model import Instance, Node, Prediction, Task, TaskFamily

_HOMES = {
    "merged": ("Leak", "LossEdge", "MergedTask", "Position", "Question"),
    "model": ("Instance", "Node", "Prediction", "Task", "TaskFamily"),
}
"""Module of this package -> its public names."""
_MODULES = {name: f"masksynth.tasks.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "Instance",
    "Leak",
    "LossEdge",
    "MergedTask",
    "Node",
    "Position",
    "Prediction",
    "Question",
    "Task",
    "TaskFamily",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # later uses do not come here
    return value


def __dir__() -> list[str]:
    return __all__
