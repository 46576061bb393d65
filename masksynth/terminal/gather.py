"""Pass several options of a command as one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any


def gather(name: str, record: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command so that the options that are fields of a dataclass arrive as one argument.

    Parameters
    ----------
    name : str
        Name of the command's argument.
    record : type
        A dataclass; for each of its fields the command has an option of that name.

    Examples
    --------
    >>> from masksynth.backends import Limits
    >>> @gather("limits", Limits)
    ... def command(limits, verbose):
    ...     return limits.seed, verbose
    >>> command(seconds=None, workers=1, seed=7, effort=None, verbose=True)
    (7, True)
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**options: Any) -> Any:
            values = {field.name: options.pop(field.name) for field in fields(record)}
            return command(**options, **{name: record(**values)})

        return call

    return decorate
