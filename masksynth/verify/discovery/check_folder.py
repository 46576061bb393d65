"""``verify_discovery``: check the folder that ``masksynth discover`` wrote against contracts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masksynth.contracts.model import Contracts
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.tasks.instance_files import load
from masksynth.tasks.merged import MergedTask
from masksynth.verify.check_folder import read_answer, verify_folder
from masksynth.verify.discovery.check_contracts import verify_contracts
from masksynth.verify.discovery.count_sizes import count_sizes

RECORD, INSTANCE = "discovery.json", "instance.json"
MAX_RECORD = 1 << 26
"""Largest discovery.json that is read, in bytes."""


@dataclass(frozen=True)
class DiscoveryReport:
    """What `verify_discovery` confirmed.

    Parameters
    ----------
    checks : tuple of str
    not_compared : tuple of str
        What the folder says and the checker does not prove: a bound that a search or a theorem that it does not know
        found, or figures that the folder lacks.
    positions, edges : int
    cost : float
    """

    checks: tuple[str, ...]
    not_compared: tuple[str, ...]
    positions: int
    edges: int
    cost: float


def verify_discovery(contracts: Contracts, folder: str | Path) -> DiscoveryReport:
    """Check the structure in a folder against contracts, its instance and the figures of discovery.json.

    Raises
    ------
    BrokenContract
        If the structure does not keep the contracts, with a witness.
    WrongAnswer
        If files disagree, or a figure is not that of the structure.
    InvalidInstance
        If a file is missing, unreadable or malformed.
    """
    folder = Path(folder)
    _, merged = read_answer(folder)
    report = verify_contracts(contracts, merged)
    sizes = count_sizes(contracts, merged)
    checks, left = [*report.checks], []
    if (folder / INSTANCE).is_file():
        verify_folder(load(folder / INSTANCE), folder)
        checks.append("instance")
    else:
        left.append(f"{INSTANCE}, which the folder lacks")
    if (folder / RECORD).is_file():
        left += _check_record(folder / RECORD, contracts, merged)
        checks.append("figures")
    else:
        left.append(f"{RECORD}, which the folder lacks")
    return DiscoveryReport(tuple(checks), tuple(left), sizes["positions"], sizes["edges"], sizes["cost"])


def _check_record(path: Path, contracts: Contracts, merged: MergedTask) -> list[str]:
    """Compare the figures of discovery.json with a recount; return what was not compared."""
    record = _read_record(path)
    for name, counted in count_sizes(contracts, merged).items():
        if name not in record:
            raise WrongAnswer("figures", f"{path.name} has no {name}")
        stated = record[name]
        is_number = isinstance(stated, (int, float)) and not isinstance(stated, bool)
        same = (
            stated == counted
            if counted is None or not is_number
            else abs(stated - counted) <= 1e-6 * max(1, abs(counted))
        )
        if not same:
            raise WrongAnswer("figures", f"{path.name} says {name} {stated!r:.40}, counted {counted}")
    return _check_bound(record, contracts, path.name)


def _is_same(stated: Any, counted: Any) -> bool:
    """Return whether a stated figure is the counted one; costs are compared up to rounding."""
    if isinstance(counted, float) and isinstance(stated, (int, float)) and not isinstance(stated, bool):
        return abs(stated - counted) <= 1e-6 * max(1.0, abs(counted))
    return type(stated) is type(counted) and stated == counted


def _check_bound(record: dict[str, Any], contracts: Contracts, name: str) -> list[str]:
    """Check that a bound of the cost does not exceed it, and equals it if the structure is said to be optimal."""
    if record.get("objective", "cost") != "cost":
        return ["the bound, which is not one of the cost"]
    bound, cost, status = record.get("bound"), record["cost"], record.get("status")
    if status not in ("OPTIMAL", "FEASIBLE"):
        raise WrongAnswer("status", f"{name}: expected OPTIMAL or FEASIBLE, got {status!r:.40}")
    if bound is None and status == "FEASIBLE":
        return []
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not bound <= cost * (1 + 1e-9) + 1e-9:
        raise WrongAnswer("bound", f"{name} has the bound {bound!r:.40} and the cost {cost}")
    if status == "OPTIMAL" and abs(bound - cost) > 1e-6 * max(1, abs(cost)):
        raise WrongAnswer("bound", f"{name} says OPTIMAL with the bound {bound} and the cost {cost}")
    return [f"the bound by {record.get('bound_by', '?')!s:.120}"]


def _read_record(path: Path) -> dict[str, Any]:
    """Return the object in discovery.json."""
    if path.stat().st_size > MAX_RECORD:
        raise InvalidInstance(f"larger than {MAX_RECORD} bytes", source=str(path))
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInstance(f"not JSON: {str(error)[:80]}", source=str(path)) from None
    if not isinstance(record, dict):
        raise InvalidInstance("expected an object", "$", source=str(path))
    return record
