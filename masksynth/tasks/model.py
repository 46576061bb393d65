"""Tasks and families: frozen, validated on construction, rows literal plus the closure flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical, frozen

MAX_POSITION = 2**31 - 1
Rows = Mapping[str, tuple[str, ...]]


def _text(value: Any, what: str, path: str) -> None:
    if type(value) is not str:
        raise InvalidInstance(f"{what} must be a string, not {type(value).__name__}", path)
    if not value:
        raise InvalidInstance(f"{what} is empty", path, "give it a name")


@dataclass(frozen=True, slots=True)
class Node:
    """One position of one task. Its *identity* is (input, position, kind).

    Parameters
    ----------
    name : str
        Unique in the task.
    input : JSON value
        What is embedded: a token, a mask token, an aggregate such as ``("mean", "w1", "w3")``.
    position : int
        The position id, 0 <= position <= 2**31 - 1.
    kind : str
        Names the parameters that process the node (encoder or decoder, noise level, expert route).
    carries : tuple, optional
        The sequence elements that the input reveals; default: the input itself.
    """

    name: str
    input: Any
    position: int
    kind: str = "token"
    carries: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        _text(self.name, "a node name", "$.name")
        if type(self.kind) is not str:
            raise InvalidInstance(f"kind must be a string, not {type(self.kind).__name__}", "$.kind")
        if type(self.position) is not int or not 0 <= self.position <= MAX_POSITION:
            raise InvalidInstance(f"position {self.position!r} is not an integer from 0 to {MAX_POSITION}", "$.position")
        object.__setattr__(self, "input", frozen(self.input, "$.input"))
        carries = (self.input,) if self.carries is None else self.carries
        if not isinstance(carries, (list, tuple)):
            raise InvalidInstance(f"carries must be a list of elements, not {type(carries).__name__}", "$.carries")
        object.__setattr__(self, "carries", frozen(carries, "$.carries"))

    @property
    def identity(self) -> tuple[str, int, str]:
        """(canonical input, position, kind), by which nodes are compared."""
        return canonical(self.input), self.position, self.kind

    @property
    def elements(self) -> tuple[str, ...]:
        """Canonical texts of the elements that the node carries."""
        return tuple(canonical(element) for element in self.carries or ())


@dataclass(frozen=True, slots=True)
class Prediction:
    """``node`` predicts ``label`` with ``weight``; its context must not carry any element of ``hides``."""

    node: str
    label: Any
    weight: float = 1.0
    hides: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        _text(self.node, "the name of a predicting node", "$.node")
        if type(self.weight) not in (int, float) or not isfinite(self.weight):
            raise InvalidInstance(f"weight {self.weight!r} is not a finite number", "$.weight")
        if not isinstance(self.hides, (list, tuple)):
            raise InvalidInstance(f"hides must be a list of elements, not {type(self.hides).__name__}", "$.hides")
        object.__setattr__(self, "weight", float(self.weight))
        object.__setattr__(self, "label", frozen(self.label, "$.label"))
        object.__setattr__(self, "hides", frozen(self.hides, "$.hides"))


@dataclass(frozen=True)
class Task:
    """A set of nodes, the rows they attend to, and what is predicted.

    Parameters
    ----------
    name : str
    nodes : sequence of Node
    attends : mapping or sequence of mappings
        Row tables, node name -> names of its keys. One table serves all layers; table i of P serves layers i + 1, i + 1 + P, ...
    predict : sequence of Prediction
    closure : bool
        True: rows are closed reflexively and transitively (a dense task). False: rows are literal.

    Raises
    ------
    InvalidInstance
        For a repeated or unknown name, a repeated key, several tables with closure, or a live node with an empty row
        (softmax over nothing). A node is *live* iff some prediction depends on it at any depth.
    """

    name: str
    nodes: tuple[Node, ...]
    attends: tuple[Rows, ...]
    predict: tuple[Prediction, ...]
    closure: bool = False

    def __post_init__(self) -> None:
        _text(self.name, "a task name", "$.name")
        tables = [self.attends] if isinstance(self.attends, Mapping) else list(self.attends)
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "attends", tuple({name: tuple(row) for name, row in table.items()} for table in tables))
        object.__setattr__(self, "predict", tuple(self.predict))
        if not tables:
            raise InvalidInstance("attends is an empty list of row tables", "$.attends", "give at least one table")
        if self.closure and len(tables) > 1:
            raise InvalidInstance(
                f"closure with {len(tables)} row tables has no meaning", "$.closure", "write the rows out and set closure to false"
            )
        self._check_names()
        self._check_rows()

    def _check_names(self) -> None:
        if len(self.index) != len(self.nodes):
            seen: set[str] = set()
            for place, node in enumerate(self.nodes):
                if node.name in seen:
                    raise InvalidInstance(f"node name {node.name!r} is used twice", f"$.nodes[{place}].name", "rename one of them")
                seen.add(node.name)
        for place, prediction in enumerate(self.predict):
            if prediction.node not in self.index:
                raise InvalidInstance(f"unknown node {prediction.node!r}", f"$.predict[{place}].node", "name a node of this task")
        for number, table in enumerate(self.attends):
            for name, row in table.items():
                if name not in self.index or not self.index.keys() >= set(row):
                    unknown = name if name not in self.index else next(key for key in row if key not in self.index)
                    raise InvalidInstance(f"unknown node {unknown!r}", self._row_path(number, name), "name a node of this task")
                if len(set(row)) != len(row):
                    twice = next(key for key in row if row.count(key) > 1)
                    raise InvalidInstance(f"key {twice!r} stands twice in a row", self._row_path(number, name), "list each key once")

    def _row_path(self, table: int, name: str) -> str:
        number = "" if len(self.attends) == 1 else f"[{table}]"
        return f"$.attends{number}[{canonical(name)}]"

    def _check_rows(self) -> None:
        if self.closure:
            return
        for number, table in enumerate(self.attends):
            empty = {node.name for node in self.nodes if not table.get(node.name)}
            if empty and (bad := empty & self.live()):
                name = min(bad, key=self.index.__getitem__)
                raise InvalidInstance(
                    f"live node {name!r} of task {self.name!r} has an empty row (softmax over nothing)",
                    self._row_path(number, name),
                    "let it attend at least to itself, or set closure to true",
                )

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Node name -> its place in ``nodes``."""
        return {node.name: place for place, node in enumerate(self.nodes)}

    def live(self) -> set[str]:
        """Names of the nodes that some prediction depends on, at any depth: the union of the predictions' contexts."""
        found = {prediction.node for prediction in self.predict}
        todo = list(found)
        while todo:
            name = todo.pop()
            for table in self.attends:
                for key in table.get(name, ()):
                    if key not in found:
                        found.add(key)
                        todo.append(key)
        return found


