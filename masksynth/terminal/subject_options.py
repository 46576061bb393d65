"""The argument SUBJECT and its options, shared by every command that looks at a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.terminal.input_files import input_files

if TYPE_CHECKING:
    from masksynth.subject import Subject

SUBJECT = click.argument("subject")
TOKENS = click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    help="JSON: inputs, positions, kinds, labels, family, padding, tables; each may be left out.",
)
LENGTH = click.option("--length", type=click.IntRange(1), help="Number of positions, for package.module:mask_mod.")
BATCH = click.option("--batch", type=click.IntRange(0), help="Index of the batch in a packed folder [default: 0].")
KINDS = "a mask file (- for stdin), the folder of an answer or of packed batches, or package.module:mask_mod"
"""What SUBJECT may be, for help texts."""


@dataclass(frozen=True)
class SubjectChoice:
    """The subject that a command line names, not yet read.

    Parameters
    ----------
    path : str
        A mask file, ``-``, the folder of an answer or of packed batches, or ``package.module:mask_mod``.
    length : int, optional
        Number of positions, for a mask_mod.
    batch : int, optional
        Batch of a packed folder.
    tokens : Path, optional
        JSON with what is known of the positions.
    """

    path: str
    length: int | None = None
    batch: int | None = None
    tokens: Path | None = None

    def read(self, layers: Any = ..., **more: Any) -> Subject:
        """Return the subject; ``layers`` is the value of `layers_option`, ``more`` goes to `read_subject`."""
        from masksynth.subject import read_subject

        depth = None if layers is ... else layers
        chosen: dict[str, Any] = {"tokens": self.tokens, "length": self.length, "batch": self.batch, "layers": depth}
        return read_subject(self.path, **chosen, **more)

    def read_other(self, path: str) -> Subject:
        """Return a second mask to compare with; it takes ``length`` too if it is a mask_mod."""
        return SubjectChoice(path, None if path == "-" or Path(path).exists() else self.length).read()

    def input_files(self, *others: str | Path | None) -> list[Path]:
        """Return the files that reading this and ``others`` reads, which no command may replace."""
        return input_files(self.path, self.tokens, *others)


def subject_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add SUBJECT, --length, --batch and --tokens to a command, which gets them as one `SubjectChoice`, ``subject``."""
    return _bundle(command, (BATCH, LENGTH, TOKENS, SUBJECT))


def mask_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add SUBJECT, --length and --batch to a command that needs the mask alone; see `subject_options`."""
    return _bundle(command, (BATCH, LENGTH, SUBJECT))


def _bundle(command: Callable[..., Any], options: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    @wraps(command)
    def bundled(
        *, subject: str, length: int | None, batch: int | None, tokens: Path | None = None, **others: Any
    ) -> Any:
        return command(subject=SubjectChoice(subject, length, batch, tokens), **others)

    for option in options:
        bundled = option(bundled)
    return bundled


def read(
    subject: str, tokens: Path | None = None, length: int | None = None, batch: int | None = None, layers: Any = ...
) -> Subject:
    """Return the subject that SUBJECT and its options name."""
    return SubjectChoice(subject, length, batch, tokens).read(layers)


def read_other(subject: str, length: int | None) -> Subject:
    """Return the second of two masks; ``length`` is used for a mask_mod alone."""
    return SubjectChoice("", length).read_other(subject)
