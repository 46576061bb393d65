"""Labels of a mask beside those of the samples: wrong, shifted, lost and repeated ones, and labels over a boundary.

Both sides are multisets of (class of the predicting position, label). What is given and not asked for is explained in
this order: it stands on a position of no sample; it is the input of the next position, which does not continue the
sample; many labels of the sample are off by the same number of tokens; the sample leaves it untrained; another label is
asked for there; it is asked for elsewhere; nobody asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.audit.samples.expected_mask import Expected, label_values, token_ids
from masksynth.audit.samples.placement import Placement
from masksynth.pack.sample_columns import IGNORED
from masksynth.subject.subject import Labels, Subject
from masksynth.verify.interval_sets import prefix

Ints = NDArray[np.int64]
Pair = tuple[int, int]
"""A class and a label."""
LISTED = 20
TOLD = 1000
"""Most labels that are written out."""
WIDE = 1 << 32
"""Above every label."""
SHIFTS = (-1, 1, -2, 2)
"""By how many tokens labels may be off; -1: not shifted at all, 1: shifted twice."""


@dataclass(frozen=True, eq=False)
class Difference:
    """Labels given and not asked for, and asked for and not given.

    Parameters
    ----------
    extra : list of int
        Numbers of labels of the subject.
    lost : dict
        (class, label) -> how many are lacking.
    asked : dict
        (class, label) -> tokens whose labels ask for it.
    given : dict
        (class, label) -> how many the subject has.
    """

    extra: list[int]
    lost: dict[Pair, int]
    asked: dict[Pair, list[int]]
    given: dict[Pair, int] = field(default_factory=dict)


def values_of(labels: Labels) -> Ints:
    """Return the labels as token ids, -1 where one is no token id."""
    return np.fromiter(
        (value if type(value) is int and 0 <= value < 2**31 else -1 for value in labels.value), np.int64, len(labels)
    )


def compare_labels(labels: Labels, expected: Expected, placed: Placement) -> Difference:
    """Return how the subject's labels and those of the samples differ, as multisets of (class, label).

    Labels of tokens that stand nowhere are left out: the tokens themselves are reported.
    """
    value = values_of(labels)
    code = placed.home[labels.position] * WIDE + value + 1
    trained, predictor = expected.spans.trained, expected.spans.predictor
    here = placed.served[placed.classes[predictor]]
    trained, predictor = trained[here], predictor[here]
    due = placed.classes[predictor] * WIDE + expected.table.labels[trained] + 1
    codes, number = np.unique(np.concatenate([code, due]), return_inverse=True)
    mine, theirs = number[: len(code)], number[len(code) :]
    given, asked = (np.bincount(part, minlength=len(codes)) for part in (mine, theirs))
    wrong = given != asked
    # of a label that is given too often, the last ones are extra
    order = np.argsort(mine, kind="stable")
    rank = np.empty(len(mine), np.int64)
    rank[order] = np.arange(len(mine)) - prefix(given)[mine[order]]
    extra = np.flatnonzero((rank >= asked[mine]) | (placed.home[labels.position] < 0) | (value < 0))
    pairs = {int(at): (int(codes[at] // WIDE), int(codes[at] % WIDE) - 1) for at in np.flatnonzero(wrong).tolist()}
    told: dict[Pair, list[int]] = {}
    for token, at in zip(trained[wrong[theirs]].tolist(), theirs[wrong[theirs]].tolist(), strict=True):
        told.setdefault(pairs[at], []).append(token)
    lost = {pairs[at]: int(asked[at] - given[at]) for at in np.flatnonzero(asked > given).tolist()}
    return Difference(extra.tolist(), lost, told, {pairs[at]: int(given[at]) for at in pairs})


def own_tokens(labels: Labels, expected: Expected, placed: Placement) -> Ints:
    """Return for each label the position that holds its own token, by the samples.

    A label that is the sample's own token (mask tokens predict themselves) has none: -1. Of a label that no sample asks
    for, what is known already is returned.
    """
    value, home = values_of(labels), placed.home
    trained, predictor = expected.spans.trained, expected.spans.predictor
    order = np.argsort(trained == predictor, kind="stable")  # a label that is another token first
    due = (placed.classes[predictor] * WIDE + expected.table.labels[trained])[order]
    codes, first = np.unique(due, return_index=True)
    code = home[labels.position] * WIDE + value
    found = np.minimum(np.searchsorted(codes, code), max(len(codes) - 1, 0))
    asked = (home[labels.position] >= 0) & (value >= 0) & (codes[found] == code if len(codes) else False)
    target = labels.target.copy()
    token = trained[order][first[found[asked]]]
    itself = predictor[order][first[found[asked]]] == token
    at = np.full(len(placed.first), -1, np.int64)  # the first position of each class
    known = np.flatnonzero(home >= 0)[::-1]
    at[home[known]] = known
    own, inferred = placed.classes[token], target[asked]
    holds = (inferred >= 0) & (home[inferred] == own)
    target[asked] = np.where(itself, -1, np.where(holds, inferred, at[own]))
    return target


def weight_findings(subject: Subject, expected: Expected, placed: Placement) -> Iterator[Finding]:
    """MS004: labels of a packed batch whose weights are not those of the samples; MS022 where the mask has no weights.

    The weights of a label that several samples ask for at one position are added up.
    """
    if subject.labels is None:
        return
    trained, predictor = expected.spans.trained, expected.spans.predictor
    own = expected.table.fields.get("weights", np.full(len(expected.table.tokens), np.nan))[trained]
    asked = expected.table.weight[expected.sample[trained]] * np.where(np.isnan(own), 1.0, own)
    if subject.batch is None and (subject.labels.weight == 1).all():
        if other := int((asked != 1).sum()):
            message = f"weights of {other} labels of the samples were not compared: the labels of the mask carry none"
            yield Finding(
                "MS022", "warning", None, {"codes": ["MS004"], "labels": other}, "audit the packed folder", message
            )
        return
    mine = placed.home[subject.labels.position] * WIDE + values_of(subject.labels) + 1
    theirs = placed.classes[predictor] * WIDE + expected.table.labels[trained] + 1
    codes, number = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
    here, there = number[: len(mine)], number[len(mine) :]
    count = np.bincount(here, minlength=len(codes)), np.bincount(there, minlength=len(codes))
    total = np.bincount(here, subject.labels.weight, len(codes)), np.bincount(there, asked, len(codes))
    # labels of another number are reported as lost or repeated
    wrong = np.flatnonzero((count[0] == count[1]) & ~np.isclose(*total, rtol=1e-9, atol=1e-12))
    first = np.full(len(codes), len(mine))
    np.minimum.at(first, here, np.arange(len(mine)))
    asks = np.full(len(codes), len(trained))
    np.minimum.at(asks, there, np.arange(len(trained)))
    for code in wrong[:TOLD].tolist():
        edge, token = int(first[code]), int(trained[asks[code]])
        at, label = int(subject.labels.position[edge]), subject.labels.value[edge]
        given, due = float(total[0][code]), float(total[1][code])
        message = f"position {subject.token(at)} predicts {label}, {expected.name(token)}, with weight {given:g}, and should with {due:g}"
        witness = {**expected.witness(token), "label": label, "given": given, "asked": due}
        yield Finding("MS004", "error", at, witness, "pack the samples again", message)
    if len(wrong) > TOLD:
        message = f"{len(wrong) - TOLD} more labels have other weights than in the samples; {TOLD} are written out"
        yield Finding(
            "MS014", "note", None, {"codes": ["MS004"], "labels": len(wrong)}, "pack the samples again", message
        )


def label_findings(subject: Subject, expected: Expected, placed: Placement) -> Iterator[Finding]:
    """MS003, MS004, MS016, MS017: labels that the samples do not ask for, and labels that are lacking."""
    if subject.labels is None:
        if len(expected.spans.trained):
            message = f"the labels of the mask are not known: {len(expected.spans.trained)} labels of the samples were not compared"
            remedy = "give labels with --tokens"
            yield Finding("MS022", "warning", None, {"codes": ["MS003", "MS004", "MS016", "MS017"]}, remedy, message)
        return
    difference = compare_labels(subject.labels, expected, placed)
    if not difference.extra and not difference.lost:
        return
    yield from _Explanation(subject, subject.labels, expected, placed, difference).findings()


class _Explanation:
    """Explain differences one after the other; what is explained is taken out of ``open`` and ``lost``."""

    def __init__(
        self, subject: Subject, labels: Labels, expected: Expected, placed: Placement, difference: Difference
    ) -> None:
        self.subject, self.labels, self.expected, self.placed = subject, labels, expected, placed
        self.difference, self.lost = difference, dict(difference.lost)
        self.value = values_of(labels)
        self.home = placed.home[labels.position]
        self.open = np.zeros(len(labels), bool)
        self.open[difference.extra] = True
        self.order = np.argsort(placed.classes, kind="stable")
        self.cut = prefix(np.bincount(placed.classes, minlength=len(placed.first)))
        # the token whose label each token predicts: the next one, or itself
        self.due = np.arange(len(placed.classes)) + 1
        own = expected.spans.trained == expected.spans.predictor
        self.due[expected.spans.predictor[own]] = expected.spans.trained[own]
        self.asks = label_values(expected)
        self.by_class = _index(self.lost, 0)
        self.by_value = _index(self.lost, 1)

    def findings(self) -> Iterator[Finding]:
        found: list[Finding] = []
        for explain in (self._of_no_sample, self._over_boundaries, self._shifted, self._single, self._lacking):
            found += islice(explain(), TOLD - len(found))
        yield from found
        left = int(self.open.sum()) + sum(self.lost.values())
        if left:
            message = f"{left} more labels differ from those of the samples, {len(found)} findings are written out"
            witness = {"codes": ["MS003", "MS004", "MS016", "MS017"], "labels": left, "written": len(found)}
            yield Finding("MS014", "note", None, witness, "mend what is written out and audit again", message)

    def _close(self, edge: int) -> int:
        """Take a label out of those to be explained; return its position."""
        self.open[edge] = False
        return int(self.labels.position[edge])

    def _tokens(self, edge: int) -> Ints:
        """Return the tokens for which the position of a label stands."""
        number = int(self.home[edge])
        return self.order[self.cut[number] : self.cut[number + 1]]

    def _shifted_tokens(self, token: Ints, shift: int) -> Ints:
        """Return the token whose label is due ``shift`` tokens after that of each token, -1 outside its sample."""
        other = self.due[token] + shift
        inside = (other >= 0) & (other < len(self.asks))
        inside[inside] = self.expected.sample[other[inside]] == self.expected.sample[token[inside]]
        return np.where(inside, other, -1)

    def _asked_at(self, edge: int, shift: int) -> int:
        """Return a token whose label has the same value and is due ``shift`` tokens later, -1 if there is none."""
        token = self._tokens(edge)
        other = self._shifted_tokens(token, shift)
        fits = (other >= 0) & (self.asks[other] == self.value[edge])
        named = fits & (token == self.placed.token[self.labels.position[edge]])
        return int(other[(named if named.any() else fits).argmax()]) if fits.any() else -1

    def _text(self, edge: int) -> str:
        value = self.labels.value[edge]
        return str(value) if type(value) is int else repr(value)

    def _of_no_sample(self) -> Iterator[Finding]:
        padding = self.subject.padding
        for edge in np.flatnonzero(self.open & (self.home < 0)).tolist():
            at = self._close(edge)
            if padding is not None and padding[at]:
                continue  # reported as MS020
            message = f"label {self._text(edge)} stands at position {self.subject.token(at)}, which serves no sample"
            yield Finding("MS003", "error", at, {"label": self.labels.value[edge]}, "remove the label", message)

    def _over_boundaries(self) -> Iterator[Finding]:
        """Labels that are the input of the next position of the mask, which does not continue the sample."""
        placed, expected = self.placed, self.expected
        inner, count = np.flatnonzero(expected.index[1:] > 0), len(placed.first)
        steps = placed.classes[inner] * count + placed.classes[inner + 1]
        after = np.minimum(self.labels.position + 1, self.subject.size - 1)
        along = (
            self.open
            & (self.value >= 0)
            & (token_ids(self.subject)[after] == self.value)
            & (after > self.labels.position)
        )
        along &= (placed.home[after] >= 0) & ~np.isin(self.home * count + placed.home[after], steps)
        for edge in np.flatnonzero(along).tolist():
            if self._asked_at(edge, -1) >= 0:  # its own token, which the next position repeats
                continue
            at = self._close(edge)
            owner, other = int(placed.token[at]), int(placed.token[at + 1])
            witness = {**expected.witness(owner), "label": self.labels.value[edge], "next": at + 1}
            witness["other"] = expected.witness(other)
            message = (
                f"position {self.subject.token(at)}, {expected.name(owner)}, predicts {self._text(edge)}, the input of position "
                f"{at + 1}, {expected.name(other)}, which does not continue it"
            )
            remedy = "give each position the next token of its own sample, and the last one none"
            yield Finding("MS017", "error", at, witness, remedy, message)

    def _shifted(self) -> Iterator[Finding]:
        """Samples whose labels are off by the same number of tokens: one finding for each."""
        edges = np.flatnonzero(self.open)
        named = self.placed.token[self.labels.position[edges]]
        wrong = Counter(self.expected.sample[named].tolist())
        fits = {shift: self._fitting(edges, named, shift) for shift in SHIFTS}
        for shift in sorted(SHIFTS, key=lambda one: (-len(fits[one]), abs(one))):
            everywhere = len(fits[shift]) >= 2 and 2 * len(fits[shift]) >= len(edges)
            by_sample: dict[int, list[tuple[int, int]]] = {}
            for edge, token in fits[shift]:
                if self.open[edge]:
                    by_sample.setdefault(int(self.expected.sample[token]), []).append((edge, token))
            for sample, pairs in by_sample.items():
                if everywhere or (len(pairs) >= 2 and 2 * len(pairs) >= wrong[sample]):
                    yield self._shifted_sample(sample, shift, pairs)

    def _fitting(self, edges: Ints, named: Ints, shift: int) -> list[tuple[int, int]]:
        """Return (label, token whose label it is) where that is due ``shift`` tokens later."""
        other = self._shifted_tokens(named, shift)
        fits = (other >= 0) & (self.asks[other] == self.value[edges])
        found = list(zip(edges[fits].tolist(), other[fits].tolist(), strict=True))
        shared = np.diff(self.cut)[self.home[edges]] > 1
        for edge in edges[~fits & shared][:TOLD].tolist():
            if (token := self._asked_at(edge, shift)) >= 0:
                found.append((edge, token))
        return found

    def _shifted_sample(self, sample: int, shift: int, pairs: list[tuple[int, int]]) -> Finding:
        self.open[[edge for edge, _ in pairs]] = False
        spans = self.expected.spans
        own = np.flatnonzero(self.expected.sample[spans.trained] == sample)
        number, value = self.placed.classes[spans.predictor[own]], self.asks[spans.trained[own]]
        for pair in zip(number.tolist(), value.tolist(), strict=True):
            self.lost.pop(pair, None)
        edge, token = pairs[0]
        at, name = int(self.labels.position[edge]), self.expected.table.ids[sample]
        how = {-1: "each position predicts its own token", 1: "they were shifted twice"}.get(
            shift, f"off by {shift} tokens"
        )
        right = token - shift
        inside = 0 <= right < len(self.asks) and self.expected.sample[right] == sample
        due = f"{self.asks[right]}, token {self.expected.index[right]}" if inside else "nothing"
        witness = {"sample": name, "token": int(self.expected.index[token]), "shift": shift, "labels": len(pairs)}
        witness["label"] = self.labels.value[edge]
        message = (
            f"{len(pairs)} labels of sample {name!r} are shifted, {how}: position {self.subject.token(at)} predicts "
            f"{self._text(edge)}, token {self.expected.index[token]}, and should predict {due}"
        )
        remedy = "shift the labels exactly once: a token predicts the next one of its own sample"
        return Finding("MS016", "error", at, witness, remedy, message)

    def _single(self) -> Iterator[Finding]:
        """Labels that are wrong on their own."""
        for edge in np.flatnonzero(self.open).tolist():
            at, number, value = self._close(edge), int(self.home[edge]), int(self.value[edge])
            owner = int(self.placed.token[at])
            where = f"position {self.subject.token(at)}, {self.expected.name(owner)},"
            witness = {**self.expected.witness(owner), "label": self.labels.value[edge]}
            if (number, value) in self.difference.asked:
                yield self._repeated(edge, at, (number, value), where)
            elif (pair := self._take(self.by_class.get(number, []))) is not None:
                token = self.difference.asked[pair][0]
                witness |= {**self.expected.witness(token), "due_label": pair[1]}
                asked = f"sample {witness['sample']!r} asks for {pair[1]} (token {witness['token']})"
                message = f"{where} predicts {self._text(edge)}, and {asked}"
                yield Finding("MS003", "error", at, witness, f"predict {pair[1]} there", message)
            elif (pair := self._take(self.by_value.get(value, []))) is not None:
                token = self.difference.asked[pair][0]
                due = np.flatnonzero(self.placed.home == pair[0])[:LISTED].tolist()
                witness |= {**self.expected.witness(token), "due": due}
                message = (
                    f"label {self._text(edge)}, {self.expected.name(token)}, stands at position {self.subject.token(at)}, and position "
                    f"{self.subject.token(due[0])} should predict it"
                )
                yield Finding("MS003", "error", at, witness, "put the label where its sample predicts it", message)
            elif (token := self._asked_at(edge, 0)) >= 0 and self.expected.table.labels[token] == IGNORED:
                witness |= self.expected.witness(token)
                message = f"{where} predicts {self._text(edge)}, {self.expected.name(token)}, which the sample leaves untrained"
                yield Finding(
                    "MS003", "error", at, witness, f"remove the label: the sample has {IGNORED} there", message
                )
            else:
                message = f"{where} predicts {self._text(edge)}, and no sample asks for that"
                yield Finding("MS003", "error", at, witness, "remove the label", message)

    def _repeated(self, edge: int, at: int, pair: Pair, where: str) -> Finding:
        token = self.difference.asked[pair][0]
        given, asked = self.difference.given[pair], len(self.difference.asked[pair])
        witness = {**self.expected.witness(token), "label": self.labels.value[edge], "given": given, "asked": asked}
        message = f"{where} predicts {self._text(edge)}, {self.expected.name(token)}, {given} times, and the samples ask {asked} times"
        return Finding("MS004", "error", at, witness, "remove the repeated ones", message)

    def _take(self, pairs: list[Pair]) -> Pair | None:
        """Take one lacking label out of some; return it, None where none of them is lacking any more."""
        while pairs and pairs[-1] not in self.lost:
            pairs.pop()
        if not pairs:
            return None
        self.lost[pairs[-1]] -= 1
        if not self.lost[pairs[-1]]:
            del self.lost[pairs[-1]]
        return pairs[-1]

    def _lacking(self) -> Iterator[Finding]:
        """Labels that are given too seldom; a warning where some are, as one may carry the weight of several."""
        for pair in list(self.lost):
            count = self.lost.pop(pair)
            tokens, given = self.difference.asked[pair], self.difference.given.get(pair, 0)
            token = tokens[0]
            at = self.placed.position_of(int(self.placed.first[pair[0]]))
            witness = {**self.expected.witness(token), "label": pair[1], "asked": len(tokens), "given": given}
            message = (
                f"position {self.subject.token(at)} should predict {pair[1]}, {self.expected.name(token)}, {len(tokens)} times and does "
                f"{given} times; {count} lost"
            )
            remedy = "add a loss edge for each sample that asks, or weight the one that is there"
            yield Finding("MS004", "warning" if given else "error", at, witness, remedy, message)


def _index(lost: dict[Pair, int], part: int) -> dict[int, list[Pair]]:
    """Return the lacking labels by class (``part`` 0) or by value (1)."""
    found: dict[int, list[Pair]] = {}
    for pair in reversed(lost):
        found.setdefault(pair[part], []).append(pair)
    return found
