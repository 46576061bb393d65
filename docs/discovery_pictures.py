"""Pictures of structures for ``discovery.md``: positions by layers, with their reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from masksynth.discover.constructions import expanding_hole, layer_by_layer, reroot, rerooted_tree, sperner
from masksynth.discover.constructions.hole import Sites
from masksynth.discover.structure import Structure, prune

COLUMN, ROW, LEFT, TOP = 46, 92, 70, 34
RAW, MIXED = "#b0bec5", "#3949ab"


def draw_layers(structure: Structure, order: list[int], names: list[str]) -> str:
    """Return a picture of positions by layers: a grey line is a read of a token, a blue one of what others have read.

    Parameters
    ----------
    structure : Structure
    order : list of int
        Positions from left to right.
    names : list of str
        Their names, in the same order.
    """
    layers, column = len(structure.reads), {position: i for i, position in enumerate(order)}
    width, height = LEFT + COLUMN * len(order) + 10, TOP + ROW * layers + 40

    def at(position: int, layer: int) -> tuple[int, int]:
        return LEFT + COLUMN * column[position], TOP + ROW * (layers - layer)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    has_read = np.zeros(structure.size, bool)
    for layer, reads in enumerate(structure.reads, start=1):
        y = TOP + ROW * (layers - layer)
        parts.append(f'<text x="6" y="{y + 4}">layer {layer}</text>')
        for query, key in zip(reads.query.tolist(), reads.key.tolist(), strict=True):
            (x1, y1), (x2, y2) = at(key, layer - 1), at(query, layer)
            colour = f'stroke="{MIXED}" stroke-width="1.6"' if has_read[key] else f'stroke="{RAW}" stroke-width="1"'
            bend = f"M{x1} {y1}C{x1} {y1 - ROW // 2} {x2} {y2 + ROW // 2} {x2} {y2}"
            parts.append(f'<path d="{bend}" fill="none" {colour}/>')
        has_read[reads.query] = True
    parts += list(_dots(structure, order, names, at))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _dots(
    structure: Structure, order: list[int], names: list[str], at: Callable[[int, int], tuple[int, int]]
) -> Iterator[str]:
    """Yield the states that read or are read, and the names below them."""
    layers = len(structure.reads)
    for position, name in zip(order, names, strict=True):
        x, y = at(position, 0)
        yield f'<text x="{x}" y="{y + 22}" text-anchor="middle">{name}</text>'
        for layer in range(layers + 1):
            reads = layer > 0 and position in structure.reads[layer - 1].query
            is_read = layer < layers and position in structure.reads[layer].key
            if reads or is_read:
                x, y = at(position, layer)
                fill = "#ef6c00" if structure.element[position] < 0 else MIXED
                yield f'<circle cx="{x}" cy="{y}" r="5" fill="{fill}"/>'


def draw_hole() -> str:
    """Return the expanding hole of 9 tokens with reaches 1 and 3; only what the middle target uses is drawn."""
    n, middle = 9, 4
    place = np.arange(n)
    structure = expanding_hole(Sites(place, place, abs(place[:, None] - place)), [1, 3])
    only = replace(structure, target=structure.target[[middle]])

    kept = prune(only, "layered")
    tokens = np.flatnonzero(kept.element >= 0).tolist()
    blanks = np.flatnonzero(kept.element < 0).tolist()
    sites = [int(k) for k in range(n) if k == middle or _serves(structure, middle, k)]
    named = [(int(kept.element[p]), f"u{kept.element[p]}", p) for p in tokens]
    named += [(k, f"p{k}", p) for k, p in zip(sites, blanks, strict=True)]
    named.sort(key=lambda entry: entry[0])
    return draw_layers(kept, [p for _, _, p in named], [name for _, name, _ in named])


def _serves(structure: Structure, middle: int, k: int) -> bool:
    """Return whether the query of the middle target reads the query k in some layer, directly."""
    size = structure.size - len(structure.target)
    return any(bool(((r.query == size + middle) & (r.key == size + k)).any()) for r in structure.reads)


def draw_rerooting() -> str:
    """Return in-place rerooting of 8 tokens in four layers, each blank beside its token."""
    n = 8
    structure = reroot(rerooted_tree(n, 4), n, 4)
    order = [position for k in range(n) for position in (k, n + k)]
    return draw_layers(structure, order, [name for k in range(n) for name in (f"u{k}", f"p{k}")])


def draw_sperner() -> str:
    """Return the Sperner mask of 6 tokens and four hubs, as two layers."""
    structure = layer_by_layer(sperner(6), 2)
    size = structure.size
    hubs = [p for p in range(size) if structure.element[p] >= 0 and p in structure.reads[0].query]
    tokens = [p for p in range(size) if structure.element[p] >= 0 and p not in hubs]
    blanks = [p for p in range(size) if structure.element[p] < 0]
    name = {p: f"u{structure.element[p]}" for p in tokens}
    name |= {p: f"u{structure.element[p]} h{i}" for i, p in enumerate(hubs)} | {
        p: f"p{i}" for i, p in enumerate(blanks)
    }
    # a query, a hub and a token in turn: they lie in different layers
    order = [p for group in zip_longest(blanks, hubs, tokens) for p in group if p is not None]
    return draw_layers(structure, order, [name[p] for p in order])


PICTURES: dict[str, Callable[[], str]] = {
    "discovery-hole.svg": draw_hole,
    "discovery-rerooting.svg": draw_rerooting,
    "discovery-sperner.svg": draw_sperner,
}
