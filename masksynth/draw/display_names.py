"""Names of positions, inputs, labels and tasks as pictures show them: printable, on one line, cut at a width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

from masksynth.tasks import canonical as json_text

if TYPE_CHECKING:
    from masksynth.subject.subject import Subject

ELLIPSIS = "…"
LONGEST = 200
"""Most characters of a name that are looked at."""


def printable(text: str) -> str:
    r"""Return a text on one line; control characters, marks of writing direction and lone surrogates become escapes.

    Examples
    --------
    >>> printable("a\nb\u202e")
    'a\\nb\\u202e'
    """
    return json_text.printable(text[:LONGEST])


def columns(text: str) -> int:
    """Count the columns that a text takes on a terminal: 2 for wide letters, 0 for combining ones.

    Examples
    --------
    >>> columns("ab"), columns("語")
    (2, 2)
    """
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def cut(text: str, most: int) -> str:
    """Shorten a text to at most ``most`` columns, with an ellipsis at its end.

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
    """Shorten a text to at most ``width`` columns and align it to the right."""
    short = cut(text, width)
    return " " * (width - columns(short)) + short


def text_of(value: Any) -> str:
    """Return an input, a label or a name of a task as text, never empty.

    A string stands for itself. A list that begins with a word is an aggregate and reads like a call, another list like
    a tuple; other values are written as JSON.

    Examples
    --------
    >>> text_of("the"), text_of(7), text_of("")
    ('the', '7', '""')
    >>> text_of(("mean", "w1", "w3")), text_of(("w3", 0))
    ('mean(w1, w3)', '(w3, 0)')
    """
    if isinstance(value, str) and value:
        return printable(value)
    if isinstance(value, (list, tuple)) and value:
        head, *rest = value[:LONGEST]
        is_call = isinstance(head, str) and head.isalpha() and bool(rest)
        return f"{printable(head) if is_call else ''}({', '.join(map(text_of, rest if is_call else value[:LONGEST]))})"
    try:
        return printable(json_text.canonical(value))
    except (TypeError, ValueError):  # not JSON: a number that is not finite, or of another library
        return printable(str(value))


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
