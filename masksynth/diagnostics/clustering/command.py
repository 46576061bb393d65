"""``masksynth diagnose clustering``: simulate how fast the positions of a mask collapse."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from masksynth.errors import Unsupported
from masksynth.terminal import (
    BATCH,
    JSON,
    LENGTH,
    QUIET,
    count,
    input_files,
    output_file,
    plain,
    print_json,
    printable,
    spinner,
    to_the_end,
)

if TYPE_CHECKING:
    from masksynth.diagnostics.clustering.command_inputs import Inputs

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("subjects", nargs=-1, metavar="[MASK]...")
@click.option("--causal", type=click.IntRange(1, 8192), metavar="N", help="Use the causal mask of N positions.")
@click.option(
    "--window", type=click.IntRange(1), multiple=True, metavar="W", help="Also a causal window of W; repeatable."
)
@click.option("--prefix", type=click.IntRange(1), multiple=True, metavar="P", help="Also a prefix-LM of P; repeatable.")
@LENGTH
@BATCH
@click.option(
    "--beta",
    type=click.FloatRange(0, min_open=True),
    help="Inverse temperature [default: 9; that of the head with --head].",
)
@click.option(
    "--dim",
    type=click.IntRange(2, 4096),
    help="Dimension; 2 is the circle [default: 3, or that of the matrices].",
)
@click.option("--query", metavar="Q", help="A .npy file, or numbers of a diagonal: 3,2,1 [default: the identity].")
@click.option("--key", metavar="K", help="As --query.")
@click.option("--value", metavar="V", help="As --query.")
@click.option("--model", type=FILE, help="A checkpoint; alone: the spectra of V of all its heads.")
@click.option("--layer", type=click.IntRange(0), help="Layer of --model, from 0.")
@click.option("--head", type=click.IntRange(0), help="Take Q, K, V from this head of --layer.")
@click.option(
    "--text",
    multiple=True,
    help="Start from the states of these tokens as they enter --layer; repeatable, for texts of equally many tokens.",
)
@click.option(
    "--start", metavar="FILE", help="Start from the points of a .npy file, (n, d) or (starts, n, d), such as states."
)
@click.option("--seeds", type=click.IntRange(1, 100_000), help="Number of random starts [default: 8].")
@click.option(
    "--time",
    type=click.FloatRange(0, 100_000, min_open=True),
    help="Time to simulate; 1 is about a layer [default: 100].",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Seed of the random starts [default: 0].")
@click.option(
    "-o",
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=output_file,
    help="Also draw FILE.svg, .png or .pdf.",
)
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@JSON
@QUIET
def clustering(
    subjects: tuple[str, ...], plot: Path | None, force: bool, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Simulate how fast the positions of MASK collapse if attention alone moves them (arXiv 2411.04990).

    MASK is a mask file, the folder of an answer or of packed batches, or package.module:mask_mod; without it, give
    --causal N, or --model. Several masks are compared.

    \b
    masksynth diagnose clustering out
    masksynth diagnose clustering mask.npy --beta 64 --dim 2 --seeds 64 -o clusters.svg
    masksynth diagnose clustering --causal 200 --beta 64 --dim 2 --time 150
    masksynth diagnose clustering --causal 64 --window 8 --prefix 16 out -o compared.svg
    masksynth diagnose clustering --causal 32 --value 3,2,1
    masksynth diagnose clustering --model checkpoint
    masksynth diagnose clustering --model checkpoint --layer 2 --head 3 --text "Who sees whom?"
    masksynth diagnose clustering --causal 200 --beta 64 --dim 2 --time 150 --seeds 5000
    masksynth diagnose clustering mask.npy --start states.npy --value value.npy

    Positions start at random on a sphere and turn towards what they attend to (Q = K = V = I). Prints clusters over
    time, how many positions the Renyi centres of the start capture, and for positions that follow the same roots how
    fast they gather and whether that is a theorem, a conjecture, open or refuted.
    """
    if find_spec("scipy") is None:
        raise Unsupported("clustering needs scipy; pip install 'masksynth[diagnose]'")
    from masksynth.diagnostics.clustering.command_inputs import read_inputs, wants_spectra

    named = [path for path in (*subjects, options["model"], options["start"]) if path is not None]
    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, [file for path in named for file in input_files(str(path))])
    if wants_spectra(subjects, options):
        found = _spectra(options["model"])
    else:
        found = _diagnose(read_inputs(subjects, options), plot is not None, quiet)
    with to_the_end():
        if plot is not None:
            found.draw(plot, force)
        if as_json:
            print_json(found.record)
        elif not quiet:
            written = [f"written to {printable(str(plot))}"] if plot is not None else []
            click.echo("\n".join([*found.lines, *written]))


class Found(NamedTuple):
    """What a command prints, as JSON or as lines, and a function that draws it into a file."""

    record: dict[str, Any]
    lines: list[str]
    draw: Callable[[Path, bool], object]


def _spectra(model: Path) -> Found:
    """Return the spectra of V for all heads of a checkpoint."""
    from masksynth.diagnostics.clustering.model_heads import head_spectra
    from masksynth.diagnostics.clustering.report_text import spectra_lines

    found = head_spectra(model)
    record = {"diagnosis": "spectra of V", "subject": str(model), "heads": [head.record() for head in found]}

    def draw(plot: Path, force: bool) -> None:
        from masksynth.diagnostics.clustering.more_figures import write_spectra

        write_spectra(found, plot, title=plain(model.name), force=force)

    return Found(record, spectra_lines(str(model), found), draw)


def _diagnose(inputs: Inputs, paths: bool, quiet: bool) -> Found:
    """Return the diagnosis of one mask or several; ``paths`` are kept for a picture."""
    from masksynth.diagnostics.clustering.comparison import compare
    from masksynth.diagnostics.clustering.report_text import comparison_lines, diagnosis_lines

    label = f"moving {max(mask.size for mask in inputs.masks.values()):,} positions from {{}} ..."
    several = len(inputs.masks) > 1
    with spinner(label.format(count(inputs.run.seeds, "start")), quiet) as show:

        def report(name: str, done: int, of: int) -> None:
            show(f"{label.format(count(of, 'start'))} {done:,} done{f' of {plain(name)}' if several else ''}")

        results = compare(inputs.masks, report, **inputs.run._replace(paths=paths)._asdict())
    records = [{"diagnosis": "clustering", "subject": name, **each.record()} for name, each in results.items()]

    def draw(plot: Path, force: bool) -> None:
        if several:
            from masksynth.diagnostics.clustering.more_figures import write_comparison

            write_comparison(results, plot, force=force)
            return
        from masksynth.diagnostics.clustering.figure import write_clustering

        ((name, result),) = results.items()
        write_clustering(result, plot, title=plain(name), force=force)

    if several:
        record = {"diagnosis": "clustering of several masks", "masks": records}
        return Found(record, comparison_lines(results), draw)
    return Found(records[0], diagnosis_lines(*next(iter(results.items()))), draw)
