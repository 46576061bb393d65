"""``masksynth inspect``: the numbers of a mask, why one position sees another, and how two masks differ."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.terminal import (
    JSON,
    QUIET,
    count,
    layers_option,
    plain,
    print_json,
    progress,
    read,
    read_other,
    subject_options,
    to_the_end,
)

if TYPE_CHECKING:
    from masksynth.audit import Subject
    from masksynth.statistics import Anatomy, Difference, Reason


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
    subject: str,
    tokens: Path | None,
    length: int | None,
    batch: int | None,
    why: tuple[int, int] | None,
    diff: str | None,
    layers: Any,
    block_size: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read the mask in SUBJECT: a mask file, the folder of an answer or of packed batches, or package.module:mask_mod.

    \b
    masksynth inspect out
    masksynth inspect out --why 12 3
    masksynth inspect mask.npy --diff other.npy --json
    masksynth inspect attn_gym.masks:causal_mask --length 4096

    Prints depth to convergence, classes, height, width, Hasse edges, reciprocity, row intervals and blocks; with --why or --diff the
    answer to that. Works on row intervals, at 131,072 positions too; what cannot be computed at a size is named with the reason.
    """
    from masksynth import statistics as room

    looked_at = read(subject, tokens, length, batch, layers)
    with progress(f"reading {plain(subject)} ...", quiet):
        other = read_other(diff, length) if diff is not None else None
        reason = room.why(looked_at.mask, *why) if why is not None else None
        difference = room.compare(looked_at.mask, other.mask) if other is not None else None
        asked = why is not None or diff is not None
        numbers = None if asked else room.anatomy(looked_at.mask, looked_at.layers, block_size)
    with to_the_end():
        if as_json:
            found = {"anatomy": numbers, "why": reason, "difference": difference}
            print_json({"subject": looked_at.name, **{name: _plain(value) for name, value in found.items()}})
        elif not quiet:
            lines = [f"{plain(looked_at.name)}: {_head(looked_at)}"]
            lines += _numbers(numbers) if numbers is not None else []
            lines += _reason(looked_at, reason) if reason is not None else []
            lines += (
                _difference(difference, plain(looked_at.name), plain(other.name))
                if difference is not None and other is not None
                else []
            )
            click.echo("\n".join(lines))


def _plain(value: Any) -> Any:
    if value is None:
        return None
    found = asdict(value)
    if found.get("blocks") is not None:
        found["blocks"] = value.blocks._asdict()
    return found


def _head(subject: Subject) -> str:
    tables = f", {subject.mask.tables} tables" if subject.mask.tables > 1 else ""
    return f"{subject.size:,} positions, {subject.mask.pairs:,} allowed pairs{tables}"


def _numbers(found: Anatomy) -> list[str]:
    """The numbers in words; what was not computed, with the reason."""
    lines = []
    if found.depth is not None and found.flow_pairs is not None:
        carry = "layer carries" if found.depth == 1 else "layers carry"
        lines.append(
            f"depth {found.depth}: {found.depth} {carry} all that any number carries, {found.flow_pairs:,} pairs"
        )
    if found.layer_pairs is not None:
        lines.append(f"{count(found.layers or 0, 'layer')}: {found.layer_pairs:,} pairs")
    if found.classes is not None:
        lines.append(f"classes {found.classes:,}, the largest of {count(found.largest_class or 0, 'position')}")
        at_least = "" if found.width_exact else "at least "
        lines.append(
            f"height {found.height:,}, width {at_least}{found.width:,} (by {found.width_by}), {found.hasse_edges:,} Hasse edges"
        )
    if found.reciprocity is not None:
        lines.append(f"reciprocity {found.reciprocity:.3g}" + (", causal" if found.causal else ""))
    rows = f"rows: {found.intervals_mean:.3g} intervals on average, {found.intervals_most} at most"
    lines.append(f"{rows}; {found.rows_empty:,} empty, {found.rows_without_self:,} without themselves")
    if found.blocks is not None:
        size, total, kept, full, partial = found.blocks
        lines.append(f"blocks of {size}: {kept:,} of {total:,} kept, {full:,} full, {partial:,} partial")
    lines += [f"not computed: {', '.join(_with(found, why))}: {why}" for why in dict.fromkeys(found.skipped.values())]
    return [f"  {line}" for line in lines]


def _with(found: Anatomy, why: str) -> list[str]:
    return [name for name, reason in found.skipped.items() if reason == why]


def _reason(subject: Subject, found: Reason) -> list[str]:
    """One entry in words, its path one line a hop."""
    query, key = plain(subject.token(found.query)), plain(subject.token(found.key))
    if found.layers is None:
        return [f"  {query} never sees {key}, through any number of layers"]
    if found.layers == 0:
        itself = "attends to itself" if found.tables else "does not attend to itself; the residual connection keeps it"
        return [f"  {query} {itself}"]
    where = f" in table {', '.join(map(str, found.tables))}" if subject.mask.tables > 1 else ""
    direct = f"attends to {key}{where}" if found.tables else f"does not attend to {key}, and yet sees it"
    lines = [f"{query} {direct}; after {count(found.layers, 'layer')} it knows it"]
    if subject.layers is not None and found.layers > subject.layers:
        lines = [f"{query} does not see {key} within {count(subject.layers, 'layer')}; it takes {found.layers}"]
    hops = list(zip(found.path, found.at, strict=True))[1:]
    shown = hops if len(hops) <= 12 else [*hops[:6], None, *hops[-5:]]
    lines += ["  ..." if hop is None else f"  layer {hop[1]}: {plain(subject.token(hop[0]))}" for hop in shown]
    return [f"  {line}" for line in lines]


def _difference(found: Difference, first: str, second: str) -> list[str]:
    from masksynth.export.row_intervals import few

    if not found.rows:
        return [f"  {first} and {second} allow the same pairs"]
    lines = [
        f"{found.only_first:,} pairs only in {first}, {found.only_second:,} only in {second}; {count(found.rows, 'row')} differ"
    ]
    for row in found.first_rows:
        table = f"table {row.table}, " if found.tables > 1 else ""
        lines.append(f"  {table}row {row.query}: - {few(list(row.only_first))}   + {few(list(row.only_second))}")
    lines += ["  ..."] if found.rows > len(found.first_rows) else []
    if found.flow_only_first is None:
        lines.append(f"flow through all layers: not computed: {found.note}")
    elif found.flow_only_first == found.flow_only_second == 0:
        lines.append("through all layers both carry the same")
    else:
        lines.append(
            f"through all layers: {found.flow_only_first:,} pairs only in {first}, {found.flow_only_second:,} only in {second}"
        )
    return [f"  {line}" for line in lines]
