"""Structs of the JSON in a document of contracts; the published JSON Schema is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from masksynth.contracts.model import Count, Masks, Place
from masksynth.tasks.task import MAX_POSITION

Metric = Literal["chebyshev", "manhattan"]
Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_POSITION)]
Coordinates = Annotated[list[Number], msgspec.Meta(min_length=1, max_length=16)]
Price = Annotated[float, msgspec.Meta(ge=0, description="a finite number, zero or more")]


class GraphFile(msgspec.Struct, forbid_unknown_fields=True):
    """A connected graph without directions on the elements 0, .., n - 1."""

    n: Positive
    edges: list[tuple[Number, Number]]


class SpaceFile(msgspec.Struct, forbid_unknown_fields=True):
    """Elements that lie on a grid (row by row), in a tree (the parent of each, null for the root) or in a graph."""

    grid: Annotated[list[Positive], msgspec.Meta(min_length=1, max_length=16)] | UnsetType = UNSET
    metric: Metric | UnsetType = UNSET
    tree: Annotated[list[Number | None], msgspec.Meta(min_length=1)] | UnsetType = UNSET
    graph: GraphFile | UnsetType = UNSET


class TargetFile(msgspec.Struct, forbid_unknown_fields=True):
    """A prediction: what it needs, what it must not see, where it may be made."""

    label: Any
    need: list[Any] | Literal["others"]
    hide: list[Any] = []
    place: Place = "query"
    position: Number | Coordinates | UnsetType = UNSET


class WeightsFile(msgspec.Struct, forbid_unknown_fields=True):
    """Prices of positions, of positions that are only read, and of pairs."""

    position: Price = 24.0
    kv: Price = 4.0
    pair: Price = 0.004
    count: Count | UnsetType = UNSET


class DemandFile(msgspec.Struct, forbid_unknown_fields=True):
    """What a structure must have beyond its contracts."""

    direct: Number = 0
    mixed: Number = 0
    bandwidth: Number = 0
    hops: Number | None = None


class ContractsFile(msgspec.Struct, forbid_unknown_fields=True):
    """A document of contracts, schema version 1."""

    masksynth_contracts: Annotated[int, msgspec.Meta(ge=1, le=1)]
    name: Annotated[str, msgspec.Meta(min_length=1)]
    elements: Positive | Annotated[list[Any], msgspec.Meta(min_length=1)] | SpaceFile
    targets: Annotated[list[TargetFile], msgspec.Meta(min_length=1)] | Literal["each"]
    element_positions: list[Number | Coordinates] | Number | UnsetType = UNSET
    layers: Positive | None = None
    masks: Masks | UnsetType = UNSET
    weights: WeightsFile = msgspec.field(default_factory=WeightsFile)
    demand: DemandFile = msgspec.field(default_factory=DemandFile)
    blanks: Literal["same", "distinct"] = "distinct"
