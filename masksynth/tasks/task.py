"""Tasks: nodes, rows and predictions, immutable and validated on construction; rows as given, plus the closure flag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical, frozen, quoted, shown
from masksynth.tasks.check_task_values import (
    check_flag,
    check_row_count,
    check_sequence,
    check_table,
    check_text,
    freeze_elements,
)

MAX_POSITION = 2**31 - 1
Rows = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Node:
    """One position of one task. Its *identity* is (input, position, kind).

    Parameters
    ----------
    name : str
        Unique in the task.
    input : JSON value
        The input that is embedded: a token, a mask token, an aggregate such as ``("mean", "w1", "w3")``.
    position : int
        Position id, 0 <= position <= 2**31 - 1.
    kind : str
        Name of the parameters that process the node (encoder or decoder, noise level, expert route).
    carries : tuple, optional
        Sequence elements that the input reveals [default: the input itself].
    """

    name: str
    input: Any
    position: int
    kind: str = "token"
    carries: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        check_text(self.name, "a node name", "$.name")
        if type(self.kind) is not str:
            raise InvalidInstance(f"expected a string, got {type(self.kind).__name__}", "$.kind", "put it in quotes")
        if type(self.position) is not int and isinstance(self.position, np.integer):
            object.__setattr__(self, "position", int(self.position))
        if type(self.position) is not int or not 0 <= self.position <= MAX_POSITION:
            fact = f"expected an integer from 0 to {MAX_POSITION}, got {shown(self.position)}"
            raise InvalidInstance(fact, "$.position", "give the position id")
        if type(self.input) is not str:  # a string is frozen already
            object.__setattr__(self, "input", frozen(self.input, "$.input"))
        carries = (self.input,) if self.carries is None else freeze_elements(self.carries, "$.carries")
        object.__setattr__(self, "carries", carries)

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
    """A prediction of a task.

    Parameters
    ----------
    node : str
        Name of the predicting node.
    label : JSON value
    weight : float
        Weight of the loss; may be zero or negative.
    hides : tuple
        Elements that the context of the prediction must not carry.
    """

    node: str
    label: Any
    weight: float = 1.0
    hides: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check_text(self.node, "the name of a predicting node", "$.node")
        if type(self.weight) is not float or not isfinite(self.weight):
            object.__setattr__(self, "weight", _finite_weight(self.weight))
        if type(self.label) is not str:  # a string is frozen already
            object.__setattr__(self, "label", frozen(self.label, "$.label"))
        if type(self.hides) is not tuple or self.hides:
            object.__setattr__(self, "hides", freeze_elements(self.hides, "$.hides"))


def _finite_weight(weight: Any) -> float:
    """Return a weight as a float; raise InvalidInstance if it is not a finite number."""
    if isinstance(weight, (np.integer, np.floating)):
        weight = float(weight)
    with suppress(OverflowError):  # an integer beyond the range of floats
        if type(weight) in (int, float) and isfinite(weight):
            return float(weight)
    raise InvalidInstance(f"weight {shown(weight)} is not a finite number", "$.weight", "use a finite number")


@dataclass(frozen=True)
class Task:
    """A set of nodes, the rows they attend to, and what is predicted.

    Parameters
    ----------
    name : str
    nodes : sequence of Node
    attends : mapping or sequence of mappings
        Row tables, node name -> names of its keys. One table is used by all layers; table i of P by layers i + 1, i + 1
        + P, ...
    predict : sequence of Prediction
    closure : bool
        True: rows are closed reflexively and transitively (a dense task). False: rows are used as given.

    Raises
    ------
    InvalidInstance
        For a repeated or unknown name, a repeated key, more than ``MAX_ROWS`` rows, several tables with closure, or a
        live node with an empty row (softmax over nothing). A node is *live* iff some prediction depends on it at any
        depth.
    """

    name: str
    nodes: tuple[Node, ...]
    attends: tuple[Rows, ...]
    predict: tuple[Prediction, ...]
    closure: bool = False

    def __post_init__(self) -> None:
        check_text(self.name, "a task name", "$.name")
        check_flag(self.closure, "$.closure")
        object.__setattr__(self, "nodes", check_sequence(self.nodes, Node, "$.nodes"))
        object.__setattr__(self, "predict", check_sequence(self.predict, Prediction, "$.predict"))
        object.__setattr__(self, "attends", self._tables())
        tables = self.attends
        if not tables:
            raise InvalidInstance("attends is an empty list of row tables", "$.attends", "give at least one table")
        if self.closure and len(tables) > 1:
            raise InvalidInstance(
                f"closure is not defined for {len(tables)} row tables",
                "$.closure",
                "write the rows out and set closure to false",
            )
        self._check_names()
        self._check_empty_rows()

    def _tables(self) -> tuple[Rows, ...]:
        if not isinstance(self.attends, (list, tuple)):
            return (check_table(self.attends, "$.attends"),)
        check_row_count(len(self.nodes), len(self.attends), "$.attends")
        single = len(self.attends) == 1
        return tuple(
            check_table(table, "$.attends" if single else f"$.attends[{number}]")
            for number, table in enumerate(self.attends)
        )

    def _check_names(self) -> None:
        if len(self.index) != len(self.nodes):
            seen: set[str] = set()
            for index, node in enumerate(self.nodes):
                if node.name in seen:
                    raise InvalidInstance(
                        f"node name {shown(node.name)} is used twice", f"$.nodes[{index}].name", "rename one of them"
                    )
                seen.add(node.name)
        for index, prediction in enumerate(self.predict):
            if prediction.node not in self.index:
                raise InvalidInstance(
                    f"unknown node {shown(prediction.node)}", f"$.predict[{index}].node", "name a node of this task"
                )
        for number, table in enumerate(self.attends):
            for name, row in table.items():
                self._check_row(number, name, row)

    def _check_row(self, table: int, name: str, row: tuple[str, ...]) -> None:
        keys = set(row)
        if name not in self.index or not self.index.keys() >= keys:
            unknown = name if name not in self.index else next(key for key in row if key not in self.index)
            raise InvalidInstance(
                f"unknown node {shown(unknown)}", self._row_path(table, name), "name a node of this task"
            )
        if len(keys) != len(row):
            twice = next(key for key, count in Counter(row).items() if count > 1)
            raise InvalidInstance(
                f"key {shown(twice)} is listed twice in a row", self._row_path(table, name), "list each key once"
            )

    def _row_path(self, table: int, name: str) -> str:
        number = "" if len(self.attends) == 1 else f"[{table}]"
        return f"$.attends{number}[{quoted(name)}]"

    def _check_empty_rows(self) -> None:
        if self.closure:
            return
        given = Counter(name for table in self.attends for name, row in table.items() if row)
        empty = [node.name for node in self.nodes if given[node.name] < len(self.attends)]
        live = self.live() if empty else set()
        for name in empty:
            if name in live:
                table = next(number for number, table in enumerate(self.attends) if not table.get(name))
                raise InvalidInstance(
                    f"live node {shown(name)} of task {shown(self.name)} has an empty row (softmax over nothing)",
                    self._row_path(table, name),
                    "let it attend at least to itself, or set closure to true",
                )

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Node name -> its index in ``nodes``."""
        return {node.name: index for index, node in enumerate(self.nodes)}

    def live(self) -> set[str]:
        """Return the names of the nodes that some prediction depends on, at any depth: the union of the contexts."""
        live = {prediction.node for prediction in self.predict}
        pending = list(live)
        while pending:
            name = pending.pop()
            for table in self.attends:
                for key in table.get(name, ()):
                    if key not in live:
                        live.add(key)
                        pending.append(key)
        return live
