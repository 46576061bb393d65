"""``masksynth arrange``: order the positions of a mask so that block-sparse kernels compute few blocks."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import click

from masksynth.errors import InvalidInstance
from masksynth.terminal import (
    JSON,
    QUIET,
    SubjectChoice,
    count,
    mask_options,
    output_file,
    plain,
    print_json,
    progress,
)


@click.command("arrange")
@mask_options
@click.option(
    "--block-size", type=click.IntRange(1), default=128, show_default=True, help="Rows and columns of a block."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Write the answer or the batches, arranged, as a new folder.",
)
@click.option("--exact", is_flag=True, help="Also search for the fewest non-empty blocks with CP-SAT (small masks).")
@click.option(
    "--time-limit", type=click.FloatRange(0, 1e9), help="Seconds for the exact search of one mask [default: none]."
)
@click.option("--force", is_flag=True, help="Replace an existing folder.")
@JSON
@QUIET
def arrange(
    subject: SubjectChoice,
    block_size: int,
    output: Path | None,
    exact: bool,
    time_limit: float | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Reorder the positions of a mask so that few blocks are non-empty.

    \b
    masksynth arrange out
    masksynth arrange packed --block-size 64 -o arranged
    masksynth arrange out --block-size 8 --exact --time-limit 60

    SUBJECT is a mask file (- for stdin), the folder of an answer or of packed batches (all of them without --batch), or
    package.module:mask_mod.

    Prints the number of blocks that hold an allowed pair, how many of them are partial, and the number of row
    intervals, before and after, with a lower bound on the non-empty blocks of any order. The result is never worse than
    the given order. Only the layout changes: position ids move with the positions.
    """
    from masksynth.arrange.arranged_folder import ArrangeOptions, arrange_answer, arrange_packed
    from masksynth.backends import Limits
    from masksynth.subject import subject_kind

    kind = subject_kind(subject.path)
    _check_output(subject, kind, output)
    options = ArrangeOptions(block_size, exact, Limits(time_limit))
    rows: list[dict[str, Any]] = []
    begun = perf_counter()

    def report(number: int, mask: Any, arrangement: Any) -> None:
        nonlocal begun
        batch = number if kind == "packed folder" else None
        seconds = perf_counter() - begun
        rows.append({"batch": batch, "positions": mask.size, **_record(arrangement), "seconds": seconds})
        begun = perf_counter()
        if not as_json and not quiet:
            click.echo(_text(rows[-1], plain(subject.path)))

    with progress(f"arranging {plain(subject.path)} ...", quiet):
        if kind == "packed folder" and subject.length is None:
            arrange_packed(Path(subject.path), output, options, report, subject.batch, force)
        elif kind == "answer" and subject.length is subject.batch is None:
            arrange_answer(Path(subject.path), output, options, report, force)
        else:
            mask = subject.read().mask
            report(0, mask, options.arrange(mask))
    if as_json:
        print_json({"block_size": block_size, "masks": rows, "output": None if output is None else str(output)})
    elif not quiet and output is not None:
        click.echo(f"written to {output}")


def _check_output(subject: SubjectChoice, kind: str, output: Path | None) -> None:
    """Refuse ``-o`` for what cannot be written as a folder again."""
    if output is None:
        return
    if subject.batch is not None and kind == "packed folder":
        fact = f"--batch {subject.batch} cannot be combined with -o, which writes every batch"
        raise InvalidInstance(fact, "", "leave out --batch")
    if kind not in ("packed folder", "answer"):
        fact = (
            f"is a {kind if kind != 'stdin' else 'mask file'}; -o writes the folder of an answer or of packed batches"
        )
        remedy = "in Python, masksynth.arrange.arrange(mask).order is the order"
        raise InvalidInstance(fact, "", remedy, subject.path)


def _record(arrangement: Any) -> dict[str, Any]:
    """Return an arrangement as plain JSON values."""
    return {
        "given": arrangement.given._asdict(),
        "value": arrangement.value._asdict(),
        "bound": arrangement.bound,
        "gap": arrangement.gap,
        "status": arrangement.status.name,
        "method": arrangement.method,
        "proof": arrangement.proof,
    }


def _text(row: dict[str, Any], path: str) -> str:
    """Return the record of an arrangement as lines of text."""
    given, value, bound = row["given"], row["value"], row["bound"]
    name = path if row["batch"] is None else f"{path}, batch {row['batch']}"
    claim = "the fewest possible"
    if row["gap"]:
        claim = f"at least {bound} are needed: gap {row['gap']} ({100 * row['gap'] / max(bound, 1):.1f} %)"
    blocks = f"{count(value['nonempty'], 'non-empty block')} instead of {given['nonempty']}"
    partial = f"partial blocks {given['partial']} -> {value['partial']}"
    return "\n".join(
        [
            f"{name}: {row['status']}, {blocks} ({count(row['positions'], 'position')})",
            f"  {claim}; bound by {row['proof']}",
            f"  {partial}, row intervals {given['intervals']} -> {value['intervals']}",
            f"  order: {row['method']}; {row['seconds']:.2f} s",
        ]
    )
