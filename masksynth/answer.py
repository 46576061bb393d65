"""Answers of `solve`: what they hold, their JSON record, and the folder that they are written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from masksynth.backends import Limits, Objective, Status
from masksynth.collector import paused_collector
from masksynth.errors import MasksynthError, check_type
from masksynth.sparse.sparse_answer import SparseAnswer
from masksynth.tasks import Leak, MergedTask


@dataclass(frozen=True, repr=False)
class Answer:
    """Result of `solve`. Every field has passed the independent checker.

    Parameters
    ----------
    status : Status
    merged : MergedTask or None
        None iff INFEASIBLE or UNKNOWN.
    objective : mapping of str to Objective
        ``objective["positions"]``, and ``objective["edges"]`` of a sparse answer.
    certificate : mapping
        ``roads``: the backends that agreed, each with value, bound and kind of proof; ``checks``: what the checker
        confirmed.
    backend : str
        The backend that was requested.
    versions : mapping of str to str
        Versions of masksynth and of the solvers.
    limits : Limits
        Limits of the search.
    seconds : float
        Wall-clock time in seconds.
    leak : Leak or None
        The witness of INFEASIBLE.
    sparse : SparseAnswer or None
        How the edges of a sparse answer were found.
    """

    status: Status
    merged: MergedTask | None
    objective: Mapping[str, Objective]
    certificate: Mapping[str, Any]
    backend: str
    versions: Mapping[str, str]
    limits: Limits
    seconds: float
    leak: Leak | None = None
    sparse: SparseAnswer | None = None

    def __repr__(self) -> str:
        sizes = "".join(f", {name}={size.value} (bound {size.bound})" for name, size in self.objective.items())
        leak = f", leak={self.leak!r}" if self.leak else ""
        return f"Answer({self.status.name}{sizes}, backend={self.backend!r}{leak})"

    def _repr_html_(self) -> str:
        """Return its status and sizes, then the merged task or the leak, for a notebook."""
        from masksynth.tasks.html import html_block

        facts = [f"{size.value:,} {name} (bound {size.bound:,})" for name, size in self.objective.items()]
        facts = [*facts, f"backend {self.backend}", *([repr(self.leak)] if self.leak else [])]
        merged = None if self.merged is None else self.merged._repr_html_()
        return html_block(f"Answer {self.status.name}", facts, merged)


@paused_collector()
def record(answer: Answer) -> dict[str, Any]:
    """Return the answer as plain JSON values: the content of ``solution.json``, or the witness of INFEASIBLE.

    Examples
    --------
    >>> import masksynth as ms
    >>> list(record(ms.solve(ms.catalog.causal_lm(n=3))))[:4]
    ['status', 'positions', 'labels', 'tasks']
    """
    if answer.leak is not None:
        return {"status": answer.status.name, **answer.leak._asdict(), "path": list(answer.leak.path)}
    if answer.merged is None:
        return {"status": answer.status.name}
    from masksynth.export import solution_record

    return {
        "status": answer.status.name,
        **solution_record(answer.merged),
        "objective": {name: asdict(objective) for name, objective in answer.objective.items()},
        "certificate": dict(answer.certificate),
        "backend": answer.backend,
        "versions": dict(answer.versions),
        "limits": asdict(answer.limits),
        "seconds": round(answer.seconds, 6),
    }


def write(answer: Answer, folder: str | Path, force: bool = False) -> Path:
    """Write an answer as a folder (``docs/formats.md``), atomically.

    Parameters
    ----------
    answer : Answer
        With a merged task.
    folder : path
    force : bool
        Replace the answer in a folder that is not empty.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InvalidInstance
        If the folder is not empty and ``force`` is False.
    MasksynthError
        If there is nothing to write (INFEASIBLE, UNKNOWN), or the folder cannot be written; no partial folder remains.
    """
    from masksynth.export import write_answer

    check_type(answer, Answer, "give the result of masksynth.solve")
    if answer.merged is None:
        raise MasksynthError(f"{answer.status.name}: {answer.status.value} Nothing is written.")
    return write_answer(folder, record(answer), answer.merged, force)
