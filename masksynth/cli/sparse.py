"""Sparse masks on the command line: `sparsify`, and what `solve --sparse` writes beside its answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from masksynth.backends import Limits, Status
from masksynth.cli.answer_text import told_relation
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported
from masksynth.files import check_file, check_folder
from masksynth.problem import Problem
from masksynth.sparse.sparsify import SparseAnswer
from masksynth.sparse.sparsify import record as sparse_record
from masksynth.sparse.sparsify import sparsify as sparsified
from masksynth.subject.mask_file import check_mask_target, read_mask, write_mask
from masksynth.tasks import Instance
from masksynth.tasks.parse_json import parse
from masksynth.terminal import (
    JSON,
    QUIET,
    check_outputs,
    input_files,
    layers_option,
    output_file,
    plain,
    print_json,
    progress,
    to_the_end,
)

EXIT = {Status.OPTIMAL: 0, Status.FEASIBLE: 0, Status.INFEASIBLE: 1, Status.UNKNOWN: 3}


def check_extras(
    asked: Instance, backend: str, emit: Path | None, proof: Path | None, force: bool, inputs: Sequence[Path]
) -> None:
    """Refuse before the work what could not be written after it."""
    if emit is not None and asked.layers is not None and not asked.sparse:
        raise Unsupported("--emit writes the search, which knows no finite depth; give --layers any")
    if proof is not None and not asked.sparse:
        raise Unsupported("--proof writes the proof of a sparse optimum; give --sparse")
    check_places(backend if asked.sparse else "", emit, proof, force, inputs)


def check_places(backend: str, emit: Path | None, proof: Path | None, force: bool, inputs: Sequence[Path]) -> None:
    """Refuse places where no search or proof can be written, and a backend that has none."""
    if emit is not None and not emit.absolute().parent.is_dir():
        raise MasksynthError(
            f"{emit}: the search cannot be written: there is no folder {emit.parent}; choose another place"
        )
    if emit is not None:
        check_file(emit, force, inputs)
    if backend == "construct" and (emit is not None or proof is not None):
        raise Unsupported("a construction has no search to write and no proof beside its bound; name another backend")
    if proof is not None:
        check_folder(proof, force, inputs, lambda name: True)


def write_extras(
    asked: Instance, thin: SparseAnswer | None, emit: Path | None, proof: Path | None, force: bool, limits: Limits
) -> None:
    """Write the search and the proofs that were asked for."""
    from masksynth_solvers.encoding import write_wcnf

    if emit is not None and thin is None:
        write_wcnf(Problem(asked.family, asked.layers), emit, force)
    elif thin is not None:
        write_sparse_extras(thin, emit, proof, force, limits)


def write_sparse_extras(thin: SparseAnswer, emit: Path | None, proof: Path | None, force: bool, limits: Limits) -> None:
    """Write the sparse search and the proofs of its bounds."""
    if emit is None and proof is None:
        return
    if thin.problem is None or thin.outcome is None:
        raise Unsupported("a construction has no search to write and no proof beside its bound; ask for a smaller flow")
    if emit is not None:
        from masksynth_solvers.sparse.wcnf import write_sparse_wcnf

        write_sparse_wcnf(thin.problem, emit, force)
    if proof is not None and thin.mask is not None:
        from masksynth.verify.proof import check_proof
        from masksynth_solvers.sparse.certificate import write_proof

        bounds = [standing.lower for standing in thin.outcome.standings]
        whole = thin.outcome.reduction
        write_proof(proof, thin.problem, whole, bounds, thin.mask.dense(), limits, force=force, inspect=check_proof)


def _rules(_: click.Context, __: click.Parameter, path: Path | None) -> dict[str, Any]:
    """The options of a search from a JSON file: forced and forbidden edges, weights."""
    if path is None:
        return {}
    try:
        lists = _lists(parse(path.read_bytes().strip() or b"null"))
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None
    edges = {name: [tuple(entry) for entry in lists[name]] for name in ("forced", "forbidden")}
    return {**edges, "weights": {(query, key): weight for query, key, weight in lists["weights"]}, "source": path}


def _lists(value: Any) -> dict[str, list[list[int]]]:
    """The three lists of a rules file, checked entry by entry."""
    lengths = {"forced": 2, "forbidden": 2, "weights": 3}
    if not isinstance(value, dict) or value.keys() - lengths.keys():
        fact = "is not an object with forced, forbidden and weights only"
        raise InvalidInstance(fact, "$", "write lists of [query, key], or [query, key, weight]")
    lists = {name: value.get(name, []) for name in lengths}
    for name, length in lengths.items():
        if not isinstance(lists[name], list):
            raise InvalidInstance(
                f"{lists[name]!r:.40} is not a list", f"$.{name}", f"write a list of lists of {length} integers"
            )
        seen: set[tuple[int, int]] = set()
        for place, entry in enumerate(lists[name]):
            where = f"$.{name}[{place}]"
            if not (isinstance(entry, list) and len(entry) == length and all(type(number) is int for number in entry)):
                raise InvalidInstance(f"{entry!r:.40} is not a list of {length} integers", where, "correct the entry")
            if (entry[0], entry[1]) in seen:
                raise InvalidInstance(f"the edge {entry[:2]} is given twice", where, "keep one of them")
            seen.add((entry[0], entry[1]))
    return lists


@click.command()
@click.argument("mask", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Write the mask: .npy, .npz or .safetensors.",
)
@click.option("--layers", callback=layers_option, help="The model has this many layers [default: any number].")
@click.option("--backend", default="auto", show_default=True, help="auto, construct, sat, maxsat, cpsat, ilp or brute.")
@click.option("--layered", is_flag=True, help="A mask for each layer, with the fewest edges in all.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    callback=_rules,
    help="JSON: forced, forbidden, weights.",
)
@click.option("--time-limit", type=click.FloatRange(0, 1e9), help="Seconds for the search [default: none].")
@click.option(
    "--effort",
    type=click.FloatRange(0, 1e9),
    help="Deterministic limit, in units of about a second [default: 60 for auto].",
)
@click.option(
    "--workers", type=click.IntRange(1, 4096), default=1, show_default=True, help="Engines that run at the same time."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Random seed of the engines."
)
@click.option(
    "--emit",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Also write the search as DIMACS WCNF (2022 format).",
)
@click.option(
    "--proof", type=click.Path(path_type=Path), callback=output_file, help="Also write proofs of the bound as a folder."
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@JSON
@QUIET
def sparsify(
    mask: Path,
    output: Path | None,
    layers: Any,
    backend: str,
    layered: bool,
    rules: dict[str, Any],
    time_limit: float | None,
    effort: float | None,
    workers: int,
    seed: int,
    emit: Path | None,
    proof: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the fewest edges through which L layers carry the flow of MASK (.npy, .npz, .safetensors, or an answer's folder).

    \b
    masksynth sparsify mask.npy --layers 2 -o sparse.npy
    masksynth sparsify out --layers 4 --proof proof && masksynth check-proof proof

    The mask is closed first. Weights, forced and forbidden edges come from --rules: {"forced": [[q, k], ...], "weights": [[q, k, w], ...]}.
    """
    inputs = input_files(mask, rules.pop("source", None))
    check_outputs(inputs, output, emit, proof)
    if output is not None:
        check_mask_target(output, force, inputs)
    check_places(backend, emit, proof, force, inputs)
    given = read_mask(mask)
    limits = Limits(time_limit, workers, seed, effort)
    depth = None if layers is ... else layers
    with progress(f"thinning {plain(str(mask))} ...", quiet) as told_so_far:
        answer = sparsified(
            given, depth, layered=layered, backend=backend, limits=limits, progress=told_so_far, **rules
        )
    with to_the_end():
        if output is not None and answer.mask is not None:
            write_mask(answer.mask, output, force, inputs)
        if as_json:
            print_json(sparse_record(answer))
        elif not quiet:
            click.echo(told_relation(str(mask), answer, output))
    with progress("writing the proof ...", quiet):
        if answer.mask is not None:
            write_sparse_extras(answer, emit, proof, force, limits)
    sys.exit(EXIT[answer.status])
