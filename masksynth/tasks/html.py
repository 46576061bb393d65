"""HTML with which values show themselves in a notebook; all texts are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MOST_ROWS = 12
"""Maximum number of rows of a table."""


def html_block(title: str, facts: Iterable[str], *bodies: str | None) -> str:
    """Return a title, facts about a value, and pictures or tables that belong to it.

    Parameters
    ----------
    title : str
        Name of the type, or a status.
    facts : iterable of str
        Plain text.
    bodies : str or None
        HTML or SVG; None is left out.

    Examples
    --------
    >>> html_block("Mask", ["3 positions", "<b>"])
    '<div><div><b>Mask</b>: 3 positions, &lt;b&gt;</div></div>'
    """
    line = f"<div><b>{escape(title)}</b>: {escape(', '.join(facts))}</div>"
    return f"<div>{line}{''.join(body for body in bodies if body is not None)}</div>"


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain strings: its first rows, and how many more there are.

    Examples
    --------
    >>> html_table(["task"], [["a<b"]])
    '<table><tr><th>task</th></tr><tr><td>a&lt;b</td></tr></table>'
    """
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines.append(f'<td colspan="{len(heads)}">and {len(rows) - MOST_ROWS:,} more</td>')
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
