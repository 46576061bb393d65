"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from masksynth.tasks.canonical import SHOWN, shown

INSTANCE = click.argument("instance", type=click.Path(allow_dash=True))
SUBJECT = click.argument("subject")
TOKENS = click.option(
    "--tokens", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSON: inputs, positions, labels."
)
LENGTH = click.option("--length", type=click.IntRange(1), help="Positions, for package.module:mask_mod.")
BATCH = click.option("--batch", type=click.IntRange(0), help="Which batch of a packed folder [default: 0].")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people.")
QUIET = click.option("--quiet", is_flag=True, help="No progress and no text for people; the exit code tells.")


def subject_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """SUBJECT, and the options that say more about it."""
    for option in (BATCH, LENGTH, TOKENS, SUBJECT):
        command = option(command)
    return command


def layers_option(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """The value of ``--layers``: a depth, None for ``any``, ... where the option is not given."""
    if value is None:
        return ...
    if value == "any":
        return None
    if value.isdecimal() and len(value) < SHOWN and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"{shown(value)} is neither a positive integer nor 'any'")


def output_file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """A file to write beside the answer, which has stdout for itself."""
    if value == Path("-"):
        raise click.BadParameter("stdout holds the answer; name a file")
    return value
