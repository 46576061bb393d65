"""``masksynth verify``: check an answer against its instance, or a packed folder against its samples."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.errors import InvalidInstance, MasksynthError, WrongAnswer
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import load, question_of
from masksynth.terminal import (
    JSON,
    QUIET,
    count,
    plain,
    print_json,
    printable,
    progress,
    read_contracts,
    read_instance,
    standard_input,
)
from masksynth.terminal.chat_command_options import TOKENIZER

if TYPE_CHECKING:
    from masksynth.verify import Report
    from masksynth.verify.samples import PackedReport

MANIFEST, SOLUTION = "manifest.json", "solution.json"


@click.command()
@click.argument(
    "subjects",
    nargs=-1,
    required=True,
    metavar="INSTANCE|CONTRACTS|SAMPLES... FOLDER",
    type=click.Path(allow_dash=True),
)
@click.option("--tokenizer", metavar="DIR|NAME", help=f"SAMPLES are chats, packed with --tokenizer. {TOKENIZER}")
@JSON
@QUIET
def verify(subjects: tuple[str, ...], tokenizer: str | None, as_json: bool, quiet: bool) -> None:
    """Check the answer in FOLDER against INSTANCE or CONTRACTS, or its packed batches against SAMPLES, independently.

    \b
    masksynth verify instances/butterfly-8.json out
    masksynth verify out/contracts.json out
    masksynth verify samples.jsonl.gz packed
    masksynth verify part-1.jsonl part-2.parquet packed --json
    masksynth verify chats.jsonl packed --tokenizer path/to/model

    SAMPLES: JSON lines, plain or gzipped, Parquet, or - for stdin; several files in any order. Each sample must be in
    FOLDER once, with its tokens, labels, weights, fields and rows, and nothing else.

    Exit 0: right. Exit 1: wrong, with the broken requirement and a witness. Exit 2: a file cannot be read.
    """
    *sources, last = subjects
    folder = Path(last)
    if not sources:
        raise click.UsageError("Missing argument 'FOLDER': name an instance, or files of samples, and then the folder")
    if folder.is_file() or last == "-":
        raise InvalidInstance("is not a folder", "", "name the instance or the samples first, the folder last", last)
    if sources.count("-") > 1:
        raise click.UsageError("stdin can be read once; name - once")
    is_answer, is_packed = (folder / SOLUTION).is_file(), (folder / MANIFEST).is_file()
    if not (is_answer or is_packed):
        fact = f"contains neither {SOLUTION} nor {MANIFEST}" if folder.is_dir() else "there is no such folder"
        remedy = "name a folder written by masksynth solve or masksynth pack"
        raise InvalidInstance(fact, "", remedy, last)
    if not is_answer:
        _verify_samples(sources, folder, tokenizer, as_json, quiet)
    elif sources[0] != "-" and _are_contracts(sources[0]):
        _verify_contracts(sources[0], folder, as_json, quiet)
    elif len(sources) > 1:
        fact = "contains an answer, which has one instance"
        raise InvalidInstance(fact, "", "name the folder that masksynth pack wrote from these samples", last)
    else:
        _verify_answer(sources[0], folder, as_json, quiet)


def _verify_answer(instance: str, folder: Path, as_json: bool, quiet: bool) -> None:
    """Check an answer and print the result; exit with 1 if it is wrong."""
    from masksynth.verify.check_folder import verify_folder

    try:
        problem = read_instance(instance)
    except InvalidInstance:
        if instance != "-" and _are_samples(instance):
            fact = f"contains samples, and {folder} an answer, not packed batches"
            raise InvalidInstance(fact, "", "name the instance, or the packed folder", instance) from None
        raise
    try:
        with progress(f"checking {folder} ...", quiet):
            report = verify_folder(problem, folder)
    except WrongAnswer as error:
        if as_json:
            where = {"requirement": error.requirement, "task": error.task, "node": error.node, "path": list(error.path)}
            print_json({"ok": False, **where, "fact": error.fact})
            sys.exit(1)
        raise
    if not quiet or as_json:
        _print_report(problem, report, as_json)


def _are_contracts(path: str) -> bool:
    """Return whether a file is a JSON object with the version of contracts."""
    import json

    try:
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "masksynth_contracts" in document


def _verify_contracts(contracts: str, folder: Path, as_json: bool, quiet: bool) -> None:
    """Check a discovered structure against its contracts and print the result; exit with 1 if it is wrong."""
    from masksynth.verify.discovery import verify_discovery

    question = read_contracts(contracts)
    names = ("target", "element", "layer")
    try:
        with progress(f"checking {folder} ...", quiet):
            report = verify_discovery(question, folder)
    except WrongAnswer as error:
        if as_json:
            where = {name: getattr(error, name, None) for name in names}
            path = [int(position) for position in getattr(error, "positions", ())]
            print_json({"ok": False, "requirement": error.requirement, **where, "path": path, "fact": error.fact})
            sys.exit(1)
        raise
    if as_json:
        right: dict[str, Any] = {"ok": True, "requirement": None, **dict.fromkeys(names), "path": []}
        print_json({**right, "checks": list(report.checks), "not_compared": list(report.not_compared)})
    elif not quiet:
        sizes = f"{count(report.positions, 'position')}, {count(report.edges, 'edge')}, cost {report.cost:,g}"
        click.echo(f"{plain(question.name)}: right. {sizes}; checked: {', '.join(report.checks)}")
        for left in report.not_compared:
            click.echo(f"  not compared: {printable(left)}")


def _print_report(problem: Instance, report: Report, as_json: bool) -> None:
    """Print the result of a successful check of an answer."""
    edges = "" if report.edges is None else f", {count(report.edges, 'edge')}"
    if as_json:
        right = {"ok": True, "requirement": None, "task": None, "node": None, "path": [], "checks": list(report.checks)}
        print_json(
            {
                **right,
                "positions": report.positions,
                "layers": report.layers,
                "minimal": report.minimal,
                "edges": report.edges,
            }
        )
    else:
        depth = "any depth" if report.layers is None else count(report.layers, "layer")
        claim = "minimal" if report.minimal else "not claimed minimal"
        question = question_of(problem.family, report.layers)
        sparse = "no" if report.edges is None else "yes"
        click.echo(
            f"{plain(problem.name)}: right. {count(report.positions, 'position')}{edges}, {claim}, {depth}; "
            f"checked: {', '.join(report.checks)}"
        )
        layers = report.layers or "any"
        click.echo(
            f"  problem: layers {layers}, sparse {sparse}, pattern {question.pattern}, SHA-256 {question.sha256}"
        )


def _verify_samples(sources: Sequence[str], folder: Path, tokenizer: str | None, as_json: bool, quiet: bool) -> None:
    """Check a packed folder and print the result; exit with 1 if it is wrong."""
    from masksynth.pack.read_run import places_of, prefix_of
    from masksynth.verify.samples import verify_packed

    def read(token_fields: Sequence[str], key_fields: Sequence[str]) -> Iterator[Any]:
        places = [str(place) for place in places_of(sources) or ()]
        if tokenizer is not None:
            return _read_chats(places, folder, tokenizer, (token_fields, key_fields))
        return chain.from_iterable(
            _read_samples(place, folder, (token_fields, key_fields, prefix_of(place, places))) for place in places
        )

    try:
        with progress(f"checking {folder} ...", quiet):
            report = verify_packed(folder, read)
    except WrongAnswer as error:
        if not as_json:
            raise
        print_json(_wrong_record(error))
        sys.exit(1)
    if as_json:
        print_json(_right_record(report))
    elif not quiet:
        click.echo(_right_text(folder, report))


def _wrong_record(error: WrongAnswer) -> dict[str, Any]:
    """Return the JSON record of a packed folder that is wrong."""
    sample, token, file = (getattr(error, name, None) for name in ("sample", "token", "file"))
    fact = getattr(error, "said", error.fact)  # without the names of file and sample
    where = {"sample": sample, "token": token, "batch": file or None, "fact": fact}
    return {"ok": False, "requirement": error.requirement, **where}


def _right_record(report: PackedReport) -> dict[str, Any]:
    """Return the JSON record of a packed folder that is right."""
    nothing = dict.fromkeys(("requirement", "sample", "token", "batch"))
    counts = {name: getattr(report, name) for name in ("samples", "batches", "positions", "loss_edges", "skipped")}
    return {"ok": True, **nothing, "checks": list(report.checks), **counts}


def _right_text(folder: Path, report: PackedReport) -> str:
    """Return the line about a packed folder that is right, and a second one about what could not be compared."""
    left_out = f", {count(report.skipped, 'sample')} longer than a batch left out" if report.skipped else ""
    batches = f"{report.batches:,} batch{'' if report.batches == 1 else 'es'}"
    summary = f"{count(report.samples, 'sample')} in {batches} of {report.positions:,} positions"
    edges = count(report.loss_edges, "loss edge")
    line = f"{plain(str(folder))}: right. {summary}, {edges}{left_out}; checked: {', '.join(report.checks)}"
    not_compared = "" if "hashes" in report.checks else "\n  not compared: hashes, which folders of older versions lack"
    return line + not_compared


def _read_chats(
    places: Sequence[str], folder: Path, tokenizer: str, options: tuple[Sequence[str], Sequence[str]]
) -> Iterator[Any]:
    """Yield the samples of chats as tables, recomputed as the manifest of a packed folder says."""
    from masksynth.chats.load_tokenizer import load_tokenizer
    from masksynth.pack.check_samples import tables_of
    from masksynth.verify.chat_samples import ChatChecker
    from masksynth.verify.read_packed import read_manifest

    record = read_manifest(folder).option("chats", None)
    if record is None:
        fact = f"{MANIFEST} names no chat template: the folder was packed from samples"
        raise InvalidInstance(fact, "", "name the samples, without --tokenizer", str(folder))
    files = [standard_input().buffer if place == "-" else place for place in places]
    samples: Any = ChatChecker(record, load_tokenizer(tokenizer)).samples(files, options[0])
    yield from tables_of(samples, *options)


def _read_samples(source: str, folder: Path, options: tuple[Sequence[str], Sequence[str], str]) -> Iterator[Any]:
    """Yield the samples of a file as tables; refuse an instance by a clear error."""
    from masksynth.pack.read_files import read_samples

    try:
        yield from read_samples(standard_input().buffer if source == "-" else source, *options)
    except InvalidInstance:
        if source != "-" and _is_instance(source):
            fact = f"is an instance, and {folder} contains packed batches, not an answer"
            raise InvalidInstance(
                fact, "", "name the samples that were packed, or the folder of an answer", source
            ) from None
        raise


def _is_instance(path: str) -> bool:
    """Return whether a file is an instance."""
    with suppress(MasksynthError, OSError):
        load(path)
        return True
    return False


def _are_samples(path: str) -> bool:
    """Return whether a file contains samples."""
    from masksynth.pack.read_files import read_samples

    with suppress(MasksynthError, OSError):
        return next(read_samples(path), None) is not None
    return False
