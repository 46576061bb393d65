"""Compare a mask with the samples that it should train, and report what differs by sample and token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.match_positions import draw_words
from masksynth.audit.samples.compare_labels import find_target_positions, integer_labels
from masksynth.audit.samples.expected_mask import Expected, code_both, expect, numeric_kinds
from masksynth.audit.samples.explain_labels import find_label_faults
from masksynth.audit.samples.label_weights import find_wrong_weights
from masksynth.audit.samples.placement import Placement, place_samples
from masksynth.audit.samples.presence import find_presence_faults
from masksynth.audit.samples.sample_rows import find_row_faults
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import levels, ranks

CODES = ("MS002", "MS003", "MS004", "MS009", "MS013", "MS015", "MS016", "MS017", "MS018", "MS019")
"""Codes that need samples."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of a comparison with samples.

    Parameters
    ----------
    findings : tuple of Finding
    read, compared : int
        Samples that were given, and those of them that the mask was compared with; the others belong to other batches.
    tables : tuple of str
        The rule of each table: ``"full"``, ``"window of 5 tokens"``, ``"chunks of 8 tokens"``.
    target : (E,) int64, optional
        The position of each label's own token, by the samples; None where labels were not compared.
    """

    findings: tuple[Finding, ...]
    read: int
    compared: int
    tables: tuple[str, ...]
    target: Int64Array | None = None

    def record(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {"read": self.read, "compared": self.compared, "tables": list(self.tables)}


def compare_samples(subject: Subject, live: BoolArray) -> Comparison | None:
    """Compare a subject with its samples; None where it has none.

    Parameters
    ----------
    subject : Subject
        With inputs.
    live : (N,) bool
        Positions that some label depends on: faults elsewhere are warnings.

    Notes
    -----
    O((N + U) log (N + U) + T) for U tokens and T row intervals, plus O(length of the row) for each wrong row.
    """
    if subject.samples is None:
        return None
    read = len(subject.samples) + subject.others
    if subject.sparse:
        message = (
            "the mask was not compared with the samples: a sparse answer carries the flow of its tasks, not their rows"
        )
        finding = Finding("MS022", "warning", None, {"codes": list(CODES)}, "audit the dense answer", message)
        return Comparison((finding,), read, 0, ())
    expected = expect(subject.samples)
    placed = place_samples(subject, expected)
    findings = [*find_presence_faults(subject, expected, placed, live)]
    if not _is_right_at_depth(subject, expected, placed):
        findings += find_row_faults(subject, expected, placed, live)
    findings += [*find_label_faults(subject, expected, placed), *find_wrong_weights(subject, expected, placed)]
    findings += [*_assumed_tables(subject, placed), *_uncompared_columns(subject)]
    target = None if subject.labels is None else find_target_positions(subject.labels, expected, placed)
    return Comparison(tuple(findings), read, len(subject.samples), tuple(map(str, placed.rules)), target)


def _is_right_at_depth(subject: Subject, expected: Expected, placed: Placement) -> bool:
    """Return whether all labels are predicted, the expected number of times, from the right values after the layers.

    At a finite depth values are compared, not rows. At any depth rows are compared, and the result is False.
    """
    if subject.layers is None or subject.labels is None:
        return False
    identity = ranks(np.concatenate(code_both(subject, expected)))
    words = draw_words(subject.mask, placed.rows)
    colour = levels(identity, [subject.mask, placed.rows], words, subject.layers)[-1]
    position_colour, token_colour = colour[: subject.size], colour[subject.size :]
    spans, labels = expected.spans, subject.labels
    given = zip(position_colour[labels.position].tolist(), integer_labels(labels).tolist(), strict=True)
    values = expected.table.labels[spans.trained]
    return Counter(given) == Counter(zip(token_colour[spans.predictor].tolist(), values.tolist(), strict=True))


def _assumed_tables(subject: Subject, placed: Placement) -> Iterator[Finding]:
    """Yield MS021 for tables read as a window or chunks that was not declared; MS022 where it may be lost context."""
    for table, rule in enumerate(placed.rules if subject.rules is None else ()):
        if rule.kind == "full":
            continue
        where = f"table {table}" if subject.mask.tables > 1 else "the mask"
        remedy = 'declare it under tables in --tokens, such as {"window": 4096}, {"chunk": 8192} or "full"'
        if rule.certain:
            article = "a " if rule.kind == "window" else ""
            message = (
                f"{where} is read as {article}{rule}: right for layers that have this, missing context for all others"
            )
            yield Finding("MS021", "note", None, {"table": table, rule.kind: rule.width}, remedy, message)
        else:
            message = f"rows of {where} are cut at token {rule.width} of every sample: {rule}, or missing context"
            witness = {"codes": ["MS002"], "table": table, "chunk": rule.width}
            yield Finding("MS022", "warning", None, witness, remedy, message)


def _uncompared_columns(subject: Subject) -> Iterator[Finding]:
    """Yield MS022 for what is known of the samples only, or of the mask only."""
    if subject.samples is None:
        return
    if subject.positions is None:
        message = "position ids of the mask are not known, and were not compared with those of the samples"
        yield Finding("MS022", "warning", None, {"codes": ["MS018"]}, "give positions with --tokens", message)
    keys = set(subject.samples.keys) - {"position_ids"}
    if subject.batch is None and keys - ({"kinds"} if numeric_kinds(subject) is not None else set()):
        names = ", ".join(sorted(keys))
        message = f"{names} of the samples were not compared: the mask's positions do not have them, or not as numbers"
        remedy = "give kinds with --tokens, or audit the packed folder"
        yield Finding("MS022", "warning", None, {"codes": ["MS018"]}, remedy, message)
