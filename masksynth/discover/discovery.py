"""Result of `discover`, its record, and the folder that it is written to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from masksynth.backends import Status
from masksynth.contracts import Contracts
from masksynth.discover.measure import Sizes
from masksynth.discover.structure import Structure
from masksynth.tasks import Instance, MergedTask
from masksynth.verify import Report


@dataclass(frozen=True)
class Candidate:
    """A structure that the checker has confirmed, as an ordinary answer.

    Parameters
    ----------
    structure : Structure
        Merged: positions of equal contents coincide.
    instance : Instance
    merged : MergedTask
    sizes : Sizes
    report : Report
        What the checker of answers confirmed.
    checks : tuple of str
        What the checker of contracts confirmed.
    """

    structure: Structure
    instance: Instance
    merged: MergedTask
    sizes: Sizes
    report: Report
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Discovery:
    """Result of `discover`. Its structure has passed both checkers: that of its instance and that of its contracts.

    Parameters
    ----------
    status : Status
        OPTIMAL iff the value equals a bound that a theorem or a finished search proves.
    contracts : Contracts
        With the layers and masks that were used.
    objective : str
        ``cost``, ``pairs`` or ``pareto``.
    best : Candidate or None
        None iff INFEASIBLE or UNKNOWN.
    bound : float or None
        Proved bound on the objective over all structures: a lower one for the cost, an upper one for pairs.
    bound_by : str
        The theorem or search that proves it.
    seconds : float
    reason : str
        Why no structure exists, or why none was found.
    front : tuple of Candidate
        For ``pareto``: structures of which none is better in positions, pairs and layers at once.
    """

    status: Status
    contracts: Contracts
    objective: str
    best: Candidate | None
    bound: float | None
    bound_by: str
    seconds: float
    reason: str = ""
    front: tuple[Candidate, ...] = ()

    def __repr__(self) -> str:
        sizes = "" if self.best is None else f", {self.best.sizes.positions} + {self.best.sizes.edges}"
        return f"Discovery({self.status.name}{sizes}{f', {self.reason}' if self.reason else ''})"


def record(discovery: Discovery) -> dict[str, Any]:
    """Return a discovery as plain JSON values: the content of ``discovery.json``.

    Without a structure all that describes one is None.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> from masksynth.discover.discover import discover
    >>> found = record(discover(leave_one_out(n=2, layers=1)))
    >>> found["status"], found["positions"], found["edges"]
    ('OPTIMAL', 4, 2)
    """
    head = {"status": discovery.status.name, "objective": discovery.objective}
    if discovery.best is None:
        nothing = dict.fromkeys([*(field.name for field in fields(Sizes)), "bound", "bound_by", "found_by"])
        return {**head, **nothing, "reason": discovery.reason, "seconds": round(discovery.seconds, 3)}
    found = {
        **head,
        **sizes_record(discovery.best),
        "bound": discovery.bound,
        "bound_by": discovery.bound_by,
        "found_by": discovery.best.structure.found_by,
        "seconds": round(discovery.seconds, 3),
    }
    if discovery.objective == "pareto":
        found["rows"] = [
            {**sizes_record(candidate), "found_by": candidate.structure.found_by} for candidate in discovery.front
        ]
    return found


def sizes_record(candidate: Candidate) -> dict[str, Any]:
    """Return the sizes of a candidate as plain JSON values."""
    return {name: _plain(value) for name, value in asdict(candidate.sizes).items()}


def _plain(value: Any) -> Any:
    """Return a float without the last digits that sums of binary fractions leave; a whole number as int."""
    if isinstance(value, float):
        value = float(f"{value:.14g}")
        return int(value) if value.is_integer() else value
    return value
