"""``masksynth pack`` and ``masksynth unpack``: token samples to merged batches and back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import msgspec

from masksynth.cli.write_lines import lines_options, write_lines
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.files import check_file
from masksynth.pack.costs import Shape, shape_of
from masksynth.pack.label_layout import LAYOUTS
from masksynth.pack.open_crew import suggest_jobs
from masksynth.pack.packing import LENGTH, pack_samples
from masksynth.pack.read_run import places_of
from masksynth.pack.run_summary import Summary
from masksynth.pack.stream_windows import WINDOW
from masksynth.pack.unpacking import unpack_samples
from masksynth.terminal import JSON, QUIET, count, input_files, output_file, plain, print_json, standard_input
from masksynth.terminal.chat_command_options import ChatChoice, chat_options
from masksynth.workers.dask import connected

OPEN_FILES = 100
"""Maximum number of files for which a bar shows how much is read."""
NAMES = 5
"""Maximum number of names that are listed in text."""


def shape_option(_: click.Context, __: click.Parameter, value: str | None) -> Shape | None:
    """Return the shape that ``--shape`` names."""
    return None if value is None else shape_of(value)


@click.command()
@click.argument("samples", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Folder to write [default: count only].",
)
@click.option(
    "--max-length",
    type=click.IntRange(1, 2**31 - 1),
    default=LENGTH,
    show_default=True,
    help="Maximum number of positions in a batch.",
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
    "token_fields",
    multiple=True,
    metavar="NAME",
    help="Additional list of numbers, one per token, to carry with the labels.",
)
@click.option(
    "--key-field",
    "key_fields",
    multiple=True,
    metavar="NAME",
    help="Additional list of integers, one per token, that is part of a token's identity.",
)
@click.option("--skip-long", is_flag=True, help="Leave out and list samples longer than a batch instead of stopping.")
@click.option("--split-groups", is_flag=True, help="Let samples of a group be in different batches.")
@click.option("--separate-groups", is_flag=True, help="Share no position between samples of different groups.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="loss-edges",
    show_default=True,
    help="Labels of a position: any number, one with a weight, or one of a single sample.",
)
@click.option(
    "--shape",
    callback=shape_option,
    metavar="layers=N,...",
    help="Count FLOPs: layers, hidden, intermediate, vocabulary, kv.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 4096),
    metavar="COUNT",
    help="Worker processes; 1: none [default: one per 64 MiB of text, at most 8 and one per processor].",
)
@click.option("--dask", metavar="tcp://HOST:PORT", help="Merge on the workers of this Dask scheduler.")
@chat_options(required=False)
@click.option("--resume", is_flag=True, help="Finish a run that was killed or stopped.")
@click.option("--force", is_flag=True, help="Replace a packed folder, or begin an unfinished run again.")
@JSON
@QUIET
def pack(
    samples: tuple[str, ...],
    output: Path | None,
    shape: Shape | None,
    jobs: int | None,
    dask: str | None,
    chats: ChatChoice,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Merge training samples (JSON lines, gzip or Parquet; - for stdin) into batches that train exactly like them.

    \b
    masksynth pack samples.jsonl.gz -o packed --max-length 32768
    masksynth pack 'shards/*.jsonl.gz' -o packed --jobs 8
    masksynth pack samples.jsonl --shape layers=32,hidden=4096,intermediate=11008,vocabulary=32000

    A sample has "input_ids" and "labels" (-100: not trained; labels[i] is predicted by the token at i - 1), or instead
    of labels a "completion_mask" or "assistant_masks". It may have "attention_mask" (pads are dropped), "id", "group"
    (samples that stay in one batch if they fit), "weight", "segments", "position_ids", "kinds", and numbers for each
    token: "weights", "advantages", "old_logprobs", "ref_logprobs".

    With --tokenizer the files contain chats, and masksynth tokenize says what they are.
    """
    if options["resume"] and (output is None or "-" in samples):
        raise InvalidInstance("--resume needs -o and a file that can be read again", "", "name both")
    if "-" in samples:
        standard_input()
    rules, opened = chats.options(options["skip_long"], options["max_length"]), None
    try:
        with (
            nullcontext((None, suggest_jobs(samples))) if dask is None else connected(dask) as (executor, room),
            open_with_bar(samples, quiet) as (source, report),
        ):
            if rules is not None:
                from masksynth.chats.open_chats import open_chats

                opened = open_chats(source, str(chats.tokenizer), rules)
                source, options["chats"] = opened.samples, opened.record
                options["token_fields"] = tuple(dict.fromkeys((*options["token_fields"], *opened.token_fields)))
            # the other options have the names of the parameters
            summary = pack_samples(source, output, jobs=jobs or room, executor=executor, progress=report, **options)
    except KeyboardInterrupt:
        kept = "" if output is None else "; finish it with --resume"
        raise MasksynthError(f"interrupted; batches on disk are complete{kept}") from None
    if as_json:
        print_json(summary.record(shape) | ({} if opened is None else {"chats": opened.counts.record()}))
    elif not quiet:
        notes = () if opened is None or rules is None else opened.counts.notes(rules.max_tokens)
        click.echo("\n".join([*_summary_lines(samples, summary, shape, output), *notes]))


