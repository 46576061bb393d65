"""The command ``python -m benchmarks [merge|trie|search|sparse ...]``: run benchmarks; print or store their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks.arranging import measure_arranging
from benchmarks.auditing import measure_auditing
from benchmarks.batches import measure_batches
from benchmarks.blocks import measure_blocks
from benchmarks.chats import measure_chats
from benchmarks.clustering import measure_clustering
from benchmarks.constructions import measure_constructions
from benchmarks.discovery_exact import measure_exact
from benchmarks.discovery_search import measure_search
from benchmarks.filling import measure_filling
from benchmarks.folding import measure_folding
from benchmarks.hierarchy import measure_hierarchy
from benchmarks.kernel import measure_kernel
from benchmarks.measure import machine
from benchmarks.merging import measure_merging, measure_trie
from benchmarks.ordering import measure_ordering
from benchmarks.packing import measure_packing
from benchmarks.piping import measure_piping
from benchmarks.results import Result, write_result
from benchmarks.searching import measure_searching
from benchmarks.solving import measure_solving
from benchmarks.sparse import SHORT_NAMES, measure_reach, measure_sparse
from benchmarks.sparse_auto import measure_auto
from benchmarks.training import measure_training


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Parameters
    ----------
    max_size : int
        Most task nodes, positions or instances.
    limit : float
        Seconds for one search.
    folder : Path or None
        The folder that gets the plot of ``sparse``.
    budget : float
        Seconds for ``gpu``.
    tiny : bool
        Whether ``gpu`` runs small sizes on a CPU.
    methods : tuple of str
        Short names of the methods that ``sparse`` runs.
    """

    max_size: int
    limit: float
    folder: Path | None
    budget: float = 480.0
    tiny: bool = False
    methods: tuple[str, ...] = tuple(SHORT_NAMES)


def _measure_gpu(options: Options) -> Result:
    from benchmarks.gpu import measure_gpu  # loads torch

    return measure_gpu(options.budget, options.tiny)


BENCHMARKS: dict[str, Callable[[Options], Result]] = {
    "merge": lambda options: measure_merging(options.max_size),
    "trie": lambda options: measure_trie(options.max_size),
    "solve": lambda options: measure_solving(options.max_size),
    "search": lambda options: measure_searching(options.max_size, options.limit),
    "sparse": lambda options: measure_sparse(options.max_size, options.limit, options.folder, options.methods),
    "auto": lambda options: measure_auto(options.max_size, options.limit),
    "reach": lambda options: measure_reach(options.max_size, options.limit),
    "constructions": lambda options: measure_constructions(options.max_size),
    "kernel": lambda options: measure_kernel(options.max_size),
    "filling": lambda options: measure_filling(options.max_size),
    "packing": lambda _: measure_packing(),
    "pipe": lambda _: measure_piping(),
    "chats": lambda options: measure_chats(options.max_size),
    "arrange": lambda options: measure_arranging(options.max_size, options.limit),
    "blocks": lambda options: measure_blocks(options.max_size),
    "audit": lambda options: measure_auditing(options.max_size),
    "training": lambda _: measure_training(),
    "fold": lambda options: measure_folding(options.max_size),
    "order": lambda options: measure_ordering(options.max_size),
    "batches": lambda options: measure_batches(options.max_size),
    "clustering": lambda options: measure_clustering(options.max_size),
    "hierarchy": lambda options: measure_hierarchy(options.max_size),
    "discovery_exact": lambda options: measure_exact(options.max_size, options.limit),
    "discovery": lambda options: measure_search(options.max_size, options.limit),
    "gpu": _measure_gpu,
}
DEFAULT = tuple(name for name in BENCHMARKS if name != "gpu")
"""Those that run without a GPU."""


def _split_methods(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Return the short names of methods in a list such as ``auto,rc2``; all if there is no list."""
    names = tuple(SHORT_NAMES) if text is None else tuple(text.split(","))
    if unknown := [name for name in names if name not in SHORT_NAMES]:
        raise click.BadParameter(f"expected some of {', '.join(SHORT_NAMES)}, got {unknown[0]!r}")
    return names


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS]))
@click.option(
    "--max-size",
    type=click.IntRange(1),
    default=10**6,
    show_default=True,
    help="Most task nodes, positions or instances.",
)
@click.option(
    "--limit",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="Seconds for one search (sparse, auto, reach: CPU seconds).",
)
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Store each result as NAME.json in this folder.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    default=480.0,
    show_default=True,
    help="Seconds for gpu: cases that do not fit are named.",
)
@click.option("--tiny", is_flag=True, help="gpu: run the same code at small sizes on a CPU.")
@click.option(
    "--methods",
    metavar="NAME,...",
    callback=_split_methods,
    help="sparse: run these methods; FOLDER/sparse.json keeps the figures of the others "
    f"({', '.join(SHORT_NAMES)}) [default: all].",
)
def main(
    names: tuple[str, ...],
    max_size: int,
    limit: float,
    folder: Path | None,
    budget: float,
    tiny: bool,
    methods: tuple[str, ...],
) -> None:
    """Run the benchmarks NAMES, each cell in its own process, one at a time [default: all but gpu]."""
    for name in names or DEFAULT:
        result = BENCHMARKS[name](Options(max_size, limit, folder, budget, tiny, methods))
        click.echo(f"{name}\n\n{result}\n")
        if folder is not None:
            command = f"python -m benchmarks {name} --max-size {max_size} --limit {limit:g}"
            if name == "sparse" and set(methods) < set(SHORT_NAMES):
                command += f" --methods {','.join(methods)}"
            if name == "gpu":
                command = f"python -m benchmarks gpu --budget {budget:g}{' --tiny' * tiny}"
            write_result(folder / f"{name}.json", replace(result, machine=machine(), command=command))
