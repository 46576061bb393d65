"""``verify_discovery``: check the folder that ``masksynth discover`` wrote against contracts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masksynth.contracts.model import Contracts
from masksynth.errors import WrongAnswer
from masksynth.tasks.canonical import canonical, canonical_texts, shown
from masksynth.tasks.instance import Instance
from masksynth.tasks.instance_files import load
from masksynth.verify.check_folder import read_answer, verify_folder
from masksynth.verify.discovery.check_contracts import verify_contracts
from masksynth.verify.discovery.check_record import check_bound, check_figures, read_figures
from masksynth.verify.discovery.count_sizes import count_sizes

RECORD, INSTANCE = "discovery.json", "instance.json"


@dataclass(frozen=True)
class DiscoveryReport:
    """What `verify_discovery` confirmed.

    Parameters
    ----------
    checks : tuple of str
    not_compared : tuple of str
        What the folder says and the checker does not prove: a bound that a search found, or what the folder lacks.
    positions, edges : int
    cost : float
    """

    checks: tuple[str, ...]
    not_compared: tuple[str, ...]
    positions: int
    edges: int
    cost: float


def verify_discovery(contracts: Contracts, folder: str | Path) -> DiscoveryReport:
    """Check the structure in a folder against contracts, its instance, and the figures and bound of discovery.json.

    Raises
    ------
    BrokenContract
        If the structure does not keep the contracts, with a witness.
    WrongAnswer
        If files disagree, a figure is not that of the structure, or a bound is above what its theorem proves.
    InvalidInstance
        If a file is missing, unreadable or malformed.
    """
    folder = Path(folder)
    _, merged = read_answer(folder)
    report = verify_contracts(contracts, merged)
    sizes = count_sizes(contracts, merged)
    checks, left = [*report.checks], []
    if (folder / INSTANCE).is_file():
        instance = load(folder / INSTANCE)
        _check_instance(contracts, instance)
        verify_folder(instance, folder)
        checks.append("instance")
    else:
        left.append(f"{INSTANCE}, which the folder lacks")
    if (folder / RECORD).is_file():
        record = read_figures(folder / RECORD)
        check_figures(record, sizes, RECORD)
        checks.append("figures")
        unproved = check_bound(record, contracts, sizes, RECORD)
        checks += [] if unproved else ["bound"]
        left += unproved
    else:
        left.append(f"{RECORD}, which the folder lacks")
    return DiscoveryReport(tuple(checks), tuple(left), sizes["positions"], sizes["edges"], sizes["cost"])


def _check_instance(contracts: Contracts, instance: Instance) -> None:
    """Raise unless an instance asks for what the contracts do: one task, their depth, labels and hidden elements.

    That its rows are those of the structure is checked with the answer to it.
    """
    depth = contracts.layers if contracts.masks == "layered" else None
    tasks = instance.family.tasks
    if len(tasks) != 1:
        raise WrongAnswer("instance", f"{INSTANCE} has {len(tasks)} tasks, expected one")
    if instance.layers != depth or len(tasks[0].attends) != (depth or 1):
        asked = f"layers {depth or 'null'} and as many row tables" if depth else "layers null and one row table"
        got = f"layers {instance.layers or 'null'} and {len(tasks[0].attends)}"
        raise WrongAnswer("instance", f"{INSTANCE}: expected {asked}, got {got}")
    index_of = {canonical(target.label): index for index, target in enumerate(contracts.targets)}
    for prediction in tasks[0].predict:
        index = index_of.pop(canonical(prediction.label), None)
        if index is None:
            raise WrongAnswer(
                "instance", f"{INSTANCE} predicts {shown(prediction.label)}, which is no target, or twice"
            )
        hidden = contracts.hidden(index).tolist()
        if _texts(prediction.hides) != _texts(contracts.elements.values[element] for element in hidden):
            fact = f"{INSTANCE}: target {shown(prediction.label)} hides other elements than its contract says"
            raise WrongAnswer("instance", fact)
    if index_of:
        raise WrongAnswer("instance", f"{INSTANCE} does not predict {min(index_of):.60}")


def _texts(values: Iterable[Any]) -> set[str]:
    """Return the canonical texts of elements."""
    return set(canonical_texts(list(values)))
