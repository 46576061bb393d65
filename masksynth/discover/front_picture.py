"""A picture of trade-offs: positions against edges, one colour for each number of layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from masksynth.discover.measure import Sizes

WIDTH, HEIGHT, MARGIN = 720, 420, 60
HUES = 300
"""Degrees of the colour circle from the fewest layers to the most."""


def front_svg(front: Sequence[Sizes], title: str) -> bytes:
    """Return trade-offs as SVG; both axes are logarithmic.

    Examples
    --------
    >>> front_svg([], "nothing")[:4]
    b'<svg'
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12"'
        ' font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{MARGIN}" y="24" font-size="15">{_escape(title)}</text>',
        f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" fill="none" stroke="#444"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">positions</text>',
        f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">edges</text>',
    ]
    across = _scale([sizes.positions for sizes in front], MARGIN + 20, WIDTH - MARGIN - 40)
    upwards = _scale([sizes.edges for sizes in front], HEIGHT - MARGIN - 20, MARGIN + 10)
    for sizes, x, y in zip(front, across, upwards, strict=True):
        layers = "any depth" if sizes.layers is None else f"L = {sizes.layers}"
        colour = f"hsl({HUES * _share(sizes, front):.0f} 70% 42%)"
        text = f"{layers}: {sizes.positions:,} positions, {sizes.edges:,} edges"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"><title>{text}</title></circle>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{layers}: {sizes.edges:,}</text>')
    for value, place in _ends([sizes.positions for sizes in front], across):
        parts.append(f'<text x="{place:.1f}" y="{HEIGHT - MARGIN + 16}" text-anchor="middle">{value:,}</text>')
    for value, place in _ends([sizes.edges for sizes in front], upwards):
        parts.append(f'<text x="{MARGIN - 6}" y="{place + 4:.1f}" text-anchor="end">{value:,}</text>')
    return "\n".join([*parts, "</svg>\n"]).encode()


def _scale(values: list[int], low: float, high: float) -> list[float]:
    """Return places from ``low`` to ``high`` by the logarithm; in the middle if all are equal."""
    logs = [log(max(1, value)) for value in values]
    least, span = min(logs, default=0.0), max(logs, default=0.0) - min(logs, default=0.0)
    return [(low + high) / 2 if not span else low + (value - least) / span * (high - low) for value in logs]


def _share(sizes: Sizes, front: Sequence[Sizes]) -> float:
    depths = sorted({other.layers or 0 for other in front})
    return depths.index(sizes.layers or 0) / max(1, len(depths) - 1)


def _ends(values: list[int], places: list[float]) -> list[tuple[int, float]]:
    """Return the least and the greatest value with their places, for the ticks of an axis."""
    pairs = sorted(set(zip(values, places, strict=True)))
    return [pairs[0], pairs[-1]][: len(pairs)] if pairs else []


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
