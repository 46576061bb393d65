"""Explain how the labels of a mask differ from those of the samples.

A label that no sample expects at its position is explained by the first of these that applies: the position belongs to
no sample; the label is the input of the next position, which does not continue the sample; many labels of the sample
are off by the same number of tokens; another label is expected there; it is expected elsewhere; the sample does not
train it; no sample has it. Labels that are still missing afterwards are reported as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.finding_text import format_times
from masksynth.audit.samples.compare_labels import ClassLabel, Difference, compare_labels, integer_labels
from masksynth.audit.samples.expected_mask import Expected, label_values, token_ids
from masksynth.audit.samples.missing_labels import MissingLabels
from masksynth.audit.samples.placement import Placement
from masksynth.mask.csr import indptr
from masksynth.mask.typing import Int64Array
from masksynth.pack.sample_columns import IGNORED
from masksynth.subject.subject import Labels, Subject

LIST_LIMIT = 20
"""Maximum number of positions in a witness."""
FINDING_LIMIT = 1000
"""Maximum number of findings about labels."""
SHIFTS = (-1, 1, -2, 2)
"""By how many tokens labels may be off; -1: not shifted at all, 1: shifted twice."""
CODES = ("MS003", "MS004", "MS016", "MS017")


def find_label_faults(subject: Subject, expected: Expected, placed: Placement) -> Iterator[Finding]:
    """Yield MS003, MS004, MS016 and MS017 for labels that the samples do not expect, and for missing labels."""
    if subject.labels is None:
        if count := len(expected.spans.trained):
            message = f"the labels of the mask are not known: {count} labels of the samples were not compared"
            yield Finding("MS022", "warning", None, {"codes": list(CODES)}, "give labels with --tokens", message)
        return
    difference = compare_labels(subject.labels, expected, placed)
    if difference.extra or difference.lost:
        yield from _Explainer(subject, subject.labels, expected, placed, difference).run()


class _Explainer:
    """Explain one difference after another; explained ones are removed from ``open`` and ``lost``.

    Attributes
    ----------
    open : (E,) bool
        Labels that no sample expects at their position and that are not explained yet.
    lost : MissingLabels
        Labels that are missing and not explained yet.
    class_of_label : (E,) int64
        Class of the position that predicts each label.
    next_label : (U,) int64
        The token whose label each token predicts: the next one, or the token itself.
    label_value : (U,) int64
        The label of each token, or the token itself where it is not trained.
    """

    def __init__(
        self, subject: Subject, labels: Labels, expected: Expected, placed: Placement, difference: Difference
    ) -> None:
        self.subject, self.labels, self.expected, self.placed = subject, labels, expected, placed
        self.difference, self.lost = difference, MissingLabels(difference.lost)
        self.value = integer_labels(labels)
        self.class_of_label = placed.class_of_position[labels.position]
        self.open = np.zeros(len(labels), bool)
        self.open[difference.extra] = True
        self.tokens_by_class = np.argsort(placed.class_of_token, kind="stable")
        self.offset = indptr(np.bincount(placed.class_of_token, minlength=len(placed.first_token)))
        self.next_label = np.arange(len(placed.class_of_token)) + 1
        itself = expected.spans.trained == expected.spans.predictor
        self.next_label[expected.spans.predictor[itself]] = expected.spans.trained[itself]
        self.label_value = label_values(expected)

    def run(self) -> Iterator[Finding]:
        """Yield at most ``FINDING_LIMIT`` explanations, and the number of differences beyond."""
        findings: list[Finding] = []
        for explain in (
            self._without_sample,
            self._across_boundaries,
            self._shifted_samples,
            self._single_labels,
            self._lost_labels,
        ):
            findings += islice(explain(), FINDING_LIMIT - len(findings))
        yield from findings
        left = int(self.open.sum()) + self.lost.total()
        if left:
            message = f"{left} more labels differ from those of the samples; {len(findings)} findings are reported"
            witness = {"codes": list(CODES), "labels": left, "written": len(findings)}
            yield Finding("MS014", "note", None, witness, "fix what is reported and audit again", message)

    def _close(self, label: int) -> int:
        """Mark a label as explained; return its position."""
        self.open[label] = False
        return int(self.labels.position[label])

    def _text(self, label: int) -> str:
        value = self.labels.value[label]
        return str(value) if type(value) is int else repr(value)

    def _tokens(self, label: int) -> Int64Array:
        """Return the tokens of the class that a label's position has."""
        number = int(self.class_of_label[label])
        return self.tokens_by_class[self.offset[number] : self.offset[number + 1]]

    def _shift(self, token: Int64Array, shift: int) -> Int64Array:
        """Return for each token the one that lies ``shift`` after the token it predicts; -1 outside its sample."""
        shifted = self.next_label[token] + shift
        inside = (shifted >= 0) & (shifted < len(self.label_value))
        inside[inside] = self.expected.sample[shifted[inside]] == self.expected.sample[token[inside]]
        return np.where(inside, shifted, -1)

    def _find_source(self, label: int, shift: int) -> int:
        """Return a token with the label's value that lies ``shift`` after the expected one; -1 if there is none."""
        token = self._tokens(label)
        shifted = self._shift(token, shift)
        fits = (shifted >= 0) & (self.label_value[shifted] == self.value[label])
        named = fits & (token == self.placed.token_of_position[self.labels.position[label]])
        return int(shifted[(named if named.any() else fits).argmax()]) if fits.any() else -1

    def _without_sample(self) -> Iterator[Finding]:
        """Yield labels at positions that belong to no sample."""
        padding = self.subject.padding
        for label in np.flatnonzero(self.open & (self.class_of_label < 0)).tolist():
            position = self._close(label)
            if padding is not None and padding[position]:
                continue  # reported as MS020
            where = f"position {self.subject.token(position)}"
            message = f"{where} predicts {self._text(label)}, but the position belongs to no sample"
            witness = {"label": self.labels.value[label]}
            yield Finding("MS003", "error", position, witness, "remove the label", message)

    def _across_boundaries(self) -> Iterator[Finding]:
        """Yield labels that are the input of the next position of the mask, which does not continue the sample."""
        placed, expected = self.placed, self.expected
        inner, count = np.flatnonzero(expected.index[1:] > 0), len(placed.first_token)
        steps = (
            placed.class_of_token[inner] * count + placed.class_of_token[inner + 1]
        )  # (class, next class) in samples
        following = np.minimum(self.labels.position + 1, self.subject.size - 1)
        is_next_input = token_ids(self.subject)[following] == self.value
        across = self.open & (self.value >= 0) & is_next_input & (following > self.labels.position)
        next_class = placed.class_of_position[following]
        across &= (next_class >= 0) & ~np.isin(self.class_of_label * count + next_class, steps)
        for label in np.flatnonzero(across).tolist():
            if self._find_source(label, -1) >= 0:  # its own token, which the next position repeats
                continue
            position = self._close(label)
            token, other = (int(placed.token_of_position[row]) for row in (position, position + 1))
            witness = {**expected.witness(token), "label": self.labels.value[label], "next": position + 1}
            witness["other"] = expected.witness(other)
            message = (
                f"position {self.subject.token(position)}, {expected.describe(token)}, predicts {self._text(label)}, "
                f"the input of position {position + 1}, {expected.describe(other)}, which does not continue it"
            )
            remedy = "give each position the next token of its own sample, and the last one none"
            yield Finding("MS017", "error", position, witness, remedy, message)

    def _shifted_samples(self) -> Iterator[Finding]:
        """Yield one finding for each sample whose labels are off by the same number of tokens."""
        labels = np.flatnonzero(self.open)
        named = self.placed.token_of_position[self.labels.position[labels]]
        wrong = Counter(self.expected.sample[named].tolist())
        sources = {shift: self._sources(labels, named, shift) for shift in SHIFTS}
        for shift in sorted(SHIFTS, key=lambda shift: (-len(sources[shift]), abs(shift))):
            everywhere = len(sources[shift]) >= 2 and 2 * len(sources[shift]) >= len(labels)
            by_sample: dict[int, list[tuple[int, int]]] = {}
            for label, token in sources[shift]:
                if self.open[label]:
                    by_sample.setdefault(int(self.expected.sample[token]), []).append((label, token))
            for sample, pairs in by_sample.items():
                if everywhere or (len(pairs) >= 2 and 2 * len(pairs) >= wrong[sample]):
                    yield self._shifted_sample(sample, shift, pairs)

    def _sources(self, labels: Int64Array, named: Int64Array, shift: int) -> list[tuple[int, int]]:
        """Return (label, token that it is) for labels that would be right ``shift`` tokens later.

        Parameters
        ----------
        labels, named : (m,) int64
            Labels, and the token that messages name for the position of each.
        shift : int
        """
        shifted = self._shift(named, shift)
        fits = (shifted >= 0) & (self.label_value[shifted] == self.value[labels])
        sources = list(zip(labels[fits].tolist(), shifted[fits].tolist(), strict=True))
        shared = np.diff(self.offset)[self.class_of_label[labels]] > 1  # classes of several tokens: try the others
        for label in labels[~fits & shared][:FINDING_LIMIT].tolist():
            if (token := self._find_source(label, shift)) >= 0:
                sources.append((label, token))
        return sources

    def _shifted_sample(self, sample: int, shift: int, pairs: list[tuple[int, int]]) -> Finding:
        self.open[[label for label, _ in pairs]] = False
        spans = self.expected.spans
        trained = np.flatnonzero(self.expected.sample[spans.trained] == sample)
        classes = self.placed.class_of_token[spans.predictor[trained]]
        for pair in zip(classes.tolist(), self.label_value[spans.trained[trained]].tolist(), strict=True):
            self.lost.remove(pair)
        label, token = pairs[0]
        position, name = int(self.labels.position[label]), self.expected.table.ids[sample]
        causes = {-1: "not shifted, each position predicts its own token", 1: "shifted twice"}
        cause = causes.get(shift, f"off by {shift} tokens")
        right = token - shift
        inside = 0 <= right < len(self.label_value) and self.expected.sample[right] == sample
        wanted = f"{self.label_value[right]} (token {self.expected.index[right]})" if inside else "no label"
        witness = {"sample": name, "token": int(self.expected.index[token]), "shift": shift, "labels": len(pairs)}
        witness["label"] = self.labels.value[label]
        message = (
            f"{len(pairs)} labels of sample {name!r} are wrong: {cause}; position "
            f"{self.subject.token(position)}: expected {wanted}, got {self._text(label)} "
            f"(token {self.expected.index[token]})"
        )
        remedy = "shift the labels exactly once: a token predicts the next one of its own sample"
        return Finding("MS016", "error", position, witness, remedy, message)

    def _single_labels(self) -> Iterator[Finding]:
        """Yield labels that are wrong on their own."""
        for label in np.flatnonzero(self.open).tolist():
            position = self._close(label)
            yield self._explain_single(label, position)

    def _explain_single(self, label: int, position: int) -> Finding:
        number, value = int(self.class_of_label[label]), int(self.value[label])
        token = int(self.placed.token_of_position[position])
        where = f"position {self.subject.token(position)}, {self.expected.describe(token)}"
        witness = {**self.expected.witness(token), "label": self.labels.value[label]}
        if (number, value) in self.difference.expected:
            return self._repeated(label, position, (number, value), where)
        if (pair := self.lost.take_of_class(number)) is not None:
            witness |= {**self.expected.witness(self.difference.expected[pair][0]), "due_label": pair[1]}
            message = (
                f"{where}: expected label {pair[1]} (token {witness['token']} of sample {witness['sample']!r}), "
                f"got {self._text(label)}"
            )
            return Finding("MS003", "error", position, witness, f"predict {pair[1]} there", message)
        if (pair := self.lost.take_of_value(value)) is not None:
            return self._misplaced(label, position, pair, witness)
        token = self._find_source(label, 0)
        if token >= 0 and self.expected.table.labels[token] == IGNORED:
            witness |= self.expected.witness(token)
            source = self.expected.describe(token)
            message = f"{where}, predicts {self._text(label)}, {source}, which the sample does not train"
            remedy = f"remove the label: the sample has {IGNORED} there"
            return Finding("MS003", "error", position, witness, remedy, message)
        message = f"{where}, predicts {self._text(label)}, which no sample has there"
        return Finding("MS003", "error", position, witness, "remove the label", message)

    def _misplaced(self, label: int, position: int, pair: ClassLabel, witness: dict[str, object]) -> Finding:
        """Report a label that another position should predict."""
        token = self.difference.expected[pair][0]
        right = np.flatnonzero(self.placed.class_of_position == pair[0])[:LIST_LIMIT].tolist()
        witness |= {**self.expected.witness(token), "due": right}
        message = (
            f"position {self.subject.token(position)} predicts {self._text(label)}, {self.expected.describe(token)}, "
            f"which position {self.subject.token(right[0])} should predict"
        )
        remedy = "put the label where its sample predicts it"
        return Finding("MS003", "error", position, witness, remedy, message)

    def _repeated(self, label: int, position: int, pair: ClassLabel, where: str) -> Finding:
        tokens, given = self.difference.expected[pair], self.difference.given[pair]
        witness = {**self.expected.witness(tokens[0]), "label": self.labels.value[label]}
        witness |= {"given": given, "asked": len(tokens)}
        message = (
            f"{where}: expected label {self._text(label)}, {self.expected.describe(tokens[0])}, "
            f"{format_times(len(tokens))}, got {format_times(given)}"
        )
        return Finding("MS004", "error", position, witness, "remove the repetitions", message)

    def _lost_labels(self) -> Iterator[Finding]:
        """Yield labels that occur too seldom; a warning where they occur, as one may carry the weight of several."""
        for pair, count in self.lost.remove_all():
            tokens, given = self.difference.expected[pair], self.difference.given.get(pair, 0)
            position = self.placed.position_of(int(self.placed.first_token[pair[0]]))
            witness = {**self.expected.witness(tokens[0]), "label": pair[1], "asked": len(tokens), "given": given}
            label = f"label {pair[1]}, {self.expected.describe(tokens[0])}"
            times = f"{format_times(len(tokens))}, got {format_times(given)}; {count} lost"
            message = f"position {self.subject.token(position)}: expected {label}, {times}"
            remedy = "add a loss edge for each sample that has it, or weight the existing one"
            yield Finding("MS004", "warning" if given else "error", position, witness, remedy, message)
