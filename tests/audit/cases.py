"""Merged answers of the catalogue as subjects, and faults planted into them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from masksynth import catalog
from masksynth.audit import Labels, Subject, subject_of_merged
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical

NAMES = tuple(catalog.FAMILIES)


@cache
def clean(name: str, layers: int | None = None) -> Subject:
    """The minimal answer of a family, with the family."""
    made = catalog.FAMILIES[name]()
    instance = Instance(made.family, made.name, layers=layers)
    return replace(subject_of_merged(merge(instance), name), family=instance)


def with_hidden_places(subject: Subject) -> Subject:
    """Without the family, but with labels that hide the positions that carry what the tasks hide."""
    hides = []
    for task in subject.family.family.tasks:
        places = subject.embeddings[task.name]
        for prediction in task.predict:
            hidden = {canonical(element) for element in prediction.hides}
            carriers = {places[node.name] for node in task.nodes if node.name in places and hidden & set(node.elements)}
            hides.append(tuple({"at": place} for place in sorted(carriers)))
    return replace(subject, family=None, labels=replace(subject.labels, hides=tuple(hides)))


def dense_of(subject: Subject):
    return subject.mask.dense().reshape(subject.mask.tables, subject.size, subject.size)


def with_mask(subject: Subject, tables) -> Subject:
    return replace(subject, mask=Mask.from_dense(tables))


def changed(subject: Subject, query: int, key: int, value: bool) -> Subject:
    """One entry of every table set or cleared."""
    tables = dense_of(subject).copy()
    tables[:, query, key] = value
    return with_mask(subject, tables)


def with_labels(subject: Subject, edges) -> Subject:
    """Loss edges given as (position, value)."""
    count = len(edges)
    labels = Labels(
        np.array([position for position, _ in edges], np.int64),
        tuple(value for _, value in edges),
        np.ones(count),
        np.zeros(count, np.int64),
        (),
        ((),) * count,
        np.full(count, -1),
    )
    return replace(subject, labels=labels)


def edges_of(subject: Subject):
    return list(zip(subject.labels.position.tolist(), subject.labels.value, strict=True))


def with_copy(subject: Subject, place: int, readers=()) -> Subject:
    """One more position like ``place``, the last: it sees what ``place`` sees, itself for ``place``; only the
    ``readers`` see it.
    """
    size, tables = subject.size, dense_of(subject)
    grown = np.zeros((len(tables), size + 1, size + 1), bool)
    grown[:, :size, :size] = tables
    grown[:, size, :size] = tables[:, place]
    grown[:, size, size] = tables[:, place, place]
    grown[:, size, place] = False
    for reader in readers:
        grown[:, reader, size] = True
    return replace(
        subject,
        mask=Mask.from_dense(grown),
        inputs=(*subject.inputs, subject.inputs[place]),
        positions=np.append(subject.positions, subject.positions[place]),
        kinds=(*subject.kinds, subject.kinds[place]),
        embeddings=None,
    )


def shuffled(subject: Subject, rng) -> Subject:
    """The same positions in another order."""
    order = rng.permutation(subject.size)
    new = np.argsort(order)
    tables = dense_of(subject)[:, order][:, :, order]
    return replace(
        subject,
        mask=Mask.from_dense(tables),
        inputs=tuple(subject.inputs[i] for i in order),
        positions=subject.positions[order],
        kinds=tuple(subject.kinds[i] for i in order),
        labels=replace(subject.labels, position=new[subject.labels.position]),
        embeddings=None,
    )


def serious(report):
    """(code, severity, position) of all findings that are not notes."""
    return [(found.code, found.severity, found.position) for found in report.findings if found.severity != "note"]
