"""Format discoveries as text."""

from __future__ import annotations

from pathlib import Path

from masksynth.backends import Status
from masksynth.discover.discovery import Candidate, Discovery
from masksynth.terminal import count, depth, plain


def discovery_text(discovery: Discovery, output: Path | None) -> str:
    """Return a discovery as text for people.

    Parameters
    ----------
    discovery : Discovery
    output : path, optional
        Folder to which it was written.
    """
    name = plain(discovery.contracts.name)
    if discovery.best is None:
        return f"{name}: {discovery.status.name}. {discovery.reason or discovery.status.value}"
    sizes = discovery.best.sizes
    read_only = f", {sizes.read_only:,} of them only read" if sizes.read_only else ""
    kind = "a mask per layer" if discovery.contracts.masks == "layered" else "one mask, safe at any depth"
    lines = [
        f"{name}: {discovery.status.name}, {count(sizes.positions, 'position')}{read_only} and"
        f" {count(sizes.edges, 'edge')} in {depth(sizes.layers)} ({kind})",
        f"  {_claim(discovery)}",
        f"  found by {discovery.best.structure.found_by}",
        f"  {count(sizes.updates, 'update')}, {sizes.mixed_edges:,} reads of mixed contexts",
        f"  checked: {', '.join(dict.fromkeys((*discovery.best.report.checks, *discovery.best.checks)))}",
        f"  {discovery.seconds:.2f} s",
    ]
    if discovery.front:
        lines += ["", *front_lines(discovery.front)]
    if output is not None:
        lines.append(f"  written to {output}")
    return "\n".join(lines)


def _claim(discovery: Discovery) -> str:
    """Return the value with its bound in words."""
    if discovery.best is None:
        return ""
    is_cost = discovery.objective != "pairs"
    value = discovery.best.sizes.cost if is_cost else discovery.best.sizes.mixed_edges
    what = "cost" if is_cost else "reads of mixed contexts:"
    if discovery.status is Status.OPTIMAL:
        return f"{what} {value:,.6g}, the {'least' if is_cost else 'most'} possible by {discovery.bound_by}"
    if discovery.bound is None:
        return f"{what} {value:,.6g}; no bound is known"
    side = "at least" if is_cost else "at most"
    return f"{what} {value:,.6g}; {side} {discovery.bound:,.6g} by {discovery.bound_by}"


def front_lines(front: tuple[Candidate, ...]) -> list[str]:
    """Return the trade-offs of positions, edges and layers as a table."""
    lines = [f"  {'layers':>8} {'positions':>10} {'edges':>10}  found by"]
    for candidate in front:
        sizes = candidate.sizes
        lines.append(
            f"  {sizes.layers or 'any':>8} {sizes.positions:>10,} {sizes.edges:>10,}  {candidate.structure.found_by}"
        )
    return lines
