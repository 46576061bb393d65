"""Audit a mask: run every check that the available information allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from masksynth.audit.family_findings import expects_itself, find_family_faults
from masksynth.audit.family_plan import plan_of
from masksynth.audit.finding import SEVERITIES, Finding
from masksynth.audit.hints import find_offset_labels, find_undeclared_hides, find_unknown_hides
from masksynth.audit.leak_findings import find_leaks
from masksynth.audit.packed_labels import find_wrong_packed_labels
from masksynth.audit.packed_rows import find_wrong_packed_rows
from masksynth.audit.padding import find_padding_faults
from masksynth.audit.row_findings import (
    Size,
    find_dead_positions,
    find_duplicates,
    find_empty_rows,
    find_live_positions,
    find_rows_without_self,
    find_value_classes,
    measure_size,
)
from masksynth.audit.samples import Comparison, compare_samples
from masksynth.audit.storage import find_broken_heuristics, find_finite_infinity, find_wrong_blocks
from masksynth.audit.update_findings import find_skipped_updates
from masksynth.errors import check_type
from masksynth.export.format_sizes import Entry, summary
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.read_subject import with_samples
from masksynth.subject.sample_table import Source
from masksynth.subject.subject import Subject

UNDECIDED = ("MS014", "MS022")
"""Codes of checks that were requested and not completed."""


@dataclass(frozen=True)
class Report:
    """Result of an audit.

    Parameters
    ----------
    findings : tuple of Finding
        Errors first, then by code and position.
    minimal : Size, optional
        Size of the minimal equivalent mask, an upper bound where ``minimal.exact`` is False; None unless inputs,
        position ids and labels are known.
    kernels : tuple of tuples of Entry
        Whether each export format can express each table, and in how many bytes.
    unchecked : mapping
        Code -> the information that is missing to check it.
    samples : Comparison, optional
        How many samples the mask was compared with, and the rule of each table; None without samples.
    """

    findings: tuple[Finding, ...]
    minimal: Size | None
    kernels: tuple[tuple[Entry, ...], ...]
    unchecked: Mapping[str, str]
    samples: Comparison | None = None

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def undecided(self) -> int:
        """Number of findings that report a check as not completed."""
        return sum(finding.code in UNDECIDED for finding in self.findings)

    @property
    def complete(self) -> bool:
        """Whether every requested check was completed; only then the absence of errors means that there are none."""
        return self.undecided == 0

    def record(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
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
    """Check a mask for every fault that the information in the subject allows to find.

    Parameters
    ----------
    subject : Subject
        The mask with what is known about its positions, from `read_subject`, `subject_of_merged` or `subject_of_batch`.
    layers : int, optional
        Number of layers of the model [default: the subject's; None there: any depth].
    samples : path, "-", SampleTable or iterable of mappings, optional
        Samples that the mask should train [default: the subject's].

    Returns
    -------
    Report

    Raises
    ------
    InvalidInstance
        If the subject is not a Subject.

    Notes
    -----
    Near-linear in positions and row intervals, without any N x N array. Only where the mask is not recognised as
    transitive, leaks are searched for within a budget, and labels that it leaves undecided are a finding MS014
    (`masksynth.audit.layer_reach`).

    Examples
    --------
    >>> from masksynth.audit import Subject
    >>> from masksynth.subject.token_file import with_tokens
    >>> from masksynth.mask import Mask
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 3),), ((0, 3),)]])
    >>> tokens = {"inputs": ["a", "b", "c"], "labels": [[0, "b", ["b"]], [1, "c", ["c"]]]}
    >>> subject = with_tokens(Subject(mask, "peek"), tokens)
    >>> for finding in audit(subject).findings:
    ...     print(finding.code, finding.severity, finding.message)
    MS001 error position 1 (b) sees "c", which its label hides: 2 (c) -> 1 (b) (1 hop)
    """
    check_type(subject, Subject, "read one with masksynth.audit.read_subject")
    if layers is not None:
        subject = replace(subject, layers=layers)
    if samples is not None:
        subject = with_samples(subject, samples)
    live, classes = find_live_positions(subject), find_value_classes(subject)
    comparison = compare_samples(subject, live)
    if comparison is not None and comparison.target is not None and subject.labels is not None:
        subject = replace(subject, labels=replace(subject.labels, target=comparison.target))
    from_samples = () if comparison is None else comparison.findings
    findings = tuple(sorted(_find_all(subject, live, classes, from_samples), key=_sort_key))
    kernels = tuple(tuple(summary(subject.mask, table)) for table in range(subject.mask.tables))
    return Report(findings, measure_size(subject, live, classes), kernels, find_unchecked(subject), comparison)


def _sort_key(finding: Finding) -> tuple[int, str, int]:
    return SEVERITIES.index(finding.severity), finding.code, -1 if finding.position is None else finding.position


def _find_all(
    subject: Subject, live: BoolArray, classes: Int64Array | None, from_samples: tuple[Finding, ...]
) -> Iterator[Finding]:
    """Yield the findings of all checks.

    Parameters
    ----------
    subject : Subject
    live : (N,) bool
        Positions that some label depends on.
    classes : (N,) int64, optional
        Classes of positions with equal values.
    from_samples : tuple of Finding
        Findings of the comparison with samples.
    """
    plan = plan_of(subject)
    if isinstance(plan, Finding):
        yield plan
        plan = None
    if subject.partial:
        remedy = "audit each batch and head by a mask_mod of its own"
        yield Finding("MS014", "note", None, {"codes": ["all"]}, remedy, subject.partial)
    yield from find_leaks(subject, plan)
    if plan is not None:
        yield from find_family_faults(subject, plan)
    else:
        yield from _not_in(from_samples, (*find_wrong_packed_labels(subject), *find_wrong_packed_rows(subject)))
        yield from find_offset_labels(subject, live)
        yield from find_undeclared_hides(subject)
    yield from from_samples
    yield from find_padding_faults(subject, live)
    yield from find_unknown_hides(subject)
    yield from find_empty_rows(subject, live)
    yield from find_rows_without_self(subject, live, None if plan is None else expects_itself(plan))
    yield from find_skipped_updates(subject)
    yield from find_dead_positions(subject, live)
    yield from find_duplicates(subject, live, classes)
    yield from find_broken_heuristics(subject)
    yield from find_finite_infinity(subject)
    yield from find_wrong_blocks(subject)


def _not_in(reported: tuple[Finding, ...], findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield findings about rows or labels of positions on which the same is not reported already.

    A packed batch and the samples that are given may show the same fault.
    """
    known = {(_is_about_row(finding), finding.position) for finding in reported}
    return (finding for finding in findings if (_is_about_row(finding), finding.position) not in known)


