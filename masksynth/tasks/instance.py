"""Families of tasks, and instances: a family with the question to be solved for it; validated on construction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import frozen, shown
from masksynth.tasks.check_task_values import check_flag, check_row_count, check_sequence, check_text
from masksynth.tasks.task import MAX_POSITION, Task


@dataclass(frozen=True)
class TaskFamily:
    """Tasks to be trained together in one forward pass; ``tables`` is the common length P of their layer patterns."""

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", check_sequence(self.tasks, Task, "$.tasks"))
        seen: set[str] = set()
        for index, task in enumerate(self.tasks):
            if task.name in seen:
                raise InvalidInstance(
                    f"task name {shown(task.name)} is used twice", f"$.tasks[{index}].name", "rename one of them"
                )
            seen.add(task.name)
            if len(task.attends) != self.tables:
                raise InvalidInstance(
                    f"expected {self.tables} row tables as in the first task, got {len(task.attends)}",
                    f"$.tasks[{index}].attends",
                    "give every task a layer pattern of the same length",
                )
        check_row_count(sum(len(task.nodes) for task in self.tasks), self.tables, "$.tasks")

    @property
    def tables(self) -> int:
        """P; 1 for an empty family."""
        return len(self.tasks[0].attends) if self.tasks else 1


def batch_tasks(tasks: Iterable[Task], most: int = 10_000) -> Iterator[list[Task]]:
    """Yield the tasks, in order, in batches of at most ``most`` nodes, or of one task.

    Examples
    --------
    >>> from masksynth.tasks import Node
    >>> tasks = [Task(f"t{n}", [Node(f"n{i}", "a", i) for i in range(n)], {}, ()) for n in (2, 1, 4, 1)]
    >>> [[task.name for task in batch] for batch in batch_tasks(tasks, most=3)]
    [['t2', 't1'], ['t4'], ['t1']]
    """
    batch: list[Task] = []
    size = 0
    for task in tasks:
        size += len(task.nodes)
        if batch and size > most:
            yield batch
            batch, size = [], len(task.nodes)
        batch.append(task)
    if batch:
        yield batch


@dataclass(frozen=True)
class Instance:
    """A family and the question to be solved for it.

    Parameters
    ----------
    family : TaskFamily
    name, source : str
    layers : int, optional
        Number of layers L of the model, so that equality at depth L suffices [default: any depth].
    sparse : bool
        Whether the mask should have the fewest edges that suffice for L layers; needs closure in every task.
    expect : mapping
        Expected results for regression tests, for example ``{"status": "OPTIMAL", "positions": 22}``.
    """

    family: TaskFamily
    name: str
    source: str = ""
    layers: int | None = None
    sparse: bool = False
    expect: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.family, TaskFamily):
            raise InvalidInstance(
                f"family: expected a TaskFamily, got {type(self.family).__name__}", "$.tasks", "give TaskFamily(tasks)"
            )
        check_text(self.name, "an instance name", "$.name")
        if type(self.source) is not str:
            raise InvalidInstance(
                f"expected a string, got {type(self.source).__name__}", "$.source", "put it in quotes"
            )
        if self.layers is not None and (type(self.layers) is not int or not 1 <= self.layers <= MAX_POSITION):
            fact = f"expected null or an integer from 1 to {MAX_POSITION}, got {shown(self.layers)}"
            raise InvalidInstance(fact, "$.layers", "give the number of layers, or null for any depth")
        check_flag(self.sparse, "$.sparse")
        if not isinstance(self.expect, Mapping):
            raise InvalidInstance(f"expected an object, got {type(self.expect).__name__}", "$.expect", "use {}")
        object.__setattr__(self, "expect", frozen(self.expect, "$.expect"))
        if self.sparse:
            for index, task in enumerate(self.family.tasks):
                if not task.closure:
                    raise InvalidInstance(
                        f"sparse needs closure, and task {shown(task.name)} has literal rows",
                        f"$.tasks[{index}].closure",
                        "set closure to true",
                    )

    def _repr_html_(self) -> str:
        """Return its question and its first tasks, for a notebook."""
        from masksynth.tasks.html import html_block, html_table
        from masksynth.tasks.value_text import count, printable, text_of

        tasks = self.family.tasks
        depth = "any number of layers" if self.layers is None else count(self.layers, "layer")
        facts = [printable(self.name), count(len(tasks), "task"), depth, *(["sparse"] if self.sparse else [])]
        rows = [
            (text_of(task.name), f"{len(task.nodes):,}", ", ".join(text_of(edge.label) for edge in task.predict[:4]))
            for task in tasks
        ]
        return html_block("Instance", facts, html_table(("task", "nodes", "predicts"), rows))