@contextmanager
def open_with_bar(samples: Sequence[str], quiet: bool) -> Iterator[tuple[Any, Callable[[str], None]]]:
    """Yield the sources and a function that shows a label; on a terminal a bar shows how much of the files is read."""
    places = [str(place) for place in places_of(samples) or ()]
    if quiet or not sys.stderr.isatty() or len(places) > OPEN_FILES or not all(map(os.path.isfile, places)):
        yield list(samples), lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar, ExitStack() as stack:
        task = bar.add_task(plain(places[0]), total=sum(map(os.path.getsize, places)))
        streams = [stack.enter_context(bar.open(place, "rb", task_id=task)) for place in places]
        bar.update(task, total=sum(map(os.path.getsize, places)))
        yield streams, lambda text: bar.update(task, description=text)


def _summary_lines(names: Sequence[str], summary: Summary, shape: Shape | None, output: Path | None) -> Iterator[str]:
    """Yield the summary of a run as lines of text."""
    r = summary.record(shape)
    blocks, pairs = r["blocks"], r["pairs"]
    batches = f"{r['batches']:,} batch{'' if r['batches'] == 1 else 'es'}"
    ratio = f", {r['ratio']:.2f}x fewer" if r["ratio"] else ""
    read = f"{r['tokens']:,} tokens of {count(r['samples'], 'sample')}"
    files = places_of(names) or ()
    name = plain(names[0]) if len(files) == 1 else f"{len(files):,} files"
    yield f"{name}: {read} -> {r['positions']:,} positions in {batches}{ratio}"
    yield "  " + _bound_line(summary, r)
    dead = f"{r['tokens'] - r['live_tokens']:,} tokens that no label needs"
    if summary.layout != "loss-edges":
        yield "  " + _price_line(r)
    yield f"  {r['loss_edges']:,} loss edges, one for each trained label; {dead}"
    yield f"  attended pairs {pairs['separate']:,} -> {pairs['merged']:,}"
    kept = f"{blocks['full'] + blocks['partial']:,} of {blocks['all']:,} blocks of 128 x 128 kept"
    padding = f"padding {r['padding']:,} positions if batches are filled to {summary.max_length:,}"
    yield f"  {kept}, {blocks['partial']:,} of them partial; {padding}"
    yield "  checked: identity, rows, loss edges"
    if shape is not None:
        separate, merged = r["flops"]["separate"], r["flops"]["merged"]
        fewer = f"{separate / max(merged, 1):.2f}x fewer"
        yield f"  FLOPs of a training step over all: {separate:.3g} -> {merged:.3g} ({fewer})"
    yield from _note_lines(summary, r)
    steps = ", ".join(f"{step} {value:.2f}" for step, value in r["seconds"].items())
    yield f"  seconds, summed over all processes: {steps}"
    if output is not None:
        yield f"  written to {output}"


def _price_line(record: dict[str, Any]) -> str:
    """Return what it costs that each position has one label."""
    fewer, price = record["positions_loss_edges"], record["positions"] - record["positions_loss_edges"]
    word = "label" if record["layout"] == "next-token" else "label of one sample"
    share = price / fewer if fewer else 0.0
    return f"one {word} for each position takes {count(price, 'more position')} ({share:.2%}) than loss edges would"


def _bound_line(summary: Summary, record: dict[str, Any]) -> str:
    """Return how far the number of positions is from the least one."""
    windows = f" in windows of up to {summary.window:,} samples" if record["windows"] > 1 else ""
    batches = f"for batches of {summary.max_length:,}{windows}"
    split = record["lower_bound_split"]
    groups = f"; with groups split, at least {split:,}" if split < record["lower_bound"] else ""
    if record["proved_minimal"]:
        return f"{record['positions']:,} positions, proved minimal {batches}{groups}"
    share = record["gap"] / record["lower_bound"]
    return f"at most {record['gap']:,} positions ({share:.3%}) above the least number {batches}{groups}"


def _note_lines(summary: Summary, record: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that a user may not expect."""
    if summary.scattered:
        groups = count(len(summary.scattered), "group")
        names = _first_names(list(summary.scattered))
        yield f"  {groups} merged in parts, since a window ended between their samples: {names}"
    if summary.cut:
        groups = count(len(summary.cut), "group")
        yield f"  {groups} in several batches, since they do not fit into one: {_first_names(list(summary.cut))}"
    if record["ignored_first_labels"]:
        samples = count(record["ignored_first_labels"], "sample")
        yield f"  {samples} trained at the first token: that label is ignored, since no token precedes it"
    if summary.missing:
        yield f"  no sample has {', '.join(map(plain, sorted(summary.missing)))}"
    if record["samples"] and not record["loss_edges"]:
        others = "all others are" if record["ignored_first_labels"] else "all are"
        yield f"  no label is trained: {others} -100"
    if summary.skipped and not record["samples"]:
        yield "  no sample is left: all are longer than a batch; give a larger --max-length"
    if summary.skipped:
        samples = count(len(summary.skipped), "sample")
        yield f"  {samples} left out, longer than a batch: {_first_names(summary.skipped)}"


def _first_names(names: list[Any]) -> str:
    return ", ".join(plain(str(name)) for name in names[:NAMES]) + (", ..." if len(names) > NAMES else "")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@lines_options
def unpack(folder: Path, output: Path | None, force: bool) -> None:
    """Recover the samples of a packed FOLDER as JSON lines.

    \b
    masksynth unpack packed -o samples.jsonl.gz
    """
    inputs = input_files(folder)
    if output is not None:
        check_file(output, force, inputs)
    write_lines((msgspec.json.encode(sample) + b"\n" for sample in unpack_samples(folder)), output, force, inputs)
