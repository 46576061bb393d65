"""``masksynth diagnose``: what a mask will do to clustering, to hierarchy, to the weights."""

from __future__ import annotations

import click

from masksynth.diagnostics.clustering.command import clustering
from masksynth.diagnostics.hierarchy.command import hierarchy
from masksynth.diagnostics.symmetry.command import symmetry


@click.group()
def diagnose() -> None:
    """What a mask will do to a model: three published analyses.

    \b
    masksynth diagnose clustering mask.npz
    masksynth diagnose hierarchy tree.json
    masksynth diagnose symmetry model.safetensors
    """


for _command in (clustering, hierarchy, symmetry):
    diagnose.add_command(_command)
