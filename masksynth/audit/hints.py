"""What labels alone give away: shifted along the mask, on their own rows, hiding what nothing carries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Bools, Ints, Sets, nearest_key, seen_directly, sets_of
from masksynth.subject.subject import Labels, Subject
from masksynth.subject.token_file import position_of
from masksynth.tasks.canonical import canonical
from masksynth.verify.interval_sets import runs_of


def offset_labels(subject: Subject, live: Bools) -> Iterator[Finding]:
    """MS003 without a family or samples: what the places of labels in the mask give away.

    Labels over a boundary (the input one place further on, which does not continue the row's text), and most labels
    being the input of their own row, or of two places further on.
    """
    labels = subject.labels
    if (
        labels is None
        or subject.inputs is None
        or not len(labels)
        or subject.batch is not None
        or subject.samples is not None
    ):
        return
    known: dict[str, int] = {}
    texts = np.array([known.setdefault(canonical(value), len(known)) for value in subject.inputs], np.int64)
    values = np.array([known.setdefault(canonical(value), len(known)) for value in labels.value], np.int64)

    def equals(shift: int) -> Bools:
        place = labels.position + shift
        inside = place < subject.size
        found: Bools = inside & (texts[np.where(inside, place, 0)] == values)
        return found

    yield from _over_boundaries(subject, labels, values, equals(1), live)
    right = equals(1) | (labels.target >= 0)
    for shift, what in ((0, "the input of its own row"), (2, "the input two places further on")):
        off = np.flatnonzero(equals(shift) & ~right & _goes_on(subject, labels.position, shift))
        if 2 * len(off) > len(labels) and len(np.unique(values[off])) > 1:
            at, label = int(labels.position[off[0]]), canonical(labels.value[off[0]])
            every = "every label" if len(off) == len(labels) else f"{len(off)} of {len(labels)} labels, each"
            message = f"{every} is {what}, as {subject.token(at)} predicts {label}"
            witness = {"label": label, "shift": shift - 1, "labels": len(off)}
            yield Finding("MS003", "warning", at, witness, "give each position the next token of its text", message)


def _over_boundaries(subject: Subject, labels: Labels, values: Ints, along: Bools, live: Bools) -> Iterator[Finding]:
    """Labels that are the input of the next position, which does not hold their row, where most labels are next tokens.

    A label that ends a text may be equal to the next position's input by chance. So where the next position begins a
    text, most labels before such positions must be equal to it, and where it goes on from elsewhere, no label of a row
    that it holds may predict it. A next position on which no label depends says nothing, unless every label is equal to
    the next input.
    """
    position = labels.position
    edge = np.flatnonzero(position + 1 < subject.size)
    after = position[edge] + 1
    held = seen_directly(subject.mask, after, np.arange(len(edge)), Sets(np.arange(len(edge) + 1), position[edge])) >= 0
    if not along.all() and 2 * int(along[edge[held]].sum()) <= len(labels):
        return
    edge, after = edge[~held], after[~held]
    predictors = sets_of(_positions_by_value(position, values))
    predicted = seen_directly(subject.mask, after, values[edge], predictors) >= 0
    begins = nearest_key(subject.mask)[after] < 0
    certain = 2 * int(along[edge[begins]].sum()) >= int(begins.sum())
    wrong = edge[along[edge] & (live[after] | along.all()) & np.where(begins, certain, ~predicted)]
    width, goes_on = _chunks_between(subject, position[wrong] + 1)
    if goes_on.any() and subject.rules is None:
        at = int(position[wrong[goes_on][0]])
        message = (
            f"the mask is read as chunks of {width} tokens, as position ids go on where rows are cut: labels over {int(goes_on.sum())} "
            f"cuts are taken for right, position {subject.token(at)} first"
        )
        remedy = (
            'let position ids begin anew with each document; if these are chunks, say so under tables: {"chunk": '
            + f"{width}}}"
        )
        yield Finding("MS021", "note", at, {"chunk": width, "labels": int(goes_on.sum())}, remedy, message)
    for number in wrong[~goes_on].tolist():
        at = int(position[number])
        message = f"position {subject.token(at)} predicts the input of position {subject.token(at + 1)}, which does not continue it"
        remedy = (
            "give each position the next token of its own text; at a branch it has several, at the end of a text none"
        )
        yield Finding(
            "MS003", "warning", at, {"label": canonical(labels.value[number]), "next": at + 1}, remedy, message
        )


def _goes_on(subject: Subject, position: Ints, steps: int) -> Bools:
    """Return after which positions the text goes on: each next one has the next id and holds the last."""
    found = position + steps < subject.size
    for step in range(steps if subject.positions is not None else 0):
        here = np.where(found, position + step, 0)
        single = Sets(np.arange(len(here) + 1), here)
        following = np.minimum(here + 1, subject.size - 1)
        found &= seen_directly(subject.mask, following, np.arange(len(here)), single) >= 0
        if subject.positions is not None:
            found &= subject.positions[following] == subject.positions[here] + 1
    return found if steps == 0 or subject.positions is not None else np.zeros_like(found)


def _positions_by_value(position: Ints, values: Ints) -> list[list[int]]:
    """Return the positions that predict each value."""
    found: list[list[int]] = [[] for _ in range(int(values.max(initial=-1)) + 1)]
    for place, value in zip(position.tolist(), values.tolist(), strict=True):
        found[value].append(place)
    return found


def _chunks_between(subject: Subject, begins: Ints) -> tuple[int, Bools]:
    """Return the width of the chunks that all rows keep to, 0 for none, and which positions begin one as ids go on.

    Of the widths that fit, the largest: the greatest common divisor of the position ids at which chunks begin.
    """
    ids = subject.positions
    if ids is None or not len(begins):
        return 0, np.zeros(len(begins), bool)
    goes_on = ids[begins] == ids[begins - 1] + 1
    width = int(np.gcd.reduce(ids[begins[goes_on]])) if goes_on.any() else 0
    if width < 2:
        return 0, np.zeros(len(begins), bool)
    chunk = ids // width
    changes = np.append(0, (np.diff(chunk) != 0).cumsum())
    for table in range(subject.mask.tables):
        rows = runs_of(subject.mask, table)
        query = np.repeat(np.arange(subject.size), np.diff(rows.offset))
        last = rows.end - 1
        if ((changes[rows.start] != changes[last]) | (chunk[rows.start] != chunk[query])).any():
            return 0, np.zeros(len(begins), bool)
    return width, goes_on


def unsaid_labels(subject: Subject) -> Iterator[Finding]:
    """MS022: labels that do not say what they hide and are no next tokens, so that no leak is looked for.

    Samples say it instead: they tell which token each label is.
    """
    labels = subject.labels
    if labels is None or labels.unsaid is None or not len(labels.unsaid) or subject.samples is not None:
        return
    first, many = int(labels.unsaid[0]), len(labels.unsaid)
    at, label = int(labels.position[first]), canonical(labels.value[first])
    count = f"{many} of {len(labels)} labels do not say what they hide, label {first} ({label} at position {subject.token(at)}) first"
    message = f"no leak was looked for: {count}; {labels.why}"
    witness = {"codes": ["MS001"], "label": first, "labels": many}
    yield Finding(
        "MS022", "warning", at, witness, "say in each label what it hides ([] for nothing), or give --samples", message
    )


def unknown_hides(subject: Subject) -> Iterator[Finding]:
    """MS014: elements that labels hide and that no input carries; a leak of them cannot be seen."""
    labels = subject.labels
    if labels is None or not any(labels.hides):
        return
    carried = set(map(canonical, subject.inputs or ()))
    for number, hides in enumerate(labels.hides):
        for element in hides:
            if position_of(element) is None and canonical(element) not in carried:
                at = int(labels.position[number])
                message = f"label {number} hides {canonical(element)}, which is no input" + (
                    "" if subject.inputs else ": inputs are not known"
                )
                remedy = 'correct it (5 and "5" are two elements), or give the inputs'
                yield Finding("MS014", "note", at, {"codes": ["MS001"], "element": element}, remedy, message)
                return
