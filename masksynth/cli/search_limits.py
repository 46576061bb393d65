"""The options of a search: time, effort, threads and seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from masksynth.backends import Limits
from masksynth.terminal.gather import gather

OPTIONS = (
    click.option(
        "--time-limit",
        "seconds",
        type=click.FloatRange(0, 1e9),
        metavar="SECONDS",
        help="Stop the search after this time [default: none].",
    ),
    click.option(
        "--effort",
        type=click.FloatRange(0, 1e9),
        metavar="UNITS",
        help="Stop a sparse search after this much work, about 1 s per unit; deterministic [default: 60 for auto].",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 4096),
        metavar="COUNT",
        default=1,
        show_default=True,
        help="Solver threads, or engines that run at the same time; 1 is deterministic.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        metavar="INTEGER",
        default=0,
        show_default=True,
        help="Random seed of the solver.",
    ),
)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a search to a command; they arrive as one argument ``limits``."""
    command = gather("limits", Limits)(command)
    for option in reversed(OPTIONS):
        command = option(command)
    return command
