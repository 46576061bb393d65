"""``draw``: a picture of a mask as text, SVG, PNG or PDF; and figures of results, written to files."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from masksynth.draw.cell_pictures import LARGEST_EXACT, Picture, block_picture, diff_picture, flow_picture, mask_picture
from masksynth.draw.hasse_boxes import Diagram, hasse_diagram
from masksynth.draw.text_pictures import LARGEST_TEXT, hasse_text, table_text
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.files import check_file, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from masksynth.subject.subject import Subject

WHAT = ("mask", "hasse", "blocks", "flow", "diff")
FILE_FORMATS = ("svg", "png", "pdf")
FORMATS = ("text", *FILE_FORMATS)


def draw(
    subject: Subject,
    what: str = "mask",
    form: str = "text",
    *,
    layers: int | None = None,
    other: Subject | None = None,
    block_size: int | None = None,
    tokenizer: str | Path | None = None,
) -> str | bytes:
    """Draw a mask.

    Parameters
    ----------
    subject : Subject
        The mask with what is known about its positions; see ``masksynth.subject.read_subject``.
    what : str
        ``mask``: every pair, in blocks where there are more than 64 positions (40 in text). ``hasse``: the Hasse
        diagram. ``blocks``: full and partial blocks. ``flow``: what is reached after 1, 2, ..., L layers. ``diff``:
        pairs that only this mask or ``other`` allows.
    form : str
        ``text`` or ``svg`` (text), ``png`` or ``pdf`` (bytes).
    layers : int, optional
        L [default: the subject's, else the depth to convergence].
    other : Subject, optional
        The mask to compare with.
    block_size : int, optional
        Positions of a block [default: the power of two that leaves at most 64 rows of blocks, 40 in text].

    tokenizer : str or path, optional
        The folder of a tokenizer, or its name in the local cache: token ids are shown as text. Nothing is downloaded.

    Returns
    -------
    str or bytes

    Raises
    ------
    InvalidInstance
        If a word or a number is none of those above, ``diff`` lacks a second mask of the same length, or no tokenizer
        is found.
    Unsupported
        If the picture would be too large, or matplotlib (for files) or transformers (for a tokenizer) is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> from masksynth.subject.subject import Subject
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
        raise InvalidInstance(f"unknown format {form!r:.40}", "", f"choose one of {', '.join(FORMATS)}")
    if tokenizer is not None:
        from masksynth.draw.token_text import decode_tokens

        subject = decode_tokens(subject, tokenizer)
    picture = make_picture(subject, what, layers, other, block_size, LARGEST_TEXT if form == "text" else LARGEST_EXACT)
    if form == "text":
        return hasse_text(picture) if isinstance(picture, Diagram) else table_text(picture)
    from masksynth.draw.paper import drawing

    with drawing():
        return encode_figure(make_figure(picture), form, picture.title)


def make_picture(
    subject: Subject, what: str, layers: int | None, other: Subject | None, block_size: int | None, largest: int
) -> Picture | Diagram:
    """Return the content of a picture, independent of what it is drawn with.

    Parameters
    ----------
    subject, what, layers, other, block_size
        As for ``draw``.
    largest : int
        Largest mask of which every pair is shown.
    """
    if what not in WHAT:
        raise InvalidInstance(f"unknown picture {what!r:.40}", "", f"choose one of {', '.join(WHAT)}")
    if (other is None) == (what == "diff"):
        fact = "diff needs a second mask" if other is None else f"picture {what} does not take a second mask"
        raise InvalidInstance(fact, "", "give both diff and another mask, or neither")
    if subject.size == 0:
        raise InvalidInstance("a mask of 0 positions", "", "draw one with positions")
    if what == "hasse":
        return hasse_diagram(subject)
    if what == "flow":
        return flow_picture(subject, subject.layers if layers is None else layers, block_size, largest)
    if other is not None:
        return diff_picture(subject, other, block_size, largest)
    return (mask_picture if what == "mask" else block_picture)(subject, block_size, largest)


def make_figure(picture: Picture | Diagram) -> Figure:
    """Return a picture as a matplotlib figure; call it inside ``drawing()``."""
    from masksynth.draw.cell_figure import cell_figure
    from masksynth.draw.hasse_figure import hasse_figure

    return hasse_figure(picture) if isinstance(picture, Diagram) else cell_figure(picture)


def encode_figure(figure: Figure, form: str, title: str) -> str | bytes:
    """Return a figure as SVG text, or as the bytes of a PNG or PDF file; call it inside ``drawing()``."""
    from masksynth.draw.paper import to_pdf, to_png, to_svg

    return to_svg(figure, title) if form == "svg" else to_png(figure) if form == "png" else to_pdf(figure)


def format_of(path: Path) -> str:
    """Return ``svg``, ``png`` or ``pdf``, by the ending of a file.

    Raises
    ------
    InvalidInstance
        For another ending.

    Examples
    --------
    >>> format_of(Path("mask.PDF"))
    'pdf'
    """
    form = path.suffix.lower()[1:]
    if form not in FILE_FORMATS:
        remedy = "name a .svg, .png or .pdf file, or - for SVG on stdout"
        raise InvalidInstance(_ending(path), "", remedy, str(path))
    return form


def _ending(path: Path) -> str:
    return f"ends in {path.suffix!r:.40}" if path.suffix else "has no ending"


def check_picture(path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> Path:
    """Check, before any work is done, that a figure can be written to a path; return the path.

    Raises
    ------
    InvalidInstance
        If it does not end in .svg, .png or .pdf, or exists already and ``force`` is False.
    Unsupported
        Without matplotlib.

    Examples
    --------
    >>> check_picture("clusters.svg").suffix
    '.svg'
    """
    target = Path(path)
    if target.suffix.lower()[1:] not in FILE_FORMATS:
        raise InvalidInstance(_ending(target), "", "name a .svg, .png or .pdf file", str(target))
    check_file(target, force, inputs)
    if find_spec("matplotlib") is None:
        raise Unsupported("a picture needs matplotlib; pip install 'masksynth[draw]'")
    return target


def write_figure(figure: Figure, path: Path, title: str, force: bool = False) -> Path:
    """Write a figure in the format of the file's ending; call it inside ``drawing()``, after `check_picture`.

    Raises
    ------
    MasksynthError
        If the file cannot be written.
    """
    write_picture(encode_figure(figure, path.suffix.lower()[1:], title), path, force)
    return path


def write_picture(picture: str | bytes, path: str | Path, force: bool = False) -> None:
    """Write a picture to a file; missing parent folders are made.

    Raises
    ------
    InvalidInstance
        If the file exists already and ``force`` is not given.
    MasksynthError
        If the file cannot be written.
    """
    write_file(path, picture.encode("utf-8") if isinstance(picture, str) else picture, force, (), "the picture")
