"""``masksynth tokenize``: chats to token samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from masksynth.cli.pack import open_with_bar
from masksynth.cli.write_lines import lines_options, write_lines
from masksynth.files import check_file
from masksynth.pack.packing import LENGTH
from masksynth.pack.read_run import places_of
from masksynth.terminal import JSON, QUIET, count, input_files, plain, print_json, standard_input
from masksynth.terminal.chat_command_options import ChatChoice, chat_options


@click.command()
@click.argument("chats_files", metavar="CHATS...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@chat_options(required=True)
@click.option("--skip-long", is_flag=True, help="Leave out and count longer samples instead of stopping.")
@lines_options
@JSON
@QUIET
def tokenize(
    chats_files: tuple[str, ...],
    chats: ChatChoice,
    skip_long: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Tokenize chats (JSON lines, gzip or Parquet; - for stdin) by the chat template of a model, for masksynth pack.

    \b
    masksynth tokenize chats.jsonl --tokenizer path/to/model -o samples.jsonl.gz
    masksynth tokenize chats.jsonl --tokenizer path/to/model | masksynth pack -
    masksynth pack chats.jsonl --tokenizer path/to/model -o packed

    A row has "messages"; or "conversations" ("from", "value"); or "prompt" and "completion", and "label" for KTO; or
    "prompt", "chosen" and "rejected"; or "prompt", "completions" and "rewards". It may have "tools",
    "chat_template_kwargs", "id", "group", "weight". Token ids and labels are those of TRL's trainers.
    """
    from masksynth.chats.load_tokenizer import load_tokenizer
    from masksynth.chats.mark_trained import Counts
    from masksynth.chats.read_rows import read_rows
    from masksynth.chats.tokenize import tokenize_rows

    if as_json and output is None:
        raise click.UsageError("--json prints the summary on stdout, where the samples go; name a file with -o")
    if "-" in chats_files:
        standard_input()
    options = chats.options(skip_long, LENGTH)
    assert options is not None  # the tokenizer is required
    inputs = [path for name in places_of(chats_files) or () for path in input_files(str(name))]
    if output is not None:
        check_file(output, force, inputs)
    loaded, counts = load_tokenizer(chats.tokenizer), Counts()
    with open_with_bar(chats_files, quiet) as (source, _):
        lines = (msgspec.json.encode(s) + b"\n" for _, s in tokenize_rows(read_rows(source), loaded, options, counts))
        write_lines(lines, output, force, inputs)
    if as_json:
        print_json(counts.record())
    elif not quiet:
        click.echo("\n".join(_summary_lines(chats_files, counts, options.max_tokens)), err=output is None)


def _summary_lines(names: Sequence[str], counts: Any, limit: int) -> Iterator[str]:
    files = places_of(names) or ()
    name = plain(names[0]) if len(files) == 1 else f"{len(files):,} files"
    made = f"{count(counts.samples, 'sample')}, {counts.tokens:,} tokens, {counts.trained:,} of them trained"
    yield f"{name}: {count(counts.rows, 'row')} -> {made}"
    yield from counts.notes(limit)
