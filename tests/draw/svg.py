"""SVG pictures read back as structure: which elements they hold, and where."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


def root(text):
    return ET.fromstring(text)


def ids(text):
    """The ids of all elements, in order."""
    return [element.attrib["id"] for element in root(text).iter() if "id" in element.attrib]


def named(text, pattern):
    """The numbers in the ids that match a pattern with groups."""
    found = [re.fullmatch(pattern, one) for one in ids(text)]
    return [tuple(int(part) if part.isdecimal() else part for part in match.groups()) for match in found if match]


def texts(text):
    """id -> text of every text element."""
    found = {}
    for group in root(text).iter(f"{SVG}g"):
        for element in group.findall(f"{SVG}text"):
            found[group.attrib.get("id", "")] = "".join(element.itertext())
    return found


def extent(text, name):
    """(left, top, right, bottom) of the path of one element."""
    (group,) = [element for element in root(text).iter(f"{SVG}g") if element.attrib.get("id") == name]
    numbers = [float(one) for one in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", group.find(f".//{SVG}path").attrib["d"])]
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def cells(text, kind, size, panel=0):
    """The table of cells of one kind, from ids, after checking that each lies where its id says."""
    found = np.zeros((size, size), bool)
    left, top, right, _ = extent(text, f"table-{panel}")
    side = (right - left) / size
    for row, start, end in named(text, rf"{kind}-{panel}-(\d+)-(\d+)-(\d+)"):
        place = extent(text, f"{kind}-{panel}-{row}-{start}-{end}")
        due = (left + start * side, top + row * side, left + end * side, top + (row + 1) * side)
        assert np.allclose(place, due, atol=0.01), (place, due)
        found[row, start:end] = True
    return found
