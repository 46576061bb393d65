"""A mask beside the family that it should train: missing, extra and repeated context, wrong, lost and repeated labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import depended_on
from masksynth.audit.match_positions import Matched, identities, match, same_values
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.merge import merge_family
from masksynth.subject.subject import Subject
from masksynth.tasks import MergedTask, TaskFamily
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import draw, row_sums

Ints = NDArray[np.int64]
ROWS = 1000
"""Most wrong rows that are written out."""
LISTED = 20
"""Most positions in a witness."""


@dataclass(frozen=True)
class Plan:
    """The intended mask, how the subject's positions stand for its positions, and whether all labels come out right as it is.

    Parameters
    ----------
    intended : MergedTask
        The minimal merged task of the family.
    matched : Matched
    right : bool
        Every label is predicted, as often as asked, by positions of the right value; without labels: every position has a value of a task.
    """

    intended: MergedTask
    matched: Matched
    right: bool


def plan_of(subject: Subject) -> Plan | Finding | None:
    """The subject beside its family; None without one, a note where they cannot be compared."""
    if subject.family is None:
        return None
    try:
        return _plan(subject, subject.family.family)
    except MasksynthError as error:
        text = error.fact if isinstance(error, InvalidInstance) else str(error)
        remedy = error.remedy if isinstance(error, InvalidInstance) else "split the family"
        message = f"the mask was not compared with its family: {text}"
        return Finding(
            "MS014", "note", None, {"codes": ["MS001", "MS002", "MS003", "MS004", "MS009", "MS013"]}, remedy, message
        )


def _plan(subject: Subject, family: TaskFamily) -> Plan:
    if subject.sparse:
        raise InvalidInstance(
            "a sparse answer carries the flow of its tasks, not their rows", "", "check it with masksynth verify"
        )
    if family.tables != subject.mask.tables:
        raise InvalidInstance(
            f"the mask has {subject.mask.tables} tables and the family {family.tables}",
            "",
            "give one table for each of the pattern",
        )
    intended = merge_family(family, subject.layers)
    identity = identities(subject, intended.positions)
    colour = same_values(subject, intended.mask, identity, subject.layers)
    mine, theirs = colour[: subject.size], colour[subject.size :]
    right = (
        bool(np.isin(mine, theirs).all())
        if subject.labels is None
        else _asked(intended, theirs) == _given(subject, mine)
    )
    return Plan(intended, match(subject, intended.mask, identity), right)


def _asked(intended: MergedTask, colour: Ints) -> Counter[tuple[int, str]]:
    """How often each class is asked for each label."""
    texts = [canonical(label) for label in intended.labels]
    return Counter((int(colour[edge.position]), texts[edge.label]) for edge in intended.loss_edges)


def _given(subject: Subject, colour: Ints) -> Counter[tuple[int, str]]:
    """How often the positions of each class predict each label."""
    if subject.labels is None:
        return Counter()
    return Counter(zip(colour[subject.labels.position].tolist(), map(canonical, subject.labels.value), strict=True))


def context_findings(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """MS002, MS009, MS013: rows that do not hold what the tasks say, class by class as multisets."""
    if plan.right:
        return
    home, intended = plan.matched.home, plan.intended.mask
    live = np.ones(subject.size, bool)
    if subject.labels is not None:
        live = depended_on(subject.mask, subject.labels.position, subject.layers)
    count = int(plan.matched.classes.max(initial=-1)) + 1
    lowest = np.zeros(count, np.int64)
    lowest[plan.matched.classes[::-1]] = np.arange(intended.size)[::-1]
    words = draw(count + 1, intended.key_start.tobytes(), home.tobytes())
    told = 0
    for table in range(intended.tables):
        due = (
            row_sums(intended, table, words[plan.matched.classes])[lowest[np.maximum(home, 0)]]
            if intended.size
            else None
        )
        given = row_sums(subject.mask, table, words[home])
        wrong = live & (home >= 0) & ((due != given).any(axis=1) if due is not None else False)
        for query in np.flatnonzero(wrong)[: max(ROWS - told, 0)].tolist():
            told += 1
            yield from _row_findings(subject, plan, query, int(lowest[home[query]]), table)


def _row_findings(subject: Subject, plan: Plan, query: int, like: int, table: int) -> Iterator[Finding]:
    """What one row lacks, holds in another number, or should not hold."""
    home, classes = plan.matched.home, plan.matched.classes
    row = subject.mask.row(query, table)
    due, given = Counter(classes[plan.intended.mask.row(like, table)].tolist()), Counter(home[row].tolist())
    missing = [number for number in due if not given[number]]
    extra = row[[home[key] < 0 or not due[int(home[key])] for key in row]]
    changed = [number for number in due if given[number] and given[number] != due[number]]
    where = {"table": table} if subject.mask.tables > 1 else {}
    if missing:
        names = [_words(plan, number) for number in missing]
        places = [np.flatnonzero(home == number)[:LISTED].tolist() for number in missing[:LISTED]]
        witness = {"missing": names[:LISTED], "positions": places, "count": len(missing), **where}
        message = f"position {subject.token(query)} does not see {_some(names)}, which its task shows it"
        yield Finding("MS002", "error", query, witness, "allow these keys in its row", message)
    if len(extra):
        names = [subject.token(key) for key in extra[:LISTED].tolist()]
        witness = {"keys": extra[:LISTED].tolist(), "count": len(extra), **where}
        message = f"position {subject.token(query)} sees {_some(names, len(extra))}, which no task of it shows"
        yield Finding("MS013", "error", query, witness, "forbid these keys in its row", message)
    for number in changed:
        keys = row[home[row] == number][:LISTED].tolist()
        witness = {"keys": keys, "due": due[number], "given": given[number], **where}
        message = f"position {subject.token(query)} sees {_words(plan, number)} {given[number]} times, its task {due[number]} times"
        remedy = "let it see as many copies as its task has: attention weights depend on the number"
        yield Finding("MS009", "error", query, witness, remedy, message)


def _words(plan: Plan, number: int) -> str:
    """The input and position id of a class."""
    place = plan.intended.positions[int(np.flatnonzero(plan.matched.classes == number)[0])]
    return f"{_text(place.input)}@{place.position}"


def _text(value: Any) -> str:
    return _cut(value if isinstance(value, str) else canonical(value))


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _some(names: list[str], count: int | None = None) -> str:
    """The first three names, and how many more there are."""
    count = len(names) if count is None else count
    return ", ".join(names[:3]) + (f" and {count - 3} more" if count > 3 else "")


def label_findings(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """MS003, MS004: labels on another row than the tasks ask for, other labels, lost ones and repeated ones."""
    if plan.right or subject.labels is None:
        return
    asked, given = _asked(plan.intended, plan.matched.classes), _given(subject, plan.matched.home)
    lost, extra = asked - given, given - asked
    where = _positions_of_labels(subject, plan.matched.home)
    places: dict[str, list[tuple[int, str]]] = {}
    for pair in lost:
        places.setdefault(pair[1], []).append(pair)
    for pair in list(extra):
        for other in places.get(pair[1], ()):
            while lost[other] and extra[pair]:
                lost[other] -= 1
                extra[pair] -= 1
                yield _wrong_row(subject, plan, where[pair], pair, other)
    classes: dict[int, list[tuple[int, str]]] = {}
    for pair in lost:
        classes.setdefault(pair[0], []).append(pair)
    for pair in list(extra):
        for other in classes.get(pair[0], ()):
            while lost[other] and extra[pair]:
                lost[other] -= 1
                extra[pair] -= 1
                yield _wrong_value(subject, where[pair], pair, other)
    yield from _counted(subject, plan, asked, given, lost, extra, where)


Pair = tuple[int, str]


def _positions_of_labels(subject: Subject, home: Ints) -> dict[Pair, list[int]]:
    """The positions at which a class predicts a label."""
    found: dict[Pair, list[int]] = {}
    if subject.labels is not None:
        for position, value in zip(subject.labels.position.tolist(), subject.labels.value, strict=True):
            found.setdefault((int(home[position]), canonical(value)), []).append(position)
    return found


def _wrong_row(subject: Subject, plan: Plan, at: list[int], pair: Pair, other: Pair) -> Finding:
    due = np.flatnonzero(plan.matched.home == other[0])[:LISTED].tolist()
    witness = {"label": pair[1], "positions": at[:LISTED], "due": due, "due_token": _words(plan, other[0])}
    text = f"label {_cut(pair[1])} stands at position {subject.token(at[-1])}, and {_words(plan, other[0])}"
    message = (
        f"{text} (position {due[0]}) should predict it" if due else f"{text} should predict it, which has no position"
    )
    return Finding(
        "MS003",
        "error",
        at[-1],
        witness,
        "put the label where its task predicts it; never shift along the mask",
        message,
    )


def _wrong_value(subject: Subject, at: list[int], pair: Pair, other: Pair) -> Finding:
    witness = {"label": pair[1], "positions": at[:LISTED], "due_label": other[1]}
    message = f"position {subject.token(at[-1])} predicts {_cut(pair[1])}, its task asks for {_cut(other[1])}"
    return Finding("MS003", "error", at[-1], witness, f"predict {_cut(other[1])} there", message)


def _counted(
    subject: Subject,
    plan: Plan,
    asked: Counter[Pair],
    given: Counter[Pair],
    lost: Counter[Pair],
    extra: Counter[Pair],
    where: Any,
) -> Iterator[Finding]:
    """Labels that are there too seldom, too often, or where nobody asks for them."""
    for pair, count in (+lost).items():
        due = np.flatnonzero(plan.matched.home == pair[0])[:LISTED].tolist()
        witness = {
            "label": pair[1],
            "asked": asked[pair],
            "given": given[pair],
            "token": _words(plan, pair[0]),
            "positions": due,
        }
        name = subject.token(due[0]) if due else f"{_words(plan, pair[0])} (which has no position)"
        message = (
            f"{name} should predict {_cut(pair[1])} {asked[pair]} times and does {given[pair]} times; {count} lost"
        )
        remedy = "add a loss edge for each task that asks, or weight the one that is there"
        yield Finding("MS004", "warning" if given[pair] else "error", due[0] if due else None, witness, remedy, message)
    for pair, count in (+extra).items():
        at = where[pair]
        witness = {"label": pair[1], "asked": asked[pair], "given": given[pair], "positions": at[:LISTED]}
        if asked[pair]:
            message = f"position {subject.token(at[-1])} predicts {_cut(pair[1])} {given[pair]} times, its tasks ask {asked[pair]} times"
            yield Finding("MS004", "error", at[-1], witness, f"remove {count} of them, or weight them", message)
        else:
            message = f"position {subject.token(at[-1])} predicts {_cut(pair[1])}, and no task asks for that"
            yield Finding("MS003", "error", at[-1], witness, "remove the label", message)


def absent(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """MS002: positions that the family needs and that the mask has none of, by input, position id and kind as far as they are known."""
    identity = identities(subject, plan.intended.positions)
    here = identity[: subject.size]
    lacking = np.flatnonzero(~np.isin(identity[subject.size :], here))
    for place in lacking[:LISTED].tolist():
        node = plan.intended.positions[place]
        name = f"{canonical(node.input)} at position id {node.position}"
        message = f"no position of the mask is {name}, which the family needs" + (
            f" ({len(lacking)} such)" if len(lacking) > 1 else ""
        )
        witness = {"input": node.input, "position_id": node.position, "kind": node.kind}
        yield Finding(
            "MS002",
            "warning",
            None,
            witness,
            "correct the inputs, position ids and kinds of --tokens, or add the position",
            message,
        )


def family_findings(subject: Subject, plan: Plan) -> Iterator[Finding]:
    """Everything that a comparison with the family finds; never nothing where labels come out wrong."""
    found = [*context_findings(subject, plan), *label_findings(subject, plan), *absent(subject, plan)]
    yield from found
    if not plan.right and not plan.matched.complete:
        message = "too many positions look alike to place them all: findings about context may point at the wrong ones of them"
        yield Finding(
            "MS014",
            "note",
            None,
            {"codes": ["MS002", "MS009", "MS013"]},
            "give position ids and kinds with --tokens",
            message,
        )
    if subject.labels is not None and not plan.right and not any(finding.severity == "error" for finding in found):
        message = "some label is predicted from other values than its task gives, and no single row or label was found to blame"
        yield Finding(
            "MS002",
            "error" if not found else "note",
            None,
            {},
            "compare the mask with masksynth solve of the family",
            message,
        )
