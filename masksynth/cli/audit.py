"""``masksynth audit``: find faults in an existing mask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from masksynth.cli.report_options import REPORT, TOKENIZER, check_report
from masksynth.terminal import (
    JSON,
    QUIET,
    SubjectChoice,
    count,
    depth,
    plain,
    print_json,
    printable,
    progress,
    subject_options,
    to_the_end,
)

if TYPE_CHECKING:
    from masksynth.audit import Finding, Report, Subject

SHOWN_LIMIT = 4
"""Maximum number of findings of one code and severity that are printed."""


@click.command(name="audit")
@subject_options
@click.option(
    "--samples",
    type=click.Path(),
    help="Samples that the mask should train: JSON lines, gzip, Parquet, or - for stdin.",
)
@click.option(
    "--layers",
    type=click.IntRange(1),
    help="Number of layers of the model [default: that of the answer or family, or any].",
)
@REPORT
@TOKENIZER
@click.option("--force", is_flag=True, help="Replace an existing report.")
@JSON
@QUIET
def audit_command(
    subject: SubjectChoice,
    samples: str | None,
    layers: int | None,
    report: Path | None,
    tokenizer: str | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find faults in a mask: leaks, missing context, wrong labels, dead and duplicate positions, and more.

    \b
    masksynth audit mask.npy --tokens tokens.json
    masksynth audit packed --batch 3 --report report.html
    masksynth audit mask.npy --tokens tokens.json --samples samples.jsonl
    masksynth audit my_masks:mask_mod --length 4096

    SUBJECT is a mask file, the folder of an answer or of packed batches, or package.module:name of a FlexAttention
    mask_mod or BlockMask, which is imported. Exit codes: 1 if a finding is an error, 3 if none is but some check
    could not be completed (MS014, MS022), 0 otherwise, 2 if an input cannot be read.
    """
    from masksynth.audit import audit

    check_report(report, force, subject.input_files(samples), tokenizer)
    with progress(f"auditing {plain(subject.path)} ...", quiet):
        read = subject.read(layers, samples=samples)
        result = audit(read)
    with to_the_end():
        if report is not None:
            from masksynth.report import write_report

            write_report(report, read, findings=result, tokenizer=tokenizer, force=force)
        if as_json:
            print_json(result.record())
        elif not quiet:
            click.echo("\n".join(format_report(read, result)))
    sys.exit(1 if result.errors else 0 if result.complete else 3)


def format_report(subject: Subject, report: Report) -> Iterator[str]:
    """Yield the lines of a report: findings by severity and code, then the minimal equivalent and the kernels."""
    from masksynth.audit import SEVERITIES

    mask = subject.mask
    tables = f", {count(mask.tables, 'table')}" if mask.tables > 1 else ""
    counts = ", ".join(
        count(sum(finding.severity == severity for finding in report.findings), severity) for severity in SEVERITIES
    )
    size = f"{count(mask.size, 'position')}, {count(mask.pairs, 'allowed pair')}{tables}"
    yield f"{printable(subject.name)}: {size}, {depth(subject.layers)}"
    yield f"  {counts}"
    for (severity, code), group in groupby(report.findings, key=lambda finding: (finding.severity, finding.code)):
        yield from _format_group(severity, code, list(group))
    if (minimal := report.minimal) is not None:
        most = "" if minimal.exact else "at most "  # positions that are equal at this depth may differ at a greater one
        rest = minimal.positions - minimal.dead - minimal.duplicates - minimal.minimal
        padding = f", {rest:,} padding" if rest else ""
        parts = f"{minimal.dead:,} dead, {minimal.duplicates:,} duplicate{padding}"
        yield f"  minimal equivalent: {most}{minimal.minimal:,} positions ({parts})"
    if (samples := report.samples) is not None:
        others = samples.read - samples.compared
        others_text = f", {others:,} in other batches" if subject.batch is not None else f" of {samples.read:,}"
        yield f"  compared with {count(samples.compared, 'sample')}{others_text if others else ''}"
    for table, entries in enumerate(report.kernels):
        formats = ", ".join(entry.format for entry in entries if entry.bytes is not None) or "none"
        yield f"  kernels{f' for table {table}' if mask.tables > 1 else ''}: {formats}"
    for need, codes in groupby(sorted(report.unchecked.items(), key=lambda item: item[1]), key=lambda item: item[1]):
        yield f"  not checked without {need}: {', '.join(code for code, _ in codes)}"


def _format_group(severity: str, code: str, findings: list[Finding]) -> Iterator[str]:
    yield f"  {severity} {code} {findings[0].name}"
    for finding in findings[:SHOWN_LIMIT]:
        yield f"    {printable(finding.message)}"
    if len(findings) > SHOWN_LIMIT:
        yield f"    and {len(findings) - SHOWN_LIMIT:,} more like these"
    yield f"    -> {printable(findings[0].remedy)}"
