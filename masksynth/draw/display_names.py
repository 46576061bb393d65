"""Names of positions, inputs, labels and tasks as pictures show them: printable, on one line, cut at a width."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from masksynth.tasks.value_text import printable, text_of

if TYPE_CHECKING:
    from masksynth.subject.subject import Subject

__all__ = ["ELLIPSIS", "columns", "cut", "padded", "position_names", "printable", "text_of"]

ELLIPSIS = "…"


def columns(text: str) -> int:
    """Count the columns that a string takes on a terminal: 2 for wide letters, 0 for combining ones.

    Examples
    --------
    >>> columns("ab"), columns("語")
    (2, 2)
    """
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def cut(text: str, most: int) -> str:
    """Shorten a string to at most ``most`` columns, with an ellipsis at its end.

    Examples
    --------
    >>> cut("position", 4), cut("pos", 4)
    ('pos…', 'pos')
    """
    if columns(text) <= most:
        return text
    while text and columns(text) > most - 1:
        text = text[:-1]
    return text + ELLIPSIS


def padded(text: str, width: int) -> str:
    """Shorten a string to at most ``width`` columns and align it to the right."""
    short = cut(text, width)
    return " " * (width - columns(short)) + short


def position_names(subject: Subject, most: int) -> tuple[str, ...]:
    """Return the name of each position: its input, ``@`` and its position id; its number where inputs are not known.

    Parameters
    ----------
    subject : Subject
    most : int
        Most columns of a name; the input is cut where it is longer, the position id never is.
    """
    if subject.inputs is None:
        return tuple(str(position) for position in range(subject.size))
    ends = [""] * subject.size if subject.positions is None else [f"@{number}" for number in subject.positions.tolist()]
    return tuple(
        cut(text_of(value), max(most - len(end), 2)) + end for value, end in zip(subject.inputs, ends, strict=True)
    )
