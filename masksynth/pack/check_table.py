"""Check the values of a table of samples, all samples at once."""

from __future__ import annotations

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import segment_sums
from masksynth.mask.typing import AnyArray, BoolArray
from masksynth.pack.sample_columns import IGNORED, TOP, SampleTable, restore_first_labels
from masksynth.pack.token_masks import Rows


def check_table(table: SampleTable, rows: Rows) -> SampleTable:
    """Return the table after checking the values of all samples at once.

    Parameters
    ----------
    table : SampleTable
    rows : Rows
        Where its tokens were read, for messages.

    Raises
    ------
    InvalidInstance
        Naming the first sample with a negative or huge id, a label that is neither -100 nor an id, a weight that is not
        finite, a token field that is infinite or missing at a label.
    """
    _check_ranges(table, rows)
    _check_fields(table, rows)
    infinite = ~np.isfinite(table.weight)
    if infinite.any():
        sample = int(np.argmax(infinite))
        fact = f"weight {table.weight[sample]} is not finite"
        raise InvalidInstance(fact, "$.weight", "use a finite number", table.place[sample])
    if (token_weight := table.fields.get("weights")) is not None:
        with np.errstate(over="ignore"):
            product = token_weight * np.repeat(table.weight, np.diff(table.offset))
        large = (table.labels != IGNORED) & np.isinf(product)
        if large.any():
            fact = "times the sample's weight is not finite"
            rows.refuse(int(np.argmax(large)), "weights", fact, "use smaller numbers")
    return table


def _check_ranges(table: SampleTable, rows: Rows) -> None:
    """Refuse token ids, labels and keys that are negative or huge, and infinite token fields."""
    labels = restore_first_labels(table)
    outside = (labels != IGNORED) & ((labels < 0) | (labels > TOP))
    ids = f"is not from 0 to {TOP}"
    checks: list[tuple[str, AnyArray, BoolArray, str, str]] = [
        ("input_ids", table.tokens, (table.tokens < 0) | (table.tokens > TOP), ids, "give token ids"),
        (
            "labels",
            labels,
            outside,
            f"is neither {IGNORED} nor from 0 to {TOP}",
            f"use {IGNORED} where nothing is trained",
        ),
    ]
    for name, keys in table.keys.items():
        checks.append((name, keys, (keys < 0) | (keys > TOP), ids, "give integers"))
    for name, reals in table.fields.items():
        checks.append((name, reals, np.isinf(reals), "is not finite", "give finite numbers"))
    for name, values, wrong, why, remedy in checks:
        if wrong.any():
            token = int(np.argmax(wrong))
            rows.refuse(token, name, f"{values[token]} {why}", remedy)


def _check_fields(table: SampleTable, rows: Rows) -> None:
    """Refuse a token field that is null at a trained label, in a sample that has the field."""
    trained = table.labels != IGNORED
    for name, values in table.fields.items():
        has_field = segment_sums(~np.isnan(values), table.offset) > 0
        missing = trained & np.isnan(values) & np.repeat(has_field, np.diff(table.offset))
        if missing.any():
            fact = "is null at a trained label"
            rows.refuse(int(np.argmax(missing)), name, fact, "give a number wherever labels is not -100")
