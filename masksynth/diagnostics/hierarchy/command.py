"""``masksynth diagnose hierarchy``: block-tied attention on a tree of positions, beside softmax attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.errors import InvalidInstance
from masksynth.terminal import (
    JSON,
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
    from masksynth.diagnostics.hierarchy import Hierarchy, Tree
    from masksynth.mask import Mask


def branching_option(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``2,4,8,16`` as integers."""
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.isdecimal() and 0 < len(part) < 10 and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r:.40} is no list of positive integers such as 2,4,8,16")
    return tuple(map(int, parts))


@click.command("hierarchy")
@click.argument("subject", required=False)
@click.option(
    "--branching",
    callback=branching_option,
    help="Windows from the tokens up, such as 2,4,8,16, instead of the mask's modules.",
)
@click.option(
    "--max-children",
    "--most",
    "most",
    type=click.IntRange(2),
    help="Split families of a mask's tree that have more nodes, where no block is lost by it.",
)
@click.option("--length", type=click.IntRange(1), help="Positions, for windows alone or for package.module:mask_mod.")
@click.option("--batch", type=click.IntRange(0), help="Which batch of a packed folder [default: 0].")
@click.option(
    "--self",
    "own",
    type=click.Choice(["included", "excluded"]),
    default="included",
    show_default=True,
    help="Whether a position attends to itself.",
)
@click.option("--causal", is_flag=True, help="Attend to left siblings only; for trees and windows without a mask.")
@click.option("--dim", type=click.IntRange(1, 65536), default=64, show_default=True, help="Numbers of a random query.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random queries and keys.")
@click.option(
    "--qkv",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="FILE.npz or .safetensors with q, k: (N, d) or (H, N, d).",
)
@click.option(
    "-o", "--plot", type=click.Path(path_type=Path), callback=output_file, help="Also draw FILE.svg, .png or .pdf."
)
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
@JSON
@QUIET
def hierarchy(
    subject: str | None,
    branching: tuple[int, ...] | None,
    most: int | None,
    length: int | None,
    batch: int | None,
    own: str,
    causal: bool,
    dim: int,
    seed: int,
    qkv: Path | None,
    plot: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """How far attention that is tied on the blocks of a tree is from softmax attention, and what it saves.

    \b
    masksynth diagnose hierarchy tree.json
    masksynth diagnose hierarchy --length 4096 --branching 2,4,8,16
    masksynth diagnose hierarchy mask.npz --max-children 16 --plot tree.svg
    masksynth diagnose hierarchy packed --batch 3 --branching 16,16

    SUBJECT: a JSON file of nested lists of positions (- for stdin), a mask file or the folder of an answer (the tree is that of its
    modules), the folder of packed batches (groups, runs of the same samples, tokens), or package.module:mask_mod. Without SUBJECT:
    windows of --branching over --length positions.

    Prints the size of the tree, its cost, and the divergence KL(tied || softmax) in total and for a position, which no matrix that is
    constant on the blocks can lower (arXiv 2509.15448).
    """
    from masksynth.diagnostics.hierarchy import diagnose_hierarchy

    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, input_files(subject, qkv))
    with progress(f"measuring {plain(subject or 'windows')} ...", quiet):
        name, tree, mask = _asked(subject, branching, most, length, batch, causal)
        q, k = _read_qkv(qkv, tree.size) if qkv is not None else (None, None)
        found = diagnose_hierarchy(
            tree,
            q,
            k,
            name=name,
            mask=mask,
            included=own == "included",
            causal=causal,
            dim=dim,
            seed=seed,
            source=str(qkv or ""),
        )
    with to_the_end():
        if plot is not None:
            from masksynth.diagnostics.hierarchy.figure import write_hierarchy_figure

            write_hierarchy_figure(plot, found, force)
        if as_json:
            print_json(found.record())
        elif not quiet:
            click.echo("\n".join([*told(found), *([f"  drawn in {printable(str(plot))}"] if plot else [])]))


Asked = tuple[str, "Tree", "Mask | None"]


def _asked(
    subject: str | None,
    branching: tuple[int, ...] | None,
    most: int | None,
    length: int | None,
    batch: int | None,
    causal: bool,
) -> Asked:
    """A name, the tree, and the mask whose pairs are allowed, if any."""
    from masksynth.diagnostics.hierarchy import BRANCHING, read_tree, windows

    if subject is None:
        if length is None:
            raise InvalidInstance(
                "there is neither a tree nor a length", "", "name a tree or a mask, or give --length N"
            )
        _refuse("there is no mask", {"--max-children/--most": most, "--batch": batch})
        return (
            f"windows of {', '.join(map(str, branching or BRANCHING))}",
            windows(length, branching or BRANCHING),
            None,
        )
    if subject == "-" or Path(subject).suffix == ".json":
        _refuse("is a tree", {"--branching": branching, "--most": most, "--length": length, "--batch": batch}, subject)
        return subject, read_tree(subject), None
    return _of_mask(subject, branching, most, length, batch, causal)


