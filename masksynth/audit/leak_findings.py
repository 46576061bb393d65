"""Find leaks (MS001): a label's position reaches, through the layers, an element that the label hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from masksynth.audit.family_plan import Plan
from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Sets, build_sets
from masksynth.audit.shortest_paths import Answer, find_reachable, layers_of_path
from masksynth.mask.typing import Int64Array
from masksynth.merge import find_leak, merge_family
from masksynth.subject.subject import Subject
from masksynth.subject.token_file import position_of
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical

REMEDY = "forbid one hop of the path, or do not let the label hide this"


class Secrets(NamedTuple):
    """List questions about hidden elements: question i asks if ``query[i]`` reaches a member of set ``which[i]``.

    Parameters
    ----------
    query : (H,) int64
        Position of the label.
    which : (H,) int64
        Index of the set of positions that carry the hidden element.
    sets : Sets
    name : tuple of H str, optional
        The hidden elements, for messages. None: each set is one position, and its token is what is hidden.
    """

    query: Int64Array
    which: Int64Array
    sets: Sets
    name: tuple[str, ...] | None


def build_secrets(questions: list[tuple[int, int, str]], groups: list[list[int]]) -> Secrets:
    """Build secrets from (query, index of the set, element) and the sets."""
    query, which, name = zip(*questions, strict=True) if questions else ((), (), ())
    return Secrets(np.array(query, np.int64), np.array(which, np.int64), build_sets(groups), tuple(name))


def hidden_by_labels(subject: Subject) -> Secrets:
    """Return what the labels declare as hidden: elements, compared with inputs, and positions.

    Examples
    --------
    >>> from masksynth.subject.token_file import with_tokens
    >>> from masksynth.mask import Mask
    >>> mask = Mask.from_dense(np.eye(2, dtype=bool))
    >>> hidden_by_labels(with_tokens(Subject(mask, "m"), {"inputs": ["a", "b"], "labels": [[0, "b", ["b"]]]}))
    Secrets(query=array([0]), which=array([0]), sets=Sets(offset=array([0, 1]), item=array([1])), name=('"b"',))
    """
    questions: list[tuple[int, int, str]] = []
    groups: list[list[int]] = []
    if subject.labels is None:
        return build_secrets(questions, groups)
    carriers: dict[str, list[int]] = {}
    if any(subject.labels.hides):
        for number, value in enumerate(subject.inputs or ()):
            carriers.setdefault(canonical(value), []).append(number)
    set_of_element: dict[str, int] = {}
    for query, hides in zip(subject.labels.position.tolist(), subject.labels.hides, strict=True):
        for element in hides:
            text, position = canonical(element), position_of(element)
            if text not in set_of_element:
                set_of_element[text] = len(groups)
                groups.append([position] if position is not None else carriers.get(text, []))
            questions.append((query, set_of_element[text], text if position is None else subject.token(position)))
    return build_secrets(questions, groups)


def hidden_targets(subject: Subject) -> Secrets:
    """Return the positions of the labels' own tokens, where they are known: each label hides its own token."""
    if subject.labels is None:
        return build_secrets([], [])
    number = np.flatnonzero(subject.labels.target >= 0)
    sets = Sets(np.arange(len(number) + 1), subject.labels.target[number])
    return Secrets(subject.labels.position[number], np.arange(len(number)), sets, None)


def hidden_by_family(embeddings: Mapping[str, Mapping[str, int]], family: Instance) -> Secrets:
    """Return what the family's predictions hide, over the positions of a mask.

    Two questions for each hidden element: about the nodes of the same task that carry it, and about those of any task.

    Parameters
    ----------
    embeddings : mapping
        Task -> node -> position of the mask.
    family : Instance
    """
    questions: list[tuple[int, int, str]] = []
    groups: list[list[int]] = []
    in_any_task: dict[str, int] = {}  # element -> index of the set of its carriers in all tasks
    for task in family.family.tasks:
        position_of = embeddings[task.name]
        hidden = dict.fromkeys(canonical(element) for prediction in task.predict for element in prediction.hides)
        in_task = {text: len(groups) + number for number, text in enumerate(hidden)}
        groups += [[] for _ in in_task]
        for text in in_task:
            if text not in in_any_task:
                in_any_task[text] = len(groups)
                groups.append([])
        for prediction in task.predict:
            for text in map(canonical, prediction.hides):
                query = position_of[prediction.node]
                questions += [(query, in_task[text], text), (query, in_any_task[text], text)]
        for node in task.nodes if in_task else ():
            for text in in_task.keys() & set(node.elements) if node.name in position_of else ():
                groups[in_task[text]].append(position_of[node.name])
    for task in family.family.tasks:
        for node in task.nodes:
            for text in in_any_task.keys() & set(node.elements) if node.name in embeddings[task.name] else ():
                groups[in_any_task[text]].append(embeddings[task.name][node.name])
    return build_secrets(questions, groups)


