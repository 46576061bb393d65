"""Results of benchmarks as tables and notes: printed as Markdown, stored as JSON with one table row per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent / "results"
"""Where the figures of the last complete run are."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table; cells are text formatted for printing, or numbers and None where the table was read from a file."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __str__(self) -> str:
        """Return the table in Markdown, with aligned columns."""
        cells = [["-" if cell is None else str(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [
            "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in cells
        ]
        return "\n".join([lines[0], "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|", *lines[1:]])

    def records(self) -> list[dict[str, Any]]:
        """Return one mapping of column to cell per row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Result:
    """The tables of one benchmark, and remarks on them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    machine: str = ""
    command: str = ""

    def __str__(self) -> str:
        """Return tables and notes in Markdown."""
        return "\n\n".join([*map(str, self.tables), *self.notes])


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table; each cell is converted to text."""
    return Table(tuple(columns), tuple(tuple(str(cell) for cell in row) for row in rows))


def parse_cell(text: Cell) -> Cell:
    """Convert a printed cell to a number or None where it is one.

    Examples
    --------
    >>> [parse_cell(text) for text in ("1,024", "0.50", "6e-07", "-", "", "chain", "> 20 (30 of 31)")]
    [1024, 0.5, 6e-07, None, None, 'chain', '> 20 (30 of 31)']
    """
    if not isinstance(text, str):
        return text
    if text in ("", "-"):
        return None
    plain = text.replace(",", "") if text[0].isdigit() and " " not in text else text
    for number in (int, float):
        try:
            return number(plain)
        except ValueError:
            continue
    return text


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON, one table row per line, so that two runs can be compared line by line."""
    tables = [
        f'  {{"columns": {json.dumps(part.columns)},\n   "rows": [\n'
        + ",\n".join(f"    {json.dumps([parse_cell(cell) for cell in row])}" for row in part.rows)
        + "\n   ]}"
        for part in result.tables
    ]
    head = f' "command": {json.dumps(result.command)},\n "machine": {json.dumps(result.machine)},\n'
    text = f'{{\n{head} "notes": {json.dumps(result.notes)},\n "tables": [\n' + ",\n".join(tables) + "\n ]\n}\n"
    path.write_text(text, encoding="utf-8")


def read_result(path: Path) -> Result:
    """Read a result that `write_result` has written."""
    return msgspec.json.decode(path.read_bytes(), type=Result)
