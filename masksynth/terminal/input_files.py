"""Read the inputs of a command, and reject outputs that would replace them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.errors import InvalidInstance
from masksynth.terminal.error_lines import Refused

if TYPE_CHECKING:
    from masksynth.contracts import Contracts
    from masksynth.contracts.model import Masks
    from masksynth.tasks import Instance

DATA = (".json", ".jsonl", ".gz", ".parquet", ".safetensors", ".npz", ".npy", ".py")
"""Suffixes of files that may be inputs; pictures and reports are not."""


def input_files(*subjects: str | Path | None) -> list[Path]:
    """Return the files that a command reads: each subject (``-``: stdin), and the data files in folders."""
    given = [Path(subject) for subject in subjects if subject is not None]
    return [
        *given,
        *(file for folder in given if os.path.isdir(folder) for file in folder.iterdir() if file.suffix in DATA),
    ]


def check_outputs(inputs: Sequence[Path], *targets: Path | None) -> None:
    """Raise, before any work is done, if an output would replace an input or another output.

    Raises
    ------
    InvalidInstance
        If a target is an input.
    click.UsageError
        If two targets are the same file.
    """
    from masksynth.files import check_inputs, is_same

    given = [target for target in targets if target is not None and str(target) != "-"]
    for number, target in enumerate(given):
        check_inputs(target, inputs)
        if any(is_same(target, other) for other in given[:number]):
            raise click.UsageError(f"{target} is named twice as an output; name two places")


def standard_input() -> Any:
    """Return stdin.

    Raises
    ------
    InvalidInstance
        If it is closed, for instance by ``<&-``.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", "-")
    return sys.stdin


def read_instance(path: str) -> Instance:
    """Read the instance in a file, or on stdin if the path is ``-``."""
    from masksynth.tasks.instance_files import load

    try:
        return load(standard_input().buffer if path == "-" else path)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; name an instance file, or - for stdin", 2) from None


def read_contracts(path: str, layers: int | None = None, masks: Masks | None = None) -> Contracts:
    """Read the contracts in a file, or on stdin if the path is ``-``; options replace the document's own fields."""
    from masksynth.contracts import load_contracts

    try:
        return load_contracts(standard_input().buffer if path == "-" else path, layers=layers, masks=masks)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; name a file of contracts, or - for stdin", 2) from None
