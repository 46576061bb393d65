"""Names of positions as pictures show them: printable, on one line, cut where they are long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

from masksynth.tasks.canonical import SHOWN, canonical

if TYPE_CHECKING:
    from masksynth.audit import Subject

ELLIPSIS = "…"


def printable(text: str) -> str:
    r"""A text on one line: control characters, line ends, marks of writing direction and lone surrogates become escapes.

    Examples
    --------
    >>> printable("a\nb\u202e")
    'a\\nb\\u202e'
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: SHOWN + 1])


def columns(text: str) -> int:
    """The columns that a text takes on a terminal: 2 for wide letters, 0 for combining ones.

    Examples
    --------
    >>> columns("ab"), columns("語")
    (2, 2)
    """
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def cut(text: str, most: int) -> str:
    """A text in at most so many columns.

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
    """A text of at most ``width`` columns, set to the right."""
    short = cut(text, width)
    return " " * (width - columns(short)) + short


def text_of(value: Any) -> str:
    """An input, a label or a name of a task as a picture shows it: strings bare, other values as JSON; never empty.

    Examples
    --------
    >>> text_of("the"), text_of(7), text_of("")
    ('the', '7', '""')
    """
    if isinstance(value, str) and value:
        return printable(value)
    try:
        return printable(canonical(value))
    except (TypeError, ValueError):
        return printable(str(value))


def position_names(subject: Subject, most: int) -> tuple[str, ...]:
    """The name of each position, in at most ``most`` columns: its token, cut where it is long, and its position id, which is never cut.

    Where no tokens are known it is the position's number.
    """
    if subject.inputs is None:
        return tuple(str(place) for place in range(subject.size))
    ends = [""] * subject.size if subject.positions is None else [f"@{place}" for place in subject.positions.tolist()]
    return tuple(
        cut(text_of(value), max(most - len(end), 2)) + end for value, end in zip(subject.inputs, ends, strict=True)
    )
