"""``masksynth new`` and ``masksynth catalog``: the families of the catalogue, with flags from their signatures."""

from __future__ import annotations

import click

from masksynth import catalog
from masksynth.cli.family_commands import family_command, print_families
from masksynth.tasks.instance_files import dumps
from masksynth.terminal import JSON


@click.group(context_settings={"max_content_width": 110})
def new() -> None:
    """Print a catalogue instance as JSON.

    \b
    masksynth new butterfly --n 8 > butterfly-8.json
    masksynth new packed_docs --help

    Lists are separated by commas, lists of lists by semicolons.
    """


for _name, _function in catalog.FAMILIES.items():
    new.add_command(family_command(_name, _function, dumps))


@click.command("catalog")
@JSON
def list_catalog(as_json: bool) -> None:
    """List the families of the catalogue with their parameters.

    \b
    masksynth catalog --json
    """
    print_families(catalog.FAMILIES, as_json)
