"""`export`: a mask in the format of an attention kernel, or a table of what each format makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.answer_folder import SOLUTION, read_merged
from masksynth.export.targets import TARGETS, Entry, check_target_file, export_arrays, summary, write_arrays
from masksynth.mask import Mask
from masksynth.subject.mask_file import read_mask
from masksynth.terminal import (
    JSON,
    QUIET,
    Refused,
    input_files,
    output_file,
    plain,
    print_json,
    printable,
    progress,
    to_the_end,
)

MANIFEST = "manifest.json"


def _block_size(_: click.Context, __: click.Parameter, value: str) -> tuple[int, int]:
    """128 or 256x128: queries, then keys."""
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(
        part.isascii() and part.isdecimal() and 0 < len(part) < 8 and int(part) > 0 for part in parts
    ):
        raise click.BadParameter(f"{plain(value)!r} is no block size; give 128, or queries x keys as in 256x128")
    return int(parts[0]), int(parts[-1])


def read_any(folder: Path, batch: int | None) -> Mask:
    """The mask of an answer's folder, of one batch of a packed folder, or of a file."""
    packed = (folder / MANIFEST).is_file()
    if batch is not None and not packed:
        raise InvalidInstance("is no packed folder, so it has no batches", "", "leave --batch out", str(folder))
    if packed:
        from masksynth.pack import open_packed

        batches = open_packed(folder)
        number = batch or 0
        if number >= len(batches):
            raise InvalidInstance(
                f"has {len(batches)} batches, not a batch {number}", "", "batches are counted from 0", str(folder)
            )
        return batches[number].mask
    if folder.is_dir() and not (folder / SOLUTION).is_file():
        raise InvalidInstance(
            f"holds neither {SOLUTION} nor {MANIFEST}",
            "",
            "name a folder that solve or pack wrote, or a mask file",
            str(folder),
        )
    return read_merged(folder).mask if folder.is_dir() else read_mask(folder)


def told(mask: Mask, tables: list[tuple[int, list[Entry]]]) -> str:
    """What each format makes of a mask, for people."""
    lines = [
        f"{mask.size:,} positions, {mask.pairs:,} allowed pairs{f', {mask.tables} tables' if mask.tables > 1 else ''}"
    ]
    for number, entries in tables:
        lines += [f"table {number}"] if mask.tables > 1 else []
        lines += [
            f"  {entry.format:<12}{'-' if entry.bytes is None else f'{entry.bytes:,}':>16} bytes  {entry.note}"
            for entry in entries
        ]
    return "\n".join(lines)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice([*TARGETS]), help="The format to write.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), callback=output_file, help="Write it: a .safetensors file."
)
@click.option(
    "--block-size",
    default="128",
    show_default=True,
    callback=_block_size,
    help="Of block lists: 128, or queries x keys: 256x128.",
)
@click.option(
    "--table", type=click.IntRange(0), help="Which table of a layer pattern [default: all; to write: the only one]."
)
@click.option("--batch", type=click.IntRange(0), help="Which batch of a packed folder [default: 0].")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@JSON
@QUIET
def export(
    folder: Path,
    to: str | None,
    output: Path | None,
    block_size: tuple[int, int],
    table: int | None,
    batch: int | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the mask in DIR for an attention kernel, or tell what each format makes of it.

    \b
    masksynth export out
    masksynth export out --to flashmask -o bounds.safetensors
    masksynth export packed --batch 3 --to blocks --block-size 256x128 -o lists.safetensors

    DIR is the folder of an answer or of packed batches, or a mask file. Whatever is written has been turned back and compared with the
    mask. A format that cannot express the mask is refused with the reason, exit code 1, and nothing is written.
    """
    if (to is None) != (output is None):
        raise click.UsageError("--to and -o go together: a format and a file")
    if output is not None:
        check_target_file(output, force, input_files(folder))
    mask = read_any(folder, batch)
    if table is not None and table >= mask.tables:
        raise InvalidInstance(
            f"has {mask.tables} tables, not a table {table}", "", "tables are counted from 0", str(folder)
        )
    with progress(f"exporting {plain(str(folder))} ...", quiet):
        if to is not None and output is not None:
            found: Any = _written(mask, to, output, block_size, table, force, str(folder))
        else:
            chosen = range(mask.tables) if table is None else [table]
            found = [(number, summary(mask, number, block_size)) for number in chosen]
    with to_the_end():
        if as_json:
            print_json(found if to is not None else _record(mask, found))
        elif not quiet:
            click.echo(
                told(mask, found)
                if to is None
                else f"{printable(str(output))}: {found['bytes']:,} bytes of {to}, checked"
            )


def _written(
    mask: Mask, to: str, output: Path, block_size: tuple[int, int], table: int | None, force: bool, source: str
) -> dict[str, Any]:
    if table is None and mask.tables > 1:
        raise InvalidInstance(f"has {mask.tables} tables", "", "say which with --table, counted from 0", source)
    try:
        arrays = export_arrays(mask, to, table or 0, block_size)
    except Unsupported as error:
        raise Refused(f"{to}: {error}", 1) from None
    with to_the_end():
        write_arrays(arrays, output, force)
    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    return {
        "format": to,
        "file": str(output),
        "table": table or 0,
        "bytes": sum(array.nbytes for array in arrays.values()),
        "arrays": shapes,
    }


def _record(mask: Mask, tables: list[tuple[int, list[Entry]]]) -> dict[str, Any]:
    listed = [{"table": number, "formats": [entry._asdict() for entry in entries]} for number, entries in tables]
    return {"positions": mask.size, "pairs": mask.pairs, "tables": listed}
