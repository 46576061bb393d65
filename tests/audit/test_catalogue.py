"""Correct masks are silent; faults planted into them over the complete catalogue are found, at the right position."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from masksynth.audit import audit, subject_of_merged
from masksynth.audit.family_findings import find_wrong_context
from masksynth.audit.family_labels import find_wrong_labels
from masksynth.audit.family_plan import plan_of
from masksynth.audit.leak_findings import find_leaks
from masksynth.backends import Limits
from masksynth.solve import solve
from tests.audit.cases import (
    NAMES,
    changed,
    clean,
    dense_of,
    edges_of,
    serious,
    shuffled,
    with_copy,
    with_hidden_places,
    with_labels,
    with_mask,
)
from tests.audit.naive import fewest_hops, is_path

FEW = 5


def some(rng, things, count=FEW):
    return [things[i] for i in sorted(rng.permutation(len(things))[:count])]


@pytest.mark.parametrize("layers", [None, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_correct_masks_are_silent(name, layers):
    subject = clean(name, layers)
    for known in (subject, replace(subject, family=None), with_hidden_places(subject)):
        report = audit(known)
        assert serious(report) == []
        assert not {found.code for found in report.findings} - {"MS006", "MS010"}
    if layers is None:
        assert report.minimal == (subject.size, 0, 0, subject.size)


@pytest.mark.parametrize("name", NAMES)
def test_the_comparison_that_looks_for_faults_finds_none(name):
    for subject in (clean(name), shuffled(clean(name), np.random.default_rng(3))):
        plan = plan_of(subject)
        assert plan.right
        plan = replace(plan, right=False)
        assert [*find_leaks(subject, plan), *find_wrong_context(subject, plan), *find_wrong_labels(subject, plan)] == []


def hidden(subject):
    """(label's position, hidden position) of every label."""
    return [
        (position, element["at"])
        for position, hides in zip(subject.labels.position.tolist(), subject.labels.hides, strict=True)
        for element in hides
    ]


PLANTED = Counter()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("layers", [None, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_planted_leaks(name, layers, depth):
    subject = with_hidden_places(clean(name))
    PLANTED["tests"] += 1
    rng = np.random.default_rng([NAMES.index(name), depth, layers or 0])
    if not hidden(subject):
        return
    for query, key in some(rng, hidden(subject), 2):
        others = [place for place in range(subject.size) if place not in (query, key)]
        if len(others) < depth - 1:
            continue
        path = [query, *rng.permutation(others)[: depth - 1].tolist(), key]
        planted = subject
        for reader, read in itertools.pairwise(path):
            planted = changed(planted, reader, read, True)
        report = audit(planted, layers)
        expected = {}
        for position, place in hidden(subject):
            hops = fewest_hops(planted.mask, position, layers)
            if place in hops:
                expected[position, planted.token(place)] = hops[place]
        found = {
            (one.position, one.witness["hides"]): one.witness["hops"] for one in report.findings if one.code == "MS001"
        }
        assert found == expected
        for one in report.findings:
            if one.code == "MS001":
                path = one.witness["path"]
                assert len(path) == one.witness["hops"] + 1
                assert path[-1] == one.position
                assert is_path(planted.mask, path, layers)
        PLANTED.update(expected.values())


def test_leaks_of_every_depth_were_planted():
    if PLANTED["tests"] == 12 * len(NAMES):  # all of the tests above ran in this process
        assert min(PLANTED[depth] for depth in (1, 2, 3)) > 20


@pytest.mark.parametrize("name", NAMES)
def test_a_key_taken_from_a_row_is_missed_there(name):
    subject, rng = clean(name), np.random.default_rng(5)
    entries = np.argwhere(dense_of(subject).all(axis=0)).tolist()
    for query, key in some(rng, entries):
        report = audit(changed(subject, query, key, False))
        context = [found for found in report.findings if found.code in ("MS002", "MS009", "MS013")]
        assert {found.position for found in context} == {query}, (query, key)
        assert {found.code for found in context} <= {"MS002", "MS009"}


@pytest.mark.parametrize("name", NAMES)
def test_a_key_given_to_a_row_is_extra_there(name):
    subject, rng = clean(name), np.random.default_rng(6)
    entries = np.argwhere(~dense_of(subject).any(axis=0)).tolist()
    for query, key in some(rng, entries):
        report = audit(changed(subject, query, key, True))
        context = [found for found in report.findings if found.code in ("MS002", "MS009", "MS013")]
        assert {found.position for found in context} == {query}, (query, key)
        assert {found.code for found in context} <= {"MS013", "MS009"}


@pytest.mark.parametrize("name", NAMES)
def test_a_leak_is_found_through_the_family(name):
    subject = clean(name)
    pairs = [(q, k) for q, k in hidden(with_hidden_places(subject)) if q != k]
    for query, key in pairs[:2]:
        report = audit(changed(subject, query, key, True))
        assert any(
            found.code == "MS001" and found.position == query and found.witness["hops"] == 1
            for found in report.findings
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_label_moved_by_one(name):
    subject = clean(name)
    edges = edges_of(subject)
    for place, (position, value) in enumerate(edges):
        moved = (position + 1) % subject.size
        others = edges[:place] + edges[place + 1 :]
        if subject.size == 1 or (moved, value) in others:
            continue
        report = audit(with_labels(subject, [*others, (moved, value)]))
        wrong = [found for found in report.findings if found.code == "MS003"]
        assert any(found.position == moved for found in wrong), (position, value)


@pytest.mark.parametrize("name", NAMES)
def test_labels_lost_repeated_and_replaced(name):
    subject, rng = clean(name), np.random.default_rng(7)
    edges = edges_of(subject)
    for place in some(rng, range(len(edges)), 3):
        position, value = edges[place]
        others = edges[:place] + edges[place + 1 :]
        lost = audit(with_labels(subject, others))
        asked = edges.count((position, value))
        severity = "error" if asked == 1 else "warning"
        assert ("MS004", severity, position) in [one for one in serious(lost) if one[0] != "MS007"]
        repeated = audit(with_labels(subject, [*edges, (position, value)]))
        assert serious(repeated) == [("MS004", "error", position)]
        other = audit(with_labels(subject, [*others, (position, "never asked")]))
        assert ("MS003", "error", position) in serious(other)


@pytest.mark.parametrize("name", NAMES)
def test_every_position_made_dead(name):
    subject = clean(name)
    for place in range(subject.size):
        grown = with_copy(subject, place)
        for known in (grown, replace(grown, family=None)):
            assert serious(audit(known)) == [("MS007", "warning", subject.size)]
        assert audit(grown).minimal == (subject.size + 1, 1, 0, subject.size)


@pytest.mark.parametrize("name", NAMES)
def test_every_position_made_twice(name):
    subject = clean(name)
    tables, edges = dense_of(subject), edges_of(subject)
    for place in range(subject.size):
        grown = with_copy(subject, place)
        own = [number for number, (position, _) in enumerate(edges) if position == place]
        readers = [r for r in np.flatnonzero(tables[:, :, place].all(axis=0)).tolist() if r != place]
        if own:
            edges_now = [
                (subject.size if number == own[-1] else position, value)
                for number, (position, value) in enumerate(edges)
            ]
            grown = with_labels(grown, edges_now)
        elif readers:
            grown = changed(changed(grown, readers[-1], place, False), readers[-1], subject.size, True)
        else:
            continue
        report = audit(grown)
        assert not report.errors
        duplicate = [found for found in report.findings if found.code == "MS008"]
        alone = [found for found in report.findings if found.code == "MS007"]
        assert duplicate or alone
        if not alone:
            assert subject.size in duplicate[0].witness["positions"]
            assert place in duplicate[0].witness["positions"]
            assert report.minimal.minimal == subject.size


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_seen_beside_its_original_changes_the_multiplicity(name):
    subject = clean(name)
    tables = dense_of(subject)
    for place in range(min(subject.size, FEW)):
        readers = [r for r in np.flatnonzero(tables[:, :, place].all(axis=0)).tolist() if r != place]
        if readers:
            report = audit(with_copy(subject, place, readers[:1]))
            assert [found.position for found in report.findings if found.code == "MS009"] == readers[:1]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_emptied(name):
    subject = clean(name)
    for place in range(subject.size):
        tables = dense_of(subject).copy()
        tables[:, place] = False
        for known in (subject, replace(subject, family=None)):
            report = audit(with_mask(known, tables))
            assert ("MS005", "error", place) in serious(report)


@pytest.mark.parametrize("name", NAMES)
def test_less_knowledge_raises_no_alarm(name):
    subject = clean(name)
    for unknown in (
        {"kinds": None},
        {"positions": None},
        {"kinds": None, "positions": None},
        {"labels": None},
        {"inputs": None},
    ):
        report = audit(replace(subject, **unknown))
        assert serious(report) == [], unknown
        assert ("MS014" in {found.code for found in report.findings}) == ("inputs" in unknown)


@pytest.mark.parametrize("name", ["butterfly", "parallel_context_bos", "causal_lm"])
def test_sparse_answers(name):
    made = clean(name).family
    merged = solve(replace(made, layers=2, sparse=True), limits=Limits(2.0)).merged
    subject = replace(subject_of_merged(merged), family=made)
    report = audit(subject)
    assert serious(report) == []
    assert {found.code for found in report.findings} <= {"MS010", "MS014"}
    query = subject.embeddings[made.family.tasks[0].name][made.family.tasks[0].predict[0].node]
    element = made.family.tasks[0].predict[0].hides[0]
    key = subject.inputs.index(element)
    leaks = [found for found in audit(changed(subject, query, key, True)).findings if found.code == "MS001"]
    assert any(found.position == query and found.witness["path"] == [key, query] for found in leaks)