def _is_about_row(finding: Finding) -> bool:
    """Return whether a finding is about a row, and not about a label."""
    return finding.code in ("MS002", "MS009", "MS013", "MS015")


def find_unchecked(subject: Subject) -> dict[str, str]:
    """Return code -> the information that is missing to check it.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> find_unchecked(Subject(Mask.from_dense(np.eye(1, dtype=bool)), "m"))["MS001"]
    'labels that declare what they hide, a family, or samples'
    """
    labels, family, samples = subject.labels, subject.family is not None, subject.samples is not None
    has_tasks = family or samples or subject.batch is not None
    hides = labels is not None and (any(labels.hides) or bool((labels.target >= 0).any()))
    needs = {
        "MS001": (hides or family or samples, "labels that declare what they hide, a family, or samples"),
        "MS002": (has_tasks, "a family or samples"),
        "MS003": (has_tasks, "a family or samples"),
        "MS004": (has_tasks, "a family or samples"),
        "MS007": (labels is not None, "labels"),
        "MS008": (
            not subject.sparse and subject.inputs is not None and subject.positions is not None,
            "inputs and position ids",
        ),
        "MS009": (has_tasks, "a family or samples"),
        "MS010": (subject.positions is not None, "position ids"),
        "MS011": (subject.dtype.startswith(("float", "bfloat")), "an additive mask"),
        "MS012": (subject.blocks is not None, "block lists"),
        "MS013": (has_tasks, "a family or samples"),
        "MS015": (samples, "samples"),
        "MS016": (samples, "samples"),
        "MS017": (samples, "samples"),
        "MS018": (samples, "samples"),
        "MS019": (samples, "samples"),
        "MS020": (subject.padding is not None, "padding"),
    }
    return {code: need for code, (available, need) in needs.items() if not available}
