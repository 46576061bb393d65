"""Compare the rows of a mask with what the tokens of the samples attend to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.finding_text import list_names
from masksynth.audit.samples.expected_mask import Expected
from masksynth.audit.samples.placement import Placement
from masksynth.mask.csr import indptr
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import draw, row_sums

ROW_LIMIT = 1000
"""Maximum number of wrong rows that are reported, the first of each sample before all others."""
KEY_LIMIT = 1 << 25
"""Maximum number of keys of wrong rows that are read one by one."""
LIST_LIMIT = 20
"""Maximum number of positions in a witness."""


def find_wrong_rows(subject: Subject, placed: Placement, table: int) -> Int64Array:
    """Return the positions whose row differs from what the tokens of its class attend to, by class as multisets.

    Sums of random words over rows are compared (`masksynth.verify.colour_refinement`); O(N + T).
    """
    classes, count = placed.class_of_position, len(placed.first_token)
    words = draw(count + 1, placed.rows.key_start.tobytes(), classes.tobytes(), placed.class_of_token.tobytes())
    given = row_sums(subject.mask, table, words[classes])
    expected = row_sums(placed.rows, table, words[placed.class_of_token])
    known = np.flatnonzero(classes >= 0)
    wrong: Int64Array = known[(expected[placed.first_token[classes[known]]] != given[known]).any(axis=1)]
    return wrong


def find_row_faults(subject: Subject, expected: Expected, placed: Placement, live: BoolArray) -> Iterator[Finding]:
    """Yield MS002, MS009, MS013 and MS015: what rows lack, contain in another number, or should not contain."""
    tokens_by_class = np.argsort(placed.class_of_token, kind="stable")
    offset = indptr(np.bincount(placed.class_of_token, minlength=len(placed.first_token)))
    for table in range(subject.mask.tables):
        comparison = _RowComparison(subject, expected, placed, tokens_by_class, offset, table)
        wrong = find_wrong_rows(subject, placed, table)
        order = _first_of_each_sample(wrong, expected, placed)
        keys = reported = 0
        for query in order[:ROW_LIMIT].tolist():
            keys += sum(end - start for start, end in subject.mask.intervals(query, table))
            if keys > KEY_LIMIT and reported:
                break
            reported += 1
            yield from comparison.compare(query, bool(live[query]))
        if reported < len(wrong):
            where = f" of table {table}" if subject.mask.tables > 1 else ""
            message = (
                f"{len(wrong) - reported} more rows{where} differ from those of their samples; {reported} are reported"
            )
            witness = {"codes": ["MS002", "MS009", "MS013", "MS015"], "rows": len(wrong), "written": reported}
            remedy = "fix what is reported and audit again"
            yield Finding("MS014", "note", int(order[reported]), witness, remedy, message)


def _first_of_each_sample(wrong: Int64Array, expected: Expected, placed: Placement) -> Int64Array:
    """Return the wrong rows with the first of each sample in front."""
    token = placed.token_of_position[wrong]
    order = np.lexsort((expected.index[token], expected.sample[token]))
    begins = run_starts(expected.sample[token[order]])
    return np.concatenate([wrong[order[begins]], wrong[order[~begins]]])


@dataclass(frozen=True, eq=False)
class _RowComparison:
    """Compare rows of one table with those of the samples.

    Parameters
    ----------
    subject : Subject
    expected : Expected
    placed : Placement
    tokens_by_class : (U,) int64
        Tokens sorted by class.
    offset : (C + 1,) int64
        Class c has the tokens ``tokens_by_class[offset[c] : offset[c + 1]]``.
    table : int
    """

    subject: Subject
    expected: Expected
    placed: Placement
    tokens_by_class: Int64Array
    offset: Int64Array
    table: int

    def compare(self, query: int, live: bool) -> Iterator[Finding]:
        """Yield the findings for one wrong row; errors if some label depends on it."""
        placed, class_of_position = self.placed, self.placed.class_of_position
        keys = self.subject.mask.row(query, self.table)
        if self.subject.padding is not None:
            keys = keys[~self.subject.padding[keys]]
        visible = placed.rows.row(int(placed.first_token[class_of_position[query]]), self.table)
        wanted, wanted_count = np.unique(placed.class_of_token[visible], return_counts=True)
        given, given_count = np.unique(class_of_position[keys], return_counts=True)
        missing = visible[~np.isin(placed.class_of_token[visible], given)]
        missing = missing[placed.has_position[placed.class_of_token[missing]]]  # others are reported once, as MS018
        if len(missing):
            yield self._missing(query, live, missing)
        common, in_wanted, in_given = np.intersect1d(wanted, given, return_indices=True)
        surplus = given_count[in_given] - wanted_count[in_wanted]
        # too many keys of a class: copies of other samples, if these explain the number
        foreign = [
            self._copies_of_others(keys, int(common[i]), query, int(surplus[i]))
            for i in np.flatnonzero(surplus > 0).tolist()
        ]
        extra = np.sort(np.concatenate([keys[~np.isin(class_of_position[keys], wanted)], *foreign]))
        if len(extra):
            yield from self._extra(query, live, extra)
        explained = np.unique(class_of_position[np.concatenate([keys[:0], *foreign])])
        for i in np.flatnonzero((surplus != 0) & ~np.isin(common, explained)).tolist():
            counts = int(given_count[in_given[i]]), int(wanted_count[in_wanted[i]])
            yield self._wrong_count(query, live, keys, int(common[i]), *counts)

    def _describe(self, query: int) -> str:
        token = int(self.placed.token_of_position[query])
        return f"position {self.subject.token(query)}, {self.expected.describe(token)},"

    def _finding(
        self, code: str, query: int, live: bool, witness: dict[str, Any], remedy: str, message: str
    ) -> Finding:
        """Return a finding with the position's sample and, if there are several, the table."""
        in_table = {"table": self.table} if self.subject.mask.tables > 1 else {}
        message += f" in table {self.table}" if in_table else ""
        message += "" if live else "; no label depends on it"
        witness = {**self.expected.witness(int(self.placed.token_of_position[query])), **witness, **in_table}
        return Finding(code, "error" if live else "warning", query, witness, remedy, message)

    def _missing(self, query: int, live: bool, missing: Int64Array) -> Finding:
        names = [
            f"{self.expected.identity(token)} (token {self.expected.index[token]})" for token in missing[:3].tolist()
        ]
        witness = {
            "missing": self.expected.index[missing[:LIST_LIMIT]].tolist(),
            "positions": [self.placed.position_of(token) for token in missing[:LIST_LIMIT].tolist()],
            "count": len(missing),
        }
        remedy = "allow these keys in its row"
        if self.subject.rules is None:
            remedy += "; if the layers have a window or chunks, declare them under tables in --tokens"
        message = f"{self._describe(query)} does not attend to {list_names(names, len(missing))}"
        return self._finding("MS002", query, live, witness, remedy, message)

    def _wrong_count(self, query: int, live: bool, keys: Int64Array, number: int, given: int, wanted: int) -> Finding:
        listed = keys[self.placed.class_of_position[keys] == number][:LIST_LIMIT].tolist()
        name = self.expected.identity(int(self.placed.first_token[number]))
        message = f"{self._describe(query)} attends to {given} copies of {name}, in its sample to {wanted}"
        remedy = "let it attend to as many copies as its sample has: attention weights depend on the number"
        witness = {"keys": listed, "due": wanted, "given": given}
        return self._finding("MS009", query, live, witness, remedy, message)

    def _copies_of_others(self, keys: Int64Array, number: int, query: int, surplus: int) -> Int64Array:
        """Return the keys of one class that belong to other samples, if their number is the surplus; else none."""
        members = keys[self.placed.class_of_position[keys] == number]
        sample = self.expected.sample[self.placed.token_of_position]
        foreign: Int64Array = members[sample[members] != sample[query]]
        return foreign if len(foreign) == surplus else foreign[:0]

    def _samples_of(self, query: int) -> Int64Array:
        """Return the samples that a position belongs to: that of its token if it is a copy, else all of its class."""
        number = int(self.placed.class_of_position[query])
        tokens = self.tokens_by_class[self.offset[number] : self.offset[number + 1]]
        if self.placed.is_copy[query]:
            tokens = np.array([int(self.placed.token_of_position[query])])
        return np.unique(self.expected.sample[tokens])

    def _extra(self, query: int, live: bool, extra: Int64Array) -> Iterator[Finding]:
        """Yield MS015 for keys of other samples, MS013 for other keys that the sample does not allow."""
        placed, table = self.placed, self.expected.table
        samples = self._samples_of(query)
        in_samples = np.zeros(len(placed.first_token), bool)  # classes of these samples' tokens
        for sample in samples.tolist():
            in_samples[placed.class_of_token[table.offset[sample] : table.offset[sample + 1]]] = True
        number = placed.class_of_position[extra]
        copied = placed.is_copy[extra] & ~np.isin(self.expected.sample[placed.token_of_position[extra]], samples)
        foreign = (number >= 0) & (~in_samples[number] | copied)
        if foreign.any():
            yield self._contamination(query, live, extra[foreign])
        if (~foreign).any():
            keys = extra[~foreign]
            names = [f"{self.subject.token(key)} ({self._reason(key, samples)})" for key in keys[:3].tolist()]
            witness = {"keys": keys[:LIST_LIMIT].tolist(), "count": len(keys)}
            message = f"{self._describe(query)} attends to {list_names(names, len(keys))}"
            yield self._finding("MS013", query, live, witness, "forbid these keys in its row", message)

    def _contamination(self, query: int, live: bool, keys: Int64Array) -> Finding:
        ids, sample = self.expected.table.ids, self.expected.sample[self.placed.token_of_position[keys]]
        names = [
            f"{self.subject.token(key)} of sample {ids[number]!r}"
            for key, number in zip(keys[:3].tolist(), sample[:3].tolist(), strict=True)
        ]
        others = [ids[number] for number in dict.fromkeys(sample.tolist())]
        witness = {"keys": keys[:LIST_LIMIT].tolist(), "samples": others[:LIST_LIMIT], "count": len(keys)}
        message = f"{self._describe(query)} attends to {list_names(names, len(keys))}"
        remedy = "forbid these keys in its row: samples must not attend to one another"
        return self._finding("MS015", query, live, witness, remedy, message)

    def _reason(self, key: int, samples: Int64Array) -> str:
        """Return why a key is too many for a position of the given samples, as text."""
        number = int(self.placed.class_of_position[key])
        if number < 0:
            return "which belongs to no sample"
        tokens = self.tokens_by_class[self.offset[number] : self.offset[number + 1]]
        token = int(tokens[np.isin(self.expected.sample[tokens], samples)][0])
        return f"{self.expected.describe(token)}, which its sample does not allow"
