"""Read the arguments of ``masksynth search``: instances, and the values of a family's parameters."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import click

from masksynth import catalog
from masksynth.cli.family_commands import parse_flag
from masksynth.search.entries import paths
from masksynth.terminal import Refused


def split_arguments(tokens: tuple[str, ...], family: str | None) -> tuple[list[str], dict[str, Sequence[Any]]]:
    """Split arguments into instances (files, folders, globs, ``-``) and values of the family's parameters.

    Parameters
    ----------
    tokens : tuple of str
        Arguments that click did not recognize as options.
    family : str, optional
        The family of ``--family``.

    Raises
    ------
    click.UsageError
        For an unknown option, or one without a value.
    """
    instances: list[str] = []
    parameters: dict[str, Sequence[Any]] = {}
    rest = iter(tokens)
    for token in rest:
        if not token.startswith("-") or token == "-":
            instances.append(token)
            continue
        if family is None or not token.startswith("--"):
            raise click.NoSuchOption(token.partition("=")[0])
        name, has_value, text = token[2:].partition("=")
        if not has_value and (text := next(rest, "")) == "":
            raise click.UsageError(f"option '--{name}' requires an argument")
        values = _parse_values(family, name, text)
        parameters[name] = [*parameters[name], *values] if name in parameters else values
    return instances, parameters


def _parse_values(family: str, name: str, text: str) -> Sequence[Any]:
    """Return the values of a parameter: ``4..64``, ``4..64..4`` and ``4,8`` of an integer, one value of other types."""
    if family not in catalog.FAMILIES:
        raise Refused(f"unknown family {family!r}; choose from {', '.join(catalog.FAMILIES)}", 2)
    types = get_type_hints(catalog.FAMILIES[family])
    types.pop("return", None)
    if name not in types:
        raise Refused(f"{family} has no parameter {name!r}; its parameters are {', '.join(types)}", 2)
    try:
        if types[name] is not int:
            return [parse_flag(types[name], text)]
        return (
            [value for part in text.split(",") for value in _parse_range(part)] if "," in text else _parse_range(text)
        )
    except ValueError:
        fact = f"expected a number, an ascending range such as 4..64 or a list, got {text!r}"
        raise click.BadParameter(fact, param_hint=f"'--{name}'") from None


def _parse_range(text: str) -> range:
    """Return ``FIRST``, ``FIRST..LAST`` or ``FIRST..LAST..STEP`` as a range that includes LAST."""
    numbers = [int(part) for part in text.split("..")]
    first = numbers[0]
    last = numbers[1] if len(numbers) > 1 else first
    step = numbers[2] if len(numbers) > 2 else 1
    if len(numbers) > 3 or step < 1 or last < first:
        raise ValueError(text)
    return range(first, last + 1, step)


def list_files(instances: Iterable[str]) -> list[str]:
    """Return the files that instances refer to; stdin stays ``-``."""
    return [path for instance in instances for path in (["-"] if instance == "-" else paths(instance))]


def check_distinct(files: Sequence[Path]) -> None:
    """Raise if two of the files are the same file."""
    targets = [os.path.realpath(file) for file in files]
    for target, file in zip(targets, files, strict=True):
        if targets.count(target) > 1:
            raise click.UsageError(f"{file} is named twice; name two files")
