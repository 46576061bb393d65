"""``masksynth arrange``: positions in an order that leaves block-sparse kernels little to do."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import click

from masksynth.errors import InvalidInstance
from masksynth.terminal import JSON, QUIET, count, plain, print_json, progress


@click.command("arrange")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--block-size", type=click.IntRange(1), default=128, show_default=True, help="Rows and columns of a block."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the same answer or batches, arranged, as a new folder.",
)
@click.option("--batch", type=click.IntRange(0), help="Look at this batch of a packed folder only [default: all].")
@click.option("--exact", is_flag=True, help="Also search for the fewest non-empty blocks with CP-SAT (small masks).")
@click.option(
    "--time-limit", type=click.FloatRange(0, 1e9), help="Seconds for the exact search of one mask [default: none]."
)
@JSON
@QUIET
def arrange(
    folder: Path,
    block_size: int,
    output: Path | None,
    batch: int | None,
    exact: bool,
    time_limit: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Order the positions of FOLDER, an answer's or a packed one, for few non-empty blocks.

    \b
    masksynth arrange out
    masksynth arrange packed --block-size 64 -o arranged
    masksynth arrange out --block-size 8 --exact --time-limit 60

    Prints the blocks that hold an allowed pair, those of them that are not full, and the row intervals, before and after, and how many
    non-empty blocks any order needs. Never worse than the order given. Only the layout changes: position ids travel with the positions.
    """
    from masksynth.arrange.arranged_folder import arrange_answer, arrange_packed, is_packed
    from masksynth.backends import Limits

    packed = is_packed(folder)
    if batch is not None and (not packed or output is not None):
        reason = "an answer has no batches" if not packed else "-o writes every batch"
        raise InvalidInstance(f"--batch {batch} does not go with this: {reason}", "", "leave out --batch")
    rows: list[dict[str, Any]] = []
    begun = perf_counter()

    def told(number: int, mask: Any, found: Any) -> None:
        nonlocal begun
        rows.append(
            {
                "batch": number if packed else None,
                "positions": mask.size,
                **_fields(found),
                "seconds": perf_counter() - begun,
            }
        )
        begun = perf_counter()
        if not as_json and not quiet:
            click.echo(_line(rows[-1], plain(str(folder))))

    with progress(f"arranging {folder} ...", quiet):
        if packed:
            arrange_packed(folder, output, block_size, exact, Limits(time_limit), told, batch)
        else:
            arrange_answer(folder, output, block_size, exact, Limits(time_limit), told)
    if as_json:
        print_json({"block_size": block_size, "masks": rows, "output": None if output is None else str(output)})
    elif not quiet and output is not None:
        click.echo(f"written to {output}")


def _fields(found: Any) -> dict[str, Any]:
    """What an arrangement says, for programs."""
    return {
        "given": found.given._asdict(),
        "value": found.value._asdict(),
        "bound": found.bound,
        "gap": found.gap,
        "status": found.status.name,
        "method": found.method,
        "proof": found.proof,
    }


def _line(row: dict[str, Any], folder: str) -> str:
    """An arrangement in words."""
    given, value, least = row["given"], row["value"], row["bound"]
    name = folder if row["batch"] is None else f"{folder}, batch {row['batch']}"
    claim = (
        "the fewest possible"
        if row["gap"] == 0
        else f"at least {least} are needed: gap {row['gap']} ({100 * row['gap'] / max(least, 1):.1f} %)"
    )
    return "\n".join(
        [
            f"{name}: {row['status']}, {count(value['nonempty'], 'non-empty block')} instead of {given['nonempty']} "
            f"({count(row['positions'], 'position')})",
            f"  {claim}; bound by {row['proof']}",
            f"  partial blocks {given['partial']} -> {value['partial']}, row intervals {given['intervals']} -> {value['intervals']}",
            f"  order: {row['method']}; {row['seconds']:.2f} s",
        ]
    )
