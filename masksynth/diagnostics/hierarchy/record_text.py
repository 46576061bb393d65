"""Format the record of a hierarchy as lines of text."""

from __future__ import annotations

from masksynth.diagnostics.hierarchy.diagnose import Hierarchy
from masksynth.terminal import count, plain


def format_hierarchy(result: Hierarchy) -> list[str]:
    """Return the record as lines of text."""
    attended = "left siblings" if result.causal else "siblings"
    families = f"{_families(result.families)} of at most {count(result.largest, 'node')}, depth {result.depth}"
    lines = [
        f"{plain(result.name)}: {count(result.positions, 'position')}, {families}",
        f"  positions attend to {attended}, themselves {'included' if result.included else 'excluded'}",
        f"  cost: {_cost(result)}",
    ]
    if result.mask_pairs is not None:
        lost = f"{result.lost_pairs:,} are in blocks that it allows in part, and are lost"
        lines.append(f"  mask: {count(result.mask_pairs, 'pair')}; {lost if result.lost_pairs else 'no block is lost'}")
    if result.degenerate:
        lines.append(f"  degenerate: {_families(result.degenerate)} with a child that has nothing to attend to")
    if result.empty_rows:
        listed = ", ".join(map(str, result.first_empty))
        listed += ", ..." if result.empty_rows > len(result.first_empty) else ""
        lines.append(f"  empty: {count(result.empty_rows, 'row')} with nothing to attend to ({listed})")
    if result.leaking_rows:
        rows = count(result.leaking_rows, "row")
        lines.append(f"  leak: {rows} weighted by queries of positions to which the row may not attend")
    return lines + [f"  {line}" for line in _divergence(result)]


def _cost(result: Hierarchy) -> str:
    scores = f"{count(result.tree_pairs, 'score')} instead of {result.flat_pairs:,}"
    memory = f"{_bytes(result.tree_bytes)} of float32 scores instead of {_bytes(result.flat_bytes)}"
    return f"{scores}, {_ratio(result.flat_pairs, result.tree_pairs)}; {memory}"


def _divergence(result: Hierarchy) -> list[str]:
    """Return the divergence from softmax as text, or why there is none."""
    if result.skipped:
        return [f"divergence from softmax: not computed: {result.skipped}"]
    heads = f", {count(result.heads, 'head')}" if result.heads > 1 else ""
    source = f"q, k: {plain(result.source)}, {count(result.dim, 'number')} each{heads}"
    if result.kl_total is None or result.kl_mean is None:
        reason = "infinite: every row-stochastic matrix that is tied on the blocks uses a forbidden pair"
        if result.sightless:
            rows = count(result.sightless, "row")
            verb = "attends" if result.sightless == 1 else "attend"
            remedy = "the mask gives none" if result.included else "pass --self included"
            reason = f"undefined: {rows} of softmax {verb} to no key ({remedy})"
        return [f"divergence from softmax: {reason}; {source}"]
    each = "per position and head" if result.heads > 1 else "per position"
    total = f"{_nats(result.kl_total)} nats in total, {_nats(result.kl_mean, 4)} {each}"
    identity = f"N phi(root) + sum log Z = {_nats(result.kl_identity or 0.0)}"
    return [
        f"KL(tied || softmax): {total}; {source}",
        f"theorem: no matrix that is constant on the blocks is closer: {identity}",
    ]


def _ratio(flat: int, tree: int) -> str:
    if tree == flat:
        return "as many"
    return f"{flat / tree:,.1f}x fewer" if tree and flat > tree else "more" if tree else "none"


def _bytes(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:,.3g} {unit}"
    return f"{size} B"


def _families(number: int) -> str:
    return "1 family" if number == 1 else f"{number:,} families"


def _nats(value: float, digits: int = 6) -> str:
    """Format a divergence; values within rounding error are 0."""
    return f"{value if abs(value) > 1e-12 else 0.0:.{digits}g}"
