"""The command ``masksynth``: its subcommands, grouped by purpose."""

from __future__ import annotations

import click

import masksynth
from masksynth.cli.arrange import arrange
from masksynth.cli.audit import audit_command
from masksynth.cli.check_proof import check_proof
from masksynth.cli.diagnose import diagnose
from masksynth.cli.draw import draw_mask
from masksynth.cli.export import export
from masksynth.cli.families import list_catalog, new
from masksynth.cli.inspect import inspect_mask
from masksynth.cli.pack import pack, unpack
from masksynth.cli.search import search_command
from masksynth.cli.solve_command import explain, list_backends, solve_command
from masksynth.cli.sparse import sparsify
from masksynth.cli.verify import verify
from masksynth.terminal import Commands

SECTIONS: dict[str, tuple[tuple[click.Command, str], ...]] = {
    "Solve": (
        (new, "Print a catalogue instance as JSON."),
        (solve_command, "Find and prove the smallest merged task of an instance."),
        (verify, "Check an answer against its instance, or packed batches."),
        (explain, "Explain why two nodes were merged or not."),
        (sparsify, "Find the fewest edges that carry a mask's flow in L layers."),
        (check_proof, "Check a proof of optimality written by solve or sparsify."),
        (list_catalog, "List the catalogue's families and their parameters."),
        (list_backends, "List solver backends and their versions."),
    ),
    "Pack and train": (
        (pack, "Merge training samples into batches."),
        (unpack, "Restore the samples of packed batches."),
        (arrange, "Reorder positions for fewer attention blocks."),
        (export, "Write a mask for an attention kernel."),
    ),
    "Existing masks": (
        (audit_command, "Find leaks, missing context and other faults in a mask."),
        (inspect_mask, "Show a mask's structure, one entry, or a difference."),
        (draw_mask, "Draw a mask, its Hasse diagram, blocks or flow."),
    ),
    "Many instances": ((search_command, "Solve many instances in parallel and compare runs."),),
    "Diagnoses": ((diagnose, "Predict what a mask does to a model: three analyses."),),
}
"""Section -> its commands, each with a summary that fits on a line of 80 columns."""


class SectionedGroup(Commands):
    """A command group whose help lists the subcommands in sections."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections with their commands and summaries; called by click."""
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{command.name or '':{width}}", summary) for command, summary in commands])


@click.group(cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(masksynth.__version__, prog_name="masksynth")
def main() -> None:
    """Find, prove and check the smallest forward pass that trains a family of tasks, and write its mask for PyTorch.

    \b
    masksynth new butterfly --n 8 | masksynth solve - -o out
    masksynth verify instance.json out

    Exit codes: 0 yes, 1 no (infeasible, check failed), 2 error (usage, bad file), 3 unknown (limit reached, no
    answer).
    """


for _commands in SECTIONS.values():
    for _command, _ in _commands:
        main.add_command(_command)
