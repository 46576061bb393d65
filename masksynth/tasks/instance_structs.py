"""Structs of the JSON in an instance file; the published JSON Schema is generated from them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from masksynth.tasks.task import MAX_POSITION

Row = dict[str, list[str]]
Weight = Annotated[float, msgspec.Meta(description="a finite number; negative and zero are valid")]


class NodeFile(msgspec.Struct, forbid_unknown_fields=True):
    """A node: identity is (input, position, kind)."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    input: Any
    position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)]
    kind: str = "token"
    carries: list[Any] | None = None


class PredictionFile(msgspec.Struct, forbid_unknown_fields=True):
    """``node`` predicts ``label`` with ``weight`` and must not see an element of ``hides``."""

    node: str
    label: Any
    weight: Weight = 1.0
    hides: list[Any] = []


class TaskFile(msgspec.Struct, forbid_unknown_fields=True):
    """A task: nodes, the rows they attend to (one table or a layer pattern), predictions."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    nodes: list[NodeFile]
    attends: Row | Annotated[list[Row], msgspec.Meta(min_length=1)]
    predict: list[PredictionFile]
    closure: bool = False


class InstanceFile(msgspec.Struct, forbid_unknown_fields=True):
    """An instance of masksynth, schema version 1."""

    masksynth: Annotated[int, msgspec.Meta(ge=1, le=1)]
    name: Annotated[str, msgspec.Meta(min_length=1)]
    tasks: list[TaskFile]
    source: str = ""
    layers: Annotated[int, msgspec.Meta(ge=1, le=MAX_POSITION)] | None = None
    sparse: bool = False
    expect: dict[str, Any] = {}
