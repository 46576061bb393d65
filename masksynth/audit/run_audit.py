"""`audit`: everything that can be found out about a mask, and how small and how expressible it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from masksynth.audit.family_findings import Plan, family_findings, plan_of
from masksynth.audit.finding import SEVERITIES, Finding
from masksynth.audit.hints import offset_labels, unknown_hides, unsaid_labels
from masksynth.audit.layer_reach import Bools, sees_itself
from masksynth.audit.leak_findings import leak_findings
from masksynth.audit.packed_labels import packed_labels
from masksynth.audit.packed_rows import packed_rows
from masksynth.audit.padding import padding_findings
from masksynth.audit.row_findings import (
    Size,
    dead_positions,
    duplicates,
    empty_rows,
    live_positions,
    rows_without_themselves,
    size_of,
    value_classes,
)
from masksynth.audit.samples import Comparison, compare_samples
from masksynth.audit.storage import broken_heuristics, finite_infinity, wrong_blocks
from masksynth.export.targets import Entry, summary
from masksynth.subject.read_subject import with_samples
from masksynth.subject.sample_table import Source
from masksynth.subject.subject import Subject

UNDECIDED = ("MS014", "MS022")
"""Codes of what was not compared, or not to the end."""


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Parameters
    ----------
    findings : tuple of Finding
        Errors first, then by code and position.
    minimal : Size, optional
        How many positions the minimal equivalent has, at most so many where ``minimal.exact`` is False; None unless inputs, position
        ids and labels are known.
    kernels : tuple of tuples of Entry
        For each table, what each export format makes of it.
    unchecked : mapping
        Code -> what must be known to check it.
    samples : Comparison, optional
        How many samples the mask was compared with, and how its tables were read; None without samples.
    """

    findings: tuple[Finding, ...]
    minimal: Size | None
    kernels: tuple[tuple[Entry, ...], ...]
    unchecked: Mapping[str, str]
    samples: Comparison | None = None

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def undecided(self) -> int:
        """How many findings say that something was asked for and not compared, or not to the end."""
        return sum(finding.code in UNDECIDED for finding in self.findings)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for has been compared; only then does no error mean that none is there."""
        return self.undecided == 0

    def record(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "findings": [finding.record() for finding in self.findings],
            "minimal": None if self.minimal is None else self.minimal.record(),
            "kernels": {
                str(table): {entry.format: entry._asdict() for entry in entries}
                for table, entries in enumerate(self.kernels)
            },
            "unchecked": dict(self.unchecked),
            "complete": self.complete,
            "samples": None if self.samples is None else self.samples.record(),
        }


def audit(subject: Subject, layers: int | None = None, *, samples: Source | None = None) -> Report:
    """Look for every fault that the subject's knowledge allows to find.

    Parameters
    ----------
    subject : Subject
    layers : int, optional
        Layers of the model [default: the subject's; None there: any depth].
    samples : path, "-", SampleTable or iterable of mappings, optional
        The samples that the mask is meant to train [default: the subject's].

    Returns
    -------
    Report

    Notes
    -----
    Near-linear in positions and row intervals, without any N x N array, except where rows are not recognised as closed: then a bounded
    search looks for leaks, and what it leaves is a finding MS014 (`masksynth.audit.layer_reach`).

    Examples
    --------
    >>> from masksynth.audit import Subject
    >>> from masksynth.subject.token_file import with_tokens
    >>> from masksynth.mask import Mask
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 3),), ((0, 3),)]])
    >>> subject = with_tokens(Subject(mask, "peek"), {"inputs": ["a", "b", "c"], "labels": [[0, "b", ["b"]], [1, "c", ["c"]]]})
    >>> for finding in audit(subject).findings:
    ...     print(finding.code, finding.severity, finding.message)
    MS001 error position 1 (b) sees "c", which its label hides: 2 (c) -> 1 (b) (1 hop)
    """
    if layers is not None:
        subject = replace(subject, layers=layers)
    if samples is not None:
        subject = with_samples(subject, samples)
    live, classes = live_positions(subject), value_classes(subject)
    compared = compare_samples(subject, live)
    if compared is not None and compared.target is not None and subject.labels is not None:
        subject = replace(subject, labels=replace(subject.labels, target=compared.target))
    found = sorted(_findings(subject, live, classes, () if compared is None else compared.findings), key=_rank)
    kernels = tuple(tuple(summary(subject.mask, table)) for table in range(subject.mask.tables))
    return Report(tuple(found), size_of(subject, live, classes), kernels, unchecked(subject), compared)


def _rank(finding: Finding) -> tuple[int, str, int]:
    return SEVERITIES.index(finding.severity), finding.code, -1 if finding.position is None else finding.position


def _findings(subject: Subject, live: Bools, classes: Any, compared: tuple[Finding, ...]) -> Iterator[Finding]:
    plan = plan_of(subject)
    if isinstance(plan, Finding):
        yield plan
        plan = None
    if subject.partial:
        yield Finding(
            "MS014",
            "note",
            None,
            {"codes": ["all"]},
            "audit each batch and head by a mask_mod of its own",
            subject.partial,
        )
    yield from leak_findings(subject, plan)
    if plan is not None:
        yield from family_findings(subject, plan)
    else:
        told = {(_kind(one), one.position) for one in compared}
        yield from (
            one for one in (*packed_labels(subject), *packed_rows(subject)) if (_kind(one), one.position) not in told
        )
        yield from offset_labels(subject, live)
        yield from unsaid_labels(subject)
    yield from compared
    yield from padding_findings(subject, live)
    yield from unknown_hides(subject)
    yield from empty_rows(subject, live)
    yield from rows_without_themselves(subject, live, None if plan is None else due_to_see_themselves(plan))
    yield from dead_positions(subject, live)
    yield from duplicates(subject, live, classes)
    yield from broken_heuristics(subject)
    yield from finite_infinity(subject)
    yield from wrong_blocks(subject)


def _kind(finding: Finding) -> str:
    """Return whether a finding is about a row or about labels: a batch and its samples may tell the same of one position."""
    return "row" if finding.code in ("MS002", "MS009", "MS013", "MS015") else "label"


def due_to_see_themselves(plan: Plan) -> Bools:
    """``(P, N)``: whether the family wants the position's row to hold the position; nowhere if its labels come out right as it is."""
    home, classes, mask = plan.matched.home, plan.matched.classes, plan.intended.mask
    if plan.right or not mask.size:
        return np.zeros((mask.tables, len(home)), bool)
    first = np.zeros(int(classes.max()) + 1, np.int64)
    first[classes[::-1]] = np.arange(mask.size)[::-1]
    return np.stack([(home >= 0) & sees_itself(mask, table)[first[home]] for table in range(mask.tables)])


