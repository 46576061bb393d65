"""``--report``: what a command found as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from masksynth.files import check_inputs
from masksynth.terminal import output_file

REPORT = click.option(
    "--report",
    type=click.Path(path_type=Path),
    callback=output_file,
    metavar="FILE.html",
    help="Also write a report for a browser: one file that needs no network.",
)


def check_report(path: Path | None, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse a place for a report before any work is done; an input is never one."""
    if path is not None:
        from masksynth.report import check_place

        check_inputs(path, inputs)
        check_place(path, force)
