"""Options of reports and pictures: ``--report FILE.html`` and ``--tokenizer DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from masksynth.errors import InvalidInstance
from masksynth.files import check_inputs
from masksynth.terminal import output_file

REPORT = click.option(
    "--report",
    type=click.Path(path_type=Path),
    callback=output_file,
    metavar="FILE.html",
    help="Also write a report for a browser: one file that needs no network.",
)
TOKENIZER = click.option(
    "--tokenizer",
    metavar="DIR",
    help="Show text instead of token ids: a tokenizer's folder, or its name in the local cache; nothing is downloaded.",
)


def check_report(path: Path | None, force: bool, inputs: Sequence[Path] = (), tokenizer: str | None = None) -> None:
    """Check, before any work is done, that a report can be written to a path and the tokenizer be read."""
    if path is None:
        if tokenizer is not None:
            raise InvalidInstance("--tokenizer without --report", "", "give both, or neither")
        return
    from masksynth.report import check_report_file

    check_inputs(path, inputs)
    check_report_file(path, force)
    if tokenizer is not None:
        from masksynth.draw.token_text import load_tokenizer

        load_tokenizer(tokenizer)
