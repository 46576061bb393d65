"""Every family of the catalogue in the browser: labels in full and apart, the diagram as `draw` lays it out."""

from __future__ import annotations

from itertools import combinations

import pytest

import masksynth as ms
from masksynth.report import write_report

EXTENTS = """
const boxes = (selector) => [...document.querySelectorAll(selector)].map((element) => {
  const { left, top, right, bottom } = element.getBoundingClientRect();
  return [left, top, right, bottom];
});
return {
  chips: boxes("#diagram .chip rect"), numbers: boxes("#diagram .chip .number"), tokens: boxes("#diagram .chip .token"),
  marks: boxes("#diagram .chip .mark"), rows: boxes("#mask .row text"), frame: boxes("#diagram")[0],
  cells: boxes("#mask .row .full"),
  texts: [...document.querySelectorAll("#diagram .chip .token")].map((element) => element.textContent),
  narrowed: document.querySelectorAll("[textLength]").length,
};
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("catalogue")


def inside(inner, outer, slack=1.0):
    return all(inner[i] >= outer[i] - slack for i in (0, 1)) and all(inner[i] <= outer[i] + slack for i in (2, 3))


def apart(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) < 0.5 or min(a[3], b[3]) - max(a[1], b[1]) < 3


@pytest.mark.parametrize("name", ms.catalog.FAMILIES)
def test_labels_are_in_full_and_apart(page, folder, name):
    asked = getattr(ms.catalog, name)()
    answer = ms.solve(asked, backend="criterion")
    page.open(write_report(folder / f"{name}.html", asked, answer=answer))
    found = page.js(EXTENTS)
    positions = answer.merged.positions
    inputs = [position.input for position in positions]
    assert [text for text in found["texts"] if "…" in text] == []
    assert found["texts"] == [text if isinstance(text, str) else as_call(text) for text in inputs]
    assert found["narrowed"] == 0
    assert len(found["chips"]) == len(positions)
    for chip, number, token in zip(found["chips"], found["numbers"], found["tokens"], strict=True):
        assert inside(chip, found["frame"])
        assert inside(number, chip)
        assert inside(token, chip)
    for a, b in combinations(found["chips"], 2):
        assert apart(a, b)
    for a, b in combinations([*found["numbers"], *found["tokens"], *found["marks"]], 2):
        assert apart(a, b)
    for a, b in combinations(found["rows"], 2):
        assert apart(a, b)
    assert max(row[2] for row in found["rows"]) < min(cell[0] for cell in found["cells"])


def as_call(value):
    """`mean(w1, w3)` or `(w3, 0)`."""
    head, *rest = value
    if head in ("mean", "noised"):
        return f"{head}({', '.join(map(str, rest))})"
    return f"({', '.join(map(str, value))})"


def test_the_butterfly_is_mirrored_in_the_report_too(page, folder):
    asked = ms.catalog.butterfly()
    page.open(write_report(folder / "mirrored.html", asked, answer=ms.solve(asked, backend="criterion")))
    chips = page.js(EXTENTS)["chips"]
    axis = (min(chip[0] for chip in chips) + max(chip[2] for chip in chips)) / 2
    centres = sorted((round((chip[1] + chip[3]) / 2), (chip[0] + chip[2]) / 2 - axis) for chip in chips)
    mirrored = sorted((y, -x) for y, x in centres)
    assert all(a == y and abs(b - x) < 0.7 for (a, b), (y, x) in zip(centres, mirrored, strict=True))
