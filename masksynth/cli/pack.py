"""Token samples on the command line: `pack` and `unpack`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.files import check_file, write_file
from masksynth.pack.costs import Shape, shape_of
from masksynth.pack.packing import LENGTH, Summary, pack_samples
from masksynth.pack.stream_windows import WINDOW
from masksynth.pack.unpacking import unpack_samples
from masksynth.terminal import JSON, QUIET, count, input_files, output_file, plain, print_json, standard_input

CHUNK = 1 << 20
"""Bytes of a gzip stream that are written at a time."""


def _shape(_: click.Context, __: click.Parameter, value: str | None) -> Shape | None:
    return None if value is None else shape_of(value)


@click.command()
@click.argument("samples", type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Folder to write [default: only count].",
)
@click.option(
    "--max-length",
    type=click.IntRange(1, 2**31 - 1),
    default=LENGTH,
    show_default=True,
    help="Most positions of a batch.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 2**31 - 1),
    default=WINDOW,
    show_default=True,
    help="Samples held and merged at a time.",
)
@click.option(
    "--token-field",
    multiple=True,
    metavar="NAME",
    help="A further list of numbers, one a token, to carry with the labels.",
)
@click.option(
    "--key-field",
    multiple=True,
    metavar="NAME",
    help="A further list of integers, one a token, that tells tokens apart.",
)
@click.option("--skip-long", is_flag=True, help="Leave out and list samples longer than a batch instead of stopping.")
@click.option(
    "--shape",
    callback=_shape,
    metavar="layers=N,...",
    help="Count FLOPs: layers, hidden, intermediate, vocabulary, kv.",
)
@click.option("--resume", is_flag=True, help="Finish a run that was killed or stopped.")
@click.option("--force", is_flag=True, help="Replace a packed folder, or begin an unfinished run again.")
@JSON
@QUIET
def pack(
    samples: str,
    output: Path | None,
    max_length: int,
    window: int,
    token_field: tuple[str, ...],
    key_field: tuple[str, ...],
    skip_long: bool,
    shape: Shape | None,
    resume: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Merge training samples (JSON lines, gzip or Parquet; - for stdin) into batches that train exactly like them.

    \b
    masksynth pack samples.jsonl.gz -o packed --max-length 32768
    masksynth pack samples.jsonl --shape layers=32,hidden=4096,intermediate=11008,vocabulary=32000

    A sample has "input_ids" and "labels" (-100: not trained; labels[i] is predicted by the token at i - 1), or instead of labels a
    "completion_mask" or "assistant_masks". It may have "attention_mask" (pads are dropped), "id", "group" (samples worth merging),
    "weight", "segments", "position_ids", "kinds", and numbers for each token: "weights", "advantages", "old_logprobs", "ref_logprobs".
    """
    if resume and (output is None or samples == "-"):
        raise InvalidInstance("--resume needs -o and a file that can be read again", "", "name both")
    if samples == "-":
        standard_input()
    try:
        with _bar(samples, quiet) as (source, told):
            summary = pack_samples(
                source,
                output,
                max_length=max_length,
                window=window,
                token_fields=token_field,
                key_fields=key_field,
                skip_long=skip_long,
                resume=resume,
                force=force,
                progress=told,
            )
    except KeyboardInterrupt:
        kept = "" if output is None else "; finish it with --resume"
        raise MasksynthError(f"interrupted, no batch is half written{kept}") from None
    if as_json:
        print_json(summary.record(shape))
    elif not quiet:
        click.echo(told_summary(samples, summary, shape, output))


@contextmanager
def _bar(samples: str, quiet: bool) -> Iterator[tuple[str | IO[bytes], Callable[[str], None]]]:
    """The source, behind a bar on a terminal that shows how much of the file is read."""
    if quiet or samples == "-" or not sys.stderr.isatty():
        yield samples, lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with (
        Progress(console=Console(stderr=True), transient=True) as bar,
        bar.open(samples, "rb", description=plain(samples)) as stream,
    ):
        task = bar.task_ids[0]
        yield stream, lambda text: bar.update(task, description=text)


