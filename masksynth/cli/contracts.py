"""``masksynth contracts``: families of contracts, with flags from their signatures."""

from __future__ import annotations

import click

from masksynth.cli.family_commands import family_command, print_families
from masksynth.contracts import Contracts, dump_contracts, with_options
from masksynth.contracts.families import FAMILIES
from masksynth.contracts.model import Masks
from masksynth.terminal import JSON

SHARED = (
    click.Option(["--layers"], type=click.IntRange(1), help="Number of layers [default: any depth]."),
    click.Option(
        ["--masks"],
        type=click.Choice(["one", "layered"]),
        help="One mask, safe at any depth, or one for each layer [default: layered if --layers is given].",
    ),
    click.Option(
        ["--place"],
        type=click.Choice(["query", "any"]),
        default="query",
        show_default=True,
        help="Where targets are predicted: by blanks, or at any position, which may embed a needed element.",
    ),
)
"""Options of every family."""


@click.group(invoke_without_command=True, context_settings={"max_content_width": 110})
@JSON
@click.pass_context
def contracts(context: click.Context, as_json: bool) -> None:
    """Print contracts as JSON: what each prediction needs and what it must not see. Without FAMILY, list the families.

    \b
    masksynth contracts leave_one_out --n 64 > contracts.json
    masksynth contracts leave_ball_out_grid --shape 8,8 --radius 1 --layers 4
    masksynth contracts windows --help

    Lists are separated by commas, lists of lists by semicolons.
    """
    if context.invoked_subcommand is None:
        print_families(FAMILIES, as_json, {"layers", "place"})


def _write(built: Contracts, masks: Masks | None) -> str:
    return dump_contracts(built if masks is None else with_options(built, masks=masks))


for _name, _function in FAMILIES.items():
    contracts.add_command(family_command(_name, _function, _write, SHARED))
