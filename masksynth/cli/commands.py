"""The command ``masksynth``: its subcommands, grouped by purpose, each loaded when it is used."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any

import click

import masksynth
from masksynth.terminal import Commands

SECTIONS = {
    "Solve": (
        ("new", "families.new", "Print a catalogue instance as JSON."),
        ("solve", "solve_command.solve_command", "Find and prove the smallest merged task of an instance."),
        ("verify", "verify.verify", "Check an answer against its instance, or packed batches."),
        ("explain", "solve_command.explain", "Explain why two nodes were merged or not."),
        ("sparsify", "sparse.sparsify", "Find the fewest edges that carry a mask's flow in L layers."),
        ("check-proof", "check_proof.check_proof", "Check a proof of optimality written by solve or sparsify."),
        ("catalog", "families.list_catalog", "List the catalogue's families and their parameters."),
        ("backends", "solve_command.list_backends", "List solver backends and their versions."),
    ),
    "Pack and train": (
        ("tokenize", "tokenize.tokenize", "Tokenize chats by a model's chat template."),
        ("pack", "pack.pack", "Merge training samples into batches."),
        ("unpack", "pack.unpack", "Restore the samples of packed batches."),
        ("arrange", "arrange.arrange", "Reorder positions for fewer attention blocks."),
        ("export", "export.export", "Write a mask for an attention kernel."),
    ),
    "Discover": (
        ("contracts", "contracts.contracts", "Print what each prediction may see, as JSON."),
        ("discover", "discover.discover_command", "Find the cheapest structure for contracts."),
    ),
    "Existing masks": (
        ("audit", "audit.audit_command", "Find leaks, missing context and other faults in a mask."),
        ("inspect", "inspect.inspect_mask", "Show a mask's structure, one entry, or a difference."),
        ("draw", "draw.draw_mask", "Draw a mask, its Hasse diagram, blocks or flow."),
    ),
    "Many instances": (("search", "search.search_command", "Solve many instances in parallel and compare runs."),),
    "Diagnoses": (("diagnose", "diagnose.diagnose", "Predict what a mask does to a model: three analyses."),),
}
"""Section -> name, function in ``masksynth.cli`` and summary of each command; summaries fit on lines of 80 columns."""


class CommandTable(UserDict[str, Any]):
    """Subcommands by name; one is imported when it is looked up. ``data``: name -> ``module.function``."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, function = str(self.data[name]).partition(".")
        command: click.Command = getattr(import_module(f"masksynth.cli.{module}"), function)
        return command


class SectionedGroup(Commands):
    """A command group whose help lists the subcommands in sections, without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections with their commands and summaries; called by click."""
        width = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", summary) for name, _, summary in commands])


@click.group(
    cls=SectionedGroup,
    commands=CommandTable({name: function for commands in SECTIONS.values() for name, function, _ in commands}),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(masksynth.__version__, prog_name="masksynth")
def main() -> None:
    """Find, prove and check the smallest forward pass that trains a family of tasks, and write its mask for PyTorch.

    \b
    masksynth new butterfly --n 8 | masksynth solve - -o out
    masksynth verify instance.json out

    Exit codes: 0 yes, 1 no (infeasible, check failed), 2 error (usage, bad file), 3 unknown (limit reached, no
    answer).
    """
