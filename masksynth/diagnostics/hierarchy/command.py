"""``masksynth diagnose hierarchy``: compare block-tied attention on a tree of positions with softmax attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.errors import InvalidInstance
from masksynth.terminal import (
    JSON,
    QUIET,
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
    from masksynth.diagnostics.hierarchy import Tree
    from masksynth.mask import Mask
    from masksynth.subject import Subject


def branching_option(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Parse ``2,4,8,16`` as integers."""
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.isdecimal() and 0 < len(part) < 10 and int(part) > 0 for part in parts):
        raise click.BadParameter(f"expected positive integers such as 2,4,8,16, got {value!r:.40}")
    return tuple(map(int, parts))


@click.command("hierarchy")
@click.argument("subject", required=False)
@click.option(
    "--branching",
    callback=branching_option,
    help="Sizes of windows from the tokens up, such as 2,4,8,16, instead of the mask's modules.",
)
@click.option(
    "--max-children",
    "--most",
    "max_children",
    type=click.IntRange(2),
    help="Split families of more children in a mask's tree, where no block is lost.",
)
@click.option(
    "--length", type=click.IntRange(1), help="Number of positions, for windows alone or for package.module:mask_mod."
)
@click.option("--batch", type=click.IntRange(0), help="Index of the batch in a packed folder [default: 0].")
@click.option("--layer", type=click.IntRange(0), help="Layer from 0, where the layers have masks of their own.")
@click.option(
    "--self",
    "self_attention",
    type=click.Choice(["included", "excluded"]),
    default="included",
    show_default=True,
    help="Whether a position attends to itself.",
)
@click.option("--causal", is_flag=True, help="Attend to left siblings only, for trees and windows without a mask.")
@click.option("--dim", type=click.IntRange(1, 65536), help="Size of a random query [default: 64].")
@click.option("--seed", type=click.IntRange(0), help="Seed of random queries and keys [default: 0].")
@click.option(
    "--qkv",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="FILE.npz or .safetensors with arrays q and k: (N, d) or (H, N, d).",
)
@click.option(
    "-o", "--plot", type=click.Path(path_type=Path), callback=output_file, help="Also draw FILE.svg, .png or .pdf."
)
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@JSON
@QUIET
def hierarchy(
    subject: str | None,
    branching: tuple[int, ...] | None,
    max_children: int | None,
    length: int | None,
    batch: int | None,
    layer: int | None,
    self_attention: str,
    causal: bool,
    dim: int | None,
    seed: int | None,
    qkv: Path | None,
    plot: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure attention that is tied on the blocks of a tree: its distance to softmax attention, and its cost.

    \b
    masksynth diagnose hierarchy tree.json
    masksynth diagnose hierarchy --length 4096 --branching 2,4,8,16
    masksynth diagnose hierarchy mask.npz --max-children 16 --plot tree.svg
    masksynth diagnose hierarchy packed --batch 3 --branching 16,16
    masksynth new transfusion | masksynth diagnose hierarchy -

    SUBJECT: a JSON file of nested lists of positions, an instance, a mask file or the folder of an answer (the tree is
    that of the mask's modules), the folder of packed batches (groups, runs of the same samples, tokens),
    package.module:mask_mod, or - for the JSON or the mask file on stdin. Without SUBJECT: windows of --branching over
    --length positions.

    Prints the size of the tree, its cost, and the divergence KL(tied || softmax), in total and per position, which is
    the least of all matrices that are constant on the blocks (arXiv 2509.15448).
    """
    from masksynth.diagnostics.hierarchy import diagnose_hierarchy
    from masksynth.diagnostics.hierarchy.record_text import format_hierarchy

    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, input_files(subject, qkv))
    if qkv is not None:
        _refuse("queries and keys are given", {"--dim": dim, "--seed": seed}, str(qkv))
    with progress(f"measuring {plain(subject or 'windows')} ...", quiet):
        name, tree, mask = _read_tree(subject, branching, max_children, length, batch, layer, causal)
        q, k = _read_qkv(qkv, tree.size) if qkv is not None else (None, None)
        result = diagnose_hierarchy(
            tree,
            q,
            k,
            name=name,
            mask=mask,
            included=self_attention == "included",
            causal=causal,
            dim=dim or 64,
            seed=seed or 0,
            source=str(qkv or ""),
        )
    with to_the_end():
        if plot is not None:
            from masksynth.diagnostics.hierarchy.figure import write_hierarchy_figure

            write_hierarchy_figure(plot, result, force)
        if as_json:
            print_json(result.record())
        elif not quiet:
            click.echo(
                "\n".join([*format_hierarchy(result), *([f"  drawn in {printable(str(plot))}"] if plot else [])])
            )


NamedTree = tuple[str, "Tree", "Mask | None"]
"""A name, the tree, and the mask whose pairs are allowed, if any."""


def _read_tree(
    subject: str | None,
    branching: tuple[int, ...] | None,
    max_children: int | None,
    length: int | None,
    batch: int | None,
    layer: int | None,
    causal: bool,
) -> NamedTree:
    """Return what SUBJECT and the options name: a tree of windows, from a file, or of a mask."""
    from masksynth.diagnostics.hierarchy import BRANCHING, windows
    from masksynth.diagnostics.hierarchy.read_tree import is_instance, tree_of_text
    from masksynth.subject.mask_file import is_mask_bytes, read_mask_bytes, read_stdin

    if subject is None:
        if length is None:
            raise InvalidInstance("no tree and no length", "", "name a tree or a mask, or give --length N")
        _refuse("no mask is given", {"--max-children/--most": max_children, "--batch": batch, "--layer": layer})
        return (
            f"windows of {', '.join(map(str, branching or BRANCHING))}",
            windows(length, branching or BRANCHING),
            None,
        )
    content = read_stdin() if subject == "-" else None
    if content is not None and is_mask_bytes(content):
        _refuse("a mask file is given", {"--length": length, "--batch": batch}, subject)
        return _tree_of_mask(read_mask_bytes(content), branching, max_children, layer, causal)
    if content is not None or Path(subject).suffix == ".json":
        text = Path(subject).read_bytes() if content is None else content
        if is_instance(text):
            _refuse("an instance is given", {"--length": length, "--batch": batch}, subject)
            return _tree_of_mask(_subject_of_instance(text, subject), branching, max_children, layer, causal)
        options = {"--branching": branching, "--max-children": max_children, "--length": length, "--batch": batch}
        options["--layer"] = layer
        _refuse("a tree is given", options, subject)
        return subject, tree_of_text(text, "<stdin>" if subject == "-" else subject), None
    return _tree_of_mask(read(subject, length=length, batch=batch), branching, max_children, layer, causal)


def _subject_of_instance(text: bytes, name: str) -> Subject:
    from masksynth.merge import merge
    from masksynth.subject.folders import subject_of_merged
    from masksynth.tasks.instance_files import loads

    return subject_of_merged(merge(loads(text, "<stdin>" if name == "-" else name)), name)


def _tree_of_mask(
    named: Subject, branching: tuple[int, ...] | None, max_children: int | None, layer: int | None, causal: bool
) -> NamedTree:
    from masksynth.diagnostics.hierarchy import packed_tree, windows
    from masksynth.diagnostics.hierarchy.family_trees import layer_mask
    from masksynth.diagnostics.hierarchy.neighbour_runs import tree_of_mask

    subject = named.name
    if named.mask.tables != 1 and layer is None:
        raise InvalidInstance(
            f"{named.mask.tables} masks, one for each layer, have a tree each", "", "give --layer", subject
        )
    mask = layer_mask(named.mask, layer)
    if causal:
        raise InvalidInstance(
            "a mask is given, which defines what is attended to",
            "",
            "leave --causal out, or give --length and --branching",
            subject,
        )
    if max_children is not None and (named.batch is not None or branching is not None):
        _refuse("this mask is not split by modules", {"--max-children/--most": max_children}, subject)
    if named.batch is not None:
        return named.name, packed_tree(named.batch, named.groups, branching or ()), mask
    if branching is not None:
        return named.name, windows(named.size, branching), mask
    return named.name, tree_of_mask(mask, max_children), mask


def _refuse(why: str, options: dict[str, Any], subject: str = "") -> None:
    """Raise InvalidInstance for options that would have no effect."""
    for option in (name for name, value in options.items() if value is not None):
        raise InvalidInstance(f"{why}, so {option} has no effect", "", f"leave {option} out", subject)


def _read_qkv(path: Path, size: int) -> tuple[Any, Any]:
    """Read queries and keys of ``size`` positions."""
    import numpy as np

    from masksynth.export.formats import read_npz, read_safetensors

    if path.suffix not in (".npz", ".safetensors"):
        raise InvalidInstance(f"ends in {path.suffix!r:.40}", "", "name a .npz or .safetensors file", str(path))
    arrays = read_npz(path) if path.suffix == ".npz" else read_safetensors(path)
    if missing := [name for name in ("q", "k") if name not in arrays]:
        raise InvalidInstance(f"array {missing[0]!r} is missing", "", "store q and k as (N, d) or (H, N, d)", str(path))
    shapes = arrays["q"].shape, arrays["k"].shape
    if shapes[0] != shapes[1] or len(shapes[0]) not in (2, 3) or shapes[0][-2] != size:
        raise InvalidInstance(
            f"expected q and k for {size} positions, got shapes {shapes[0]} and {shapes[1]}",
            "",
            "store both as (N, d) or (H, N, d)",
            str(path),
        )
    for name in ("q", "k"):
        if arrays[name].dtype.kind in "fc" and not np.isfinite(arrays[name]).all():
            raise InvalidInstance(f"array {name!r} has numbers that are not finite", "", "store finite ones", str(path))
    return arrays["q"], arrays["k"]
