"""Read a rules file of ``masksynth sparsify``: forced and forbidden edges, and weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from masksynth.errors import InvalidInstance
from masksynth.tasks.parse_json import parse


class Rules(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of a rules file.

    Parameters
    ----------
    forced, forbidden : list of (query, key)
    weights : list of (query, key, weight)
    """

    forced: list[tuple[int, int]] = []
    forbidden: list[tuple[int, int]] = []
    weights: list[tuple[int, int, int]] = []


def read_rules(path: Path) -> dict[str, Any]:
    """Return the arguments of `sparsify` that a rules file sets.

    Raises
    ------
    InvalidInstance
        If the file is not JSON, is not of this form, or names an edge twice.
    """
    try:
        rules = _convert(parse(path.read_bytes().strip() or b"null"))
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None
    weights = {(query, key): weight for query, key, weight in rules.weights}
    return {"forced": rules.forced, "forbidden": rules.forbidden, "weights": weights}


def _convert(value: Any) -> Rules:
    try:
        rules = msgspec.convert(value, Rules)
    except msgspec.ValidationError as error:
        fact, _, where = str(error).replace("`", "").partition(" - at ")
        remedy = 'write {"forced": [[q, k], ...], "forbidden": [[q, k], ...], "weights": [[q, k, w], ...]}'
        raise InvalidInstance(f"{fact[0].lower()}{fact[1:]}", where or "$", remedy) from None
    for name in ("forced", "forbidden", "weights"):
        _check_distinct(getattr(rules, name), name)
    return rules


def _check_distinct(entries: Sequence[tuple[int, ...]], name: str) -> None:
    seen: set[tuple[int, ...]] = set()
    for index, entry in enumerate(entries):
        if entry[:2] in seen:
            raise InvalidInstance(
                f"the edge {list(entry[:2])} is given twice", f"$.{name}[{index}]", "keep one of them"
            )
        seen.add(entry[:2])
