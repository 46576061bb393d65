"""Write the generated pages: ``cli.md`` from help texts, ``catalog.md`` and ``contracts.md`` from docstrings.

python docs/generate.py            write them
python docs/generate.py --check    exit with 1 and name the pages that are out of date
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from masksynth import catalog
from masksynth.cli import main
from masksynth.cli.diagnose import diagnose
from masksynth.contracts import families
from masksynth.draw.hasse_figure import smooth
from masksynth.draw.layered_layout import Spacing, layered_layout
from masksynth.merge import merge
from masksynth.posets import Poset
from masksynth.tasks import MergedTask

HERE = Path(__file__).parent
HELP_COLUMNS = 100
PROSE_COLUMNS = 120
NOTE = "<!-- Written by docs/generate.py; edit the docstrings instead. -->\n"


def help_text(command: click.Command, path: str) -> str:
    """Return the output of ``path --help`` on a terminal of 100 columns."""
    settings = {**main.context_settings, "max_content_width": HELP_COLUMNS}
    parent = click.Context(main, info_name="masksynth", terminal_width=HELP_COLUMNS, **settings)
    context = parent if command is main else click.Context(command, info_name=path.partition(" ")[2], parent=parent)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def cli_page() -> str:
    """Return the page that lists each command with its help."""
    parts = [
        "# Command line\n",
        NOTE,
        "Answers go to stdout, everything else to stderr. `-` is stdin. [Formats](formats.md) describes what `--json`\n"
        "prints.\n",
        "| exit code | meaning |\n|---|---|",
        "| 0 | yes: an answer was found, or the check passed |\n| 1 | no: infeasible, or the check failed |",
        "| 2 | error: wrong usage, a file that cannot be read, a full disk |",
        "| 3 | unknown: a limit or Ctrl-C came before any answer, or `audit` could not compare everything |\n",
    ]
    commands = [("masksynth", main), *((f"masksynth {name}", command) for name, command in main.commands.items())]
    commands += [(f"masksynth diagnose {name}", command) for name, command in diagnose.commands.items()]
    for path, command in commands:
        parts += [f"## {path}\n", f"```text\n{help_text(command, path)}\n```\n"]
    parts.append(
        "The [catalogue](catalog.md) lists the parameters of each family of `masksynth new`, [families of\n"
        "contracts](contracts.md) those of `masksynth contracts`.\n"
    )
    return "\n".join(parts)


def split_sections(text: str) -> dict[str, str]:
    """Split a numpydoc docstring into sections by title; the text before the first title has the key ``""``."""
    pieces = re.split(r"^(\w+)\n-{3,}\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(["", *pieces[1::2]], pieces[::2], strict=True)}


def escape_markdown(text: str) -> str:
    """Return plain text as Markdown that shows it unchanged; ``code`` stays code."""

    def escape(part: str) -> str:
        return re.sub(r"([\[\]*_|])", r"\\\1", part.replace("&", "&amp;").replace("<", "&lt;"))

    return "".join(part if part.startswith("``") else escape(part) for part in re.split(r"(``.*?``)", text))


def fill(text: str, indent: str = "") -> str:
    """Wrap the paragraphs of a text; further lines of a paragraph are indented."""
    glue = "\0"  # a line must not begin with a word that Markdown reads as a list item or a heading
    paragraphs = [re.sub(r" (?=([-+*#>=]|\d+[.)]) )", glue, " ".join(part.split())) for part in text.split("\n\n")]
    lines = [
        textwrap.fill(
            part, PROSE_COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ).replace(glue, " ")
        for part in paragraphs
    ]
    return "\n\n".join(lines)


class Families(NamedTuple):
    """How the families of a page are called: Python package, command, and parameters that its introduction explains."""

    package: str
    command: str
    shared: tuple[str, ...] = ()


CATALOG = Families("ms.catalog", "masksynth new")
CONTRACTS = Families("families", "masksynth contracts", ("layers", "place"))


def describe_family(name: str, function: Callable[..., Any], how: Families) -> Iterator[str]:
    """Yield the parts of a family's section: summary, command, parameters, mask, count, source and example."""
    sections = split_sections(inspect.getdoc(function) or "")
    yield f"## {name}\n"
    yield fill(escape_markdown(sections[""])) + "\n"
    yield f"```python\n{how.package}.{name}{_signature(function, how)}\n```\n"
    yield f"```console\n$ {example_command(name, function, how)}\n```\n"
    for entry in re.split(r"\n(?=\S)", sections["Parameters"]):
        head, _, body = entry.partition("\n")
        if head.partition(" : ")[0] not in how.shared:
            yield fill(f"- `{head}`: {escape_markdown(' '.join(body.split()))}", "  ")
    if "Notes" in sections:
        yield "\n" + fill(escape_markdown(sections["Notes"]))
    yield f"\n```python\n{sections['Examples'].replace('<BLANKLINE>', '')}\n```\n"


def _defaults(function: Callable[..., Any], how: Families) -> dict[str, Any]:
    """Return the default of each parameter of a family that is not shared."""
    parameters = inspect.signature(function).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key not in how.shared}


def _signature(function: Callable[..., Any], how: Families) -> str:
    values = [f"{key}={value!r}".replace("'", '"') for key, value in _defaults(function, how).items()]
    return f"({', '.join(values)})"