def find_leaks(subject: Subject, plan: Plan | None) -> Iterator[Finding]:
    """Yield every leak with a shortest path, from what carries the element to what predicts, one hop per layer.

    With a family, what its predictions hide is searched for too, unless the mask has been found equal to the family's;
    a leak of the tasks themselves is reported as such.

    Parameters
    ----------
    subject : Subject
    plan : Plan, optional
        The comparison with the family, where there is one.
    """
    reported: set[tuple[int, str]] = set()
    sources = [hidden_targets(subject), hidden_by_labels(subject)]
    if plan is not None and subject.family is not None:
        yield from _leak_of_family(subject, plan, subject.family)
        if not plan.right:
            sources.append(_map_to_subject(subject, plan, hidden_by_family(plan.intended.embeddings, subject.family)))
    elif subject.sparse and subject.family is not None and subject.embeddings is not None:
        sources.append(_hidden_in_sparse(subject.family, subject.embeddings))
    for secrets in sources:
        answers, undecided = find_reachable(subject.mask, secrets.query, secrets.which, secrets.sets, subject.layers)
        for answer in answers:
            position = int(secrets.query[answer.number])
            name = subject.token(answer.key) if secrets.name is None else secrets.name[answer.number]
            if (position, name) not in reported:
                reported.add((position, name))
                yield _leak(subject, position, name, answer)
        if undecided:
            count = f"{undecided} of {len(secrets.query)} labels are undecided"
            message = f"the search for leaks was stopped by its limit: {count}"
            remedy = "limit the depth by --layers, or audit parts of the mask"
            yield Finding("MS014", "note", None, {"codes": ["MS001"], "labels": undecided}, remedy, message)


def _leak(subject: Subject, position: int, name: str, answer: Answer) -> Finding:
    tokens = None if answer.path is None else [subject.token(step) for step in answer.path]
    witness = {"hides": name, "hops": answer.hops, "path": answer.path, "tokens": tokens}
    if answer.path is not None and subject.mask.tables > 1:
        witness["layers"] = layers_of_path(subject.mask, answer.path)
    route = f"position {answer.key} through {answer.hops} hops" if tokens is None else " -> ".join(tokens)
    if answer.hops == 0:
        message = f"position {subject.token(position)} is itself {name}, which its label hides"
    else:
        hops = f"{answer.hops} hop{'s' * (answer.hops > 1)}"
        message = f"position {subject.token(position)} sees {name}, which its label hides: {route} ({hops})"
    return Finding("MS001", "error", position, witness, REMEDY, message)


def _leak_of_family(subject: Subject, plan: Plan, family: Instance) -> Iterator[Finding]:
    """Yield the first leak of the tasks themselves."""
    leak = find_leak(family.family, subject.layers)
    if leak is None:
        return
    intended = plan.intended.embeddings[leak.task].get(leak.node)
    positions = [] if intended is None else plan.matched.positions_of(plan.matched.classes[intended])
    hops, path = len(leak.path) - 1, " -> ".join(leak.path)
    witness = {
        "hides": canonical(leak.hides),
        "hops": hops,
        "path": None,
        "task": leak.task,
        "nodes": list(leak.path),
    }
    message = (
        f"task {leak.task!r} of the family leaks by itself: node {leak.node!r} hides {canonical(leak.hides)} "
        f"and sees it: {path}"
    )
    position = positions[0] if positions else None
    yield Finding("MS001", "error", position, witness, "change the rows of the task", message)


def _hidden_in_sparse(family: Instance, embeddings: Mapping[str, Mapping[str, int]]) -> Secrets:
    """Return the family's secrets at the positions of a sparse answer, without those that the dense mask reaches."""
    if any(task.name not in embeddings for task in family.family.tasks):
        return build_secrets([], [])
    dense = merge_family(family.family)
    in_dense, in_sparse = hidden_by_family(dense.embeddings, family), hidden_by_family(embeddings, family)
    coincidences, _ = find_reachable(dense.mask, in_dense.query, in_dense.which, in_dense.sets, None)
    keep = np.setdiff1d(np.arange(len(in_sparse.query)), [answer.number for answer in coincidences])
    name = tuple((in_sparse.name or ())[number] for number in keep.tolist())
    return Secrets(in_sparse.query[keep], in_sparse.which[keep], in_sparse.sets, name)


def _map_to_subject(subject: Subject, plan: Plan, secrets: Secrets) -> Secrets:
    """Map the family's secrets from intended positions to those of the subject.

    Secrets that the intended mask reaches too are dropped, since equal positions of tasks may coincide.
    """
    classes = plan.matched.classes
    reached, _ = find_reachable(plan.intended.mask, secrets.query, secrets.which, secrets.sets, subject.layers)
    coincidences = {answer.number for answer in reached}
    positions_of: dict[int, list[int]] = {}
    for position, number in enumerate(plan.matched.class_of_position.tolist()):
        positions_of.setdefault(number, []).append(position)
    labelled = None if subject.labels is None else set(subject.labels.position.tolist())
    offset = secrets.sets.offset.tolist()
    groups = [
        [
            position
            for item in secrets.sets.item[first:last].tolist()
            for position in positions_of.get(int(classes[item]), ())
        ]
        for first, last in pairwise(offset)
    ]
    rows = zip(secrets.query.tolist(), secrets.which.tolist(), secrets.name or (), strict=True)
    questions = [
        (position, int(which), name)
        for number, (query, which, name) in enumerate(rows)
        if number not in coincidences
        for position in positions_of.get(int(classes[query]), ())
        if labelled is None or position in labelled
    ]
    return build_secrets(list(dict.fromkeys(questions)), groups)
