"""``masksynth check-proof``: a proof folder put to the test."""

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
    help="Check refutations by rup (small, slow) or a program like drat-trim, not by dratify.",
)
@JSON
@QUIET
def check_proof(folder: Path, checker: str | None, as_json: bool, quiet: bool) -> None:
    """Check the proof in FOLDER that no mask of the same flow has less weight than its bound.

    \b
    masksynth check-proof proof
    masksynth check-proof proof --checker rup
    masksynth check-proof proof --checker drat-trim

    Nothing in FOLDER is trusted: flow, distances and formulas are computed again from relation.npy and problem.json. A step of a refutation
    is accepted only if it follows by unit propagation (DRUP). PROGRAM is called with a formula (DIMACS) and a proof, and must say
    "s VERIFIED" and no other verdict; what it accepts is believed.

    Exit 0: right. Exit 1: wrong, with the file, the part and the reason. Exit 2: a file cannot be read.
    """
    from masksynth.verify.proof import check_proof as checked
    from masksynth.verify.proof.refutation import RUP

    try:
        with progress(f"checking {folder} ...", quiet):
            report = checked(folder, checker)
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
        click.echo(
            f"{plain(str(folder))}: right. {count(report.size, 'position')}, {depth}{pattern}: weight {report.value}, {claim}"
        )
        if report.lemmas:
            steps, seconds = sum(lemma.lines for lemma in report.lemmas), sum(lemma.seconds for lemma in report.lemmas)
            click.echo(f"  {count(len(report.lemmas), 'lemma')}, {count(steps, 'step')}, {seconds:.2f} s")
        refutation = "DRUP" if checker in (None, RUP) else f"accepted by {plain(checker)}"  # which may take RAT steps
        for part in report.parts:
            by = count(part.lines, "step" if part.kind == "drat" else "dual bound")
            clauses = count(part.clauses, "clause")
            kind = refutation if part.kind == "drat" else part.kind
            click.echo(f"  {part.folder}: at least {part.bound}, {kind}, {clauses}, {by}, {part.seconds:.2f} s")
