"""Commands made from functions: flags from the signature, help from the docstring, text of the result on stdout."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_type_hints

import click

from masksynth.errors import InvalidInstance
from masksynth.terminal import Refused, print_json

Write = Callable[..., str]
"""Takes what a family's function returns, and the values of shared options; returns the text for stdout."""


def parse_flag(kind: Any, text: str) -> Any:
    """Convert a flag's text to the annotated type: int, str, tuple[int, ...], tuple[str, ...] or a tuple of tuples."""
    inner = getattr(kind, "__args__", (kind,))[0]
    if kind is int:
        return int(text)
    if kind is str:
        return text
    separator = ";" if hasattr(inner, "__args__") else ","
    return tuple(parse_flag(inner, part) for part in text.split(separator) if part)


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return (";" if value and isinstance(value[0], tuple) else ",").join(map(_format_value, value))
    return str(value)


def family_command(
    name: str, function: Callable[..., Any], write: Write, shared: Sequence[click.Option] = ()
) -> click.Command:
    """Return the command that calls a family's function and prints what it returns.

    Parameters
    ----------
    name : str
    function : callable
        Its parameters become flags; its docstring becomes the help.
    write : callable
        Returns the text of the result.
    shared : sequence of Option
        Options in place of the flags of the same name; those that the function has no parameter for go to ``write``.
    """
    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters
    replaced = {option.name for option in shared}
    own = [key for key in parameters if key not in replaced]

    def run(**flags: Any) -> None:
        values = {key: flags[key] for key in parameters if key in replaced}
        for key in own:
            try:
                values[key] = parse_flag(hints[key], flags[key])
            except ValueError:
                fact = f"expected {_type_text(hints[key])}, got {flags[key]!r}"
                raise click.BadParameter(fact, param_hint=f"'--{key}'") from None
        try:
            text = write(function(**values), **{key: flags[key] for key in flags if key not in parameters})
        except InvalidInstance as error:
            raise Refused(f"{error.fact}; {error.remedy}", 2) from None
        click.echo(text, nl=False)

    options = [
        click.Option(
            [f"--{key}", key],
            default=_format_value(parameters[key].default),
            show_default=True,
            help=_flag_help(function, key, hints[key]),
        )
        for key in own
    ]
    text = inspect.getdoc(function) or ""
    return click.Command(
        name, params=[*options, *shared], callback=run, help=text.partition("\n\n")[0], short_help=_summary(function)
    )


def print_families(families: Mapping[str, Callable[..., Any]], as_json: bool, hidden: Collection[str] = ()) -> None:
    """Print the name, summary and parameters of each family, as text or as JSON; ``hidden`` parameters are left out."""
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": _summary(function),
            "parameters": {
                key: _format_value(parameter.default)
                for key, parameter in inspect.signature(function).parameters.items()
                if key not in hidden
            },
        }
        for name, function in families.items()
    ]
    if as_json:
        print_json(rows)
        return
    lines = []
    for row in rows:
        flags = " ".join(f"--{key} {value or '...'}" for key, value in row["parameters"].items())
        lines.append(f"{row['name']:24} {flags}\n{'':24} {row['summary']}")
    click.echo("\n".join(lines))


def _flag_help(function: Callable[..., Any], key: str, kind: Any) -> str:
    """Return a parameter's description from the docstring, and how its value is written."""
    entry = re.search(rf"^{key} : .*\n((?:    .*\n?)+)", inspect.getdoc(function) or "", re.MULTILINE)
    meaning = " ".join(entry[1].split()).replace("`", "") if entry else ""
    return f"{meaning} ({_type_text(kind)})" if meaning else _type_text(kind)


def _type_text(kind: Any) -> str:
    inner = getattr(kind, "__args__", (None,))[0]
    if kind is int:
        return "an integer"
    if kind is str:
        return "a string"
    if inner is not None and hasattr(inner, "__args__"):
        items = "integers" if inner.__args__[0] is int else "strings"
        return f"{items} separated by commas, lists separated by semicolons"
    return f"{'integers' if inner is int else 'strings'} separated by commas"


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "")
