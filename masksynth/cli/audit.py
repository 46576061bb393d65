"""`audit`: what is wrong with a mask that already exists."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from masksynth.cli.answer_text import count, depth
from masksynth.cli.report import REPORT, TOKENIZER, check_report
from masksynth.cli.terminal import JSON, QUIET, input_files, plain, print_json, printable, progress, to_the_end

if TYPE_CHECKING:
    from masksynth.audit import Finding, Report, Subject

FEW = 4
"""Findings of one code and severity that are told one by one."""


@click.command(name="audit")
@click.argument("subject", metavar="SUBJECT", type=click.Path())
@click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    help="JSON: inputs, positions, kinds, labels, family, padding, tables; each may be left out.",
)
@click.option(
    "--samples",
    type=click.Path(),
    help="The samples that the mask should train: JSON lines, gzip, Parquet, or - for stdin.",
)
@click.option("--length", type=click.IntRange(1), help="How many positions, for package.module:mask_mod.")
@click.option("--batch", type=click.IntRange(0), help="Which batch of a packed folder [default: 0].")
@click.option(
    "--layers",
    type=click.IntRange(1),
    help="The model has this many layers [default: those of the answer or family, or any].",
)
@REPORT
@TOKENIZER
@click.option("--force", is_flag=True, help="Replace a report that is there.")
@JSON
@QUIET
def audit_command(
    subject: str,
    tokens: Path | None,
    samples: str | None,
    length: int | None,
    batch: int | None,
    layers: int | None,
    report: Path | None,
    tokenizer: str | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say what is wrong with a mask: leaks, missing context, wrong labels, dead and duplicate positions, and more.

    \b
    masksynth audit mask.npy --tokens tokens.json
    masksynth audit packed --batch 3 --report report.html
    masksynth audit mask.npy --tokens tokens.json --samples samples.jsonl
    masksynth audit my_masks:mask_mod --length 4096

    SUBJECT is a mask file, the folder of an answer or of packed batches, or package.module:name of a FlexAttention mask_mod or BlockMask,
    which is imported. Exit code 1 if there is an error among the findings, 3 if there is none and something was not compared
    (MS014, MS022), 0 if neither, 2 if something cannot be read.
    """
    from masksynth.audit import audit, read_subject

    check_report(report, force, input_files(subject, tokens, samples), tokenizer)
    with progress(f"auditing {plain(subject)} ...", quiet):
        found = read_subject(subject, tokens=tokens, length=length, layers=layers, batch=batch, samples=samples)
        result = audit(found)
    with to_the_end():
        if report is not None:
            from masksynth.report import write_report

            write_report(report, found, findings=result, tokenizer=tokenizer, force=force)
        if as_json:
            print_json(result.record())
        elif not quiet:
            click.echo("\n".join(told(found, result)))
    sys.exit(1 if result.errors else 0 if result.complete else 3)


def told(subject: Subject, report: Report) -> Iterator[str]:
    """A report for people: by severity, a few findings of each code, then the minimal equivalent and the kernels."""
    from masksynth.audit import SEVERITIES

    mask = subject.mask
    tables = f", {count(mask.tables, 'table')}" if mask.tables > 1 else ""
    counts = ", ".join(
        count(sum(one.severity == severity for one in report.findings), severity) for severity in SEVERITIES
    )
    yield f"{printable(subject.name)}: {mask.size:,} positions, {mask.pairs:,} allowed pairs{tables}, {depth(subject.layers)}"
    yield f"  {counts}"
    for (severity, code), group in groupby(report.findings, key=lambda one: (one.severity, one.code)):
        yield from _group(severity, code, list(group))
    if (size := report.minimal) is not None:
        most = "" if size.exact else "at most "  # positions may be equal at this depth and at no greater one
        rest = size.positions - size.dead - size.duplicates - size.minimal
        padding = f", {rest:,} padding" if rest else ""
        yield f"  minimal equivalent: {most}{size.minimal:,} positions ({size.dead:,} dead, {size.duplicates:,} duplicate{padding})"
    if (compared := report.samples) is not None:
        left = compared.read - compared.compared
        others = (
            ""
            if not left
            else f", {left:,} in other batches"
            if subject.batch is not None
            else f" of {compared.read:,}"
        )
        yield f"  compared with {count(compared.compared, 'sample')}{others}"
    for table, entries in enumerate(report.kernels):
        able = ", ".join(entry.format for entry in entries if entry.bytes is not None) or "none"
        yield f"  kernels{f' for table {table}' if mask.tables > 1 else ''}: {able}"
    for need, codes in groupby(sorted(report.unchecked.items(), key=lambda item: item[1]), key=lambda item: item[1]):
        yield f"  not checked without {need}: {', '.join(code for code, _ in codes)}"


def _group(severity: str, code: str, findings: list[Finding]) -> Iterator[str]:
    yield f"  {severity} {code} {findings[0].name}"
    for finding in findings[:FEW]:
        yield f"    {printable(finding.message)}"
    if len(findings) > FEW:
        yield f"    and {len(findings) - FEW:,} more like these"
    yield f"    -> {printable(findings[0].remedy)}"
