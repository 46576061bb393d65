"""The published JSON Schema of documents of contracts.

Write it with ``python -m masksynth.contracts.schema > masksynth/contracts/schema/contracts.schema.json``.
"""

from __future__ import annotations

import json
from typing import Any

FILE = "contracts.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of documents of contracts.

    What it cannot say is checked by the reader: that sets are disjoint, elements known and distinct, a tree a tree, a
    graph connected, and that there is a position for each element.
    """
    import msgspec

    from masksynth.contracts.check_contract_values import MAX_LAYERED
    from masksynth.contracts.document_structs import ContractsFile

    document = msgspec.json.schema(ContractsFile)
    whole, space = document["$defs"]["ContractsFile"], document["$defs"]["SpaceFile"]
    space["oneOf"] = [{"required": ["grid"]}, {"required": ["tree"]}, {"required": ["graph"]}]
    space["dependentRequired"] = {"metric": ["grid"]}
    listed = next(kind for kind in whole["properties"]["elements"]["anyOf"] if kind.get("type") == "array")
    listed["items"] = {"not": {"type": "object", "required": ["blank"], "maxProperties": 1}}
    count = {"properties": {"count": {"const": "layer"}}, "required": ["count"]}
    costs_of_layers = {"properties": {"weights": count}, "required": ["weights"]}
    whole["allOf"] = [
        {"if": _has_masks("layered"), "then": {"properties": {"layers": {"type": "integer"}}, "required": ["layers"]}},
        {"if": {"not": _has_masks("one")}, "then": {"properties": {"layers": {"maximum": MAX_LAYERED}}}},
        {"if": costs_of_layers, "then": {"properties": {"layers": {"type": "integer"}}, "required": ["layers"]}},
    ]
    ids = next(kind for kind in whole["properties"]["element_positions"]["anyOf"] if kind.get("type") == "array")
    ids["anyOf"] = [{"items": {"type": kind}} for kind in ("integer", "array")]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "masksynth contracts", **document}


def _has_masks(kind: str) -> dict[str, Any]:
    """Return the schema of documents that state a kind of masks."""
    return {"properties": {"masks": {"const": kind}}, "required": ["masks"]}


def text() -> str:
    """Return the content of ``contracts.schema.json``.

    Examples
    --------
    >>> json.loads(text())["title"]
    'masksynth contracts'
    """
    return json.dumps(schema(), indent=1) + "\n"
