"""``masksynth draw``: pictures of a mask."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from masksynth.cli.report_options import TOKENIZER
from masksynth.draw import WHAT, format_of, write_picture
from masksynth.files import check_file
from masksynth.terminal import (
    QUIET,
    SubjectChoice,
    layers_option,
    plain,
    printable,
    progress,
    subject_options,
    to_the_end,
)


@click.command("draw")
@subject_options
@click.option("--what", type=click.Choice(WHAT), default="mask", show_default=True, help="The picture.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="FILE.svg, FILE.png, FILE.pdf, or - for SVG on stdout [default: text].",
)
@click.option(
    "--layers",
    callback=layers_option,
    help="Number of layers, for flow [default: the subject's, else until nothing is added].",
)
@click.option("--other", metavar="OTHER", help="The mask to compare with, for diff.")
@click.option("--block-size", type=click.IntRange(1), help="Positions of a block [default: what fits the picture].")
@TOKENIZER
@click.option("--force", is_flag=True, help="Replace an existing file.")
@QUIET
def draw_mask(
    subject: SubjectChoice,
    what: str,
    output: Path | None,
    layers: Any,
    other: str | None,
    block_size: int | None,
    tokenizer: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Draw the mask in SUBJECT: a mask file, the folder of an answer or of packed batches, or package.module:mask_mod.

    \b
    masksynth draw out
    masksynth draw out --what hasse -o hasse.svg
    masksynth draw mask.npy --what diff --other other.npy
    masksynth draw packed --batch 3 --tokenizer ./tokenizer -o mask.pdf
    masksynth draw packed --batch 3 --what blocks --block-size 128 -o blocks.png

    mask: every pair, in blocks where there are many positions. hasse: the Hasse diagram, in which information flows up.
    blocks: full and partial blocks. flow: what is reached after 1, 2, ... layers. diff: pairs that only one of two
    masks allows.
    """
    from masksynth.draw import draw

    to_file = output is not None and str(output) != "-"
    form = "text" if output is None else format_of(output) if to_file else "svg"
    if to_file and output is not None:
        check_file(output, force, subject.input_files(other))
    mask = subject.read(layers)
    with progress(f"drawing {plain(subject.path)} ...", quiet):
        second = subject.read_other(other) if other is not None else None
        picture = draw(mask, what, form, layers=mask.layers, other=second, block_size=block_size, tokenizer=tokenizer)
    with to_the_end():
        if to_file and output is not None:
            write_picture(picture, output, force)
            if not quiet:
                click.echo(f"written to {printable(str(output))}")
        elif isinstance(picture, str):
            click.echo(picture, nl=not picture.endswith("\n"), file=sys.stdout)
