"""Rows of a mask beside what the samples' tokens see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.audit.samples.expected_mask import Expected
from masksynth.audit.samples.placement import Placement
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import draw, row_sums
from masksynth.verify.interval_sets import prefix

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
ROWS = 1000
"""Most wrong rows that are written out, those that come first in each sample before all others."""
ENTRIES = 1 << 25
"""Most keys of wrong rows that are looked at one by one."""
LISTED = 20
"""Most positions in a witness."""


def find_wrong_rows(subject: Subject, placed: Placement, table: int) -> Ints:
    """Return the positions whose row does not hold, class by class and as often, what the tokens of its class see.

    Sums of random words over rows are compared (`masksynth.verify.colour_refinement`); O(N + T).
    """
    home, count = placed.home, len(placed.first)
    words = draw(count + 1, placed.rows.key_start.tobytes(), home.tobytes(), placed.classes.tobytes())
    given = row_sums(subject.mask, table, words[home])
    due = row_sums(placed.rows, table, words[placed.classes])
    known = np.flatnonzero(home >= 0)
    wrong: Ints = known[(due[placed.first[home[known]]] != given[known]).any(axis=1)]
    return wrong


def row_findings(subject: Subject, expected: Expected, placed: Placement, live: Bools) -> Iterator[Finding]:
    """MS002, MS009, MS013, MS015: what rows lack, hold in another number, or should not hold, by sample and token."""
    order = np.argsort(placed.classes, kind="stable")
    tokens = (order, prefix(np.bincount(placed.classes, minlength=len(placed.first))))
    for table in range(subject.mask.tables):
        wrong = find_wrong_rows(subject, placed, table)
        chosen = _first_of_each_sample(wrong, expected, placed)
        left = ENTRIES
        told = 0
        for query in chosen[:ROWS].tolist():
            left -= sum(end - start for start, end in subject.mask.intervals(query, table))
            if left < 0 and told:
                break
            told += 1
            yield from _row_findings(subject, expected, placed, tokens, query, table, bool(live[query]))
        if told < len(wrong):
            where = f" of table {table}" if subject.mask.tables > 1 else ""
            message = f"{len(wrong) - told} more rows{where} do not hold what their samples' tokens see; {told} are written out"
            witness = {"codes": ["MS002", "MS009", "MS013", "MS015"], "rows": len(wrong), "written": told}
            yield Finding(
                "MS014", "note", int(chosen[told]), witness, "mend what is written out and audit again", message
            )


def _first_of_each_sample(wrong: Ints, expected: Expected, placed: Placement) -> Ints:
    """Return the wrong rows with the first of each sample in front."""
    token = placed.token[wrong]
    order = np.lexsort((expected.index[token], expected.sample[token]))
    sample = expected.sample[token[order]]
    begins = np.ones(len(sample), bool)
    begins[1:] = sample[1:] != sample[:-1]
    return np.concatenate([wrong[order[begins]], wrong[order[~begins]]])


def _row_findings(
    subject: Subject,
    expected: Expected,
    placed: Placement,
    tokens: tuple[Ints, Ints],
    query: int,
    table: int,
    live: bool,
) -> Iterator[Finding]:
    home, number = placed.home, int(placed.home[query])
    keys = subject.mask.row(query, table)
    if subject.padding is not None:
        keys = keys[~subject.padding[keys]]
    seen = placed.rows.row(int(placed.first[number]), table)
    due, due_count = np.unique(placed.classes[seen], return_counts=True)
    given, given_count = np.unique(home[keys], return_counts=True)
    where = {"table": table} if subject.mask.tables > 1 else {}
    severity = "error" if live else "warning"
    ends = (f" in table {table}" if where else "") + ("" if live else "; no label depends on it")
    missing = seen[np.isin(placed.classes[seen], due[~np.isin(due, given)])]
    missing = missing[placed.served[placed.classes[missing]]]  # a token that stands nowhere is told once, as MS018
    if len(missing):
        owner = int(placed.token[query])
        names = _list_some(
            [f"{expected.place(token)} (token {expected.index[token]})" for token in missing[:3].tolist()], len(missing)
        )
        witness = {**expected.witness(owner), "missing": expected.index[missing[:LISTED]].tolist()}
        witness["positions"] = [placed.position_of(token) for token in missing[:LISTED].tolist()]
        message = f"position {subject.token(query)}, {expected.name(owner)}, does not see {names}{ends}"
        remedy = "allow these keys in its row"
        if subject.rules is None:
            remedy += "; if the layers have a window or chunks, say so under tables in --tokens"
        yield Finding("MS002", severity, query, {**witness, "count": len(missing), **where}, remedy, message)
    both, mine, theirs = np.intersect1d(due, given, return_indices=True)
    copies = [
        _copies_of_others(
            expected, placed, keys, int(both[place]), query, int(given_count[theirs[place]] - due_count[mine[place]])
        )
        for place in np.flatnonzero(due_count[mine] < given_count[theirs]).tolist()
    ]
    extra = np.sort(np.concatenate([keys[~np.isin(home[keys], due)], *copies]))
    yield from _extra_findings(subject, expected, placed, tokens, query, extra, severity, ends, where)
    contaminated = np.unique(home[np.concatenate([keys[:0], *copies])])
    for place in np.flatnonzero((due_count[mine] != given_count[theirs]) & ~np.isin(both, contaminated)).tolist():
        owner, kind = int(placed.token[query]), int(both[place])
        times, asked = int(given_count[theirs[place]]), int(due_count[mine[place]])
        here = keys[home[keys] == kind][:LISTED].tolist()
        name = expected.place(int(placed.first[kind]))
        message = f"position {subject.token(query)}, {expected.name(owner)}, sees {name} {times} times, its sample {asked} times{ends}"
        remedy = "let it see as many copies as its sample has: attention weights depend on the number"
        witness = {**expected.witness(owner), "keys": here, "due": asked, "given": times, **where}
        yield Finding("MS009", severity, query, witness, remedy, message)


def _copies_of_others(expected: Expected, placed: Placement, keys: Ints, kind: int, query: int, surplus: int) -> Ints:
    """Return the keys of one class that are too many, if they are copies which other samples have of it; else none."""
    here = keys[placed.home[keys] == kind]
    foreign: Ints = here[expected.sample[placed.token[here]] != expected.sample[placed.token[query]]]
    return foreign if len(foreign) == surplus else foreign[:0]


def _extra_findings(
    subject: Subject,
    expected: Expected,
    placed: Placement,
    tokens: tuple[Ints, Ints],
    query: int,
    extra: Ints,
    severity: str,
    ends: str,
    where: dict[str, Any],
) -> Iterator[Finding]:
    """MS015 for keys of other samples, MS013 for other keys that the sample does not show."""
    if not len(extra):
        return
    order, cut = tokens
    number = int(placed.home[query])
    owner = int(placed.token[query])
    served = np.array([owner]) if placed.alone[query] else order[cut[number] : cut[number + 1]]
    samples = np.unique(expected.sample[served])
    own = np.zeros(len(placed.first), bool)
    for sample in samples.tolist():
        own[placed.classes[expected.table.offset[sample] : expected.table.offset[sample + 1]]] = True
    kind = placed.home[extra]
    copied = placed.alone[extra] & ~np.isin(expected.sample[placed.token[extra]], samples)
    foreign = (kind >= 0) & (~own[kind] | copied)
    if foreign.any():
        keys = extra[foreign]
        others = placed.token[keys]
        names = [
            f"{subject.token(key)} of sample {expected.table.ids[expected.sample[token]]!r}"
            for key, token in zip(keys[:3].tolist(), others[:3].tolist(), strict=True)
        ]
        ids = [expected.table.ids[sample] for sample in dict.fromkeys(expected.sample[others].tolist())]
        witness = {
            **expected.witness(owner),
            "keys": keys[:LISTED].tolist(),
            "samples": ids[:LISTED],
            "count": len(keys),
            **where,
        }
        message = f"position {subject.token(query)}, {expected.name(owner)}, sees {_list_some(names, len(keys))}{ends}"
        yield Finding(
            "MS015", severity, query, witness, "forbid these keys in its row: samples do not see one another", message
        )
    if (~foreign).any():
        keys = extra[~foreign]
        names = []
        for key in keys[:3].tolist():
            token = _token_in(expected, placed, order, cut, int(placed.home[key]), samples)
            what = (
                "which serves no sample" if token < 0 else f"{expected.name(token)}, which its sample does not show it"
            )
            names.append(f"{subject.token(key)} ({what})")
        witness = {**expected.witness(owner), "keys": keys[:LISTED].tolist(), "count": len(keys), **where}
        message = f"position {subject.token(query)}, {expected.name(owner)}, sees {_list_some(names, len(keys))}{ends}"
        yield Finding("MS013", severity, query, witness, "forbid these keys in its row", message)


def _token_in(expected: Expected, placed: Placement, order: Ints, cut: Ints, kind: int, samples: Ints) -> int:
    """Return a token of a class in one of some samples, -1 for no class."""
    if kind < 0:
        return -1
    here = order[cut[kind] : cut[kind + 1]]
    return int(here[np.isin(expected.sample[here], samples)][0])


def _list_some(names: list[str], count: int) -> str:
    """Return the first three names and how many more there are."""
    return ", ".join(names[:3]) + (f" and {count - 3} more" if count > 3 else "")
