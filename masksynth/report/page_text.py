"""Values of an instance as text for a page: printable, and cut where they are long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from masksynth.draw import display_names
from masksynth.tasks.canonical import canonical, too_long
from masksynth.tasks.value_text import count

__all__ = ["LONG", "SHORT", "Names", "count", "cut", "ranges", "text_of"]

LONG, SHORT = 500, 120
"""Maximum number of characters of a value, and of a name in a list."""


def cut(text: str, most: int = LONG) -> str:
    r"""Return the first ``most`` characters of a string, with escapes for invisible characters and marks of direction.

    Examples
    --------
    >>> cut("a" * 10, 4), cut(chr(0x202E) + "abc")
    ('aaaa… (10 characters)', '\\u202eabc')
    """
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:most])
    return shown if len(text) <= most else f"{shown}… ({len(text):,} characters)"


def text_of(value: Any, most: int = LONG) -> str:
    """Return a value as text: a string as it is, a list as ``mean(w1, w3)`` or ``(w3, 0)``, others in canonical JSON.

    Examples
    --------
    >>> text_of("w1"), text_of(("mean", "w1")), text_of(10**5000), text_of(float("inf"))
    ('w1', 'mean(w1)', 'an integer of more than 4300 digits', 'inf')
    """
    if type(value) is int and too_long(value):
        return "an integer of more than 4300 digits"
    if isinstance(value, str):
        return cut(value, most)
    if isinstance(value, (list, tuple)) and value:
        return cut(display_names.text_of(value), most)
    try:
        return cut(canonical(value), most)
    except (TypeError, ValueError):  # not JSON: a number that is not finite, or of another library
        return cut(repr(value), most)


def ranges(numbers: Sequence[int], most: int = 12) -> str:
    """Return ascending numbers in words, consecutive ones as ranges.

    Parameters
    ----------
    numbers : sequence of int
    most : int
        Most ranges that are listed.

    Examples
    --------
    >>> ranges([0, 1, 2, 5]), ranges([]), ranges(range(0, 60, 2), 2)
    ('0 to 2, 5', 'none', '0, 2 and 28 more')
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(low) if low == high else f"{low} to {high}" for low, high in runs[:most]]
    more = sum(high - low + 1 for low, high in runs[most:])
    return (", ".join(words) or "none") + (f" and {more:,} more" if more else "")


class Names:
    """Numbers for names, in order of first use; the page holds each name once.

    Examples
    --------
    >>> names = Names()
    >>> [names.number(name) for name in ("a", "b", "a")], names.texts
    ([0, 1, 0], ['a', 'b'])
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.texts: list[str] = []

    def number(self, name: str) -> int:
        """Return the number of a name."""
        if name not in self._numbers:
            self._numbers[name] = len(self.texts)
            self.texts.append(cut(name, SHORT))
        return self._numbers[name]