def _of_mask(
    subject: str,
    branching: tuple[int, ...] | None,
    most: int | None,
    length: int | None,
    batch: int | None,
    causal: bool,
) -> Asked:
    from masksynth.diagnostics.hierarchy import module_tree, packed_tree, windows

    found = read(subject, length=length, batch=batch)
    if found.mask.tables != 1:
        raise InvalidInstance(f"has {found.mask.tables} tables", "", "name a mask with one", subject)
    if causal:
        raise InvalidInstance(
            "is a mask, which says itself what is seen",
            "",
            "leave --causal out, or give --length and --branching",
            subject,
        )
    mask = found.mask
    if most is not None and (found.batch is not None or branching is not None):
        _refuse("is not split by modules", {"--max-children/--most": most}, subject)
    if found.batch is not None:
        return found.name, packed_tree(found.batch, found.groups, branching or ()), mask
    if branching is not None:
        return found.name, windows(found.size, branching), mask
    return found.name, module_tree(found.mask, most), mask


def _refuse(why: str, options: dict[str, Any], subject: str = "") -> None:
    """Refuse options that would change nothing."""
    for option in (name for name, value in options.items() if value is not None):
        raise InvalidInstance(f"{why}, so {option} says nothing", "", f"leave {option} out", subject)


def _read_qkv(path: Path, size: int) -> tuple[Any, Any]:
    from masksynth.export.formats import read_npz, read_safetensors

    if path.suffix not in (".npz", ".safetensors"):
        raise InvalidInstance(f"ends in {path.suffix!r:.40}", "", "name a .npz or .safetensors file", str(path))
    arrays = read_npz(path) if path.suffix == ".npz" else read_safetensors(path)
    if missing := [name for name in ("q", "k") if name not in arrays]:
        raise InvalidInstance(f"array {missing[0]!r} is missing", "", "store q and k as (N, d) or (H, N, d)", str(path))
    shapes = arrays["q"].shape, arrays["k"].shape
    if shapes[0] != shapes[1] or len(shapes[0]) not in (2, 3) or shapes[0][-2] != size:
        raise InvalidInstance(
            f"q {shapes[0]} and k {shapes[1]} for {size} positions", "", "store both as (N, d) or (H, N, d)", str(path)
        )
    return arrays["q"], arrays["k"]


def told(found: Hierarchy) -> list[str]:
    """The record in words."""
    itself = "themselves included" if found.included else "themselves excluded"
    lines = [
        f"{plain(found.name)}: {_many(found.positions, 'position')}, {_families(found.families)} of at most "
        f"{found.largest:,}, depth {found.depth}",
        f"  positions see {'left siblings' if found.causal else 'siblings'}, {itself}",
        f"  cost: {_many(found.tree_pairs, 'score')} instead of {found.flat_pairs:,}, {_ratio(found.flat_pairs, found.tree_pairs)}; "
        f"{_bytes(found.tree_bytes)} of float32 scores instead of {_bytes(found.flat_bytes)}",
    ]
    if found.mask_pairs is not None:
        used = (
            "no block is lost"
            if not found.lost_pairs
            else f"{found.lost_pairs:,} lie in blocks that it allows in part, and are lost"
        )
        lines.append(f"  mask: {_many(found.mask_pairs, 'pair')}; {used}")
    if found.degenerate:
        lines.append(f"  degenerate: {_families(found.degenerate)} with a child that has nothing to attend to")
    if found.empty_rows:
        shown = ", ".join(map(str, found.first_empty)) + (", ..." if found.empty_rows > len(found.first_empty) else "")
        lines.append(f"  empty: {_many(found.empty_rows, 'row')} of nothing to attend to ({shown})")
    if found.leaking_rows:
        lines.append(
            f"  leak: {_many(found.leaking_rows, 'row')} weighted by queries of positions that the row may not see"
        )
    return lines + [f"  {line}" for line in _divergence(found)]


def _divergence(found: Hierarchy) -> list[str]:
    if found.skipped:
        return [f"divergence from softmax: not computed: {found.skipped}"]
    heads = f", {count(found.heads, 'head')}" if found.heads > 1 else ""
    where = f"q, k: {plain(found.source)}, {count(found.dim, 'number')} each{heads}"
    if found.kl_total is None or found.kl_mean is None:
        if found.sightless:
            return [
                f"divergence from softmax: undefined, as {_many(found.sightless, 'row')} of softmax may see nothing either; {where}"
            ]
        return [
            f"divergence from softmax: infinite, as no row-stochastic matrix that is tied on the blocks lies within what is seen; {where}"
        ]
    return [
        f"KL(tied || softmax): {_nats(found.kl_total)} nats in total, {_nats(found.kl_mean, 4)} for a position; {where}",
        f"no matrix that is constant on the blocks is closer: N phi(root) + sum log Z = {_nats(found.kl_identity or 0.0)}",
    ]


def _ratio(flat: int, tree: int) -> str:
    if tree == flat:
        return "as many"
    return f"{flat / tree:,.1f}x fewer" if tree and flat > tree else "more" if tree else "none at all"


def _bytes(many: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if many >= size:
            return f"{many / size:,.3g} {unit}"
    return f"{many} B"


def _families(number: int) -> str:
    return "1 family" if number == 1 else f"{number:,} families"


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _nats(value: float, digits: int = 6) -> str:
    """A divergence; what only rounding has made is 0."""
    return f"{value if abs(value) > 1e-12 else 0.0:.{digits}g}"
