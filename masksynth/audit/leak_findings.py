"""MS001: a label's position sees, through the layers, an element that the label hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from masksynth.audit.family_findings import Plan
from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Ints, Sets, sets_of
from masksynth.audit.shortest_paths import Found, layers_of, reached
from masksynth.merge import find_leak, merge_family
from masksynth.subject.subject import Subject
from masksynth.subject.token_file import position_of
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical

REMEDY = "forbid one hop of the path, or do not let the label hide this"


class Secrets(NamedTuple):
    """Question i asks whether ``query[i]`` sees a member of set ``which[i]``, whose positions carry the hidden element ``name[i]``.

    Without names each set is one position, and the hidden element is what stands there.
    """

    query: Ints
    which: Ints
    sets: Sets
    name: tuple[str, ...] | None


def secrets_of(questions: list[tuple[int, int, str]], groups: list[list[int]]) -> Secrets:
    """Secrets from (query, number of the set, element) and the sets."""
    query, which, name = zip(*questions, strict=True) if questions else ((), (), ())
    return Secrets(np.array(query, np.int64), np.array(which, np.int64), sets_of(groups), tuple(name))


def hidden_by_labels(subject: Subject) -> Secrets:
    """What the labels of a subject say that they hide: elements that inputs are equal to, and positions.

    Examples
    --------
    >>> from masksynth.subject.token_file import with_tokens
    >>> from masksynth.mask import Mask
    >>> subject = with_tokens(Subject(Mask.from_dense(np.eye(2, dtype=bool)), "m"), {"inputs": ["a", "b"], "labels": [[0, "b", ["b"]]]})
    >>> hidden_by_labels(subject)
    Secrets(query=array([0]), which=array([0]), sets=Sets(offset=array([0, 1]), item=array([1])), name=('"b"',))
    """
    questions: list[tuple[int, int, str]] = []
    groups: list[list[int]] = []
    if subject.labels is None:
        return secrets_of(questions, groups)
    carriers: dict[str, list[int]] = {}
    if any(subject.labels.hides):
        for number, value in enumerate(subject.inputs or ()):
            carriers.setdefault(canonical(value), []).append(number)
    known: dict[str, int] = {}
    for position, hides in zip(subject.labels.position.tolist(), subject.labels.hides, strict=True):
        for element in hides:
            text, place = canonical(element), position_of(element)
            if text not in known:
                known[text] = len(groups)
                groups.append([place] if place is not None else carriers.get(text, []))
            questions.append((position, known[text], text if place is None else subject.token(place)))
    return secrets_of(questions, groups)


def hidden_targets(subject: Subject) -> Secrets:
    """The positions of the labels' own tokens, where they are known."""
    if subject.labels is None:
        return secrets_of([], [])
    known = np.flatnonzero(subject.labels.target >= 0)
    number = np.arange(len(known))
    return Secrets(
        subject.labels.position[known], number, Sets(np.arange(len(known) + 1), subject.labels.target[known]), None
    )


def hidden_by_family(embeddings: Mapping[str, Mapping[str, int]], family: Instance) -> Secrets:
    """What the family's predictions hide, over the positions of a mask in which its nodes stand where ``embeddings`` says.

    Two questions for each: about the nodes of the same task that carry the element, and about those of any task.
    """
    questions: list[tuple[int, int, str]] = []
    groups: list[list[int]] = []
    anywhere: dict[str, int] = {}
    for task in family.family.tasks:
        hidden = dict.fromkeys(canonical(element) for prediction in task.predict for element in prediction.hides)
        own = {text: len(groups) + number for number, text in enumerate(hidden)}
        groups += [[] for _ in own]
        for text in own:
            if text not in anywhere:
                anywhere[text] = len(groups)
                groups.append([])
        for prediction in task.predict:
            for text in map(canonical, prediction.hides):
                place = embeddings[task.name][prediction.node]
                questions += [(place, own[text], text), (place, anywhere[text], text)]
        for node in task.nodes if own else ():
            for text in own.keys() & set(node.elements) if node.name in embeddings[task.name] else ():
                groups[own[text]].append(embeddings[task.name][node.name])
    for task in family.family.tasks:
        for node in task.nodes:
            for text in anywhere.keys() & set(node.elements) if node.name in embeddings[task.name] else ():
                groups[anywhere[text]].append(embeddings[task.name][node.name])
    return secrets_of(questions, groups)


