"""Format answers as text, with a picture if the mask is small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masksynth.answer import Answer
from masksynth.backends import Objective, Status
from masksynth.solve import count_nodes
from masksynth.sparse.sparse_answer import SparseAnswer
from masksynth.tasks import Instance, MergedTask
from masksynth.tasks.canonical import canonical, shown
from masksynth.tasks.value_text import text_of
from masksynth.terminal import count, depth, plain

PICTURE = 40
"""Largest mask that is drawn on the terminal."""


def answer_text(question: Instance, answer: Answer, output: Path | None) -> str:
    """Return an answer as text for people.

    Parameters
    ----------
    question : Instance
    answer : Answer
    output : path, optional
        Folder to which it was written.
    """
    name = plain(question.name)
    if answer.leak is not None:
        leak = answer.leak
        path = " -> ".join(map(plain, leak.path))
        node = f"Node {shown(leak.node)} of task {shown(leak.task)}"
        hops = count(len(leak.path) - 1, "hop")
        return f"{name}: INFEASIBLE. {node} hides {plain(canonical(leak.hides))} and sees it: {path} ({hops})."
    if answer.merged is None:
        return f"{name}: {answer.status.name}. {answer.status.value}"
    if answer.sparse is not None:
        return _sparse_answer_text(question, answer, answer.merged, output)
    merged, size = answer.merged, answer.objective["positions"]
    roads = " and ".join(f"{road['backend']} ({road['value']})" for road in answer.certificate["roads"])
    lines = [
        f"{name}: {answer.status.name}, {count(size.value, 'position')} instead of {count_nodes(question.family)} "
        f"({count(len(merged.tasks), 'task')}, {count(len(merged.loss_edges), 'prediction')})",
        f"  {'minimal' if answer.status is Status.OPTIMAL else f'at least {size.bound} are needed'}; found by {roads}",
        f"  checked: {', '.join(answer.certificate['checks'])}",
        f"  mask: {count(merged.mask.pairs, 'pair')}, {count(merged.mask.tables, 'table')}; {answer.seconds:.2f} s",
    ]
    if answer.status is Status.FEASIBLE:
        lines.append("  the search was stopped; --backend auto or criterion gives the minimum in closed form")
    if output is not None:
        lines.append(f"  written to {output}")
    if 0 < merged.mask.size <= PICTURE:
        lines += ["", picture(merged)]
    return "\n".join(lines)


def _sparse_answer_text(question: Instance, answer: Answer, merged: MergedTask, output: Path | None) -> str:
    edges, dense = answer.objective["edges"], answer.sparse.pairs if answer.sparse else 0
    lines = [
        f"{plain(question.name)}: {answer.status.name}, {count(edges.value, 'edge')} instead of {dense} "
        f"through {depth(merged.problem.layers)} ({count(len(merged.positions), 'position')}, minimal)",
        *edge_lines(edges, answer.certificate["edges"]),
        f"  checked: {', '.join(answer.certificate['checks'])}",
        f"  {answer.seconds:.2f} s",
    ]
    if output is not None:
        lines.append(f"  written to {output}")
    if 0 < merged.mask.size <= PICTURE:
        lines += ["", picture(merged)]
    return "\n".join(lines)


def edge_lines(edges: Objective, certificate: Mapping[str, Any]) -> list[str]:
    """Return lines about what is proved of a number of edges, and how."""
    gap = edges.value - edges.bound
    claim = (
        "the fewest possible"
        if gap == 0
        else f"at least {edges.bound} are needed: gap {gap} ({100 * gap / max(edges.bound, 1):.1f} %)"
    )
    if "scheme" in certificate:
        return [f"  {claim}; by construction: {certificate['scheme']}", f"  bound: {certificate['bound']}"]
    parts = certificate["parts"]
    proved_by = sorted({part["proved_by"] for part in parts} - {"none"})
    if edges.bound > certificate["settled"] + sum(part["bound"] for part in parts):
        proved_by = [certificate["floor"]["proof"]]
    proof = f"; proved by {', '.join(proved_by)}" if proved_by else ""
    searched = f"{count(certificate['sure'], 'forced edge')}, {count(len(parts), 'component')} to search"
    return [f"  {claim}: {searched}{proof}"]


def sparse_text(name: str, answer: SparseAnswer, output: Path | None) -> str:
    """Return the sparse mask of a relation as text for people.

    Parameters
    ----------
    name : str
        Name of the relation's file.
    answer : SparseAnswer
    output : path, optional
        File to which the mask was written.
    """
    layers = depth(answer.layers)
    if answer.objective is None:
        pair = f"the pair {answer.unreachable} (query, key)"
        return f"{plain(name)}: INFEASIBLE. The allowed edges do not connect {pair} within {layers}."
    lines = [
        f"{plain(name)}: {answer.status.name}, {count(answer.objective.value, 'edge')} instead of {answer.pairs} "
        f"through {layers}",
        *edge_lines(answer.objective, answer.certificate),
        "  checked: flow",
        f"  {answer.seconds:.2f} s",
    ]
    if not answer.closed:
        lines.insert(1, "  the relation was not transitive; this is the answer for its closure")
    if output is not None:
        lines.append(f"  written to {output}")
    return "\n".join(lines)


def picture(merged: MergedTask) -> str:
    """Return the mask as text, with the input and position id of each row."""
    names = [f"{plain(text_of(row.input))}@{row.position}" for row in merged.positions]
    width = min(max(map(len, names)), 24)
    labels = [name if len(name) <= width else f"{name[: width - 3]}..." for name in names]
    tables = str(merged.mask).split("\n\n")
    return "\n\n".join(
        "\n".join(f"{label:>{width}}  {row}" for label, row in zip(labels, table.splitlines(), strict=True))
        for table in tables
    )
