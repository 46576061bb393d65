"""Check labels without family or samples: shifted labels, and labels that do not declare what they hide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Sets, build_sets, first_attended, nearest_key
from masksynth.mask.equal_values import factorize
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Labels, Subject
from masksynth.subject.token_file import position_of
from masksynth.tasks.canonical import canonical

NEXT_TOKEN_REMEDY = (
    "give each position the next token of its own text; before a branch it has several, at the end of a text none"
)


def find_offset_labels(subject: Subject, live: BoolArray) -> Iterator[Finding]:
    """Yield MS003 where the positions of labels in the mask suggest that they were shifted wrongly.

    These are labels across a boundary (the input of the next position, which does not continue the row's text), and
    labels most of which are the input of their own row, or of two positions further on.

    Parameters
    ----------
    subject : Subject
    live : (N,) bool
        Positions that some label depends on.
    """
    labels = subject.labels
    if labels is None or subject.inputs is None or not len(labels):
        return
    if subject.batch is not None or subject.samples is not None:  # these define the expected label of each position
        return
    codes = np.array(factorize(map(canonical, (*subject.inputs, *labels.value))), np.int64)
    inputs, values = codes[: subject.size], codes[subject.size :]

    def equals_input(shift: int) -> BoolArray:
        position = labels.position + shift
        inside = position < subject.size
        equal: BoolArray = inside & (inputs[np.where(inside, position, 0)] == values)
        return equal

    yield from _labels_across_boundaries(subject, labels, values, equals_input(1), live)
    right = equals_input(1) | (labels.target >= 0)
    for shift, description in ((0, "the input of its own row"), (2, "the input two positions further on")):
        off = np.flatnonzero(equals_input(shift) & ~right & _text_continues(subject, labels.position, shift))
        if 2 * len(off) > len(labels) and len(np.unique(values[off])) > 1:
            position, label = int(labels.position[off[0]]), canonical(labels.value[off[0]])
            which = "every label" if len(off) == len(labels) else f"{len(off)} of {len(labels)} labels, each"
            message = f"{which} is {description}, as {subject.token(position)} predicts {label}"
            witness = {"label": label, "shift": shift - 1, "labels": len(off)}
            yield Finding(
                "MS003", "warning", position, witness, "give each position the next token of its text", message
            )


def _labels_across_boundaries(
    subject: Subject, labels: Labels, values: Int64Array, is_next_input: BoolArray, live: BoolArray
) -> Iterator[Finding]:
    """Yield findings for labels that equal the next position's input, where that position does not attend to their row.

    They are reported only where most labels are next tokens. The label that ends a text may equal the next position's
    input by chance. So where the next position begins a text, most labels before such positions must be equal to it,
    and where it continues some other position, no label of a row that it attends to may predict it. A next position on
    which no label depends is not evidence, unless every label equals the next input.
    """
    number, following = _followers_of_another_text(subject, labels, is_next_input)
    if number is None or following is None:
        return
    predictors = build_sets(_positions_by_value(labels.position, values))  # one set per label value
    is_predicted = first_attended(subject.mask, following, values[number], predictors) >= 0
    begins_text = nearest_key(subject.mask)[following] < 0
    certain = 2 * int(is_next_input[number[begins_text]].sum()) >= int(begins_text.sum())
    counts = live[following] | is_next_input.all()
    wrong = number[is_next_input[number] & counts & np.where(begins_text, certain, ~is_predicted)]
    width, continues = _width_of_chunks(subject, labels.position[wrong] + 1)
    if continues.any() and subject.rules is None:
        yield _assumed_chunks(subject, width, int(labels.position[wrong[continues][0]]), int(continues.sum()))
    for label in wrong[~continues].tolist():
        position = int(labels.position[label])
        message = (
            f"position {subject.token(position)} predicts the input of position {subject.token(position + 1)}, "
            "which does not continue it"
        )
        witness = {"label": canonical(labels.value[label]), "next": position + 1}
        yield Finding("MS003", "warning", position, witness, NEXT_TOKEN_REMEDY, message)


def _followers_of_another_text(
    subject: Subject, labels: Labels, is_next_input: BoolArray
) -> tuple[Int64Array, Int64Array] | tuple[None, None]:
    """Return the labels whose next position does not attend to their row, and that position.

    None unless most labels are next tokens.
    """
    number = np.flatnonzero(labels.position + 1 < subject.size)
    following = labels.position[number] + 1
    own_row = Sets(np.arange(len(number) + 1), labels.position[number])  # one set of one position per label
    attended = first_attended(subject.mask, following, np.arange(len(number)), own_row) >= 0
    if not is_next_input.all() and 2 * int(is_next_input[number[attended]].sum()) <= len(labels):
        return None, None
    return number[~attended], following[~attended]


def _assumed_chunks(subject: Subject, width: int, position: int, labels: int) -> Finding:
    message = (
        f"the mask is read as chunks of {width} tokens, as position ids continue where rows are cut: labels across "
        f"cuts are accepted ({labels}), position {subject.token(position)} first"
    )
    remedy = (
        "let position ids restart with each document; if these are chunks, declare them under tables: "
        + f'{{"chunk": {width}}}'
    )
    return Finding("MS021", "note", position, {"chunk": width, "labels": labels}, remedy, message)


def _text_continues(subject: Subject, position: Int64Array, steps: int) -> BoolArray:
    """Return for each position whether its text continues for ``steps`` positions.

    A text continues where the next position has the next position id and attends to the position before it.
    """
    continues = position + steps < subject.size
    if steps == 0:
        return continues
    if subject.positions is None:
        return np.zeros_like(continues)
    for step in range(steps):
        current = np.where(continues, position + step, 0)
        following = np.minimum(current + 1, subject.size - 1)
        number = np.arange(len(current))
        one_each = Sets(np.arange(len(current) + 1), current)
        continues &= first_attended(subject.mask, following, number, one_each) >= 0
        continues &= subject.positions[following] == subject.positions[current] + 1
    return continues


def _positions_by_value(position: Int64Array, values: Int64Array) -> list[list[int]]:
    """Return the positions that predict each value, by the value's code."""
    positions: list[list[int]] = [[] for _ in range(int(values.max(initial=-1)) + 1)]
    for query, value in zip(position.tolist(), values.tolist(), strict=True):
        positions[value].append(query)
    return positions


def _width_of_chunks(subject: Subject, begins: Int64Array) -> tuple[int, BoolArray]:
    """Return the width of the chunks that every row keeps to (0: none), and where ids continue into the next chunk.

    The second result marks those of ``begins`` whose id is one more than that of the position before. Of the widths
    that fit, the largest is returned: the greatest common divisor of the position ids at which chunks begin.
    """
    ids = subject.positions
    none = 0, np.zeros(len(begins), bool)
    if ids is None or not len(begins):
        return none
    continues = ids[begins] == ids[begins - 1] + 1
    width = int(np.gcd.reduce(ids[begins[continues]])) if continues.any() else 0
    if width < 2:
        return none
    chunk = ids // width
    # equal at two positions iff the chunk is constant between them
    changes = np.append(0, (np.diff(chunk) != 0).cumsum())
    for table in range(subject.mask.tables):
        query, start, end = row_intervals(subject.mask, table)
        if ((changes[start] != changes[end - 1]) | (chunk[start] != chunk[query])).any():
            return none
    return width, continues


def find_undeclared_hides(subject: Subject) -> Iterator[Finding]:
    """Yield MS022 for labels without ``hides`` that are not next tokens either, so that no leak can be searched for.

    With samples there is no such finding, because samples identify the token of each label.
    """
    labels = subject.labels
    if labels is None or labels.unsaid is None or not len(labels.unsaid) or subject.samples is not None:
        return
    first, count = int(labels.unsaid[0]), len(labels.unsaid)
    position, label = int(labels.position[first]), canonical(labels.value[first])
    message = (
        f"leaks were not searched for: {count} of {len(labels)} labels do not declare what they hide, label {first} "
        f"({label} at position {subject.token(position)}) first; {labels.why}"
    )
    witness = {"codes": ["MS001"], "label": first, "labels": count}
    remedy = "declare in each label what it hides ([] for nothing), or give --samples"
    yield Finding("MS022", "warning", position, witness, remedy, message)


def find_unknown_hides(subject: Subject) -> Iterator[Finding]:
    """Yield MS014 for the first label that hides an element that no input has; a leak of it cannot be found."""
    labels = subject.labels
    if labels is None or not any(labels.hides):
        return
    known = set(map(canonical, subject.inputs or ()))
    for number, hides in enumerate(labels.hides):
        for element in hides:
            if position_of(element) is None and canonical(element) not in known:
                reason = "is not an input" if subject.inputs else "cannot be looked up: inputs are not known"
                message = f"label {number} hides {canonical(element)}, which {reason}"
                remedy = 'correct it (5 and "5" are two elements), or give the inputs'
                witness = {"codes": ["MS001"], "element": element}
                yield Finding("MS014", "note", int(labels.position[number]), witness, remedy, message)
                return
