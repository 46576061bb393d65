"""``masksynth inspect``: statistics of a mask, explanations of its entries, and differences of masks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from masksynth.terminal import (
    JSON,
    QUIET,
    SubjectChoice,
    count,
    layers_option,
    plain,
    print_json,
    progress,
    subject_options,
    to_the_end,
)

if TYPE_CHECKING:
    from masksynth.statistics import Difference, MaskStatistics, Reason, Updates
    from masksynth.subject import Subject

MOST_HOPS = 12
"""Hops of a path that are printed."""


@click.command("inspect")
@subject_options
@click.option("--why", nargs=2, type=int, metavar="Q K", help="Explain one entry: query and key.")
@click.option("--diff", metavar="OTHER", help="Compare with another mask.")
@click.option(
    "--layers", callback=layers_option, help="Also count what this many layers carry [default: the subject's]."
)
@click.option(
    "--block-size", type=click.IntRange(1), default=128, show_default=True, help="Rows and columns of a block."
)
@JSON
@QUIET
def inspect_mask(
    subject: SubjectChoice,
    why: tuple[int, int] | None,
    diff: str | None,
    layers: Any,
    block_size: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print statistics of a mask, explain one of its entries, or compare it with another mask.

    \b
    masksynth inspect out
    masksynth inspect out --why 12 3
    masksynth inspect mask.npy --diff other.npy --json
    masksynth inspect attn_gym.masks:causal_mask --length 4096

    SUBJECT is a mask file (- for stdin), the folder of an answer or of packed batches, or package.module:mask_mod.

    Prints depth to convergence, classes, height, width, Hasse edges, reciprocity, row intervals and blocks; with --why
    or --diff, the answer to that instead. Runs on row intervals, for 131,072 positions too; each number that is too
    expensive at a size is named with the reason.
    """
    from masksynth import statistics

    looked_at = subject.read(layers)
    with progress(f"reading {plain(subject.path)} ...", quiet):
        other = subject.read_other(diff) if diff is not None else None
        reason = statistics.why(looked_at.mask, *why) if why is not None else None
        difference = statistics.compare(looked_at.mask, other.mask) if other is not None else None
        only_asked = why is not None or diff is not None
        updates = None if looked_at.updated is None else statistics.count_updates(looked_at.updated)
        numbers = None if only_asked else statistics.mask_statistics(looked_at.mask, looked_at.layers, block_size)
    with to_the_end():
        if as_json:
            results = {"anatomy": numbers, "why": reason, "difference": difference}
            record = {"subject": looked_at.name, **{name: _record(value) for name, value in results.items()}}
            print_json({**record, "updates": None if updates is None else updates._asdict()})
        elif not quiet:
            lines = [f"{plain(looked_at.name)}: {_head(looked_at)}"]
            lines += _numbers(numbers) if numbers is not None else []
            lines += [f"  {_updates(updates, looked_at)}"] if updates is not None and numbers is not None else []
            lines += _reason(looked_at, reason) if reason is not None else []
            if difference is not None and other is not None:
                lines += _difference(difference, plain(looked_at.name), plain(other.name))
            click.echo("\n".join(lines))


def _record(value: Any) -> Any:
    """Return a result as plain JSON values, None if it was not computed."""
    if value is None:
        return None
    record = asdict(value)
    if record.get("blocks") is not None:
        record["blocks"] = value.blocks._asdict()
    return record


def _updates(updates: Updates, subject: Subject) -> str:
    """Return the counts of updates as a line of text."""
    layers = 1 if subject.updated is None else len(subject.updated)
    depth = f"in {count(layers, 'layer')}" if layers > 1 else "a layer"
    read_only = f"{count(updates.read_only, 'position')} only read"
    return f"updates: {count(updates.updates, 'update')} {depth}, of {count(updates.updated, 'position')}; {read_only}"


def _head(subject: Subject) -> str:
    tables = f", {subject.mask.tables} tables" if subject.mask.tables > 1 else ""
    return f"{count(subject.size, 'position')}, {count(subject.mask.pairs, 'allowed pair')}{tables}"


