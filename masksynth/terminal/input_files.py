"""Read what a command is given, and refuse outputs that would replace it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from masksynth.errors import InvalidInstance
from masksynth.files import check_inputs, is_same
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import load
from masksynth.terminal.error_lines import Refused

DATA = (".json", ".jsonl", ".gz", ".parquet", ".safetensors", ".npz", ".npy", ".py")
"""Endings of files that hold data, as pictures and reports do not."""


def input_files(*subjects: str | Path | None) -> list[Path]:
    """The files that a command reads: each subject (``-``: stdin), and the data in those that are folders."""
    given = [Path(subject) for subject in subjects if subject is not None]
    return [
        *given,
        *(file for folder in given if os.path.isdir(folder) for file in folder.iterdir() if file.suffix in DATA),
    ]


def check_outputs(inputs: Sequence[Path], *targets: Path | None) -> None:
    """Refuse, before any work is done, to write over an input, or two things to one place.

    Raises
    ------
    InvalidInstance
        If a target is an input.
    click.UsageError
        If two targets are one.
    """
    given = [target for target in targets if target is not None and str(target) != "-"]
    for number, target in enumerate(given):
        check_inputs(target, inputs)
        if any(is_same(target, other) for other in given[:number]):
            raise click.UsageError(f"{target} is named for two things; name two places")


def standard_input() -> Any:
    """Return stdin.

    Raises
    ------
    InvalidInstance
        If it is closed, as by ``<&-``.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", "-")
    return sys.stdin


def read_instance(path: str) -> Instance:
    """The instance in a file, or on stdin where the path is ``-``."""
    try:
        return load(standard_input().buffer if path == "-" else path)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; name an instance file, or - for stdin", 2) from None
