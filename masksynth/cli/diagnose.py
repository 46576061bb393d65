"""``masksynth diagnose``: predict the effect of a mask on a model."""

from __future__ import annotations

import click

from masksynth.diagnostics.clustering.command import clustering
from masksynth.diagnostics.hierarchy.command import hierarchy
from masksynth.diagnostics.symmetry.command import symmetry


@click.group()
def diagnose() -> None:
    """Predict the effect of a mask on a model by three published analyses.

    \b
    masksynth diagnose clustering mask.npz
    masksynth diagnose hierarchy tree.json
    masksynth diagnose symmetry model.safetensors
    """


for _command in (clustering, hierarchy, symmetry):
    diagnose.add_command(_command)