def leak_findings(subject: Subject, plan: Plan | None) -> Iterator[Finding]:
    """Every leak with a shortest path, from what carries the element to what predicts, one hop for each layer.

    With a family also what its predictions hide is looked for, unless the mask has been found equal to the family's; a leak that the
    tasks have themselves is told as such.
    """
    seen: set[tuple[int, str]] = set()
    both = [hidden_targets(subject), hidden_by_labels(subject)]
    if plan is not None and subject.family is not None:
        yield from _own_leak(subject, plan, subject.family)
        if not plan.right:
            both.append(_placed(subject, plan, hidden_by_family(plan.intended.embeddings, subject.family)))
    elif subject.sparse and subject.family is not None and subject.embeddings is not None:
        both.append(_of_sparse(subject.family, subject.embeddings))
    for secrets in both:
        found, undecided = reached(subject.mask, secrets.query, secrets.which, secrets.sets, subject.layers)
        for one in found:
            position = int(secrets.query[one.number])
            name = subject.token(one.key) if secrets.name is None else secrets.name[one.number]
            if (position, name) not in seen:
                seen.add((position, name))
                yield _leak(subject, position, name, one)
        if undecided:
            message = f"{undecided} of {len(secrets.query)} labels were not searched for leaks to the end"
            remedy = "ask with --layers, or audit parts of the mask"
            yield Finding("MS014", "note", None, {"codes": ["MS001"], "labels": undecided}, remedy, message)


def _leak(subject: Subject, position: int, name: str, one: Found) -> Finding:
    tokens = None if one.path is None else [subject.token(place) for place in one.path]
    witness = {"hides": name, "hops": one.hops, "path": one.path, "tokens": tokens}
    if one.path is not None and subject.mask.tables > 1:
        witness["layers"] = layers_of(subject.mask, one.path)
    route = f"position {one.key} through {one.hops} hops" if tokens is None else " -> ".join(tokens)
    if one.hops == 0:
        message = f"position {subject.token(position)} carries {name} itself, which its label hides"
    else:
        message = f"position {subject.token(position)} sees {name}, which its label hides: {route} ({one.hops} hop{'s' * (one.hops > 1)})"
    return Finding("MS001", "error", position, witness, REMEDY, message)


def _own_leak(subject: Subject, plan: Plan, family: Instance) -> Iterator[Finding]:
    """The first leak of the tasks themselves."""
    leak = find_leak(family.family, subject.layers)
    if leak is None:
        return
    at = plan.intended.embeddings[leak.task].get(leak.node)
    here = np.flatnonzero(plan.matched.home == plan.matched.classes[at]).tolist() if at is not None else []
    path = " -> ".join(leak.path)
    witness = {
        "hides": canonical(leak.hides),
        "hops": len(leak.path) - 1,
        "path": None,
        "task": leak.task,
        "nodes": list(leak.path),
    }
    message = f"task {leak.task!r} of the family leaks by itself: node {leak.node!r} hides {canonical(leak.hides)} and sees it: {path}"
    yield Finding("MS001", "error", here[0] if here else None, witness, "change the rows of the task", message)


def _of_sparse(family: Instance, embeddings: Mapping[str, Mapping[str, int]]) -> Secrets:
    """The family's secrets where a sparse answer has its nodes, without those that the dense mask shows by coincidence."""
    if any(task.name not in embeddings for task in family.family.tasks):
        return secrets_of([], [])
    dense = merge_family(family.family)
    asked, own = hidden_by_family(dense.embeddings, family), hidden_by_family(embeddings, family)
    shown, _ = reached(dense.mask, asked.query, asked.which, asked.sets, None)
    keep = np.setdiff1d(np.arange(len(own.query)), [one.number for one in shown])
    return Secrets(
        own.query[keep], own.which[keep], own.sets, tuple((own.name or ())[number] for number in keep.tolist())
    )


def _placed(subject: Subject, plan: Plan, secrets: Secrets) -> Secrets:
    """The family's secrets over the subject's positions, without those that the intended mask shows by coincidence of equal positions."""
    classes, home = plan.matched.classes, plan.matched.home
    shown, _ = reached(plan.intended.mask, secrets.query, secrets.which, secrets.sets, subject.layers)
    coincidences = {one.number for one in shown}
    places: dict[int, list[int]] = {}
    for place, own in enumerate(home.tolist()):
        places.setdefault(own, []).append(place)
    labelled = None if subject.labels is None else set(subject.labels.position.tolist())
    groups = [
        [place for at in secrets.sets.item[first:last].tolist() for place in places.get(int(classes[at]), ())]
        for first, last in zip(secrets.sets.offset[:-1].tolist(), secrets.sets.offset[1:].tolist(), strict=True)
    ]
    questions = [
        (place, int(which), name)
        for number, (at, which, name) in enumerate(
            zip(secrets.query.tolist(), secrets.which.tolist(), secrets.name or (), strict=True)
        )
        if number not in coincidences
        for place in places.get(int(classes[at]), ())
        if labelled is None or place in labelled
    ]
    return secrets_of(list(dict.fromkeys(questions)), groups)
