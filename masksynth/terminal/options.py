"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from masksynth.tasks.canonical import SHOWN, shown

INSTANCE = click.argument("instance", type=click.Path(allow_dash=True))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but errors; the exit code is the result.")


def layers_choice(what: str, default: str) -> Callable[[Any], Any]:
    """Return the option ``--layers`` of a command: what the number means, and what holds without the option."""
    help_text = f"{what}, or 'any' [default: {default}]."
    return click.option("--layers", callback=layers_option, metavar="COUNT", help=help_text)


def layers_option(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """Return the value of ``--layers``: a depth, None for ``any``, ``...`` if the option is not given."""
    if value is None:
        return ...
    if value == "any":
        return None
    if value.isdecimal() and len(value) < SHOWN and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"expected a positive integer or 'any', got {shown(value)}")


def output_file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """Return the value of an option that names an output file; stdout is reserved for the answer."""
    if value == Path("-"):
        raise click.BadParameter("stdout is reserved for the answer; name a file")
    return value