def told_summary(name: str, summary: Summary, shape: Shape | None, output: Path | None) -> str:
    """A run in words."""
    r = summary.record(shape)
    kept, blocks = r["blocks"]["full"] + r["blocks"]["partial"], r["blocks"]
    lines = [
        f"{plain(name)}: {r['tokens']:,} tokens of {count(r['samples'], 'sample')} -> {r['positions']:,} positions in "
        f"{r['batches']:,} batch{'' if r['batches'] == 1 else 'es'}"
        + (f", {r['ratio']:.2f}x fewer" if r["ratio"] else ""),
        f"  {r['loss_edges']:,} loss edges, one for each trained label; {r['tokens'] - r['live_tokens']:,} tokens that no label needs",
        f"  attended pairs {r['pairs']['separate']:,} -> {r['pairs']['merged']:,}",
        f"  {kept:,} of {blocks['all']:,} blocks of 128 x 128 kept, {blocks['partial']:,} of them partial; "
        f"padding {r['padding']:,} positions if batches are filled to {summary.max_length:,}",
        "  checked: identity, rows, loss edges",
    ]
    if shape is not None:
        separate, merged = r["flops"]["separate"], r["flops"]["merged"]
        lines.append(
            f"  FLOPs of a training step over all: {separate:.3g} -> {merged:.3g} ({separate / max(merged, 1):.2f}x fewer)"
        )
    if summary.scattered:
        parts = count(len(summary.scattered), "group")
        lines.append(
            f"  {parts} merged in parts, since a window ended between their samples: {_some(list(summary.scattered))}"
        )
    if summary.cut:
        lines.append(
            f"  {count(len(summary.cut), 'group')} in several batches, since they do not fit into one: {_some(list(summary.cut))}"
        )
    if r["ignored_first_labels"]:
        told = count(r["ignored_first_labels"], "sample")
        lines.append(f"  {told} trained at the first token: that label is ignored, since no token stands before it")
    if summary.missing:
        lines.append(f"  no sample has {', '.join(map(plain, sorted(summary.missing)))}")
    if not r["loss_edges"]:
        lines.append("  no label is trained: all are -100")
    if summary.skipped:
        lines.append(
            f"  {count(len(summary.skipped), 'sample')} left out, longer than a batch: {_some(summary.skipped)}"
        )
    lines.append("  " + ", ".join(f"{step} {value:.2f} s" for step, value in r["seconds"].items()))
    if output is not None:
        lines.append(f"  written to {output}")
    return "\n".join(lines)


def _some(names: list[Any]) -> str:
    return ", ".join(plain(str(name)) for name in names[:5]) + (", ..." if len(names) > 5 else "")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write, gzipped if it ends in .gz [default: stdout].",
)
@click.option("--force", is_flag=True, help="Replace the file.")
def unpack(folder: Path, output: Path | None, force: bool) -> None:
    """Give the samples of a packed FOLDER back as JSON lines.

    \b
    masksynth unpack packed -o samples.jsonl.gz
    """
    lines = (msgspec.json.encode(sample) + b"\n" for sample in unpack_samples(folder))
    if output is None or output == Path("-"):
        for line in lines:
            click.echo(line, nl=False)
        return
    if output.exists() and not force:
        raise InvalidInstance("the file exists", "", "choose another, or give --force", str(output))
    check_file(output, force, input_files(folder))
    write_file(output, _gzipped(lines) if output.suffix == ".gz" else lines, force, input_files(folder), "the samples")


def _gzipped(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines as a gzip stream without a time, so that equal lines give equal bytes."""
    import gzip
    from io import BytesIO

    stream = BytesIO()
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed:
        for line in lines:
            packed.write(line)
            if stream.tell() > CHUNK:
                yield stream.getvalue()
                stream.seek(0)
                stream.truncate()
    yield stream.getvalue()
