"""Masks to draw: families of the catalogue, windows, and names that try to break the picture."""

from __future__ import annotations

import numpy as np

import masksynth as ms
from masksynth.audit import Labels, Subject, subject_of_merged
from masksynth.mask import Mask
from masksynth.merge import merge

HOSTILE = (
    "<script>alert(1)</script>",
    "]]>&amp;\"'",
    "two\nlines\r\t",
    "\u202eright to left\u2066",
    "שלום עולם",
    "$\\frac{1}{0}$",
    "x" * 10**5,
    "語" * 40,
    "\ud800\udfff\ufffe\x00\x1b[31m",
    "e\u0301" * 50,
    '"];n0->n1[label="',
    "",
)


def family(name, **parameters):
    return subject_of_merged(merge(getattr(ms.catalog, name)(**parameters)), name)


def window(size, width, name="window"):
    return Subject(Mask.from_dense(np.tri(size, dtype=bool) & ~np.tri(size, k=-width, dtype=bool)), name)


def hostile():
    """A causal chain of hostile tokens, every one with a task of a hostile name, in a file of a hostile name."""
    size = len(HOSTILE)
    place = np.arange(size)
    labels = Labels(place, HOSTILE, np.ones(size), place, HOSTILE, ((),) * size, np.full(size, -1))
    return Subject(
        Mask.from_dense(np.tri(size, dtype=bool)),
        "</svg>\n<b>" + "y" * 10**5,
        inputs=HOSTILE,
        positions=place,
        labels=labels,
    )
