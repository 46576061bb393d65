"""What labels alone give away: shifted along the mask, on their own rows, hiding what nothing carries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.reach import Sets, seen_directly
from masksynth.audit.subject import Subject
from masksynth.audit.tokens import place_of
from masksynth.tasks.canonical import canonical


def shifted_labels(subject: Subject) -> Iterator[Finding]:
    """MS003 without a family: labels that are the inputs shifted by one along the mask, where the next position is no continuation.

    Told only if every label is the input one place further on, and some of them stand before a position that does not see them.
    """
    if subject.labels is None or subject.inputs is None or not len(subject.labels) or subject.batch is not None:
        return
    position = subject.labels.position
    texts = [canonical(value) for value in subject.inputs]
    if (position + 1 >= subject.size).any() or any(
        texts[place + 1] != canonical(value) for place, value in zip(position.tolist(), subject.labels.value, strict=True)
    ):
        return
    following = seen_directly(subject.mask, position + 1, np.arange(len(position)), Sets(np.arange(len(position) + 1), position))
    for edge in np.flatnonzero(following < 0).tolist():
        at = int(position[edge])
        message = f"position {subject.token(at)} predicts the input of position {subject.token(at + 1)}, which does not continue it"
        remedy = "give each position the next token of its own text; at a branch it has several, at the end of a text none"
        yield Finding("MS003", "warning", at, {"label": texts[at + 1], "next": at + 1}, remedy, message)


def own_labels(subject: Subject) -> Iterator[Finding]:
    """MS003 without a family: every label is the input of its own row, of two rows with different inputs at least."""
    if subject.labels is None or subject.inputs is None or subject.batch is not None or len(subject.labels) < 2:
        return
    texts = [canonical(subject.inputs[place]) for place in subject.labels.position.tolist()]
    if len(set(texts)) < 2 or texts != [canonical(value) for value in subject.labels.value]:
        return
    at = int(subject.labels.position[0])
    message = f"every label is the input of its own row, as {subject.token(at)} predicts {texts[0]}"
    yield Finding("MS003", "warning", at, {"label": texts[0]}, "give each position the next token of its text", message)


def unsaid_labels(subject: Subject) -> Iterator[Finding]:
    """MS014: labels that do not say what they hide and cannot be taken for next tokens, so that no leak is looked for."""
    labels = subject.labels
    if labels is None or not len(labels) or subject.batch is not None or any(labels.hides) or (labels.target >= 0).any():
        return
    odd = labels.odd
    if odd is None:
        return
    at = int(labels.position[odd])
    label = canonical(labels.value[odd])
    message = f"label {odd}, {label} at position {subject.token(at)}, is no token that follows there, so no label is taken for a next token"
    yield Finding("MS014", "note", at, {"codes": ["MS001"], "label": odd}, "say in each label what it hides ([] for nothing)", message)


def unknown_hides(subject: Subject) -> Iterator[Finding]:
    """MS014: elements that labels hide and that no input carries; a leak of them cannot be seen."""
    labels = subject.labels
    if labels is None or not any(labels.hides):
        return
    carried = set(map(canonical, subject.inputs or ()))
    for number, hides in enumerate(labels.hides):
        for element in hides:
            if place_of(element) is None and canonical(element) not in carried:
                at = int(labels.position[number])
                message = f"label {number} hides {canonical(element)}, which is no input" + (
                    "" if subject.inputs else ": inputs are not known"
                )
                remedy = 'correct it (5 and "5" are two elements), or give the inputs'
                yield Finding("MS014", "note", at, {"codes": ["MS001"], "element": element}, remedy, message)
                return
