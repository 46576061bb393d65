"""Format lists and counts in the messages of findings."""

from __future__ import annotations

from collections.abc import Sequence


def list_names(names: Sequence[str], count: int | None = None, limit: int = 3) -> str:
    """Return the first names and the number of further ones.

    Parameters
    ----------
    names : sequence of str
        At least the first ``limit`` names.
    count : int, optional
        Number of all names [default: those given].
    limit : int
        Most names that are written out.

    Examples
    --------
    >>> list_names(["a", "b", "c", "d", "e"]), list_names(["a"])
    ('a, b, c and 2 more', 'a')
    """
    count = len(names) if count is None else count
    return ", ".join(names[:limit]) + (f" and {count - limit} more" if count > limit else "")


def format_times(count: int) -> str:
    """Return how often something occurs, in words.

    Examples
    --------
    >>> format_times(1), format_times(3)
    ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"
