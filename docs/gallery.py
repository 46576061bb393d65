"""Write the gallery: ``gallery.md`` and the pictures in ``gallery/``, by the commands that the page shows.

python docs/gallery.py            writes them
python docs/gallery.py --check    exits 1 and names the stale ones

Pictures are compared by their elements and texts, since other versions of matplotlib move lines by a little.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/gallery.py. -->\n"


class Part(NamedTuple):
    """A section: its title, text and commands, and (file, alternative text) of each picture that they write."""

    title: str
    text: str
    commands: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...] = ()


HEAD = """# Gallery

`masksynth draw` makes pictures of any mask: a mask file, the folder of an answer or of packed batches, or
`package.module:mask_mod`. Without `-o` it prints text; `-o FILE.svg`, `-o FILE.png`, `-o FILE.pdf` and `-o -` (SVG on
stdout) need matplotlib (`pip install 'masksynth[draw]'`). `--tokenizer DIR` shows text instead of token ids: the folder
of a tokenizer, or its name in the local cache; nothing is downloaded. From Python: `masksynth.draw.draw(subject, what,
form, tokenizer=...)`.

Every picture is readable in black and white: what differs in colour also differs in hatching, lightness or shape. Names
of more than 40 columns are cut, and what a name contains is shown, never interpreted.
"""

PARTS = (
    Part(
        "Two wings",
        "The merged butterfly of eight tokens: each token is predicted from all tokens before and after it. A box is a "
        "position, a round box predicts, an edge is a cover: information flows up. The forward chain rises from the "
        "left, the backward chain from the right, and they cross once. A colour with its hatch is a task. A diagram "
        "that has a mirror symmetry is drawn symmetrically.",
        (
            "masksynth new butterfly --n 8 | masksynth solve - --quiet -o butterfly-8",
            "masksynth draw butterfly-8 --what hasse -o butterfly-hasse.svg",
        ),
        (
            (
                "butterfly-hasse.svg",
                "Hasse diagram of 22 positions, mirrored: two chains that cross once, eight predictions",
            ),
        ),
    ),
    Part(
        "Every pair, with blocks",
        "Rows are queries, columns are keys, bold names predict. `--block-size` adds the blocks of a block-sparse "
        "kernel: full blocks have a solid outline, partial blocks a dashed one, and blocks without an outline are "
        "skipped. Of a [discovered structure](formats.md#a-discovered-structure), positions that are only read have a "
        "hollow cell on the diagonal, and a dashed box in a Hasse diagram.",
        (
            "masksynth new butterfly --n 4 | masksynth solve - --quiet -o butterfly",
            "masksynth draw butterfly --block-size 2 -o butterfly-mask.svg",
            "masksynth draw butterfly",
        ),
        (("butterfly-mask.svg", "Mask of ten positions with blocks of two"),),
    ),
    Part(
        "Rollouts that share prefixes",
        "Three rollouts of an agent share their prefixes; every branch point keeps all its labels.",
        (
            "masksynth new agent_trie | masksynth solve - --quiet -o rollouts",
            "masksynth draw rollouts --what hasse -o rollouts.svg",
            "masksynth draw rollouts --what hasse",
        ),
        (("rollouts.svg", "Hasse diagram of a tree of tokens"),),
    ),
    Part(
        "Long chains are contracted",
        "One prompt of 1,000 tokens with four answers of 200. In a diagram of more than 40 classes, a chain of "
        "positions of the same task is one box that names its first and its last position. The blocks of 128 show "
        "what a kernel computes.",
        (
            "masksynth new shared_prefix_group --P 1000 --R 200 --G 4 | masksynth solve - --quiet -o group",
            "masksynth draw group --what hasse -o group-hasse.svg",
            "masksynth draw group --what blocks --block-size 128 -o group-blocks.svg",
        ),
        (
            ("group-hasse.svg", "Five boxes: a prompt and four answers"),
            ("group-blocks.svg", "Blocks of 128: every answer attends to the prompt and to itself"),
        ),
    ),
    Part(
        "Classes that see each other",
        "Complementary block diffusion: the tokens of a block see each other, so they are one class, drawn with a "
        "thick outline. The clean text is the column in the middle; its two masked copies are the columns left and "
        "right of it.",
        (
            "masksynth new complementary_bd | masksynth solve - --quiet -o diffusion",
            "masksynth draw diffusion --what hasse -o diffusion-hasse.svg",
            "masksynth draw diffusion -o diffusion-mask.svg",
        ),
        (
            ("diffusion-hasse.svg", "Hasse diagram of classes of two tokens in three columns"),
            ("diffusion-mask.svg", "Mask of complementary block diffusion"),
        ),
    ),
    Part(
        "Flow through layers",
        "A window attends to three positions and reaches more with every layer: dark cells are what the layer adds.",
        (
            "masksynth new sliding_window --n 9 --w 3 | masksynth solve - --quiet -o window",
            "masksynth draw window --what flow -o window-flow.svg",
        ),
        (("window-flow.svg", "Positions that a window of three reaches after each layer"),),
    ),
    Part(
        "Two masks compared",
        "Three answers to one prompt in one sequence: hatched pairs are those that only a plain causal mask allows.",
        (
            "masksynth new shared_prefix_group --P 4 --R 4 --G 3 | masksynth solve - --quiet -o answers",
            "python -c \"import numpy; numpy.save('causal.npy', numpy.tri(13, dtype=bool))\"",
            "masksynth draw answers --what diff --other causal.npy -o answers-diff.svg",
            "masksynth inspect answers --diff causal.npy",
        ),
        (("answers-diff.svg", "Pairs that only the causal mask allows: from each answer to those before it"),),
    ),
    Part(
        "Statistics of a mask",
        "`masksynth inspect` prints how many layers information needs, how many positions see each other, height and "
        "width of the order, and what a kernel can skip; `--why` explains one pair. It works on row intervals: masks "
        "of 131,072 positions take seconds, and a statistic that would take too long is omitted with the reason. The "
        "width of a component of more than 8,192 classes that is not a tree is a lower bound, and marked as one.",
        ("masksynth inspect butterfly --block-size 2", "masksynth inspect window --why 6 0"),
    ),
)


def run(command: str, folder: Path) -> str:
    """Run a pipeline in a folder, masksynth in this process, and return what it prints."""
    output = b""
    for part in command.split(" | "):
        program, *arguments = shlex.split(part)
        output = run_masksynth(arguments, output, folder) if program == "masksynth" else run_python(arguments, folder)
    return output.decode()


def run_masksynth(arguments: list[str], standard_input: bytes, folder: Path) -> bytes:
    """Run a command of masksynth and return its standard output; a command that fails ends the program."""
    from click.testing import CliRunner

    from masksynth.cli import main as masksynth

    with contextlib.chdir(folder):
        done = CliRunner().invoke(masksynth, arguments, input=standard_input)
    if done.exit_code:
        raise SystemExit(f"masksynth {shlex.join(arguments)}\n{done.output}")
    return done.stdout_bytes


def run_python(arguments: list[str], folder: Path) -> bytes:
    """Run this Python and return its standard output."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, check=True, timeout=120
    ).stdout