def _numbers(numbers: MaskStatistics) -> list[str]:
    """Return the numbers as lines of text, and what was not computed with the reason."""
    lines = []
    if numbers.depth is not None and numbers.flow_pairs is not None:
        carry = "layer carries" if numbers.depth == 1 else "layers carry"
        lines.append(
            f"depth {numbers.depth}: {numbers.depth} {carry} all that any number carries, {numbers.flow_pairs:,} pairs"
        )
    if numbers.layer_pairs is not None:
        lines.append(f"{count(numbers.layers or 0, 'layer')}: {numbers.layer_pairs:,} pairs")
    if numbers.classes is not None:
        lines.append(f"classes {numbers.classes:,}, the largest of {count(numbers.largest_class or 0, 'position')}")
        width = f"{'' if numbers.width_exact else 'at least '}{numbers.width:,} (by {numbers.width_by})"
        lines.append(f"height {numbers.height:,}, width {width}, {numbers.hasse_edges:,} Hasse edges")
    if numbers.reciprocity is not None:
        lines.append(f"reciprocity {numbers.reciprocity:.3g}" + (", causal" if numbers.causal else ""))
    rows = f"rows: {numbers.intervals_mean:.3g} intervals on average, {numbers.intervals_most} at most"
    lines.append(f"{rows}; {numbers.rows_empty:,} empty, {numbers.rows_without_self:,} without themselves")
    if numbers.blocks is not None:
        size, total, kept, full, partial = numbers.blocks
        lines.append(f"blocks of {size}: {kept:,} of {total:,} kept, {full:,} full, {partial:,} partial")
    for reason in dict.fromkeys(numbers.skipped.values()):
        names = ", ".join(name for name, why in numbers.skipped.items() if why == reason)
        lines.append(f"not computed: {names}: {reason}")
    return [f"  {line}" for line in lines]


def _reason(subject: Subject, reason: Reason) -> list[str]:
    """Return why one position sees another as lines of text, one for each hop of the path."""
    query, key = plain(subject.token(reason.query)), plain(subject.token(reason.key))
    if reason.layers is None:
        return [f"  {query} never sees {key}, through any number of layers"]
    if reason.layers == 0:
        residual = "does not attend to itself; the residual connection keeps it"
        return [f"  {query} {'attends to itself' if reason.tables else residual}"]
    where = f" in table {', '.join(map(str, reason.tables))}" if subject.mask.tables > 1 else ""
    direct = f"attends to {key}{where}" if reason.tables else f"does not attend to {key}, but sees it through others"
    lines = [f"{query} {direct}; {count(reason.layers, 'layer')} {'carries' if reason.layers == 1 else 'carry'} it"]
    if subject.layers is not None and reason.layers > subject.layers:
        lines = [f"{query} does not see {key} within {count(subject.layers, 'layer')}; it takes {reason.layers}"]
    hops = list(zip(reason.path, reason.at, strict=True))[1:]
    shown = hops if len(hops) <= MOST_HOPS else [*hops[: MOST_HOPS // 2], None, *hops[1 - MOST_HOPS // 2 :]]
    lines += ["  ..." if hop is None else f"  layer {hop[1]}: {plain(subject.token(hop[0]))}" for hop in shown]
    return [f"  {line}" for line in lines]


def _difference(difference: Difference, first: str, second: str) -> list[str]:
    """Return how two masks differ as lines of text."""
    from masksynth.mask.check_rows import format_intervals

    if not difference.rows:
        return [f"  {first} and {second} allow the same pairs"]
    pairs = f"{difference.only_first:,} pairs only in {first}, {difference.only_second:,} only in {second}"
    lines = [f"{pairs}; {count(difference.rows, 'row')} differ"]
    for row in difference.first_rows:
        table = f"table {row.table}, " if difference.tables > 1 else ""
        first_only, second_only = format_intervals(row.only_first), format_intervals(row.only_second)
        lines.append(f"  {table}row {row.query}: - {first_only}   + {second_only}")
    lines += ["  ..."] if difference.rows > len(difference.first_rows) else []
    flow_first, flow_second = difference.flow_only_first, difference.flow_only_second
    if flow_first is None:
        lines.append(f"flow through all layers: not computed: {difference.note}")
    elif flow_first == flow_second == 0:
        lines.append("through all layers both carry the same")
    else:
        lines.append(f"through all layers: {flow_first:,} pairs only in {first}, {flow_second:,} only in {second}")
    return [f"  {line}" for line in lines]
