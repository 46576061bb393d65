"""Write the gallery: ``gallery.md`` and the pictures in ``gallery/``, by the commands that the page shows.

python docs/gallery.py            writes them
python docs/gallery.py --check    exits 1 and names the stale ones

Pictures are compared by their elements and texts, since other versions of matplotlib move lines by a little.
"""

from __future__ import annotations

import os
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
    """A section: its title, what is to be seen, the commands, and the pictures that they write with words for who cannot see them."""

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
        "The merged butterfly of eight tokens: each is predicted from all before and all after it. A box is a position, a round "
        "one predicts, an edge is a cover: what is below is seen by what is above, with nothing between. The forward chain "
        "rises from the left, the backward chain from the right; they cross once. A colour with its hatch is a task. A diagram "
        "that has a mirror symmetry is drawn symmetrically.",
        (
            "masksynth new butterfly --n 8 | masksynth solve - --quiet -o butterfly-8",
            "masksynth draw butterfly-8 --what hasse -o butterfly-hasse.svg",
        ),
        (
            (
                "butterfly-hasse.svg",
                "Hasse diagram of 22 positions: two chains that rise from both ends and cross, eight predictions, mirrored",
            ),
        ),
    ),
    Part(
        "Every pair, and the blocks over it",
        "Row attends to column. Bold names predict. With `--block-size` the blocks of a block-sparse kernel lie over the pairs:"
        " full ones in a solid line, partial ones in a dashed line, and what has no line is skipped.",
        (
            "masksynth new butterfly --n 4 | masksynth solve - --quiet -o butterfly",
            "masksynth draw butterfly --block-size 2 -o butterfly-mask.svg",
            "masksynth draw butterfly",
        ),
        (("butterfly-mask.svg", "Mask of ten positions with blocks of two"),),
    ),
    Part(
        "Rollouts that share prefixes",
        "Three rollouts of an agent. Where they part, the order branches; every branch point keeps all its labels.",
        (
            "masksynth new agent_trie | masksynth solve - --quiet -o rollouts",
            "masksynth draw rollouts --what hasse -o rollouts.svg",
            "masksynth draw rollouts --what hasse",
        ),
        (("rollouts.svg", "Hasse diagram of a tree of tokens"),),
    ),
    Part(
        "Long chains are single boxes",
        "One prompt of 1,000 tokens with four answers of 200. With more than 40 classes, chains of positions with the same "
        "owner are drawn as one box, from … to. The blocks of 128 show what a kernel computes.",
        (
            "masksynth new shared_prefix_group --P 1000 --R 200 --G 4 | masksynth solve - --quiet -o group",
            "masksynth draw group --what hasse -o group-hasse.svg",
            "masksynth draw group --what blocks --block-size 128 -o group-blocks.svg",
        ),
        (
            ("group-hasse.svg", "Five boxes: a prompt and four answers"),
            ("group-blocks.svg", "Blocks of 128: the prompt is read by all, the answers see themselves"),
        ),
    ),
    Part(
        "Classes that see each other",
        "Complementary block diffusion: the tokens of a block see each other, so they are one class, drawn with a thick line. "
        "The clean text is the column in the middle, its two masked copies are the columns beside it.",
        (
            "masksynth new complementary_bd | masksynth solve - --quiet -o diffusion",
            "masksynth draw diffusion --what hasse -o diffusion-hasse.svg",
            "masksynth draw diffusion -o diffusion-mask.svg",
        ),
        (
            ("diffusion-hasse.svg", "Hasse diagram of classes of two tokens in three columns"),
            ("diffusion-mask.svg", "Mask of block diffusion"),
        ),
    ),
    Part(
        "Flow through layers",
        "A window sees three positions, and more with every layer: dark is what the layer adds.",
        (
            "masksynth new sliding_window --n 9 --w 3 | masksynth solve - --quiet -o window",
            "masksynth draw window --what flow -o window-flow.svg",
        ),
        (("window-flow.svg", "What a window of three reaches after each layer"),),
    ),
    Part(
        "Two masks",
        "What a plain causal mask lets through where three answers to one prompt stand side by side: hatched pairs are those that only one "
        "of the two masks allows.",
        (
            "masksynth new shared_prefix_group --P 4 --R 4 --G 3 | masksynth solve - --quiet -o answers",
            "python -c \"import numpy; numpy.save('causal.npy', numpy.tri(13, dtype=bool))\"",
            "masksynth draw answers --what diff --other causal.npy -o answers-diff.svg",
            "masksynth inspect answers --diff causal.npy",
        ),
        (("answers-diff.svg", "Pairs that only the causal mask allows: from each answer to those before it"),),
    ),
    Part(
        "The numbers of a mask",
        "`masksynth inspect` tells how deep information flows, how many positions see each other, how long and how wide the "
        "order is, and what a kernel can skip; `--why` explains one pair. It works on row intervals: masks of 131,072 positions"
        " take seconds, and a number that would take too much is named with the reason. The width of a part of more than 8,192 "
        "classes that is no tree is a lower bound, and said to be one.",
        ("masksynth inspect butterfly --block-size 2", "masksynth inspect window --why 6 0"),
    ),
)


def run(command: str, folder: Path) -> str:
    """What a command prints, with the masksynth of this Python first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def made(folder: Path) -> str:
    """Run all commands in a folder; the page."""
    parts = [NOTE + HEAD]
    for part in PARTS:
        shown = "".join(f"$ {command}\n{run(command, folder)}" for command in part.commands)
        parts.append(f"## {part.title}\n\n{textwrap.fill(part.text, 120)}\n\n```console\n{shown}```\n")
        parts += [f"![{words}](gallery/{name})\n" for name, words in part.pictures]
    return "\n".join(parts)


def names() -> list[str]:
    """The files of all pictures."""
    return [name for part in PARTS for name, _ in part.pictures]


def structure(path: Path) -> list[tuple[str, str, str]]:
    """(tag, id, text) of every element of a picture that does not depend on a version."""
    tree = ET.parse(path).getroot()
    found = [(one.tag, one.attrib.get("id", ""), (one.text or "").strip()) for one in tree.iter()]
    return [
        one for one in found if not one[0].endswith(("style", "pattern", "path", "rect", "defs", "use", "clipPath"))
    ]


def stale(work: Path, page: str, here: Path = HERE) -> list[str]:
    """Names of the files that are not what the commands made in the folder ``work``, where they gave the text of the page."""
    own = here / "gallery"
    page_differs = not (here / "gallery.md").exists() or (here / "gallery.md").read_text(encoding="utf-8") != page
    differ = [name for name in names() if not (own / name).exists() or structure(own / name) != structure(work / name)]
    return ["gallery.md"] * page_differs + differ


def main(check: bool) -> None:
    """Write the page and its pictures, or name what is stale."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        page = made(work)
        if check:
            files = stale(work, page)
            sys.exit(f"stale: {', '.join(files)}; run python docs/gallery.py" if files else 0)
        (HERE / "gallery").mkdir(exist_ok=True)
        for name in names():
            (HERE / "gallery" / name).write_bytes((work / name).read_bytes())
    (HERE / "gallery.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