@dataclass(frozen=True)
class TaskFamily:
    """Tasks that should be trained together in one forward pass; ``tables`` is the common length P of their layer patterns."""

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        seen: set[str] = set()
        for place, task in enumerate(self.tasks):
            if task.name in seen:
                raise InvalidInstance(f"task name {task.name!r} is used twice", f"$.tasks[{place}].name", "rename one of them")
            seen.add(task.name)
            if len(task.attends) != self.tables:
                raise InvalidInstance(
                    f"{len(task.attends)} row tables where the first task has {self.tables}",
                    f"$.tasks[{place}].attends",
                    "give every task a layer pattern of the same length",
                )

    @property
    def tables(self) -> int:
        """P; 1 for an empty family."""
        return len(self.tasks[0].attends) if self.tasks else 1


@dataclass(frozen=True)
class Instance:
    """A family with the question asked of it.

    Parameters
    ----------
    family : TaskFamily
    name, source : str
    layers : int, optional
        The model has L layers and equality at depth L suffices; None: any depth.
    sparse : bool
        Ask for the fewest mask edges at depth L; needs closure in every task.
    expect : mapping
        What regression tests compare, for example ``{"status": "OPTIMAL", "positions": 22}``.
    """

    family: TaskFamily
    name: str
    source: str = ""
    layers: int | None = None
    sparse: bool = False
    expect: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _text(self.name, "an instance name", "$.name")
        if self.layers is not None and (type(self.layers) is not int or not 1 <= self.layers <= MAX_POSITION):
            raise InvalidInstance(f"layers {self.layers!r} is not null or an integer from 1 to {MAX_POSITION}", "$.layers")
        if self.sparse:
            for place, task in enumerate(self.family.tasks):
                if not task.closure:
                    raise InvalidInstance(
                        f"sparse needs closure, and task {task.name!r} has literal rows", f"$.tasks[{place}].closure", "set closure to true"
                    )


def family_of(tasks: Sequence[Task]) -> TaskFamily:
    """The family of the given tasks, in order."""
    return TaskFamily(tuple(tasks))
