"""``draw``: a picture of a mask as text, SVG or PNG."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from masksynth.draw.hasse_boxes import Diagram, hasse_diagram
from masksynth.draw.cell_pictures import LARGEST_EXACT, Picture, block_picture, diff_picture, flow_picture, mask_picture
from masksynth.draw.text_pictures import LARGEST_TEXT, hasse_text, table_text
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported
from masksynth.files import check_file, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from masksynth.audit import Subject

WHAT = ("mask", "hasse", "blocks", "flow", "diff")
FORMATS = ("text", "svg", "png")
FIGURES = (".svg", ".png", ".pdf")
"""Endings of files that figures of results are written to."""


def draw(
    subject: Subject,
    what: str = "mask",
    form: str = "text",
    *,
    layers: int | None = None,
    other: Subject | None = None,
    block_size: int | None = None,
) -> str | bytes:
    """Draw a mask.

    Parameters
    ----------
    subject : Subject
        The mask with what is known of its positions; see ``masksynth.audit.read_subject``.
    what : str
        ``mask``: every pair, in blocks where there are more than 64 positions (40 in text). ``hasse``: the Hasse diagram. ``blocks``: full
        and partial blocks. ``flow``: what is reached after 1, 2, ..., L layers. ``diff``: pairs that only this mask or ``other`` allows.
    form : str
        ``text``, ``svg`` (text) or ``png`` (bytes).
    layers : int, optional
        L [default: the subject's, else the depth to convergence].
    other : Subject, optional
        What to compare with.
    block_size : int, optional
        Positions of a block [default: the power of two that leaves at most 64 rows of blocks, 40 in text].

    Raises
    ------
    InvalidInstance
        If a word or a number is none of those above, or ``diff`` lacks a second mask of the same length.
    Unsupported
        If the picture would be too large, or matplotlib is not installed.
    MasksynthError
        If Graphviz fails.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.audit import Subject
    >>> from masksynth.mask import Mask
    >>> window = Mask.from_dense(np.tri(4, dtype=bool) & ~np.tri(4, k=-2, dtype=bool))
    >>> print(draw(Subject(window, "window"), "flow", layers=2))
    what is reached: window
    1 layer
    0 ■ · · ·
    1 ■ ■ · ·
    2 · ■ ■ ·
    3 · · ■ ■
    2 layers
    0 □ · · ·
    1 □ □ · ·
    2 ■ □ □ ·
    3 · ■ □ □
    ■ reached by now   □ reached in an earlier picture
    """
    if form not in FORMATS:
        raise InvalidInstance(f"format {form!r:.40}", "", f"choose one of {', '.join(FORMATS)}")
    found = drawn(subject, what, layers, other, block_size, LARGEST_TEXT if form == "text" else LARGEST_EXACT)
    if form == "text":
        return hasse_text(found) if isinstance(found, Diagram) else table_text(found)
    from masksynth.draw.paper import drawing, to_png, to_svg

    with drawing():
        picture = figure(found)
        return to_svg(picture, found.title) if form == "svg" else to_png(picture)


def drawn(
    subject: Subject, what: str, layers: int | None, other: Subject | None, block_size: int | None, largest: int
) -> Picture | Diagram:
    """What is to be seen, whatever it is drawn with."""
    if what not in WHAT:
        raise InvalidInstance(f"picture {what!r:.40}", "", f"choose one of {', '.join(WHAT)}")
    if (other is None) == (what == "diff"):
        fact = "diff needs a second mask" if other is None else f"a second mask does not go with {what}"
        raise InvalidInstance(fact, "", "give both diff and another mask, or neither")
    if subject.size == 0:
        raise InvalidInstance("a mask of 0 positions", "", "draw one that has some")
    if what == "hasse":
        return hasse_diagram(subject)
    if what == "flow":
        return flow_picture(subject, subject.layers if layers is None else layers, block_size, largest)
    if other is not None:
        return diff_picture(subject, other, block_size, largest)
    return (mask_picture if what == "mask" else block_picture)(subject, block_size, largest)


def figure(found: Picture | Diagram) -> Figure:
    """A matplotlib figure; call it inside ``drawing()``."""
    from masksynth.draw.hasse_figure import hasse_figure
    from masksynth.draw.cell_figure import table_figure

    return hasse_figure(found) if isinstance(found, Diagram) else table_figure(found)


def format_of(path: Path) -> str:
    """``svg`` or ``png``, by the ending of a file.

    Raises
    ------
    InvalidInstance
        For another ending.
    """
    if path.suffix.lower() not in (".svg", ".png"):
        raise InvalidInstance(
            f"ends in {path.suffix!r:.40}", "", "name a .svg or .png file, or - for SVG on stdout", str(path)
        )
    return path.suffix.lower()[1:]


def check_picture(path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> Path:
    """The place of a figure, refused before any work is done where none can be written to.

    Raises
    ------
    InvalidInstance
        If it does not end in .svg, .png or .pdf, or is there already and ``force`` is False.
    Unsupported
        Without matplotlib.

    Examples
    --------
    >>> check_picture("clusters.svg").suffix
    '.svg'
    """
    place = Path(path)
    if place.suffix.lower() not in FIGURES:
        raise InvalidInstance(f"ends in {place.suffix!r:.40}", "", "name a .svg, .png or .pdf file", str(place))
    check_file(place, force, inputs)
    if find_spec("matplotlib") is None:
        raise Unsupported("a picture needs matplotlib; pip install 'masksynth[draw]'")
    return place


def write_figure(figure: Figure, path: Path, title: str, force: bool = False) -> Path:
    """Write a figure as its file's ending says; call it inside ``drawing()``, after `check_picture`.

    Raises
    ------
    MasksynthError
        If the disk refuses.
    """
    from masksynth.draw.paper import to_pdf, to_png, to_svg

    ending = path.suffix.lower()
    write_picture(
        to_svg(figure, title) if ending == ".svg" else to_png(figure) if ending == ".png" else to_pdf(figure),
        path,
        force,
    )
    return path


def write_picture(picture: str | bytes, path: str | Path, force: bool = False) -> None:
    """Write a picture to a file.

    Raises
    ------
    InvalidInstance
        If the file is there already and ``force`` is not given.
    MasksynthError
        If the disk refuses.
    """
    place = Path(path)
    if not place.absolute().parent.is_dir():
        raise MasksynthError(
            f"{place}: the picture cannot be written: there is no folder {place.parent}; choose another place"
        )
    write_file(place, picture.encode("utf-8") if isinstance(picture, str) else picture, force, (), "the picture")
