"""``masksynth export``: write a mask in the format of an attention kernel, or list what each format makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.format_sizes import Entry, summary
from masksynth.export.mask_arrays import Arrays
from masksynth.export.targets import TARGETS, check_target_file, export_arrays, write_arrays
from masksynth.export.tree_segments import describe_cost
from masksynth.mask import Mask
from masksynth.terminal import (
    JSON,
    QUIET,
    Refused,
    SubjectChoice,
    count,
    mask_options,
    output_file,
    plain,
    print_json,
    printable,
    progress,
    to_the_end,
)


def block_size_option(_: click.Context, __: click.Parameter, value: str) -> tuple[int, int]:
    """Return (queries, keys) of a block from ``128`` or ``256x128``."""
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(
        part.isascii() and part.isdecimal() and 0 < len(part) < 8 and int(part) > 0 for part in parts
    ):
        raise click.BadParameter(
            f"expected a block size such as 128, or queries x keys as in 256x128, got {plain(value)!r}"
        )
    return int(parts[0]), int(parts[-1])


@click.command()
@mask_options
@click.option("--to", type=click.Choice([*TARGETS]), help="The format to write.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Write the arrays to a .safetensors file.",
)
@click.option(
    "--block-size",
    default="128",
    show_default=True,
    callback=block_size_option,
    help="Block size of block lists: 128, or queries x keys: 256x128.",
)
@click.option(
    "--table", type=click.IntRange(0), help="Table of a layer pattern [default: all; to write: the only one]."
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@JSON
@QUIET
def export(
    subject: SubjectChoice,
    to: str | None,
    output: Path | None,
    block_size: tuple[int, int],
    table: int | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a mask for an attention kernel, or list what each format makes of it.

    \b
    masksynth export out
    masksynth export out --to flashmask -o bounds.safetensors
    masksynth export packed --batch 3 --to blocks --block-size 256x128 -o lists.safetensors
    masksynth export my_masks:mask_mod --length 4096 --to magi -o slices.safetensors

    SUBJECT is a mask file (- for stdin), the folder of an answer or of packed batches, or package.module:mask_mod.

    The arrays are converted back and compared with the mask before they are written. A format that cannot express the
    mask is refused with the reason and exit code 1, and nothing is written.
    """
    if (to is None) != (output is None):
        raise click.UsageError("--to and -o go together: a format and a file")
    if output is not None:
        check_target_file(output, force, subject.input_files())
    mask = subject.read().mask
    if table is not None and table >= mask.tables:
        fact = f"has {count(mask.tables, 'table')}, not a table {table}"
        raise InvalidInstance(fact, "", "tables are counted from 0", subject.path)
    with progress(f"exporting {plain(subject.path)} ...", quiet):
        if to is not None and output is not None:
            record = _write_export(mask, to, output, block_size, table, force, subject.path)
            text = f"{printable(str(output))}: {record['bytes']:,} bytes of {to}, checked"
            text += f"; {record['cost']}" if record["cost"] else ""
        else:
            chosen = range(mask.tables) if table is None else [table]
            formats = [(number, summary(mask, number, block_size)) for number in chosen]
            record, text = _record(mask, formats), _table_text(mask, formats)
    with to_the_end():
        if as_json:
            print_json(record)
        elif not quiet:
            click.echo(text)


def _write_export(
    mask: Mask, to: str, output: Path, block_size: tuple[int, int], table: int | None, force: bool, source: str
) -> dict[str, Any]:
    """Write one table of a mask in a format and return a record of the file."""
    if table is None and mask.tables > 1:
        raise InvalidInstance(f"has {mask.tables} tables", "", "choose one with --table, counted from 0", source)
    try:
        arrays = export_arrays(mask, to, table or 0, block_size)
    except Unsupported as error:
        raise Refused(f"{to}: {error}", 1) from None
    with to_the_end():
        write_arrays(arrays, output, force)
    return {
        "format": to,
        "file": str(output),
        "table": table or 0,
        "bytes": sum(array.nbytes for array in arrays.values()),
        "arrays": {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()},
        "cost": _describe_copies(arrays, mask.size),
    }


def _describe_copies(arrays: Arrays, size: int) -> str | None:
    """Return how many keys a kernel gathers for the segments of trees; None for other arrays."""
    index = arrays.get("kv_index")
    return None if index is None else describe_cost(len(arrays["cu_seqlens_q"]) - 1, len(index), size)


def _record(mask: Mask, tables: list[tuple[int, list[Entry]]]) -> dict[str, Any]:
    """Return what each format makes of each table, as plain JSON values."""
    listed = [{"table": number, "formats": [entry._asdict() for entry in entries]} for number, entries in tables]
    return {"positions": mask.size, "pairs": mask.pairs, "tables": listed}


def _table_text(mask: Mask, tables: list[tuple[int, list[Entry]]]) -> str:
    """Return what each format makes of each table, one line for each."""
    patterns = f", {mask.tables} tables" if mask.tables > 1 else ""
    lines = [f"{count(mask.size, 'position')}, {count(mask.pairs, 'allowed pair')}{patterns}"]
    for number, entries in tables:
        lines += [f"table {number}"] if mask.tables > 1 else []
        for entry in entries:
            size = "-" if entry.bytes is None else f"{entry.bytes:,}"
            lines.append(f"  {entry.format:<12}{size:>16} bytes  {entry.note}")
    return "\n".join(lines)
