"""``python -m benchmarks [merge|trie|search|sparse ...]``: print the tables, or write them into a page between its markers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.arranging import arrange_table
from benchmarks.auditing import auditing_table
from benchmarks.batches import batches_table
from benchmarks.blocks import blocks_table
from benchmarks.clustering import clustering_table
from benchmarks.constructions import construction_table
from benchmarks.hierarchy import hierarchy_table
from benchmarks.measure import machine
from benchmarks.merging import merge_table, trie_table
from benchmarks.packing import packing_table
from benchmarks.searching import search_table
from benchmarks.sparse import reach_table, sparse_table
from benchmarks.training import training_table

TABLES: dict[str, Callable[[int, float, Path | None], str]] = {
    "merge": lambda most, *_: merge_table(most),
    "trie": lambda most, *_: trie_table(most),
    "search": lambda most, limit, _: search_table(limit, most),
    "sparse": sparse_table,
    "reach": lambda most, limit, _: reach_table(most, limit),
    "constructions": lambda most, *_: construction_table(most),
    "packing": lambda *_: packing_table(),
    "arrange": lambda most, limit, _: arrange_table(most, limit),
    "blocks": lambda most, *_: blocks_table(most),
    "audit": lambda *_: auditing_table(),
    "training": lambda *_: training_table(),
    "batches": lambda most, *_: batches_table(most),
    "clustering": lambda most, *_: clustering_table(most),
    "hierarchy": lambda most, *_: hierarchy_table(most),
    "machine": lambda most, limit, _: f"`python -m benchmarks --most {most} --limit {limit:g}` on {machine()}",
}
"""Name -> table from most nodes, seconds, and the folder that takes plots."""


def written(page: str, name: str, text: str) -> str:
    """The page with ``text`` between the markers ``<!-- begin name -->`` and ``<!-- end name -->``."""
    pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(\n<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise click.ClickException(f"the page has no markers for {name!r}")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*TABLES]))
@click.option("--most", type=click.IntRange(1), default=10**6, show_default=True, help="Most task nodes, or positions.")
@click.option(
    "--limit",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="Seconds for one search (sparse, reach: CPU seconds).",
)
@click.option(
    "--write", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Write the tables into this page."
)
def main(names: tuple[str, ...], most: int, limit: float, write: Path | None) -> None:
    """Run the benchmarks NAMES (default: all), each cell in a process of its own, one at a time (sparse, reach: two)."""
    for name in names or TABLES:
        text = TABLES[name](most, limit, None if write is None else write.parent)
        click.echo(f"{name}\n\n{text}\n")
        if write is not None:
            write.write_text(written(write.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    main()