def write_page(folder: Path) -> str:
    """Run all commands in a folder and return the page."""
    parts = [NOTE + HEAD]
    for part in PARTS:
        shown = "".join(f"$ {command}\n{run(command, folder)}" for command in part.commands)
        parts.append(f"## {part.title}\n\n{textwrap.fill(part.text, 120)}\n\n```console\n{shown}```\n")
        parts += [f"![{words}](gallery/{name})\n" for name, words in part.pictures]
    return "\n".join(parts)


def picture_names() -> list[str]:
    """Return the file names of all pictures."""
    return [name for part in PARTS for name, _ in part.pictures]


def structure(path: Path) -> list[tuple[str, str, str]]:
    """Return (tag, id, text) of each element of a picture that does not depend on the version of matplotlib."""
    elements = [
        (element.tag, element.attrib.get("id", ""), (element.text or "").strip())
        for element in ET.parse(path).getroot().iter()
    ]
    varying = ("style", "pattern", "path", "rect", "defs", "use", "clipPath")
    return [element for element in elements if not element[0].endswith(varying)]


def stale_files(work: Path, page: str, here: Path = HERE) -> list[str]:
    """Return the names of the files that differ from those in ``work`` and from the text of the page."""
    target = here / "gallery"
    page_differs = not (here / "gallery.md").exists() or (here / "gallery.md").read_text(encoding="utf-8") != page
    differ = [
        name
        for name in picture_names()
        if not (target / name).exists() or structure(target / name) != structure(work / name)
    ]
    return ["gallery.md"] * page_differs + differ


def main(check: bool) -> None:
    """Write the page and its pictures, or name those that are stale."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        page = write_page(work)
        if check:
            files = stale_files(work, page)
            sys.exit(f"stale: {', '.join(files)}; run python docs/gallery.py" if files else 0)
        (HERE / "gallery").mkdir(exist_ok=True)
        for name in picture_names():
            (HERE / "gallery" / name).write_bytes((work / name).read_bytes())
    (HERE / "gallery.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
