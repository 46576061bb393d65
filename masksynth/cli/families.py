"""``masksynth new`` and ``masksynth catalog``: the families of the catalogue, with flags from their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import click

from masksynth import catalog
from masksynth.errors import InvalidInstance
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import dumps
from masksynth.terminal import JSON, Refused, print_json


@click.group(context_settings={"max_content_width": 110})
def new() -> None:
    """Print a catalogue instance as JSON.

    \b
    masksynth new butterfly --n 8 > butterfly-8.json
    masksynth new packed_docs --help

    Lists are separated by commas, lists of lists by semicolons.
    """


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


def _family_command(name: str, function: Callable[..., Instance]) -> click.Command:
    hints = get_type_hints(function)

    def build(**flags: str) -> None:
        values = {}
        for key, text in flags.items():
            try:
                values[key] = parse_flag(hints[key], text)
            except ValueError:
                raise click.BadParameter(f"{text!r} is not {_type_text(hints[key])}", param_hint=f"--{key}") from None
        try:
            instance = function(**values)
        except InvalidInstance as error:
            raise Refused(f"{error.fact}; {error.remedy}", 2) from None
        click.echo(dumps(instance), nl=False)

    options = [
        click.Option(
            [f"--{key}", key],
            default=_format_value(parameter.default),
            show_default=True,
            help=_flag_help(function, key, hints[key]),
        )
        for key, parameter in inspect.signature(function).parameters.items()
    ]
    text = inspect.getdoc(function) or ""
    return click.Command(
        name, params=list(options), callback=build, help=text.partition("\n\n")[0], short_help=_summary(function)
    )


def _flag_help(function: Callable[..., Instance], key: str, kind: Any) -> str:
    """Return a parameter's description from the docstring, and how its value is written."""
    lines = (inspect.getdoc(function) or "").splitlines()
    index = next((number for number, line in enumerate(lines) if line.startswith(f"{key} : ")), None)
    meaning = lines[index + 1].strip().replace("`", "") if index is not None and index + 1 < len(lines) else ""
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


def _summary(function: Callable[..., Instance]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "")


for _name, _function in catalog.FAMILIES.items():
    new.add_command(_family_command(_name, _function))


@click.command("catalog")
@JSON
def list_catalog(as_json: bool) -> None:
    """List the families of the catalogue with their parameters.

    \b
    masksynth catalog --json
    """
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": _summary(function),
            "parameters": {
                key: _format_value(parameter.default)
                for key, parameter in inspect.signature(function).parameters.items()
            },
        }
        for name, function in catalog.FAMILIES.items()
    ]
    if as_json:
        print_json(rows)
        return
    lines = []
    for row in rows:
        flags = " ".join(f"--{key} {value or '...'}" for key, value in row["parameters"].items())
        lines.append(f"{row['name']:24} {flags}\n{'':24} {row['summary']}")
    click.echo("\n".join(lines))
