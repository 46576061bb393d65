"""``masksynth diagnose``: what a mask will do to clustering, to hierarchy, to the weights."""

from __future__ import annotations

from importlib import import_module

import click

NAMES = ("clustering", "hierarchy", "symmetry")
"""Each is a command of this name in a module of this name."""


class Diagnoses(click.Group):
    """A group whose commands are loaded when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the diagnoses."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a diagnosis."""
        if cmd_name not in NAMES:
            return None
        command: click.Command = getattr(import_module(f"masksynth.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Diagnoses)
def diagnose() -> None:
    """What a mask will do to a model: three published analyses.

    \b
    masksynth diagnose clustering mask.npz
    masksynth diagnose hierarchy tree.json
    masksynth diagnose symmetry model.safetensors
    """
