"""Summary of a packing run: what it read, wrote and saved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from masksynth.export.blocks import block_counts
from masksynth.pack.batch import PackedBatch
from masksynth.pack.costs import Shape, separate_pairs
from masksynth.pack.journal import Record
from masksynth.pack.sample_columns import IGNORED, SampleTable

STEPS = ("read", "merge", "search", "check", "write")


@dataclass
class Summary:
    """Counts of what a packing run read, wrote and saved.

    Parameters
    ----------
    max_length : int
    window : int
        Number of samples that are merged at a time.
    counts : mapping of str to int
        Samples, tokens, positions, lower bounds, pairs, blocks, ..., summed over all windows.
    seconds : dict
        ``read``, ``merge``, ``search`` (for fewer positions), ``check`` and ``write``, of this run, each summed over
        all processes.
    scattered : dict
        Groups that were merged in parts, because a window ended between their samples.
    cut : dict
        Groups in several batches, because they do not fit into one.
    skipped : list
        Samples left out because they are too long.
    missing : set
        Fields that were requested and that no sample has.
    layout : str
        As for ``pack_samples``.
    """

    max_length: int
    window: int
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    scattered: dict[str | int, None] = field(default_factory=dict)
    cut: dict[str | int, None] = field(default_factory=dict)
    skipped: list[str | int] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    layout: str = "loss-edges"

    def add(self, record: Record) -> None:
        """Add the counts of one window."""
        self.counts.update(record.counts)
        self.counts["batches"] += len(record.batches)
        self.scattered.update(dict.fromkeys(record.scattered))
        self.cut.update(dict.fromkeys(record.cut))
        self.missing -= set(record.fields)
        self.skipped += record.skipped

    def record(self, shape: Shape | None = None) -> dict[str, Any]:
        """Return the summary as plain JSON values, with FLOPs for the shape of a model.

        ``lower_bound`` is a number of positions that batches of the samples of each window have at least, groups kept
        together if they are; ``lower_bound_split`` one however the samples of a window are distributed.
        ``positions_loss_edges`` is the number of positions of the same batches if a position may have several labels.
        """
        c = self.counts
        names = ("samples", "tokens", "live_tokens", "positions", "loss_edges", "batches", "groups")
        result: dict[str, Any] = {
            **{name: c[name] for name in names},
            "max_length": self.max_length,
            "lower_bound": c["bound_kept"],
            "lower_bound_split": c["bound_free"],
            "gap": c["positions"] - c["bound_kept"],
            "proved_minimal": c["positions"] == c["bound_kept"],
            "windows": c["windows"],
            "ratio": round(c["tokens"] / c["positions"], 4) if c["positions"] else None,
            "pairs": {"separate": c["pairs_separate"], "merged": c["pairs_merged"]},
            "padding": c["batches"] * self.max_length - c["positions"],
            "blocks": {"size": 128, "full": c["blocks_full"], "partial": c["blocks_partial"], "all": c["blocks_all"]},
            "scattered_groups": list(self.scattered),
            "cut_groups": list(self.cut),
            "skipped_samples": self.skipped,
            "ignored_first_labels": c["first_labels"],
            "missing_fields": sorted(self.missing),
            "layout": self.layout,
            "positions_loss_edges": c["positions" if self.layout == "loss-edges" else "positions_loss_edges"],
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }
        if shape is not None:
            result["flops"] = {
                "separate": shape.flops(c["tokens"], c["loss_edges"], c["pairs_separate"]),
                "merged": shape.flops(c["positions"], c["labelled_positions"], c["pairs_merged"]),
            }
        return result


def count_samples(table: SampleTable) -> Counter[str]:
    """Return the counts of a window's samples before they are merged."""
    return Counter(
        samples=len(table),
        tokens=len(table.tokens),
        pairs_separate=separate_pairs(table),
        first_labels=int(np.count_nonzero(table.first_label != IGNORED)),
        groups=len({(type(group), group) for group in table.groups if group is not None}),
    )


def count_batch(batch: PackedBatch) -> Counter[str]:
    """Return the counts of one batch."""
    blocks = block_counts(batch.mask)
    labelled = np.zeros(batch.positions, bool)
    labelled[batch.loss_position] = True
    return Counter(
        positions=batch.positions,
        live_tokens=len(batch.sample_position),
        loss_edges=len(batch.loss_label),
        labelled_positions=int(np.count_nonzero(labelled)),
        pairs_merged=batch.mask.pairs,
        blocks_full=blocks.full,
        blocks_partial=blocks.partial,
        blocks_all=blocks.all,
    )
