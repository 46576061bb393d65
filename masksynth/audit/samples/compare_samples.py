"""A mask beside its samples: everything that differs, by sample and token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.audit.match_positions import words_for
from masksynth.audit.samples.expected_mask import Expected, code_identities, expect, numbered_kinds
from masksynth.audit.samples.labels import label_findings, own_tokens, values_of, weight_findings
from masksynth.audit.samples.placement import Placement, place_samples
from masksynth.audit.samples.presence import presence_findings
from masksynth.audit.samples.sample_rows import row_findings
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import levels, ranks


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison with samples found.

    Parameters
    ----------
    findings : tuple of Finding
    read, compared : int
        Samples that were given, and those of them that the mask was compared with; the others belong to other batches.
    tables : tuple of str
        How each table was read: ``"full"``, ``"window of 5 tokens"``, ``"chunks of 8 tokens"``.
    target : (E,) int64, optional
        The position that holds each label's own token, by the samples; None where labels were not compared.
    """

    findings: tuple[Finding, ...]
    read: int
    compared: int
    tables: tuple[str, ...]
    target: NDArray[np.int64] | None = None

    def record(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {"read": self.read, "compared": self.compared, "tables": list(self.tables)}


def compare_samples(subject: Subject, live: NDArray[np.bool_]) -> Comparison | None:
    """Compare a subject with its samples; None where it has none.

    Parameters
    ----------
    subject : Subject
        With inputs.
    live : (N,) bool
        Positions that some label depends on: faults elsewhere are warnings.

    Notes
    -----
    O((N + U) log (N + U) + T) for U tokens and T row intervals; without faults no row is written out.
    """
    if subject.samples is None:
        return None
    read = len(subject.samples) + subject.others
    if subject.sparse:
        message = (
            "the mask was not compared with the samples: a sparse answer carries the flow of its tasks, not their rows"
        )
        codes = ["MS002", "MS003", "MS004", "MS009", "MS013", "MS015", "MS016", "MS017", "MS018", "MS019"]
        return Comparison(
            (Finding("MS022", "warning", None, {"codes": codes}, "audit the dense answer", message),), read, 0, ()
        )
    expected = expect(subject.samples)
    placed = place_samples(subject, expected)
    findings = [*presence_findings(subject, expected, placed, live)]
    if not _right_at_depth(subject, expected, placed):
        findings += row_findings(subject, expected, placed, live)
    findings += [*label_findings(subject, expected, placed), *weight_findings(subject, expected, placed)]
    findings += [*_assumed_tables(subject, placed), *_left_out(subject)]
    target = None if subject.labels is None else own_tokens(subject.labels, expected, placed)
    return Comparison(tuple(findings), read, len(subject.samples), tuple(map(str, placed.rules)), target)


def _right_at_depth(subject: Subject, expected: Expected, placed: Placement) -> bool:
    """Return whether all labels are predicted, as often as asked, from the right values after the model's layers.

    At a finite depth values count, not rows; at any depth rows do.
    """
    if subject.layers is None or subject.labels is None:
        return False
    mine, theirs = code_identities(subject, expected)
    words = words_for(subject.mask, placed.rows)
    colour = levels(ranks(np.concatenate([mine, theirs])), [subject.mask, placed.rows], words, subject.layers)[-1]
    own, others = colour[: subject.size], colour[subject.size :]
    spans = expected.spans
    given = Counter(zip(own[subject.labels.position].tolist(), values_of(subject.labels).tolist(), strict=True))
    asked = Counter(zip(others[spans.predictor].tolist(), expected.table.labels[spans.trained].tolist(), strict=True))
    return given == asked


def _assumed_tables(subject: Subject, placed: Placement) -> Iterator[Finding]:
    """MS021: a table whose rows are cut to windows or chunks, which nobody has said; MS022 where it may be lost context."""
    for table, rule in enumerate(placed.rules if subject.rules is None else ()):
        if rule.kind != "full":
            where = f"table {table}" if subject.mask.tables > 1 else "the mask"
            remedy = 'say so under tables in --tokens, such as {"window": 4096}, {"chunk": 8192} or "full"'
            if not rule.certain:
                message = (
                    f"rows of {where} are cut at token {rule.width} of every sample: {rule}, or context that is missing"
                )
                codes = ["MS002"]
                yield Finding(
                    "MS022", "warning", None, {"codes": codes, "table": table, "chunk": rule.width}, remedy, message
                )
                continue
            message = f"{where} is read as a {rule}" if rule.kind == "window" else f"{where} is read as {rule}"
            message += ": right for layers that have this, missing context for all others"
            yield Finding("MS021", "note", None, {"table": table, rule.kind: rule.width}, remedy, message)


def _left_out(subject: Subject) -> Iterator[Finding]:
    """MS022: what is known on one side only, so that it was not compared."""
    if subject.samples is None:
        return
    if subject.positions is None:
        message = "position ids of the mask are not known, and were not compared with those of the samples"
        yield Finding("MS022", "warning", None, {"codes": ["MS018"]}, "give positions with --tokens", message)
    keys = set(subject.samples.keys) - {"position_ids"}
    if subject.batch is None and keys - ({"kinds"} if numbered_kinds(subject) is not None else set()):
        names = ", ".join(sorted(keys))
        message = f"{names} of the samples were not compared: the mask's positions do not have them, or not as numbers"
        yield Finding(
            "MS022",
            "warning",
            None,
            {"codes": ["MS018"]},
            "give kinds with --tokens, or audit the packed folder",
            message,
        )
