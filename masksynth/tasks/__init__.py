"""Tasks, families, instances and merged tasks."""

from masksynth.tasks.merged import Leak, LossEdge, MergedTask, Position, Question
from masksynth.tasks.model import Instance, Node, Prediction, Task, TaskFamily

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
