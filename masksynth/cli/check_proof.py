"""``masksynth check-proof``: check a proof folder."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from masksynth.errors import WrongAnswer
from masksynth.terminal import JSON, QUIET, count, plain, print_json, progress


@click.command("check-proof")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--checker",
    metavar="PROGRAM",
    help="Check refutations by rup (small, slow) or a program such as drat-trim [default: dratify].",
)
@JSON
@QUIET
def check_proof(folder: Path, checker: str | None, as_json: bool, quiet: bool) -> None:
    """Check the proof in FOLDER that no mask with the same flow, or no structure for contracts, is below its bound.

    \b
    masksynth check-proof proof
    masksynth check-proof proof --checker rup
    masksynth check-proof proof --checker drat-trim

    Nothing in FOLDER is trusted: flow, distances and formulas are recomputed from problem.json and relation.npy, or
    contracts.json. A step of a refutation is accepted only if it follows by unit propagation (DRUP). PROGRAM is called
    with a formula (DIMACS) and a proof, and must print "s VERIFIED" and no other verdict; its verdict is trusted.

    Exit 0: right. Exit 1: wrong, with the file, the part and the reason. Exit 2: a file cannot be read.
    """
    from masksynth.verify.proof import check_proof as check_folder
    from masksynth.verify.proof.refutation import RUP

    try:
        with progress(f"checking {folder} ...", quiet):
            report = check_folder(folder, checker)
    except WrongAnswer as error:
        if as_json:
            print_json({"ok": False, "reason": str(error)})
            sys.exit(1)
        raise
    if as_json:
        print_json({"ok": True, "reason": None, **asdict(report)})
    elif not quiet:
        depth = "any depth" if report.layers is None else count(report.layers, "layer")
        claim = "optimal" if report.optimal else f"at least {report.bound} is needed"
        pattern = ", a mask for each" if report.layered else ""
        size = count(report.size, "position")
        click.echo(f"{plain(str(folder))}: right. {size}, {depth}{pattern}: {report.claim} {report.value}, {claim}")
        if report.lemmas:
            steps, seconds = sum(lemma.lines for lemma in report.lemmas), sum(lemma.seconds for lemma in report.lemmas)
            click.echo(f"  {count(len(report.lemmas), 'lemma')}, {count(steps, 'step')}, {seconds:.2f} s")
        refutation = (
            "DRUP" if checker in (None, RUP) else f"accepted by {plain(checker)}"
        )  # a program may accept RAT steps
        for part in report.parts:
            length = count(part.lines, "step" if part.kind == "drat" else "dual bound")
            clauses = count(part.clauses, "clause")
            kind = refutation if part.kind == "drat" else part.kind
            click.echo(f"  {part.folder}: at least {part.bound}, {kind}, {clauses}, {length}, {part.seconds:.2f} s")
