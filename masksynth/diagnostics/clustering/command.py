"""``masksynth diagnose clustering``: how fast the positions of a mask collapse."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from masksynth.errors import InvalidInstance, Unsupported
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
"""Most groups that are named in text."""


@click.command()
@click.argument("subject", required=False, metavar="[MASK]")
@click.option("--causal", type=click.IntRange(1, 8192), metavar="N", help="Take the causal mask of N positions.")
@LENGTH
@BATCH
@click.option(
    "--beta", type=click.FloatRange(0, min_open=True), default=9.0, show_default=True, help="Inverse temperature."
)
@click.option("--dim", type=click.IntRange(2, 4096), default=3, show_default=True, help="Dimension; 2 is the circle.")
@click.option("--seeds", type=click.IntRange(1, 100_000), default=8, show_default=True, help="Random starts.")
@click.option(
    "--time",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=100.0,
    show_default=True,
    help="How long; 1 is about a layer.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the random starts.")
@click.option(
    "-o",
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=output_file,
    help="Draw it: FILE.svg, .png or .pdf.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
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
    """How fast the positions of MASK collapse, if attention alone moves them (arXiv 2411.04990).

    MASK is a mask file, the folder of an answer or of packed batches, or package.module:mask_mod; without it, --causal N.

    \b
    masksynth diagnose clustering out
    masksynth diagnose clustering mask.npy --beta 64 --dim 2 --seeds 64 -o clusters.svg
    masksynth diagnose clustering --causal 200 --beta 64 --dim 2 --time 150

    Positions start at random on a sphere and turn towards what they attend to (Q = K = V = I). Prints clusters over time, how many
    positions the Renyi centres of the start capture, and for positions that follow the same roots how fast they gather and whether that is
    a theorem, a conjecture or open.
    """
    from masksynth.diagnostics.clustering import diagnose

    if find_spec("scipy") is None:
        raise Unsupported("clustering needs scipy; pip install 'masksynth[diagnose]'")
    if (subject is None) == (causal is None):
        raise InvalidInstance(
            "name a mask or give --causal N" if subject is None else "a mask and --causal N", "", "give one of them"
        )
    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, input_files(subject))
    mask, name = _mask(subject, causal, length, batch)
    with progress(f"moving {mask.size:,} positions from {count(seeds, 'start')} ...", quiet):
        found = diagnose(mask, beta=beta, dim=dim, seeds=seeds, time=time, seed=seed, paths=plot is not None)
    with to_the_end():
        if as_json:
            print_json({"diagnosis": "clustering", "subject": name, **found.record()})
        elif not quiet:
            click.echo("\n".join([f"{plain(name)}: {_head(found)}", *(f"  {line}" for line in _lines(found))]))
        if plot is not None:
            from masksynth.diagnostics.clustering.figure import write_clustering

            write_clustering(found, plot, title=plain(name), force=force)
            if not quiet and not as_json:
                click.echo(f"written to {printable(str(plot))}")


def _mask(subject: str | None, causal: int | None, length: int | None, batch: int | None) -> tuple[Mask, str]:
    from masksynth.diagnostics.clustering import causal_mask

    if causal is not None:
        return causal_mask(causal), f"causal {causal}"
    looked_at = read(subject or "", None, length, batch)
    return looked_at.mask, looked_at.name


def _head(found: Clustering) -> str:
    run = f"beta {found.beta:g}, dimension {found.dim}, {count(found.seeds, 'start')}, time {found.time:g}"
    return f"{count(found.positions, 'position')}, {run}"


def _lines(found: Clustering) -> list[str]:
    """The diagnosis in words."""
    lines = [_clusters(found), _centres(found), *_captured(found)]
    if found.parts > 1:
        lines.append(f"the mask falls into {found.parts:,} parts that see nothing of one another")
    if found.empty:
        lines.append(f"{count(found.empty, 'row')} empty: such a position attends to nothing and stays where it is")
    if found.without_self:
        lines.append(
            f"{count(found.without_self, 'row')} without themselves: such a position follows the others with its whole weight"
        )
    lines.append(_covered(found))
    for group in found.groups[:GROUPS]:
        lines += _group(group, found)
    rest = found.groups[GROUPS:]
    if rest:
        lines.append(
            f"and {count(len(rest), 'group')} more of {count(sum(len(group.positions) for group in rest), 'position')} (--json)"
        )
    return lines


def _clusters(found: Clustering) -> str:
    shown = [
        0,
        *(
            min(range(len(found.times)), key=lambda i: abs(found.times[i] - found.time * share))
            for share in (0.01, 0.1)
        ),
        -1,
    ]
    counts = ", ".join(f"{found.clusters.mean[i]:.1f} at {found.times[i]:.3g}" for i in dict.fromkeys(shown))
    return f"clusters (neighbours within {found.angle:.3g} rad): {counts}"


def _centres(found: Clustering) -> str:
    if found.centres is None or found.strong is None:
        return f"no centres: their distance 4 / sqrt(beta) = {found.delta:.3g} exceeds pi; give a beta of 1.63 or more"
    text = f"centres of the start at distance {found.delta:.3g}: {found.centres:.1f} Renyi, {found.strong:.1f} strong"
    jammed = "" if found.expected_renyi is None else f", {found.expected_renyi:.1f} Renyi once there is no room"
    return (
        f"{text} (expected: {found.expected_strong:.1f} strong{jammed})" if found.expected_strong is not None else text
    )


def _captured(found: Clustering) -> list[str]:
    if not found.captured:
        return []
    captured = dict(found.captured)
    renyi, strong = (captured[name].mean for name in ("renyi", "strong"))
    shares = f"{renyi[0]:.0%} at 0, {renyi[-1]:.0%} at the end; of a strong one {strong[0]:.0%}, {strong[-1]:.0%}"
    return [f"within {found.radius:.3g} of a centre: {shares}"]


def _covered(found: Clustering) -> str:
    """How many positions a theorem speaks of; it speaks of infinite time, at any beta."""
    sums = dict.fromkeys(("theorem", "conjecture", "open"), 0)
    for group in found.groups:
        sums[_standing(group, found)] += len(group.positions)
    texts = [f"a theorem for {count(sums['theorem'], 'position')}"]
    texts += [f"a conjecture for {sums['conjecture']:,}"] if sums["conjecture"] else []
    texts += [f"open for {sums['open']:,}"] if sums["open"] else []
    return f"where they go at last: {', '.join(texts if len(texts) > 1 else [*texts, 'that is all'])}"


def _standing(group: Group, found: Clustering) -> str:
    """Theorem, conjecture or open, for the starts of this run."""
    from masksynth.diagnostics.clustering import meaning

    text = meaning(group.status, found.dim)
    return (
        "theorem"
        if group.hemisphere == found.seeds
        else next(word for word in ("theorem", "conjecture", "open") if text.startswith(word))
    )


def _group(group: Group, found: Clustering) -> list[str]:
    from masksynth.diagnostics.clustering import FIXED, meaning
    from masksynth.export.row_intervals import few

    roots = f"{', '.join(map(str, group.roots[:4]))}{', ...' if len(group.roots) > 4 else ''}"
    head = f"{count(len(group.positions), 'position')} ({few(_stretches(group.positions))})"
    if group.status == FIXED:
        return [f"{head}: {meaning(FIXED, found.dim)}"]
    when = "less than half of them so far" if group.half is None else f"half of them from time {group.half:.3g}"
    near = f"{group.gathered[-1]:.0%} within {found.angle:.3g} rad, {when}"
    known = [meaning(group.status, found.dim), *_hemispheres(group, found)]
    return [
        f"{head} of {'root' if len(group.roots) == 1 else 'roots'} {roots}: {near}",
        *(f"  {line}" for line in known),
    ]


def _hemispheres(group: Group, found: Clustering) -> list[str]:
    if group.hemisphere is None:
        return []
    name = "half" if found.dim == 2 else "hemisphere"
    return [f"in an open {name}, so that the theorem holds: {group.hemisphere:,} of {count(found.seeds, 'start')}"]


def _stretches(places: tuple[int, ...]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found
