"""Audit a mask: find faults, each with its position, a witness and a remedy."""

from masksynth.audit.finding import CODES, SEVERITIES, Finding
from masksynth.audit.run_audit import Report, audit
from masksynth.subject import Labels, Subject, read_subject, subject_of_batch, subject_of_merged, with_samples

__all__ = [
    "CODES",
    "SEVERITIES",
    "Finding",
    "Labels",
    "Report",
    "Subject",
    "audit",
    "read_subject",
    "subject_of_batch",
    "subject_of_merged",
    "with_samples",
]
