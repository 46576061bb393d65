"""Inputs, labels and names as text for people: printable, on one line."""

from __future__ import annotations

from typing import Any

from masksynth.tasks import canonical as json_text

LONGEST = 200
"""Maximum number of characters of a string, and of parts of a list, that are shown."""


def printable(text: str) -> str:
    r"""Return a string on one line; control characters, marks of writing direction and lone surrogates become escapes.

    Examples
    --------
    >>> printable("a\nb\u202e")
    'a\\nb\\u202e'
    """
    return json_text.printable(text[:LONGEST])


def text_of(value: Any) -> str:
    """Return an input, a label or a name of a task as text, never empty.

    A string is shown as it is. A list that begins with a word is an aggregate and reads like a call, another list like
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
        parts = ", ".join(map(text_of, rest if is_call else value[:LONGEST]))
        return f"{printable(head) if is_call else ''}({parts})"
    try:
        return printable(json_text.canonical(value))
    except (TypeError, ValueError):  # not JSON: a number that is not finite, or of another library
        return printable(str(value))


def count(number: int, thing: str) -> str:
    """Return a number of things, in the plural unless it is 1.

    Examples
    --------
    >>> count(1, "position"), count(2048, "position")
    ('1 position', '2,048 positions')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
