"""``masksynth diagnose clustering``: simulate how fast the positions of a mask collapse."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.check_rows import format_intervals
from masksynth.mask.csr import run_starts
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
    progress,
    read,
    to_the_end,
)

if TYPE_CHECKING:
    from masksynth.diagnostics.clustering import Clustering, Group
    from masksynth.mask import Mask

GROUPS = 8
"""Maximum number of groups that are printed."""


@click.command()
@click.argument("subject", required=False, metavar="[MASK]")
@click.option("--causal", type=click.IntRange(1, 8192), metavar="N", help="Use the causal mask of N positions.")
@LENGTH
@BATCH
@click.option(
    "--beta", type=click.FloatRange(0, min_open=True), default=9.0, show_default=True, help="Inverse temperature."
)
@click.option("--dim", type=click.IntRange(2, 4096), default=3, show_default=True, help="Dimension; 2 is the circle.")
@click.option("--seeds", type=click.IntRange(1, 100_000), default=8, show_default=True, help="Number of random starts.")
@click.option(
    "--time",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=100.0,
    show_default=True,
    help="Time to simulate; 1 is about a layer.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the random starts."
)
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
    subject: str | None,
    causal: int | None,
    length: int | None,
    batch: int | None,
    beta: float,
    dim: int,
    seeds: int,
    time: float,
    seed: int,
    plot: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Simulate how fast the positions of MASK collapse if attention alone moves them (arXiv 2411.04990).

    MASK is a mask file, the folder of an answer or of packed batches, or package.module:mask_mod; without it, give
    --causal N.

    \b
    masksynth diagnose clustering out
    masksynth diagnose clustering mask.npy --beta 64 --dim 2 --seeds 64 -o clusters.svg
    masksynth diagnose clustering --causal 200 --beta 64 --dim 2 --time 150

    Positions start at random on a sphere and turn towards what they attend to (Q = K = V = I). Prints clusters over
    time, how many positions the Renyi centres of the start capture, and for positions that follow the same roots how
    fast they gather and whether that is a theorem, a conjecture or open.
    """
    from masksynth.diagnostics.clustering import diagnose

    if find_spec("scipy") is None:
        raise Unsupported("clustering needs scipy; pip install 'masksynth[diagnose]'")
    if (subject is None) == (causal is None):
        fact = "neither a mask nor --causal N is given" if subject is None else "both a mask and --causal N are given"
        raise InvalidInstance(fact, "", "give one of them")
    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, input_files(subject))
    mask, name = _read_mask(subject, causal, length, batch)
    with progress(f"moving {mask.size:,} positions from {count(seeds, 'start')} ...", quiet):
        result = diagnose(mask, beta=beta, dim=dim, seeds=seeds, time=time, seed=seed, paths=plot is not None)
    with to_the_end():
        if as_json:
            print_json({"diagnosis": "clustering", "subject": name, **result.record()})
        elif not quiet:
            lines = [f"{plain(name)}: {_head(result)}", *(f"  {line}" for line in _format(result))]
            click.echo("\n".join(lines))
        if plot is not None:
            from masksynth.diagnostics.clustering.figure import write_clustering

            write_clustering(result, plot, title=plain(name), force=force)
            if not quiet and not as_json:
                click.echo(f"written to {printable(str(plot))}")


def _read_mask(subject: str | None, causal: int | None, length: int | None, batch: int | None) -> tuple[Mask, str]:
    from masksynth.diagnostics.clustering import causal_mask

    if causal is not None:
        return causal_mask(causal), f"causal {causal}"
    named = read(subject or "", None, length, batch)
    return named.mask, named.name


def _head(result: Clustering) -> str:
    run = f"beta {result.beta:g}, dimension {result.dim}, {count(result.seeds, 'start')}, time {result.time:g}"
    return f"{count(result.positions, 'position')}, {run}"


def _format(result: Clustering) -> list[str]:
    """Return the diagnosis as lines of text."""
    lines = [_clusters(result), _centres(result), *_captured(result)]
    if result.parts > 1:
        lines.append(f"the mask has {result.parts:,} connected components")
    if result.empty:
        lines.append(f"{count(result.empty, 'row')} empty: such a position attends to nothing and does not move")
    if result.without_self:
        rows = count(result.without_self, "row")
        lines.append(f"{rows} without themselves: such a position follows the others with its full weight")
    lines.append(_known(result))
    for group in result.groups[:GROUPS]:
        lines += _group(group, result)
    if rest := result.groups[GROUPS:]:
        positions = count(sum(len(group.positions) for group in rest), "position")
        lines.append(f"and {count(len(rest), 'group')} more of {positions} (--json)")
    return lines


