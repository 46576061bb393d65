"""The folder of a discovery: its contracts, its instance, the answer to it, and its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from masksynth.backends import Status
from masksynth.contracts import dump_contracts
from masksynth.discover.discovery import Candidate, Discovery, record
from masksynth.discover.front_picture import front_svg
from masksynth.errors import MasksynthError
from masksynth.export.answer_folder import answer_files, is_answer_file
from masksynth.export.solution_record import json_text, solution_record
from masksynth.files import Paths, write_to_disk, writing_folder
from masksynth.tasks.instance_files import dumps
from masksynth.versions import versions

CONTRACTS, INSTANCE, DISCOVERY = "contracts.json", "instance.json", "discovery.json"
PICTURE = "pareto.svg"


def is_discovery_file(name: str) -> bool:
    """Return whether `write_discovery` may have written a file of this name."""
    return is_answer_file(name) or name in (CONTRACTS, INSTANCE, DISCOVERY, PICTURE)


def write_discovery(discovery: Discovery, folder: str | Path, force: bool = False, inputs: Paths = ()) -> Path:
    """Write a discovery as a folder, completely or not at all.

    Parameters
    ----------
    discovery : Discovery
        With a structure.
    folder : path
    force : bool
        Replace a discovery in a folder that is not empty; other files in it are kept.
    inputs : iterable of paths
        Files that may not be replaced.

    Raises
    ------
    InvalidInstance
        If the folder is not empty and ``force`` is False.
    MasksynthError
        If there is nothing to write, or the folder cannot be written; nothing is left behind.
    """
    if discovery.best is None:
        raise MasksynthError(f"{discovery.status.name}: {discovery.reason or discovery.status.value}; nothing to write")
    with writing_folder(folder, force, is_discovery_file, inputs, "the discovery") as draft:
        write_to_disk(draft / CONTRACTS, dump_contracts(discovery.contracts).encode("ascii"))
        write_to_disk(draft / INSTANCE, dumps(discovery.best.instance).encode("ascii"))
        write_to_disk(draft / DISCOVERY, json_text(record(discovery)).encode("ascii"))
        if discovery.front:
            sizes = [candidate.sizes for candidate in discovery.front]
            write_to_disk(draft / PICTURE, front_svg(sizes, discovery.contracts.name))
        for name, content in answer_files(_solution(discovery.best, discovery), discovery.best.merged):
            write_to_disk(draft / name, content)
    return Path(folder).resolve()


def _solution(candidate: Candidate, discovery: Discovery) -> dict[str, Any]:
    """Return the content of ``solution.json``: the masks are given by the instance, so its positions are minimal."""
    positions = len(candidate.merged.positions)
    certificate = {
        "roads": [{"backend": "criterion", "value": positions, "bound": positions, "proof": "merged by criterion"}],
        "checks": list(candidate.report.checks),
    }
    return {
        "status": Status.OPTIMAL.name,
        **solution_record(candidate.merged),
        "objective": {"positions": {"value": positions, "bound": positions}},
        "certificate": certificate,
        "backend": "discover",
        "versions": versions(),
        "seconds": round(discovery.seconds, 6),
    }
