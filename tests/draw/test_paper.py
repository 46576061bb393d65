"""What reaches the paper: texts that fit, names that harm nothing, equal bytes, grey that still tells."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from colorsys import rgb_to_yiq
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from masksynth.draw import draw
from masksynth.draw.cell_figure import STYLES
from masksynth.draw.paper import HATCHES, PALETTE, drawing, fitted, measure
from masksynth.draw.pictures import make_figure, make_picture
from masksynth.errors import Unsupported
from tests.draw import svg
from tests.draw.subjects import HOSTILE, family, hostile, window

PICTURES = {
    "butterfly": (lambda: family("butterfly", n=4), "mask", {"block_size": 2}),
    "butterfly hasse": (lambda: family("butterfly", n=4), "hasse", {}),
    "grpo": (lambda: family("shared_prefix_group", P=30, R=12, G=9), "hasse", {}),
    "flow": (lambda: window(9, 3), "flow", {}),
    "hostile": (hostile, "mask", {}),
    "hostile hasse": (hostile, "hasse", {}),
    "hostile diff": (lambda: window(12, 2, "a" * 500), "diff", {"other": hostile()}),
    "hostile blocks": (hostile, "blocks", {"block_size": 4}),
}


def sheet(name):
    """(figure, renderer) of a picture."""
    make, what, options = PICTURES[name]
    given = {"layers": None, "other": None, "block_size": None} | options
    found = make_figure(make_picture(make(), what, given["layers"], given["other"], given["block_size"], 64))
    return found, FigureCanvasAgg(found).get_renderer()


def extents(found, renderer):
    """gid -> extent in points, of every text."""
    return {text.get_gid(): text.get_window_extent(renderer) for text in found.findobj(Text) if text.get_text()}


@pytest.mark.parametrize("name", PICTURES)
def test_texts_lie_on_the_paper_and_apart(name):
    with drawing():
        found, renderer = sheet(name)
        boxes = extents(found, renderer)
    wide, high = found.get_size_inches() * 72
    for gid, box in boxes.items():
        assert box.x0 >= 0 and box.x1 <= wide and box.y0 >= -1 and box.y1 <= high + 1, (gid, box)  # noqa: PT018
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 2, (one, other)


@pytest.mark.parametrize("name", ["butterfly hasse", "grpo", "hostile hasse"])
def test_labels_lie_in_their_boxes(name):
    with drawing():
        found, renderer = sheet(name)
        boxes = extents(found, renderer)
        patches = {patch.get_gid(): patch.get_window_extent(renderer) for patch in found.axes[0].patches}
    labels = [gid for gid in boxes if gid.startswith("label-")]
    assert labels
    for gid in labels:
        box = patches[f"box-{gid.split('-')[1]}"]
        assert box.x0 < boxes[gid].x0 and boxes[gid].x1 < box.x1, gid  # noqa: PT018
        assert box.x1 - box.x0 < 330


@pytest.mark.parametrize("name", ["butterfly", "hostile"])
def test_names_end_before_the_table(name):
    with drawing():
        found, renderer = sheet(name)
        boxes = extents(found, renderer)
        table = next(patch for patch in found.axes[0].patches if patch.get_gid() == "table-0").get_window_extent(
            renderer
        )
    for gid, box in boxes.items():
        assert not gid.startswith("row-") or box.x1 < table.x0, gid
        assert not gid.startswith("column-") or box.y0 > table.y1, gid


@pytest.mark.parametrize("text", [*HOSTILE, "short", "a name of some length that will not fit"])
@pytest.mark.parametrize("most", [20, 60, 150])
def test_cut_texts_are_no_wider_than_told(text, most):
    with drawing():
        short = fitted(text, most)
        assert measure(short) <= most
        assert short.isprintable()


@pytest.mark.parametrize("name", PICTURES)
def test_svg_is_well_formed_with_unique_ids_and_a_title(name):
    make, what, options = PICTURES[name]
    picture = draw(make(), what, "svg", **options)
    ids = svg.ids(picture)
    assert len(ids) == len(set(ids))
    root = svg.root(picture)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == root.find(f"{svg.SVG}title").text
    assert {element.tag.removeprefix(svg.SVG) for element in root.iter()} <= {
        *("svg", "g", "path", "text", "title", "defs", "style", "use", "clipPath", "rect", "pattern"),
    }
    assert "DOCTYPE" not in picture


def test_hostile_names_are_text_and_nothing_else():
    for what in ("mask", "hasse"):
        texts = svg.texts(draw(hostile(), what, "svg"))
        assert all(text.isprintable() for text in texts.values())
        assert any(text.startswith("<script>") for text in texts.values())
        assert any("$\\frac" in text for text in texts.values())
        assert any("\\u202eright" in text for text in texts.values())


def test_equal_pictures_have_equal_bytes_in_every_process():
    """The hash seed of this process differs from that of the other."""
    program = (
        "import hashlib; from masksynth.draw import draw; from tests.draw.subjects import family;"
        "pictures = [draw(family('butterfly', n=4), what, form, block_size=2)"
        " for what in ('mask', 'hasse') for form in ('svg', 'png', 'pdf')];"
        "digest = hashlib.sha256();"
        "[digest.update(one.encode() if isinstance(one, str) else one) for one in pictures];"
        "print(digest.hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(program, {})
    assert output.getvalue() == done.stdout


def test_users_settings_change_nothing(monkeypatch):
    import matplotlib

    before = draw(window(5, 2), "mask", "svg")
    with matplotlib.rc_context(
        {"font.size": 30, "svg.fonttype": "path", "lines.linewidth": 9, "patch.force_edgecolor": True}
    ):
        assert draw(window(5, 2), "mask", "svg") == before


def test_png_is_one():
    picture = draw(family("butterfly", n=4), "hasse", "png")
    assert picture.startswith(b"\x89PNG")


def luminance(colour):
    return rgb_to_yiq(*to_rgb(colour))[0]


def test_kinds_differ_without_colour():
    for one, other in combinations(STYLES.values(), 2):
        if one != other:
            apart = abs(luminance(one["facecolor"]) - luminance(other["facecolor"]))
            assert one.get("hatch") != other.get("hatch") or apart > 0.3
    assert len(set(HATCHES)) == len(set(PALETTE)) == len(PALETTE)


def test_no_matplotlib_is_one_line(monkeypatch):
    for name in ("matplotlib", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    assert draw(window(3, 2), "mask").count("■") == 6
    with pytest.raises(Unsupported, match=r"needs matplotlib; pip install 'masksynth\[draw\]'"):
        draw(window(3, 2), "mask", "svg")
