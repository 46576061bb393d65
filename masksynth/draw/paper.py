"""Primitives of figures: a matplotlib page measured in points, texts that fit, and its bytes as SVG, PNG or PDF.

matplotlib is imported inside functions, so that the library itself stays light. Equal pictures have equal bytes: no
dates, and ids from a fixed salt. Names are drawn as plain text, never as formulas.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width
from xml.sax.saxutils import escape, quoteattr

from masksynth.draw.display_names import ELLIPSIS, printable
from masksynth.errors import Unsupported

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 8.0
FONT = 8.0
WIDEST_TITLE = 420.0
PIXELS = 2.0
"""Pixels of a PNG for each point."""
INK, LINE, GROUND = "#1a237e", "#78909c", "#eceff1"
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#8d6e63")
"""Okabe and Ito's colours, distinct for people with any colour vision; brown, since grey means several tasks."""
HATCHES = ("", "/////", "\\\\\\\\\\", "|||||", "-----", "xxxxx", "+++++", "/////-----")
TASK_STYLES = tuple(
    (PALETTE[task % len(PALETTE)], HATCHES[(task + task // len(PALETTE)) % len(HATCHES)]) for task in range(24)
)
"""Colour and hatch of a task: each pair once, and up to the number of colours each colour and each hatch once."""
OTHER_TASKS = ("#455a64", "")
"""Colour and hatch of all further tasks, which share one style."""
MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Emoji",
)
INSTALL = "drawing needs matplotlib; pip install 'masksynth[draw]', or leave out -o for a picture in text"


@contextmanager
def drawing() -> Iterator[None]:
    """Use matplotlib's defaults, not the user's settings, and ignore warnings about letters missing from fonts.

    Raises
    ------
    Unsupported
        If matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.font_manager import fontManager
    except ImportError:
        raise Unsupported(INSTALL) from None
    known = {font.name for font in fontManager.ttflist}
    settings: dict[Any, Any] = {
        "svg.hashsalt": "masksynth",
        "svg.fonttype": "none",
        "font.family": ["DejaVu Sans", *(name for name in MORE_FONTS if name in known)],
        "font.size": FONT,
        "text.parse_math": False,
        "text.usetex": False,
        "text.hinting": "none",
        "hatch.linewidth": 0.6,
        "pdf.fonttype": 42,
        "path.simplify": False,
    }
    with matplotlib.style.context("default"), matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def paper(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a page of the given size in points, its origin in the upper left corner."""
    from matplotlib.figure import Figure

    figure = Figure((width / 72, height / 72), dpi=72, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure, axes


def measure(text: str, size: float = FONT, weight: str = "normal") -> float:
    """Return the width of a string in points; wide letters count as square, which they are in fonts that have them."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer: Any = RendererAgg
    width, _, _ = renderer(1, 1, 720).get_text_width_height_descent(
        text, FontProperties(size=size, weight=weight), False
    )
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return float(width) / 10 + 0.5 * size * wide


def fitted(text: str, most: float, size: float = FONT, weight: str = "normal") -> str:
    """Return a string, cut so that it is at most ``most`` points wide."""
    text = printable(text)
    if measure(text, size, weight) <= most:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest prefix that fits with an ellipsis
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle] + ELLIPSIS, size, weight) <= most else (low, middle - 1)
    return text[:low] + ELLIPSIS


def write(axes: Axes, x: float, y: float, text: str, gid: str, **style: Any) -> None:
    """Write a string, vertically centred at y."""
    style = {"fontsize": FONT, "va": "center", "color": "black", **style}
    axes.text(x, y, text, gid=gid, parse_math=False, clip_on=False, **style)


def title_width(title: str) -> float:
    """Return the width that a picture needs for its title, at most ``WIDEST_TITLE``."""
    return min(measure(printable(title), FONT + 1, "bold") + 1, WIDEST_TITLE)


def write_title(axes: Axes, title: str, y: float, width: float) -> None:
    """Write the title of a picture, cut at the given width."""
    write(axes, MARGIN, y, fitted(title, width, FONT + 1, "bold"), "title", fontsize=FONT + 1, weight="bold")


def rectangle(axes: Axes, x: float, y: float, width: float, height: float, gid: str, **style: Any) -> None:
    """Draw a rectangle with its upper left corner at (x, y)."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((x, y), width, height, gid=gid, clip_on=False, **{"linewidth": 0, "facecolor": "none", **style})
    )


def swatch(axes: Axes, x: float, y: float, width: float, height: float, task: int, gid: str) -> None:
    """Draw the colour and hatch of a task; light grey for several tasks (-1), white for none (-2)."""
    if task >= 0:
        colour, hatch = TASK_STYLES[task] if task < len(TASK_STYLES) else OTHER_TASKS
    else:
        colour, hatch = ("#cfd8dc" if task == -1 else "white"), ""
    rectangle(axes, x, y, width, height, gid, edgecolor="#37474f", linewidth=0.4, facecolor=colour, hatch=hatch)


def to_svg(figure: Figure, title: str) -> str:
    """Return the figure as SVG text, with a title for screen readers."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    head, label = stream.getvalue().decode("utf-8"), printable(title)
    attributes, _, body = head[head.index("<svg ") + len("<svg ") :].partition(">")
    opening = f'<?xml version="1.0" encoding="utf-8"?>\n<svg role="img" aria-label={quoteattr(label)} '
    return f"{opening}{attributes}>\n <title>{escape(label)}</title>{body}"


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=72 * PIXELS, metadata={"Software": None})
    return stream.getvalue()


def to_pdf(figure: Figure) -> bytes:
    """Return the figure as PDF; text is stored as text, not as outlines."""
    stream = io.BytesIO()
    nothing: dict[Any, Any] = dict.fromkeys(("CreationDate", "Creator", "Producer"))
    figure.savefig(stream, format="pdf", metadata=nothing)
    return stream.getvalue()
