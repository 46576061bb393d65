"""Pictures of every family of the catalogue at its default size, measured as they are laid out."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import masksynth as ms
from masksynth.draw import draw
from masksynth.draw.hasse_boxes import hasse_diagram
from masksynth.draw.paper import TASK_STYLES, drawing
from masksynth.draw.pictures import make_figure, make_picture
from tests.draw import svg
from tests.draw.subjects import family
from tests.statistics import naive

EVERY = pytest.mark.parametrize("name", ms.catalog.FAMILIES)


@cache
def measured(name, what="hasse", **parameters):
    """(texts, extents of texts, extents of boxes, curves of edges) of a picture, in points; y grows upwards."""
    with drawing():
        figure = make_figure(make_picture(family(name, **parameters), what, None, None, None, 64))
        renderer = FigureCanvasAgg(figure).get_renderer()
        texts = {text.get_gid(): text for text in figure.findobj(Text) if text.get_text()}
        extents = {gid: text.get_window_extent(renderer).extents for gid, text in texts.items()}
        patches = {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}
        boxes = {
            int(gid[4:]): patch.get_window_extent(renderer).extents
            for gid, patch in patches.items()
            if re.fullmatch(r"box-\d+", gid)
        }
        curves = {
            tuple(map(int, gid.split("-")[1:])): figure.axes[0].transData.transform(
                patch.get_path().interpolated(1).to_polygons(closed_only=False)[0]
            )
            for gid, patch in patches.items()
            if gid.startswith("edge-")
        }
        size = figure.get_size_inches() * 72
    return {gid: text.get_text() for gid, text in texts.items()}, extents, boxes, curves, size


@pytest.mark.parametrize("what", ["hasse", "mask"])
@EVERY
def test_no_label_is_cut_and_none_overlap(name, what):
    texts, extents, _, _, (width, height) = measured(name, what)
    assert not any("…" in text for text in texts.values())
    for gid, (left, low, right, high) in extents.items():
        assert left >= 0 and low >= -0.5 and right <= width and high <= height + 0.5, gid  # noqa: PT018
    for (one, a), (other, b) in combinations(extents.items(), 2):
        # fonts leave some space above and below their letters
        assert min(a[2], b[2]) - max(a[0], b[0]) < 0.5 or min(a[3], b[3]) - max(a[1], b[1]) < 2, (one, other)


@EVERY
def test_labels_lie_in_their_boxes_and_boxes_apart(name):
    texts, extents, boxes, _, _ = measured(name)
    labels = {gid: extent for gid, extent in extents.items() if gid.startswith("label-")}
    assert labels
    for gid, (left, low, right, high) in labels.items():
        box = boxes[int(gid.split("-")[1])]
        assert box[0] < left and right < box[2] and box[1] < low + 1 and high - 1 < box[3], gid  # noqa: PT018
    for a, b in combinations(boxes.values(), 2):
        assert min(a[2], b[2]) - max(a[0], b[0]) < 0 or min(a[3], b[3]) - max(a[1], b[1]) < 0
    diagram = hasse_diagram(family(name))
    for number, box in enumerate(diagram.boxes):
        lines = [texts[gid] for gid in sorted(labels) if gid.split("-")[1] == str(number)]
        assert re.sub(r"\s+", " ", " ".join(lines)) == box.label


@EVERY
def test_boxes_and_edges_are_classes_and_covers(name):
    subject = family(name)
    classes, covers, _ = naive.diagram(naive.limit(subject.mask.dense().reshape(-1, subject.size, subject.size))[1])
    _, _, boxes, curves, _ = measured(name)
    assert sorted(boxes) == list(range(len(classes)))
    by_least = sorted(classes)
    assert {(by_least[q], by_least[k]) for q, k in curves} == covers


@EVERY
def test_edges_run_upwards_clear_of_boxes(name):
    _, _, boxes, curves, _ = measured(name)
    for (upper, lower), points in curves.items():
        assert (np.diff(points[:, 1]) > -1e-6).all() or (np.diff(points[:, 1]) < 1e-6).all()
        for number, (left, low, right, high) in boxes.items():
            inside = (
                (points[:, 0] > left) & (points[:, 0] < right) & (points[:, 1] > low + 1) & (points[:, 1] < high - 1)
            )
            assert not inside.any(), (upper, lower, number)


def mirror_images(name, **parameters):
    """For each box the box that lies where its mirror image would, if any."""
    _, _, boxes, _, _ = measured(name, **parameters)
    axis = (min(box[0] for box in boxes.values()) + max(box[2] for box in boxes.values())) / 2
    mirrored = {number: (2 * axis - box[2], box[1], 2 * axis - box[0], box[3]) for number, box in boxes.items()}
    return {
        number: next((other for other, box in boxes.items() if np.allclose(image, box, atol=0.3)), None)
        for number, image in mirrored.items()
    }


# The families whose diagram has an automorphism that keeps heights and fixes at most one class of each height.
MIRRORED = (
    *("causal_lm", "prefix_lm", "sliding_window", "local_global", "encdec_flat", "transfusion", "var_scales"),
    *("butterfly", "complementary_bd", "shared_prefix_group", "tabpfn", "tabpfn_duplicates", "loo_mlm"),
)


def has_mirror(name):
    """Whether a diagram has such an automorphism, by trying all (networkx knows nothing of our search)."""
    import networkx as nx

    diagram = hasse_diagram(family(name))
    graph = nx.DiGraph([(lower, upper) for upper, lower in diagram.edges])
    graph.add_nodes_from((number, {"height": box.height}) for number, box in enumerate(diagram.boxes))
    matcher = nx.algorithms.isomorphism.DiGraphMatcher(graph, graph, lambda a, b: a["height"] == b["height"])
    for count, image in enumerate(matcher.isomorphisms_iter()):
        fixed = [diagram.boxes[v].height for v in image if image[v] == v]
        if all(image[image[v]] == v for v in image) and len(fixed) == len(set(fixed)):
            return True
        assert count < 5000
    return False


@EVERY
def test_the_mirrored_families_are_those_with_a_mirror(name):
    assert has_mirror(name) == (name in MIRRORED)


@pytest.mark.parametrize("name", MIRRORED)
def test_the_mirror_image_of_a_mirrored_family_is_itself(name):
    image = mirror_images(name)
    assert None not in image.values()
    edges = set(hasse_diagram(family(name)).edges)
    assert {(image[upper], image[lower]) for upper, lower in edges} == edges


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 12, 16])
def test_butterflies_have_two_mirrored_wings(n):
    image = mirror_images("butterfly", n=n)
    boxes = hasse_diagram(family("butterfly", n=n)).boxes
    assert None not in image.values()
    flip = lambda name: re.sub(r"(?<=[w@])\d+", lambda match: str(n - 1 - int(match.group())), name)  # noqa: E731
    for number, other in image.items():
        assert sorted(re.findall(r"[w@]\d+", flip(boxes[number].name))) == sorted(
            re.findall(r"[w@]\d+", boxes[other].name)
        )


def test_the_ends_of_a_butterfly_lie_outside():
    _, _, boxes, _, _ = measured("butterfly")
    diagram = hasse_diagram(family("butterfly"))
    bottom = min(box[1] for box in boxes.values())
    row = sorted((box[0], diagram.boxes[number].name) for number, box in boxes.items() if box[1] == bottom)
    assert [name for _, name in row] == ["w0@0", "w7@7"]
    width = max(box[2] for box in boxes.values()) - min(box[0] for box in boxes.values())
    assert row[1][0] - row[0][0] > 0.75 * width
    # each half above the crossing of the wings is read from left to right: the means of early tokens left
    for number, box in enumerate(diagram.boxes):
        if box.predicts:
            middle = (boxes[number][0] + boxes[number][2]) / 2 - min(b[0] for b in boxes.values())
            assert (middle < width / 2) == (box.place < 4)


def crossings(curves):
    """Pairs of edges that cross between their ends, counted on the curves themselves."""
    count = 0
    for (one, a), (other, b) in combinations(curves.items(), 2):
        if {*one} & {*other}:
            continue
        count += bool(meets(a, b))
    return count


def meets(a, b):
    """Whether two polylines cross."""
    p, r = a[:-1, None], np.diff(a, axis=0)[:, None]
    q, s = b[None, :-1], np.diff(b, axis=0)[None]
    cross = lambda u, v: u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]  # noqa: E731
    with np.errstate(divide="ignore", invalid="ignore"):
        t, u = cross(q - p, s) / cross(r, s), cross(q - p, r) / cross(r, s)
    return ((t >= 0) & (t < 1) & (u >= 0) & (u < 1)).any()


@pytest.mark.parametrize("n", [4, 5, 8, 9, 16])
def test_the_wings_of_a_butterfly_cross_once(n):
    """No symmetric picture of n >= 4 tokens has fewer.

    The path from the first token up to the prediction of the second, and down the backward chain to the last token,
    joins two boxes that are mirror images of each other, so it meets the axis. Its mirror image meets the axis there
    too: up from the last token to the prediction of the last but one, and down the forward chain. The two paths share
    no box but their ends, which lie off the axis, and no edge, so they cross.
    """
    assert crossings(measured("butterfly", n=n)[3]) == 1


@EVERY
def test_other_pictures_cross_little(name):
    limits = {"butterfly": 1, "parallel_context": 1, "parallel_context_bos": 4}
    assert crossings(measured(name)[3]) <= limits.get(name, 0)


def test_streams_stand_in_columns():
    for name, columns in (
        ("block_two_stream", 2),
        ("block_two_stream_causal", 2),
        ("bd3lm", 2),
        ("complementary_bd", 3),
    ):
        _, _, boxes, _, _ = measured(name)
        middles = sorted((box[0] + box[2]) / 2 for box in boxes.values())
        assert sum(b - a > 1 for a, b in pairwise(middles)) == columns - 1, name


@EVERY
@pytest.mark.parametrize("what", ["hasse", "mask"])
def test_colours_and_hatches_of_a_legend_differ(name, what):
    with drawing():
        figure = make_figure(make_picture(family(name), what, None, None, 2 if what == "mask" else None, 64))
        samples = [patch for patch in figure.axes[0].patches if (patch.get_gid() or "").startswith("legend-sample")]
    tasks = [
        patch for patch in samples if patch.get_edgecolor()[:3] == pytest.approx((0x37 / 255, 0x47 / 255, 0x4F / 255))
    ]
    colours, hatches = [patch.get_facecolor() for patch in tasks], [patch.get_hatch() for patch in tasks]
    assert len(set(colours)) == len(colours)
    styled = [hatch for hatch in hatches if hatch]
    assert len(set(styled)) == len(styled)


def test_styles_of_many_tasks_differ():
    assert len(set(TASK_STYLES)) == len(TASK_STYLES) == 24
    texts, *_ = measured("butterfly", n=30)
    legend = [text for gid, text in texts.items() if gid.startswith("legend")]
    assert "one of the other tasks" in legend
    assert len(legend) == len(set(legend))


@EVERY
def test_svg_holds_the_labels_in_full(name):
    subject = family(name)
    texts = svg.texts(draw(subject, "hasse", "svg"))
    assert texts == measured(name)[0]
    assert texts["title"] == f"Hasse diagram: {name}"


@pytest.mark.parametrize("what", ["hasse", "mask", "blocks", "flow"])
def test_every_format_is_written(what):
    subject = family("complementary_bd")
    assert draw(subject, what, "pdf").startswith(b"%PDF")
    assert draw(subject, what, "png").startswith(b"\x89PNG")


def test_pdf_holds_text_not_outlines():
    import zlib

    content = draw(family("butterfly", n=4), "hasse", "pdf")
    streams = re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
    pages = [zlib.decompress(stream) for stream in streams if stream[:1] == b"x"]
    assert sum(page.count(b" Tf") for page in pages) >= 16
    assert b"/Type /Font" in content


def test_an_aggregate_reads_as_a_call():
    texts, *_ = measured("butterfly", n=4)
    assert "mean(w0, w2)@1 ⇒ w1" in texts.values()
    assert "mean(w0, w2)@1" in measured("butterfly", "mask", n=4)[0].values()
