"""An answer in words, with a picture where the mask is small."""

from __future__ import annotations

from pathlib import Path

from masksynth.backends import Status
from masksynth.cli.terminal import plain
from masksynth.synthesis import Answer, nodes_of
from masksynth.tasks import Instance, MergedTask
from masksynth.tasks.canonical import canonical, shown

PICTURE = 40
"""Largest mask that is drawn on the terminal."""


def count(number: int, thing: str) -> str:
    """A number of things, the plural where there is not one."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def told(asked: Instance, answer: Answer, output: Path | None) -> str:
    """The answer in words, with a picture where the mask is small."""
    name = plain(asked.name)
    if answer.leak is not None:
        leak = answer.leak
        path = " -> ".join(map(plain, leak.path))
        return (
            f"{name}: INFEASIBLE. Node {shown(leak.node)} of task {shown(leak.task)} hides {plain(canonical(leak.hides))} and sees it: "
            f"{path} ({count(len(leak.path) - 1, 'hop')})."
        )
    if answer.merged is None:
        return f"{name}: {answer.status.name}. {answer.status.value}"
    merged, size = answer.merged, answer.objective["positions"]
    roads = " and ".join(f"{road['backend']} ({road['value']})" for road in answer.certificate["roads"])
    lines = [
        f"{name}: {answer.status.name}, {count(size.value, 'position')} instead of {nodes_of(asked.family)} "
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


def picture(merged: MergedTask) -> str:
    """The mask with the input and position id of every row."""
    names = [f"{plain(at.input if isinstance(at.input, str) else canonical(at.input))}@{at.position}" for at in merged.positions]
    width = min(max(map(len, names)), 24)
    labels = [name if len(name) <= width else f"{name[: width - 3]}..." for name in names]
    tables = str(merged.mask).split("\n\n")
    return "\n\n".join(
        "\n".join(f"{label:>{width}}  {row}" for label, row in zip(labels, table.splitlines(), strict=True)) for table in tables
    )
