"""Write the tables and pictures of ``discovery.md``; its text is written by hand.

python docs/discovery.py            writes them
python docs/discovery.py --check    exits 1 and names those that are out of date

A table lies between ``<!-- table NAME -->`` and ``<!-- end -->``; ``discovery_pictures.py`` draws the pictures.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from masksynth.contracts import Weights
from masksynth.contracts.families import (
    leave_one_out,
)
from masksynth.discover.bounds import bounds_of
from masksynth.discover.constructions import (
    butterfly,
    constructions_for,
    direct,
    edges_of_arities,
    heap_parents,
    least_depth,
    reroot_with_hubs,
    sperner,
    sperner_in_place,
    tree_butterfly,
)
from masksynth.discover.constructions.layered import levels_of
from masksynth.discover.constructions.sperner import (
    hubs_of_fewest_edges,
    hubs_of_least_cost,
    sperner_with_late_tokens,
)
from masksynth.discover.layer_costs import leave_one_out_by_layers
from masksynth.discover.measure import measure
from masksynth.discover.structure import Structure

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from discovery_pictures import PICTURES  # noqa: E402

from benchmarks.discovery_contracts import contracts_of_64  # noqa: E402

PAGE = HERE / "discovery.md"


def rows_of(head: str, rows: Iterator[tuple[object, ...]]) -> str:
    """Return a Markdown table; numbers have separators between thousands."""
    lines = [f"| {head} |", "|" + "---|" * (head.count("|") + 1)]
    lines += ["| " + " | ".join(f"{x:,}" if isinstance(x, int) else str(x) for x in row) + " |" for row in rows]
    return "\n".join(lines)


def count_edges(structure: Structure) -> int:
    """Return the number of reads."""
    return sum(len(reads.query) for reads in structure.reads)


def size_of(structure: Structure) -> str:
    """Return positions + edges, with the depth of one mask or the number of layers that read."""
    edges = count_edges(structure)
    depth = int(levels_of(structure).max()) if len(structure.reads) == 1 else len(structure.reads)
    return f"{structure.size:,} + {edges:,} ({depth:,})"


def leave_one_out_table() -> str:
    """Return sizes of the constructions for leave-one-out."""

    def rows() -> Iterator[tuple[object, ...]]:
        for n in (4, 8, 16, 64, 1024):
            shown = [x for x in sorted({1, 3, 5, 7, 9, least_depth(n) - 1, least_depth(n)}) if 0 < x <= least_depth(n)]
            arities = [f"({layers}, {edges_of_arities(n, layers):,})" for layers in shown]
            rooted = {layers: reroot_with_hubs(n, layers) for layers in range(2, least_depth(n), 2)}
            hubs = [f"({layers}, {count_edges(s):,})" for layers, s in rooted.items() if s is not None]
            in_place = sperner_in_place(n, hubs_of_fewest_edges(n))
            yield (
                n,
                size_of(butterfly(n)),
                size_of(tree_butterfly(heap_parents(n))),
                size_of(sperner(n)),
                "-" if in_place is None else size_of(in_place),
                " ".join(arities),
                " ".join(hubs) or "-",
            )

    head = "n | Butterfly | heap Butterfly | Sperner | Sperner in place | rerooting: (layers, edges) | hubs at the root"
    return rows_of(head, rows())


LEAST_OF_TWO_LAYERS = {3: (6, 0), 4: (10, 0), 5: (15, 1), 6: (20, 3), 7: (26, 22), 8: (32, 224)}
"""n -> least edges of two layers and the seconds of their proof, by ``python -m benchmarks.two_layers 8``."""


def two_layers_table() -> str:
    """Return the least edges of two layers beside those of hubs in place and of rerooting."""

    def rows() -> Iterator[tuple[object, ...]]:
        for n, (least, seconds) in LEAST_OF_TWO_LAYERS.items():
            hubs = sperner_in_place(n, hubs_of_fewest_edges(n))
            found = "-" if hubs is None else count_edges(hubs)
            yield n, least, f"{seconds} s", found, edges_of_arities(n, 2)

    return rows_of("n | E(n, 2), proved by HiGHS | in | hubs in place | rerooting", rows())


def gates_table() -> str:
    """Return, for each contract, OR gates read directly, of the best construction, and the bound."""

    def rows() -> Iterator[tuple[object, ...]]:
        for name, contracts in contracts_of_64().items():
            edges = {s: count_edges(s) for s in constructions_for(contracts)}
            best = min(edges, key=lambda s: edges[s])
            copies = int(contracts.need.any(axis=1).sum())
            bound = int(bounds_of(contracts).edges.value) - copies
            plain = count_edges(direct(contracts)) - copies
            gates = edges[best] - int((best.element < 0).sum())  # the first read of a blank is a copy
            yield name, plain, gates, best.found_by, bound, "**optimal**" if gates == bound else ""

    return rows_of("contract | read directly | best construction | which | bound | ", rows())


def layers_table() -> str:
    """Return the cost of leave-one-out when the cost counts every layer, at the default weights."""
    weights = Weights(count="layer")

    def rows() -> Iterator[tuple[object, ...]]:
        for n in (64, 248, 252, 300, 512, 1024, 2048):
            contracts = replace(leave_one_out(n=n, layers=2), weights=weights)
            raw = n * (weights.position + weights.kv) + weights.pair * n * (n - 1)
            hubs = hubs_of_least_cost(n, weights)
            structure = sperner_with_late_tokens(n, hubs)
            in_place = measure(structure, contracts).cost if structure else np.inf
            bound = leave_one_out_by_layers(n, weights)
            share = min(raw, in_place) / bound - 1
            gap = "**optimal**" if share < 1e-9 else f"{100 * share:.2f} %"
            yield n, f"{raw:,.1f}", f"{in_place:,.1f}", hubs, f"{bound:,.1f}", gap

    return rows_of("n | raw keys only | Sperner in place | hubs | bound (theorem 5) | gap of the better one", rows())


TABLES: dict[str, Callable[[], str]] = {
    "leave-one-out": leave_one_out_table,
    "gates": gates_table,
    "two-layers": two_layers_table,
    "layers": layers_table,
}


def page_with_tables(page: str) -> str:
    """Return the page with all tables computed anew."""

    def table(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table ([\w-]+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def stale_files() -> list[str]:
    """Return the names of the page and the pictures that differ from what this script writes."""
    text = PAGE.read_text(encoding="utf-8")
    stale = [PAGE.name] if page_with_tables(text) != text else []
    for name, draw in PICTURES.items():
        path = HERE / name
        stale += [name] * (not path.exists() or path.read_text(encoding="utf-8") != draw())
    return stale


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        names = stale_files()
        sys.exit(f"out of date: {', '.join(names)}; run python docs/discovery.py" if names else 0)
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for picture, draw_picture in PICTURES.items():
        (HERE / picture).write_text(draw_picture(), encoding="utf-8")
