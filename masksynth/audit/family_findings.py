"""Compare a mask with the family that it should train: context, labels and positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from masksynth.audit.family_labels import find_wrong_labels
from masksynth.audit.family_plan import Plan, class_name
from masksynth.audit.finding import Finding
from masksynth.audit.finding_text import list_names
from masksynth.audit.layer_reach import reachable_from
from masksynth.audit.match_positions import code_both_identities
from masksynth.mask.algebra import attends_to_self, select_table
from masksynth.mask.typing import BoolArray
from masksynth.subject.subject import Subject
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import draw, row_sums

ROW_LIMIT = 1000
"""Maximum number of wrong rows that are reported."""
LIST_LIMIT = 20
"""Maximum number of positions in a witness."""


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
    """Yield the keys that one row lacks, contains in another number, or should not contain."""
    class_of_position, classes = plan.matched.class_of_position, plan.matched.classes
    row = subject.mask.row(query, table)
    expected = Counter(classes[plan.intended.mask.row(intended_query, table)].tolist())
    given = Counter(class_of_position[row].tolist())
    missing = [number for number in expected if not given[number]]
    extra = row[[class_of_position[key] < 0 or not expected[int(class_of_position[key])] for key in row]]
    where = {"table": table} if subject.mask.tables > 1 else {}
    position = f"position {subject.token(query)}"
    if missing:
        names = [class_name(plan, number) for number in missing]
        positions = [plan.matched.positions_of(number)[:LIST_LIMIT] for number in missing[:LIST_LIMIT]]
        witness = {"missing": names[:LIST_LIMIT], "positions": positions, "count": len(missing), **where}
        message = f"{position} does not attend to {list_names(names)}, which its task allows"
        yield Finding("MS002", "error", query, witness, "allow these keys in its row", message)
    if len(extra):
        names = [subject.token(key) for key in extra[:LIST_LIMIT].tolist()]
        witness = {"keys": extra[:LIST_LIMIT].tolist(), "count": len(extra), **where}
        message = f"{position} attends to {list_names(names, len(extra))}, which none of its tasks allows"
        yield Finding("MS013", "error", query, witness, "forbid these keys in its row", message)
    for number in (number for number in expected if given[number] and given[number] != expected[number]):
        keys = row[class_of_position[row] == number][:LIST_LIMIT].tolist()
        witness = {"keys": keys, "due": expected[number], "given": given[number], **where}
        name = class_name(plan, number)
        message = f"{position} attends to {given[number]} copies of {name}, its task to {expected[number]}"
        remedy = "let it attend to as many copies as its task has: attention weights depend on the number"
        yield Finding("MS009", "error", query, witness, remedy, message)


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
