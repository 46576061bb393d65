"""Tasks, families, instances and merged tasks, each imported on first use: texts of messages need no numpy."""

from masksynth.lazy import import_names

TYPE_CHECKING = False  # `typing` takes time to import
if TYPE_CHECKING:
    from masksynth.tasks.instance import Instance, TaskFamily
    from masksynth.tasks.merged import Leak, LossEdge, MergedTask, Position, Question
    from masksynth.tasks.task import Node, Prediction, Task

_HOMES = {
    "instance": ("Instance", "TaskFamily"),
    "merged": ("Leak", "LossEdge", "MergedTask", "Position", "Question"),
    "task": ("Node", "Prediction", "Task"),
}
"""Module of this package -> its public names."""

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


__getattr__ = import_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
