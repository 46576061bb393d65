"""Compare the labels of a mask with those of its family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from masksynth.audit.family_plan import ClassLabel, Plan, class_name, count_expected, count_given, shorten
from masksynth.audit.finding import Finding
from masksynth.audit.finding_text import format_times
from masksynth.mask.typing import Int64Array
from masksynth.subject.subject import Subject
from masksynth.tasks.canonical import canonical

LIST_LIMIT = 20
"""Maximum number of positions in a witness."""


def find_wrong_labels(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """Yield MS003 and MS004 for labels on the wrong row, other labels than expected, lost ones and repeated ones."""
    if plan.right or subject.labels is None:
        return
    expected = count_expected(plan.intended, plan.matched.classes)
    given = count_given(subject, plan.matched.class_of_position)
    lost, extra = expected - given, given - expected
    positions = _positions_of_labels(subject, plan.matched.class_of_position)
    for pair, other in _pair_up(extra, lost, 1):  # the same label on another row
        yield _label_on_wrong_row(subject, plan, positions[pair], pair, other)
    for pair, other in _pair_up(extra, lost, 0):  # another label on the same row
        yield _other_label(subject, positions[pair], pair, other)
    yield from _lost_labels(subject, plan, expected, given, +lost)
    yield from _extra_labels(subject, expected, given, +extra, positions)


def _pair_up(
    extra: Counter[ClassLabel], lost: Counter[ClassLabel], part: int
) -> Iterator[tuple[ClassLabel, ClassLabel]]:
    """Pair extra labels with lost ones of the same class (``part`` 0) or label (1); both counters are reduced."""
    lost_by_part: dict[int | str, list[ClassLabel]] = {}
    for pair in lost:
        lost_by_part.setdefault(pair[part], []).append(pair)
    for pair in list(extra):
        for other in lost_by_part.get(pair[part], ()):
            while lost[other] and extra[pair]:
                lost[other] -= 1
                extra[pair] -= 1
                yield pair, other


def _positions_of_labels(subject: Subject, class_of_position: Int64Array) -> dict[ClassLabel, list[int]]:
    """Return the positions at which each class predicts each label."""
    positions: dict[ClassLabel, list[int]] = {}
    if subject.labels is not None:
        for position, value in zip(subject.labels.position.tolist(), subject.labels.value, strict=True):
            positions.setdefault((int(class_of_position[position]), canonical(value)), []).append(position)
    return positions


def _label_on_wrong_row(
    subject: Subject, plan: Plan, positions: list[int], pair: ClassLabel, other: ClassLabel
) -> Finding:
    expected, name = plan.matched.positions_of(other[0])[:LIST_LIMIT], class_name(plan, other[0])
    witness = {"label": pair[1], "positions": positions[:LIST_LIMIT], "due": expected, "due_token": name}
    message = f"position {subject.token(positions[-1])} predicts {shorten(pair[1])}, which {name} should predict"
    message += f" (position {expected[0]})" if expected else ", and the mask has no such position"
    remedy = "put the label where its task predicts it; never shift labels along the mask"
    return Finding("MS003", "error", positions[-1], witness, remedy, message)


def _other_label(subject: Subject, positions: list[int], pair: ClassLabel, other: ClassLabel) -> Finding:
    witness = {"label": pair[1], "positions": positions[:LIST_LIMIT], "due_label": other[1]}
    position = subject.token(positions[-1])
    message = f"position {position}: expected label {shorten(other[1])} by its task, got {shorten(pair[1])}"
    return Finding("MS003", "error", positions[-1], witness, f"predict {shorten(other[1])} there", message)


def _lost_labels(
    subject: Subject, plan: Plan, expected: Counter[ClassLabel], given: Counter[ClassLabel], lost: Counter[ClassLabel]
) -> Iterator[Finding]:
    """Yield findings for labels that occur too seldom; warnings where they occur, as one may carry a weight."""
    for pair, count in lost.items():
        positions, name = plan.matched.positions_of(pair[0])[:LIST_LIMIT], class_name(plan, pair[0])
        witness = {
            "label": pair[1],
            "asked": expected[pair],
            "given": given[pair],
            "token": name,
            "positions": positions,
        }
        where = f"position {subject.token(positions[0])}" if positions else f"{name} (which has no position)"
        times = f"{format_times(expected[pair])}, got {format_times(given[pair])}; {count} lost"
        message = f"{where}: expected label {shorten(pair[1])} {times}"
        remedy = "add a loss edge for each task that predicts it, or weight the existing one"
        severity = "warning" if given[pair] else "error"
        yield Finding("MS004", severity, positions[0] if positions else None, witness, remedy, message)


def _extra_labels(
    subject: Subject,
    expected: Counter[ClassLabel],
    given: Counter[ClassLabel],
    extra: Counter[ClassLabel],
    positions_of: dict[ClassLabel, list[int]],
) -> Iterator[Finding]:
    """Yield findings for labels that occur too often, or that no task has at that position."""
    for pair, count in extra.items():
        positions = positions_of[pair]
        witness = {
            "label": pair[1],
            "asked": expected[pair],
            "given": given[pair],
            "positions": positions[:LIST_LIMIT],
        }
        where, label = f"position {subject.token(positions[-1])}", shorten(pair[1])
        if expected[pair]:
            times = f"{format_times(expected[pair])} by its tasks, got {format_times(given[pair])}"
            message = f"{where}: expected label {label} {times}"
            yield Finding("MS004", "error", positions[-1], witness, f"remove {count} of them, or weight them", message)
        else:
            message = f"{where} predicts {label}, which no task predicts there"
            yield Finding("MS003", "error", positions[-1], witness, "remove the label", message)