def unchecked(subject: Subject) -> dict[str, str]:
    """Code -> what is not known and would be needed.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> unchecked(Subject(Mask.from_dense(np.eye(1, dtype=bool)), "m"))["MS001"]
    'labels that say what they hide, a family, or samples'
    """
    labels, family, samples = subject.labels, subject.family is not None, subject.samples is not None
    known = family or samples or subject.batch is not None
    hiding = labels is not None and (any(labels.hides) or bool((labels.target >= 0).any()))
    needs = {
        "MS001": (hiding or family or samples, "labels that say what they hide, a family, or samples"),
        "MS002": (known, "a family or samples"),
        "MS003": (known, "a family or samples"),
        "MS004": (known, "a family or samples"),
        "MS007": (labels is not None, "labels"),
        "MS008": (
            not subject.sparse and subject.inputs is not None and subject.positions is not None,
            "inputs and position ids",
        ),
        "MS009": (known, "a family or samples"),
        "MS010": (subject.positions is not None, "position ids"),
        "MS011": (subject.dtype.startswith(("float", "bfloat")), "an additive mask"),
        "MS012": (subject.blocks is not None, "block lists"),
        "MS013": (known, "a family or samples"),
        "MS015": (samples, "samples"),
        "MS016": (samples, "samples"),
        "MS017": (samples, "samples"),
        "MS018": (samples, "samples"),
        "MS019": (samples, "samples"),
        "MS020": (subject.padding is not None, "padding"),
    }
    return {code: need for code, (given, need) in needs.items() if not given}
