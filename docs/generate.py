"""Write the generated pages: ``cli.md`` from the command's own help, ``catalog.md`` from the docstrings, ``butterfly.svg`` from a merge.

python docs/generate.py            writes them
python docs/generate.py --check    exits 1 and names the stale ones
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from masksynth import catalog
from masksynth.cli import main
from masksynth.cli.diagnose import diagnose
from masksynth.merge import merge
from masksynth.posets import Poset
from masksynth.tasks import Instance, MergedTask

HERE = Path(__file__).parent
WIDTH = 100
NOTE = "<!-- Written by docs/generate.py; edit the docstrings instead. -->\n"


def help_of(command: click.Command, path: str) -> str:
    """The text of ``path --help`` on a terminal of 100 columns."""
    settings = {**main.context_settings, "max_content_width": WIDTH}
    parent = click.Context(main, info_name="masksynth", terminal_width=WIDTH, **settings)
    context = parent if command is main else click.Context(command, info_name=path.partition(" ")[2], parent=parent)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def cli_page() -> str:
    """Every command with its help."""
    parts = [
        NOTE,
        "# The command line\n",
        "Answers go to stdout, everything else to stderr. `-` is stdin. What `--json` prints is listed in [Formats](formats.md).\n",
        "| exit code | meaning |\n|---|---|",
        "| 0 | yes: an answer was found, or the check passed |\n| 1 | no: infeasible, or the check failed |",
        "| 2 | trouble: wrong usage, a file that cannot be read, a full disk |",
        "| 3 | unknown: a limit or Ctrl-C came before any answer, or `audit` did not compare all that was asked for |\n",
    ]
    commands = [("masksynth", main), *((f"masksynth {name}", command) for name, command in main.commands.items())]
    commands += [(f"masksynth diagnose {name}", command) for name, command in diagnose.commands.items()]
    for path, command in commands:
        parts += [f"## {path}\n", f"```text\n{help_of(command, path)}\n```\n"]
    parts.append("The parameters of every family of `masksynth new` stand in the [catalogue](catalog.md).\n")
    return "\n".join(parts)


def sections(text: str) -> dict[str, str]:
    """A numpydoc docstring by section; what comes before the first one is ``""``."""
    pieces = re.split(r"^(\w+)\n-{3,}\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(["", *pieces[1::2]], pieces[::2], strict=True)}


def escaped(text: str) -> str:
    """Plain text as Markdown that shows it unchanged; ``code`` stays code."""

    def plain(part: str) -> str:
        return re.sub(r"([\[\]*_|])", r"\\\1", part.replace("&", "&amp;").replace("<", "&lt;"))

    return "".join(part if part.startswith("``") else plain(part) for part in re.split(r"(``.*?``)", text))


def family_part(name: str, function: Callable[..., Instance]) -> Iterator[str]:
    """One family: what it is, its parameters, its mask, count and source, and the command."""
    found = sections(inspect.getdoc(function) or "")
    yield f"## {name}\n"
    yield escaped(found[""]) + "\n"
    yield f"```python\nms.catalog.{name}{_signature(function)}\n```\n"
    yield f"```console\n$ {command_of(name, function)}\n```\n"
    for entry in re.split(r"\n(?=\S)", found["Parameters"]):
        head, _, body = entry.partition("\n")
        yield f"- `{head}`: {escaped(' '.join(body.split()))}"
    yield "\n" + escaped(found["Notes"]) + "\n"
    yield f"```python\n{found['Examples'].replace('<BLANKLINE>', '')}\n```\n"


def _signature(function: Callable[..., Instance]) -> str:
    values = [
        f"{key}={parameter.default!r}".replace("'", '"')
        for key, parameter in inspect.signature(function).parameters.items()
    ]
    return f"({', '.join(values)})"


def command_of(name: str, function: Callable[..., Instance]) -> str:
    """The command that prints the family at its default size, lists separated by commas, lists of lists by semicolons."""
    words = ["masksynth new", name]
    for key, parameter in inspect.signature(function).parameters.items():
        value = parameter.default
        if isinstance(value, tuple):
            nested = bool(value) and isinstance(value[0], tuple)
            text = ";".join(",".join(map(str, part)) for part in value) if nested else ",".join(map(str, value))
            words.append(f'--{key} "{text}"')
        else:
            words.append(f"--{key} {value}")
    return " ".join(words)


def catalog_page() -> str:
    """Every family of the catalogue, from its docstring."""
    parts = [
        NOTE,
        "# Catalogue\n",
        f"The {len(catalog.FAMILIES)} named families. Parameters have the same names in Python and on the command line; each example below"
        " shows the defaults. In a picture row q is a query, column k a key, and ■ means that q attends to k. `masksynth catalog` prints"
        " this list on the terminal.\n",
    ]
    for name, function in catalog.FAMILIES.items():
        parts += family_part(name, function)
    return "\n".join(parts).rstrip() + "\n"


CELL, LEFT, TOP = 16, 60, 44


def picture() -> str:
    """The merged mask of ``butterfly(n=4)`` beside its Hasse diagram, as SVG."""
    merged = merge(catalog.butterfly(n=4))
    size = len(merged.positions)
    wide = LEFT + size * CELL + 70
    width, height = wide + 330, TOP + size * CELL + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16">mask: row = query, column = key</text>',
        f'<text x="{wide}" y="16">Hasse diagram: information flows up</text>',
        *_grid(merged),
        *_diagram(merged, wide),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _called(merged: MergedTask) -> list[str]:
    """f0, b3, p1: the name that the tasks give to each position."""
    names = [""] * len(merged.positions)
    for places in merged.embeddings.values():
        for node, place in places.items():
            names[place] = f"p{merged.positions[place].position}" if node == "p" else node
    return names


def _grid(merged: MergedTask) -> Iterator[str]:
    for q, (name, row) in enumerate(zip(_called(merged), merged.mask.dense(), strict=True)):
        y = TOP + q * CELL
        yield f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{name}</text>'
        yield f'<text x="{LEFT + q * CELL + 8}" y="{TOP - 6}" text-anchor="middle" font-size="9">{name}</text>'
        for k, seen in enumerate(row):
            colour = "#3949ab" if seen else "#eceff1"
            yield f'<rect x="{LEFT + k * CELL}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" fill="{colour}"/>'


def _diagram(merged: MergedTask, wide: int) -> Iterator[str]:
    """Positions over their position ids; predictions stand in the top row."""
    poset = Poset(merged.mask.dense())
    top = max(poset.heights) + 1
    names = _called(merged)
    level = [top if name.startswith("p") else height for name, height in zip(names, poset.heights, strict=True)]
    place = [
        (wide + 30 + 84 * at.position, TOP + 20 + 34 * (top - height))
        for at, height in zip(merged.positions, level, strict=True)
    ]
    for q, k in np.argwhere(poset.covers).tolist():
        (x, y), (u, v) = place[k], place[q]
        yield f'<line x1="{x}" y1="{y}" x2="{u}" y2="{v}" stroke="#90a4ae"/>'
    for name, (x, y) in zip(names, place, strict=True):
        colour = "#ef6c00" if name.startswith("p") else "#3949ab"
        yield f'<circle cx="{x}" cy="{y}" r="11" fill="{colour}"/>'
        yield f'<text x="{x}" y="{y + 4}" text-anchor="middle" fill="#ffffff" font-size="10">{name}</text>'


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli_page, "catalog.md": catalog_page, "butterfly.svg": picture}


def stale() -> list[str]:
    """Names of the pages that are not what this script writes."""
    return [
        name
        for name, page in PAGES.items()
        if not (HERE / name).exists() or (HERE / name).read_text(encoding="utf-8") != page()
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        found = stale()
        sys.exit(f"stale: {', '.join(found)}; run python docs/generate.py" if found else 0)
    for page_name, page in PAGES.items():
        (HERE / page_name).write_text(page(), encoding="utf-8")