def _clusters(result: Clustering) -> str:
    """Return the number of clusters at the start, at about 1 % and 10 % of the time, and at the end."""
    near = [
        min(range(len(result.times)), key=lambda i: abs(result.times[i] - result.time * share)) for share in (0.01, 0.1)
    ]
    moments = dict.fromkeys([0, *near, -1])
    counts = ", ".join(f"{result.clusters.mean[i]:.1f} at {result.times[i]:.3g}" for i in moments)
    return f"clusters (neighbours within {result.angle:.3g} rad): {counts}"


def _centres(result: Clustering) -> str:
    if result.centres is None or result.strong is None:
        return f"no centres: their distance 4 / sqrt(beta) = {result.delta:.3g} exceeds pi; give a beta of 1.63 or more"
    text = (
        f"centres of the start at distance {result.delta:.3g}: {result.centres:.1f} Renyi, {result.strong:.1f} strong"
    )
    if result.expected_strong is None:
        return text
    full = "" if result.expected_renyi is None else f", {result.expected_renyi:.1f} Renyi on a full circle"
    return f"{text} (expected: {result.expected_strong:.1f} strong{full})"


def _captured(result: Clustering) -> list[str]:
    if not result.captured:
        return []
    captured = dict(result.captured)
    renyi, strong = (captured[name].mean for name in ("renyi", "strong"))
    shares = f"{renyi[0]:.0%} at 0, {renyi[-1]:.0%} at the end; of a strong one {strong[0]:.0%}, {strong[-1]:.0%}"
    return [f"within {result.radius:.3g} of a centre: {shares}"]


def _known(result: Clustering) -> str:
    """Return for how many positions the limit in infinite time is known, at any beta."""
    from masksynth.diagnostics.clustering.statements import CERTAINTIES

    sums = dict.fromkeys(CERTAINTIES, 0)
    for group in result.groups:
        sums[_certainty(group, result)] += len(group.positions)
    texts = [f"a theorem for {count(sums['theorem'], 'position')}"]
    texts += [f"a conjecture for {sums['conjecture']:,}"] if sums["conjecture"] else []
    texts += [f"open for {sums['open']:,}"] if sums["open"] else []
    texts += [f"refuted for {sums['refuted']:,}"] if sums["refuted"] else []
    return f"limit: {', '.join(texts if len(texts) > 1 else [*texts, 'that is all'])}"


def _certainty(group: Group, result: Clustering) -> str:
    """Return ``theorem``, ``conjecture``, ``open`` or ``refuted``, for the starts of this run."""
    return "theorem" if group.hemisphere == result.seeds else group.certainty


def _group(group: Group, result: Clustering) -> list[str]:
    """Return the lines about one group of positions."""
    from masksynth.diagnostics.clustering import FIXED

    roots = f"{', '.join(map(str, group.roots[:4]))}{', ...' if len(group.roots) > 4 else ''}"
    head = f"{count(len(group.positions), 'position')} ({format_intervals(_intervals(group.positions))})"
    if group.status == FIXED:
        return [f"{head}: {group.meaning}"]
    when = "less than half of them so far" if group.half is None else f"half of them from time {group.half:.3g}"
    near = f"{group.gathered[-1]:.0%} within {result.angle:.3g} rad, {when}"
    known = [group.meaning, *_hemispheres(group, result)]
    noun = "root" if len(group.roots) == 1 else "roots"
    return [f"{head} of {noun} {roots}: {near}", *(f"  {line}" for line in known)]


def _hemispheres(group: Group, result: Clustering) -> list[str]:
    if group.hemisphere is None:
        return []
    name = "half" if result.dim == 2 else "hemisphere"
    return [f"in an open {name}, so that the theorem holds: {group.hemisphere:,} of {count(result.seeds, 'start')}"]


def _intervals(positions: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return ascending positions as half-open intervals."""
    array = np.asarray(positions, np.int64)
    starts = np.flatnonzero(run_starts(array - np.arange(len(array))))
    ends = np.append(starts[1:], len(array))[: len(starts)] - 1
    return list(zip(array[starts].tolist(), (array[ends] + 1).tolist(), strict=True))
