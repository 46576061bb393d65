"""A structure becomes a candidate: an ordinary answer that both checkers have confirmed."""

from __future__ import annotations

from masksynth.contracts import Contracts
from masksynth.discover.as_answer import to_merged
from masksynth.discover.discovery import Candidate
from masksynth.discover.measure import measure
from masksynth.discover.structure import Structure
from masksynth.verify import verify
from masksynth.verify.discovery import verify_contracts


def confirm(structure: Structure, contracts: Contracts) -> Candidate:
    """Return a structure as an answer, after checking it against its instance and against its contracts.

    Raises
    ------
    WrongAnswer
        If one of the checkers rejects it: a defect of what built the structure.
    """
    instance, merged, final = to_merged(structure, contracts)
    report = verify(instance, merged, minimal=True)
    checks = verify_contracts(contracts, merged).checks
    return Candidate(final, instance, merged, measure(final, contracts), report, checks)
