"""Match a mask with the minimal merged task of the family that it should train."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.match_positions import Matched, code_both_identities, colour_values, match_positions
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.mask.typing import Int64Array
from masksynth.merge import merge_family
from masksynth.subject.subject import Subject
from masksynth.tasks import MergedTask, TaskFamily
from masksynth.tasks.canonical import canonical

ClassLabel = tuple[int, str]
"""A class of positions, and a label as canonical JSON."""


@dataclass(frozen=True)
class Plan:
    """Compare a subject with the minimal merged task of its family.

    Parameters
    ----------
    intended : MergedTask
        The minimal merged task of the family.
    matched : Matched
        Which class of intended positions each position of the subject belongs to.
    right : bool
        Whether every label is predicted, the expected number of times, by positions with the right value; without
        labels, whether every position has a value of some task.
    """

    intended: MergedTask
    matched: Matched
    right: bool


def plan_of(subject: Subject) -> Plan | Finding | None:
    """Compare a subject with its family; None without one, a note (MS014) where they cannot be compared."""
    if subject.family is None:
        return None
    try:
        return _build_plan(subject, subject.family.family)
    except MasksynthError as error:
        text = error.fact if isinstance(error, InvalidInstance) else str(error)
        remedy = error.remedy if isinstance(error, InvalidInstance) else "split the family"
        codes = ["MS001", "MS002", "MS003", "MS004", "MS009", "MS013"]
        message = f"the mask was not compared with its family: {text}"
        return Finding("MS014", "note", None, {"codes": codes}, remedy, message)


def _build_plan(subject: Subject, family: TaskFamily) -> Plan:
    if subject.sparse:
        fact = "a sparse answer carries the flow of its tasks, not their rows"
        raise InvalidInstance(fact, "", "check it with masksynth verify")
    if family.tables != subject.mask.tables:
        fact = f"the mask has {subject.mask.tables} tables and the family {family.tables}"
        raise InvalidInstance(fact, "", "give one table for each of the layer pattern")
    intended = merge_family(family, subject.layers)
    identity = code_both_identities(subject, intended.positions)
    colour = colour_values(subject, intended.mask, identity, subject.layers)
    subject_colour, intended_colour = colour[: subject.size], colour[subject.size :]
    right = (
        bool(np.isin(subject_colour, intended_colour).all())
        if subject.labels is None
        else count_expected(intended, intended_colour) == count_given(subject, subject_colour)
    )
    return Plan(intended, match_positions(subject, intended.mask, identity), right)


def count_expected(intended: MergedTask, colour: Int64Array) -> Counter[ClassLabel]:
    """Count how often each class should predict each label."""
    texts = [canonical(label) for label in intended.labels]
    return Counter((int(colour[edge.position]), texts[edge.label]) for edge in intended.loss_edges)


def count_given(subject: Subject, colour: Int64Array) -> Counter[ClassLabel]:
    """Count how often the positions of each class predict each label."""
    if subject.labels is None:
        return Counter()
    return Counter(zip(colour[subject.labels.position].tolist(), map(canonical, subject.labels.value), strict=True))


def class_name(plan: Plan, number: int) -> str:
    """Return the input and position id of a class, as text."""
    item = plan.intended.positions[int(np.flatnonzero(plan.matched.classes == number)[0])]
    text = item.input if isinstance(item.input, str) else canonical(item.input)
    return f"{shorten(text)}@{item.position}"


def shorten(text: str) -> str:
    """Cut a string to at most 40 characters."""
    return text if len(text) <= 40 else f"{text[:37]}..."
