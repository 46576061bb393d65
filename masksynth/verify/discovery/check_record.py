"""The figures and the bound that ``discovery.json`` states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from masksynth.contracts.model import Contracts
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.discovery.bounds import prove_cost
from masksynth.verify.read_solution import parse

MAX_RECORD = 1 << 26
"""Largest discovery.json that is read, in bytes."""
ROUNDING = 1e-12
"""Relative difference up to which costs are equal: they are sums of products of binary fractions."""
THEOREM = re.compile(r"theorem \d+, ([^(]+) \(")
"""A theorem in ``bound_by``: its number, its title, and where it is."""
TITLES = {"positions", "leave-one-out", "gate elimination", "charges", "layers", "tokens", "raw tokens"}
"""The theorems that `prove_cost` computes again."""
COUNTING = "counting"


def read_figures(path: Path) -> dict[str, Any]:
    """Return the object in discovery.json."""
    if path.stat().st_size > MAX_RECORD:
        raise InvalidInstance(f"larger than {MAX_RECORD} bytes", source=str(path))
    try:
        record = parse(path.read_bytes())
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None
    if not isinstance(record, dict):
        raise InvalidInstance("expected an object", "$", source=str(path))
    return record


def check_figures(record: dict[str, Any], sizes: dict[str, Any], name: str) -> None:
    """Compare the figures of discovery.json with a recount."""
    for figure, counted in sizes.items():
        if figure not in record:
            raise WrongAnswer("figures", f"{name} has no {figure}")
        stated = record[figure]
        same = _is_close(stated, counted) if figure == "cost" else type(stated) is type(counted) and stated == counted
        if not same:
            raise WrongAnswer("figures", f"{name} says {figure} {stated!r:.40}, counted {counted}")


def _is_close(stated: Any, counted: float) -> bool:
    """Return whether a stated number is a counted one up to rounding."""
    if type(stated) not in (int, float):
        return False
    margin = ROUNDING * abs(counted)
    return bool(counted - margin <= stated <= counted + margin)


def check_bound(record: dict[str, Any], contracts: Contracts, sizes: dict[str, Any], name: str) -> list[str]:
    """Check the bound and the status of discovery.json; return what the checker does not prove itself.

    A bound of the cost is proved if a theorem gives it, computed again here; one that is said to be a theorem's must
    be. A bound of pairs is proved if it is what counting gives: no context has two elements before the first layer.
    """
    objective, status = record.get("objective"), record.get("status")
    if objective not in ("cost", "pairs", "pareto"):
        raise WrongAnswer("objective", f"{name}: expected cost, pairs or pareto, got {objective!r:.40}")
    if status not in ("OPTIMAL", "FEASIBLE"):
        raise WrongAnswer("status", f"{name}: expected OPTIMAL or FEASIBLE, got {status!r:.40}")
    value = sizes["mixed_edges"] if objective == "pairs" else sizes["cost"]
    bound = record.get("bound")
    if bound is None and status == "FEASIBLE":
        return []
    if not isinstance(record.get("bound_by"), str):
        got = record.get("bound_by")
        raise WrongAnswer("bound", f"{name}: expected in bound_by what proves the bound, got {got!r:.40}")
    if isinstance(bound, bool) or not isinstance(bound, (int, float)):
        raise WrongAnswer("bound", f"{name}: expected a number as bound, got {bound!r:.40}")
    is_right = bound >= value if objective == "pairs" else bound <= value + ROUNDING * abs(value)
    if not is_right or (status == "OPTIMAL" and not _is_close(bound, value)):
        raise WrongAnswer("bound", f"{name}: {status} with the bound {bound!r:.40} of {objective} {value:g}")
    if objective == "pairs":
        return _pairs_bound(record, bound, contracts, sizes["positions"], name)
    rows = [f"rows, trade-offs whose structures {name} does not hold"] if objective == "pareto" else []
    return _cost_bound(record, bound, contracts, value, name) + rows


def _cost_bound(record: dict[str, Any], bound: float, contracts: Contracts, cost: float, name: str) -> list[str]:
    """Return nothing if a theorem gives a bound of the cost, else who claims it; raise if a theorem is said to."""
    proved, by = prove_cost(contracts), record["bound_by"]
    margin = ROUNDING * abs(proved)
    if proved > cost + margin:
        fact = f"the structure costs {cost:g}, which is below the proved bound {proved:g}: a defect of masksynth"
        raise WrongAnswer("bound", fact)
    if bound <= proved + margin:
        return []
    if by.startswith("theorem") and set(THEOREM.findall(by)) <= TITLES:
        raise WrongAnswer(
            "bound", f"{name} says that the cost is at least {bound!r:.40} by {by:.160}: it is {proved:g}"
        )
    return [f"the bound {bound:g} by {by or 'an unnamed method':.160}; theorems alone prove {proved:g}"]


def _pairs_bound(record: dict[str, Any], bound: float, contracts: Contracts, positions: int, name: str) -> list[str]:
    """Return nothing if counting gives a bound of pairs, else who claims it; raise if counting is said to."""
    readers = positions  # of one mask, which counts once
    if contracts.masks == "layered":  # nothing is mixed before layer 2, and in the last one targets alone are live
        layers = range(2, (contracts.layers or 1) + 1)
        targets = min(positions, len(contracts.targets))
        readers = sum(targets if layer == contracts.layers else positions for layer in layers)
    counted, by = readers * (positions - 1), record["bound_by"]
    if bound >= counted:
        return []
    if by.startswith(COUNTING):
        raise WrongAnswer("bound", f"{name} says at most {bound!r:.40} by {by:.160}: it is {counted} or more")
    return [f"the bound {bound:g} by {by or 'an unnamed method':.160}; counting alone proves {counted}"]
