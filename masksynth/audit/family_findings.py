"""Compare a mask with the family that it should train: context, labels and positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import reachable_from
from masksynth.audit.match_positions import Matched, code_both_identities, colour_values, match_positions
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.mask.algebra import attends_to_self, select_table
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.merge import merge_family
from masksynth.subject.subject import Subject
from masksynth.tasks import MergedTask, TaskFamily
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import draw, row_sums

ROW_LIMIT = 1000
"""Most wrong rows that are reported."""
LIST_LIMIT = 20
"""Most positions in a witness."""
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
        else _count_expected(intended, intended_colour) == _count_given(subject, subject_colour)
    )
    return Plan(intended, match_positions(subject, intended.mask, identity), right)


def _count_expected(intended: MergedTask, colour: Int64Array) -> Counter[ClassLabel]:
    """Count how often each class should predict each label."""
    texts = [canonical(label) for label in intended.labels]
    return Counter((int(colour[edge.position]), texts[edge.label]) for edge in intended.loss_edges)


def _count_given(subject: Subject, colour: Int64Array) -> Counter[ClassLabel]:
    """Count how often the positions of each class predict each label."""
    if subject.labels is None:
        return Counter()
    return Counter(zip(colour[subject.labels.position].tolist(), map(canonical, subject.labels.value), strict=True))


def expects_itself(plan: Plan) -> BoolArray:
    """Return whether the family lets each position attend to itself, (P, N); nowhere if all labels are right."""
    class_of_position, mask = plan.matched.class_of_position, plan.intended.mask
    if plan.right or not mask.size:
        return np.zeros((mask.tables, len(class_of_position)), bool)
    first = plan.matched.first_intended()
    return np.stack(
        [
            (class_of_position >= 0) & attends_to_self(select_table(mask, table))[first[class_of_position]]
            for table in range(mask.tables)
        ]
    )


def find_wrong_context(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """Yield MS002, MS009 and MS013 for rows that differ from those of the tasks, compared by class as multisets."""
    if plan.right or not plan.intended.mask.size:
        return
    matched, intended = plan.matched, plan.intended.mask
    class_of_position, first = matched.class_of_position, matched.first_intended()
    live = np.ones(subject.size, bool)
    if subject.labels is not None:
        live = reachable_from(subject.mask, subject.labels.position, subject.layers)
    words = draw(len(first) + 1, intended.key_start.tobytes(), class_of_position.tobytes())  # one word per class
    reported = 0
    for table in range(intended.tables):
        expected = row_sums(intended, table, words[matched.classes])[first[np.maximum(class_of_position, 0)]]
        given = row_sums(subject.mask, table, words[class_of_position])
        wrong = live & (class_of_position >= 0) & (expected != given).any(axis=1)
        for query in np.flatnonzero(wrong)[: max(ROW_LIMIT - reported, 0)].tolist():
            reported += 1
            yield from _compare_row(subject, plan, query, int(first[class_of_position[query]]), table)


def _compare_row(subject: Subject, plan: Plan, query: int, intended_query: int, table: int) -> Iterator[Finding]:
    """Yield what one row lacks, contains in another number, or should not contain."""
    class_of_position, classes = plan.matched.class_of_position, plan.matched.classes
    row = subject.mask.row(query, table)
    expected = Counter(classes[plan.intended.mask.row(intended_query, table)].tolist())
    given = Counter(class_of_position[row].tolist())
    missing = [number for number in expected if not given[number]]
    extra = row[[class_of_position[key] < 0 or not expected[int(class_of_position[key])] for key in row]]
    where = {"table": table} if subject.mask.tables > 1 else {}
    position = f"position {subject.token(query)}"
    if missing:
        names = [_class_name(plan, number) for number in missing]
        positions = [plan.matched.positions_of(number)[:LIST_LIMIT] for number in missing[:LIST_LIMIT]]
        witness = {"missing": names[:LIST_LIMIT], "positions": positions, "count": len(missing), **where}
        message = f"{position} does not attend to {_first_three(names)}, which its task allows"
        yield Finding("MS002", "error", query, witness, "allow these keys in its row", message)
    if len(extra):
        names = [subject.token(key) for key in extra[:LIST_LIMIT].tolist()]
        witness = {"keys": extra[:LIST_LIMIT].tolist(), "count": len(extra), **where}
        message = f"{position} attends to {_first_three(names, len(extra))}, which none of its tasks allows"
        yield Finding("MS013", "error", query, witness, "forbid these keys in its row", message)
    for number in (number for number in expected if given[number] and given[number] != expected[number]):
        keys = row[class_of_position[row] == number][:LIST_LIMIT].tolist()
        witness = {"keys": keys, "due": expected[number], "given": given[number], **where}
        name = _class_name(plan, number)
        message = f"{position} attends to {given[number]} copies of {name}, its task to {expected[number]}"
        remedy = "let it attend to as many copies as its task has: attention weights depend on the number"
        yield Finding("MS009", "error", query, witness, remedy, message)


def _class_name(plan: Plan, number: int) -> str:
    """Return the input and position id of a class, as text."""
    item = plan.intended.positions[int(np.flatnonzero(plan.matched.classes == number)[0])]
    text = item.input if isinstance(item.input, str) else canonical(item.input)
    return f"{_shorten(text)}@{item.position}"


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _first_three(names: list[str], count: int | None = None) -> str:
    """Return the first three names, and the number of further ones (of ``count`` in all)."""
    count = len(names) if count is None else count
    return ", ".join(names[:3]) + (f" and {count - 3} more" if count > 3 else "")


def find_wrong_labels(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """Yield MS003 and MS004 for labels on the wrong row, other labels than expected, lost ones and repeated ones."""
    if plan.right or subject.labels is None:
        return
    expected = _count_expected(plan.intended, plan.matched.classes)
    given = _count_given(subject, plan.matched.class_of_position)
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
    expected, name = plan.matched.positions_of(other[0])[:LIST_LIMIT], _class_name(plan, other[0])
    witness = {"label": pair[1], "positions": positions[:LIST_LIMIT], "due": expected, "due_token": name}
    message = f"position {subject.token(positions[-1])} predicts {_shorten(pair[1])}, which {name} should predict"
    message += f" (position {expected[0]})" if expected else ", and the mask has no such position"
    remedy = "put the label where its task predicts it; never shift labels along the mask"
    return Finding("MS003", "error", positions[-1], witness, remedy, message)


def _other_label(subject: Subject, positions: list[int], pair: ClassLabel, other: ClassLabel) -> Finding:
    witness = {"label": pair[1], "positions": positions[:LIST_LIMIT], "due_label": other[1]}
    position = subject.token(positions[-1])
    message = f"position {position}: expected label {_shorten(other[1])} by its task, got {_shorten(pair[1])}"
    return Finding("MS003", "error", positions[-1], witness, f"predict {_shorten(other[1])} there", message)


def _lost_labels(
    subject: Subject, plan: Plan, expected: Counter[ClassLabel], given: Counter[ClassLabel], lost: Counter[ClassLabel]
) -> Iterator[Finding]:
    """Yield findings for labels that occur too seldom; warnings where they occur, as one may carry a weight."""
    for pair, count in lost.items():
        positions, name = plan.matched.positions_of(pair[0])[:LIST_LIMIT], _class_name(plan, pair[0])
        witness = {
            "label": pair[1],
            "asked": expected[pair],
            "given": given[pair],
            "token": name,
            "positions": positions,
        }
        where = f"position {subject.token(positions[0])}" if positions else f"{name} (which has no position)"
        times = f"{_times(expected[pair])}, got {_times(given[pair])}; {count} lost"
        message = f"{where}: expected label {_shorten(pair[1])} {times}"
        remedy = "add a loss edge for each task that predicts it, or weight the existing one"
        severity = "warning" if given[pair] else "error"
        yield Finding("MS004", severity, positions[0] if positions else None, witness, remedy, message)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


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
        where, label = f"position {subject.token(positions[-1])}", _shorten(pair[1])
        if expected[pair]:
            message = (
                f"{where}: expected label {label} {_times(expected[pair])} by its tasks, got {_times(given[pair])}"
            )
            yield Finding("MS004", "error", positions[-1], witness, f"remove {count} of them, or weight them", message)
        else:
            message = f"{where} predicts {label}, which no task predicts there"
            yield Finding("MS003", "error", positions[-1], witness, "remove the label", message)


def find_absent_positions(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """Yield MS002 for (input, position id, kind) that the family needs and that no position of the mask has."""
    identity = code_both_identities(subject, plan.intended.positions)
    lacking = np.flatnonzero(~np.isin(identity[subject.size :], identity[: subject.size]))
    for number in lacking[:LIST_LIMIT].tolist():
        item: Any = plan.intended.positions[number]
        message = (
            f"the family needs a position {canonical(item.input)} at position id {item.position}, the mask has none"
        )
        message += f" ({len(lacking)} such)" if len(lacking) > 1 else ""
        witness = {"input": item.input, "position_id": item.position, "kind": item.kind}
        remedy = "correct the inputs, position ids and kinds of --tokens, or add the position"
        yield Finding("MS002", "warning", None, witness, remedy, message)


def find_family_faults(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """Yield everything that a comparison with the family finds; at least one error where labels come out wrong."""
    findings = [
        *find_wrong_context(subject, plan),
        *find_wrong_labels(subject, plan),
        *find_absent_positions(subject, plan),
    ]
    yield from findings
    if not plan.right and not plan.matched.complete:
        message = (
            "too many positions have equal identities to match them all: findings on context may name the wrong ones"
        )
        codes = ["MS002", "MS009", "MS013"]
        yield Finding("MS014", "note", None, {"codes": codes}, "give position ids and kinds with --tokens", message)
    if subject.labels is not None and not plan.right and not any(finding.severity == "error" for finding in findings):
        message = "a label is predicted from other values than in its task, but no single row or label explains it"
        severity = "note" if findings else "error"
        yield Finding("MS002", severity, None, {}, "compare the mask with masksynth solve of the family", message)
