"""Report of ``check_model``: findings, a diagnosis, what was compared and what was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from masksynth.errors import WrongAnswer
from masksynth.torch.model_check.changed_arguments import Cause
from masksynth.torch.model_check.known_failures import Diagnosis

OF_MASK = ("leak", "missing context")
"""Kinds of findings that a diagnosis explains."""


@dataclass(frozen=True)
class ModelFinding:
    """One way in which a model does not follow the mask.

    Parameters
    ----------
    kind : {"leak", "missing context", "no gradient", "values", "positions", "not a number", "no input"}
    position : int
        The query: the position whose output shows it.
    key : int or None
        The other position: whose input was changed, or which should have the same output.
    path : tuple of int
        A path from key to query that the mask allows, one hop for each layer; () if it allows none.
    moved : float
        By how much the output moved (for ``positions``: differs).
    pairs : int
        In how many of the tested pairs (query, key) it shows.
    message, remedy : str
    """

    kind: str
    position: int
    key: int | None
    path: tuple[int, ...]
    moved: float
    pairs: int
    message: str
    remedy: str

    def record(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {**self.__dict__, "path": list(self.path)}


@dataclass(frozen=True)
class ModelReport:
    """Result of ``check_model``: what was tested and what was found.

    Parameters
    ----------
    findings : tuple of ModelFinding
    diagnosis : Diagnosis or None
        The known failure that moves the same outputs, or has the same values; None without a leak, missing context or
        values.
    cause : Cause or None
        The argument of the call that causes it (``words``, ``remedy``), where changing arguments shows it.
    layers : int or None
        Number of layers through which the mask was followed; None: any number.
    keys, queries : int
        Number of inputs that were changed, and of outputs that were tested.
    noise : float
        Largest difference of two equal runs.
    no_gradients : str
        Why no gradients were taken; empty if they were.
    told_apart : tuple of str
        Failures of equal flow that values rule out: under them the outputs would differ.
    not_told_apart : tuple of str
        What this batch cannot distinguish from a right call, and why: where it matters, check another batch.
    no_values : str
        Why the outputs were not compared with those under the right masks; empty if they were.
    samples_alone : int
        Number of samples of a packed batch that the model also ran alone, with equal outputs.
    """

    findings: tuple[ModelFinding, ...]
    diagnosis: Diagnosis | None
    cause: Cause | None
    layers: int | None
    keys: int
    queries: int
    noise: float
    no_gradients: str
    told_apart: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()
    no_values: str = "not requested"
    samples_alone: int = 0

    def __str__(self) -> str:
        """Return findings, diagnosis and remedy, one per line."""
        through = "any number of layers" if self.layers is None else f"{self.layers} layer{'s' * (self.layers != 1)}"
        method = f"no gradients: {self.no_gradients}" if self.no_gradients else "by gradients"
        lines = [f"{self.keys} inputs changed, {self.queries} outputs tested ({method}), {through}"]
        lines += [f"{finding.kind}: {finding.message}" for finding in self.findings] or self._describe_pass()
        if self.diagnosis is not None:
            lines += [f"looks {self.diagnosis.words}" if self.diagnosis.name != "unknown" else self.diagnosis.words]
        lines += [f"because {self.cause.words}"] if self.cause else []
        lines += [f"remedy: {self.remedy}"] if self.remedy else []
        return "\n".join(lines)

    def _describe_pass(self) -> list[str]:
        """Return what was distinguished and what was not; "the model uses the mask" only if values were compared."""
        lines = [f"distinguished by values: {', '.join(self.told_apart)}"] if self.told_apart else []
        lines += [f"not distinguished: {item}" for item in self.not_told_apart]
        if not self.no_values:
            return [*lines, "the model uses the mask"]
        lines += [f"values not compared with those under the right masks: {self.no_values}"]
        if self.samples_alone:
            lines += [f"outputs of {self.samples_alone} samples are those of the samples alone"]
        return [*lines, "outputs depend on the inputs that the mask allows, and on no others"]

    @property
    def remedy(self) -> str:
        """Remedy for the first finding."""
        if self.cause is not None:
            return self.cause.remedy
        if self.findings and self.findings[0].kind in (*OF_MASK, "values") and self.diagnosis is not None:
            return self.diagnosis.remedy
        return self.findings[0].remedy if self.findings else ""


class WrongModel(WrongAnswer):
    """Raised for a model that does not follow the mask; ``report`` has all findings.

    Parameters
    ----------
    report : ModelReport
    """

    def __init__(self, report: ModelReport) -> None:
        self.report = report
        first = report.findings[0]
        parts = [
            first.message,
            report.diagnosis.words if report.diagnosis else "",
            f"because {report.cause.words}" if report.cause else "",
        ]
        super().__init__(first.kind, "; ".join(part for part in [*parts, report.remedy] if part))
        self.path = tuple(map(str, first.path))

    def __reduce__(self) -> Any:
        return WrongModel, (self.report,)