def example_command(name: str, function: Callable[..., Any], how: Families) -> str:
    """Return the command for the family at its default size; commas separate a list, semicolons a list of lists."""
    words = [how.command, name]
    for key, value in _defaults(function, how).items():
        if isinstance(value, tuple):
            nested = bool(value) and isinstance(value[0], tuple)
            text = ";".join(",".join(map(str, part)) for part in value) if nested else ",".join(map(str, value))
            words.append(f'--{key} "{text}"')
        else:
            words.append(f"--{key} {value}")
    return " ".join(words)


def catalog_page() -> str:
    """Return the page that describes each family of the catalogue by its docstring."""
    parts = [
        "# Catalogue\n",
        NOTE,
        fill(
            f"The {len(catalog.FAMILIES)} named families. Parameters have the same names in Python and on the command"
            " line; each example shows the defaults. In a picture, row q is a query, column k a key, and ■ means that q"
            " attends to k. *Count* is the number of merged positions. `masksynth catalog` prints this list."
        )
        + "\n",
    ]
    for name, function in catalog.FAMILIES.items():
        parts += describe_family(name, function, CATALOG)
    return "\n".join(parts).rstrip() + "\n"


def contracts_page() -> str:
    """Return the page that describes each family of contracts by its docstring."""
    parts = [
        "# Families of contracts\n",
        NOTE,
        fill(
            f"The {len(families.FAMILIES)} families of `masksynth contracts` and of `masksynth.contracts.families`:"
            " what each prediction needs and what it must not see ([format](formats.md#contracts)). Elements are"
            " numbered from 0; a target that is an element is labelled by it and has its position id. What a target"
            " neither needs nor hides, it may see."
        )
        + "\n",
        fill(
            "Every family takes three more options: `--layers` (`layers=6` in Python), the number of layers, each of"
            ' which then has a mask of its own unless `--masks one` is given; and `--place any` (`place="any"`), with'
            " which a position that embeds a needed element may predict, not only a blank. Weights are printed with"
            " `count` structure, for which optimality can be proved."
        )
        + "\n",
    ]
    for name, function in families.FAMILIES.items():
        parts += describe_family(name, function, CONTRACTS)
    return "\n".join(parts).rstrip() + "\n"


CELL, LEFT, TOP = 16, 60, 44


def butterfly_picture() -> str:
    """Return the merged mask of ``butterfly(n=4)`` and its Hasse diagram as SVG."""
    merged = merge(catalog.butterfly(n=4))
    size = len(merged.positions)
    diagram_left = LEFT + size * CELL + 70
    width, height = diagram_left + 330, TOP + size * CELL + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16">mask: row = query, column = key</text>',
        f'<text x="{diagram_left}" y="16">Hasse diagram: information flows up</text>',
        *draw_mask(merged),
        *draw_hasse_diagram(merged, diagram_left),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def position_names(merged: MergedTask) -> list[str]:
    """Return the node name of each position (f0, b3, ...); predictions are numbered (p1, ...)."""
    names = [""] * len(merged.positions)
    for embedding in merged.embeddings.values():
        for node, index in embedding.items():
            names[index] = f"p{merged.positions[index].position}" if node == "p" else node
    return names


def draw_mask(merged: MergedTask) -> Iterator[str]:
    """Yield the cells of the mask with row and column labels."""
    for q, (name, row) in enumerate(zip(position_names(merged), merged.mask.dense(), strict=True)):
        y = TOP + q * CELL
        yield f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{name}</text>'
        yield f'<text x="{LEFT + q * CELL + 8}" y="{TOP - 6}" text-anchor="middle" font-size="9">{name}</text>'
        for k, allowed in enumerate(row):
            colour = "#3949ab" if allowed else "#eceff1"
            yield f'<rect x="{LEFT + k * CELL}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" fill="{colour}"/>'


def draw_hasse_diagram(merged: MergedTask, left: int) -> Iterator[str]:
    """Yield covers and positions, laid out as `masksynth draw --what hasse` does."""
    poset = Poset(merged.mask.dense())
    edges = [(q, k) for q, k in np.argwhere(poset.covers).tolist()]
    hint = [position.position for position in merged.positions]
    layout = layered_layout([(22.0, 22.0)] * len(hint), edges, poset.heights, hint, spacing=Spacing(28.0, 22.0))
    for route in layout.routes:
        (x, y), *rest = [(round(left + 40 + x, 1), round(TOP + 4 + y, 1)) for x, y in smooth(route)]
        yield f'<path d="M{x} {y}C{" ".join(f"{u} {v}" for u, v in rest)}" stroke="#90a4ae" fill="none"/>'
    for name, (x, y) in zip(position_names(merged), layout.centres, strict=True):
        x, y, colour = left + 40 + x, TOP + 4 + y, "#ef6c00" if name.startswith("p") else "#3949ab"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="{colour}"/>'
        yield f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="#ffffff" font-size="10">{name}</text>'


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "catalog.md": catalog_page,
    "contracts.md": contracts_page,
    "butterfly.svg": butterfly_picture,
}


def stale_pages() -> list[str]:
    """Return the names of the pages that differ from what this script writes."""
    return [
        name
        for name, page in PAGES.items()
        if not (HERE / name).exists() or (HERE / name).read_text(encoding="utf-8") != page()
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        stale = stale_pages()
        sys.exit(f"out of date: {', '.join(stale)}; run python docs/generate.py" if stale else 0)
    for page_name, make_page in PAGES.items():
        (HERE / page_name).write_text(make_page(), encoding="utf-8")
