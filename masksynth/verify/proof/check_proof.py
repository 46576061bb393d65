"""``check_proof``: check a folder with a proof, rebuilding all from what is claimed about a relation or contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.check_decomposition import check_relation, check_structure, check_witness
from masksynth.verify.proof.compare_formula import compare_clauses
from masksynth.verify.proof.dimacs import read_formula
from masksynth.verify.proof.discovery import check_discovery
from masksynth.verify.proof.duals import check_tree
from masksynth.verify.proof.formula import Clause, at_most, layered_clauses, part_clauses
from masksynth.verify.proof.proof_report import PartReport, ProofReport
from masksynth.verify.proof.refutation import check_refutation
from masksynth.verify.proof.statement import ClaimedPart, Statement, read_statement
from masksynth.verify.proof.swaps import check_swaps, swap_clauses
from masksynth.verify.proof.window_lemmas import check_images


def check_proof(folder: str | Path, checker: str | None = None) -> ProofReport:
    """Check a proof folder without trusting the program that wrote it.

    Distances, flow, sure edges, packing and parts are computed again from ``relation.npy`` and ``problem.json``; the
    formula of every part is built again by a separate encoder and compared clause by clause; its proof is checked
    step by step (`masksynth.verify.proof.refutation`), or in integer arithmetic where it is a tree of duals. A folder
    with contracts.json is a proof about structures (`masksynth.verify.proof.discovery`).

    Parameters
    ----------
    folder : path
    checker : str, optional
        None: dratify without RAT. ``rup``: the checker of 100 lines in ``rup.py``. Otherwise a program like drat-trim
        that is called as ``PROGRAM formula.cnf proof.drat`` and prints ``s VERIFIED`` as its one verdict.

    Returns
    -------
    ProofReport

    Raises
    ------
    InvalidInstance
        If a file is missing, unreadable or malformed.
    WrongAnswer
        ``proof``: naming the file and the part that is wrong, and why.

    Examples
    --------
    >>> check_proof("nowhere")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: nowhere/problem.json: there is no such file; name a folder written by --proof
    """
    folder = Path(folder)
    if (folder / "contracts.json").is_file():
        return check_discovery(folder, checker)
    statement = read_statement(folder)
    check_relation(statement)
    check_witness(statement)
    fixed = check_structure(statement)
    check_images(statement)
    for part in statement.lemmas + statement.parts:
        check_swaps(statement, part)
    lemmas = tuple(_check_part(folder, statement, lemma, checker) for lemma in statement.lemmas)
    parts = tuple(_check_part(folder, statement, part, checker) for part in statement.parts)
    if (total := fixed + sum(part.bound for part in parts)) != statement.bound:
        fact = f"the bound {statement.bound} is not the sum of sure edges, packing and parts, {total}"
        raise WrongAnswer("proof", f"problem.json: {fact}")
    if statement.bound > statement.value:
        raise WrongAnswer("proof", f"problem.json: the bound {statement.bound} is above the value {statement.value}")
    optimal = statement.bound == statement.value
    return ProofReport(
        statement.size, statement.layers, statement.layered, statement.value, statement.bound, optimal, parts, lemmas
    )


def _check_part(folder: Path, statement: Statement, part: ClaimedPart, checker: str | None) -> PartReport:
    """Compare the formula of a part or lemma with that of the statement, and check its proof."""
    begun = perf_counter()
    formula = read_formula(folder / part.folder / "formula.cnf")
    weights = _edge_weights(statement, part)
    expected = _expected_clauses(statement, part, weights, len(formula.clauses))
    compare_clauses(formula, expected, f"{part.folder}/formula.cnf")
    if part.kind == "drat":
        lines = check_refutation(formula, folder / part.folder / "proof.drat", checker)
    else:
        number = formula.number
        costs = {number[name]: weight for name, weight in weights.items() if name in number}
        edges = {tuple(map(int, name.split()[1:])): number[name] for name in weights if name in number}
        lines = check_tree(folder / part.folder / "tree.json", formula.clauses, costs, edges, part.bound)
    return PartReport(part.folder, part.kind, part.bound, len(formula.clauses), lines, perf_counter() - begun)


def _edge_weights(statement: Statement, part: ClaimedPart) -> dict[str, int]:
    """Return literal -> weight of the part's edges, for every layer where each has its own mask."""
    if not statement.layered:
        return {f"edge {query} {key}": statement.weight((query, key)) for query, key in part.edges}
    layers = range(1, statement.depth + 1)
    return {
        f"edge {layer} {query} {key}": statement.weight((query, key)) for layer in layers for query, key in part.edges
    }


def _expected_clauses(statement: Statement, part: ClaimedPart, weights: dict[str, int], given: int) -> Iterator[Clause]:
    """Yield the clauses of a part, from the statement alone; ``given`` is the number of clauses in its file."""
    if statement.layered:
        yield from layered_clauses(statement.size, statement.depth, part.edges, part.demands, statement.forced)
    else:
        yield from part_clauses(statement.size, statement.depth, statement.sure, part.edges, part.demands)
    yield from swap_clauses(statement, part)
    if part.kind == "drat":
        yield from _count_weight(part, weights, part.bound - 1, given, "count")
    for number, window in enumerate(part.windows):
        lemma = statement.lemmas[window.lemma]
        inside = {f"edge {query} {key}" for query, key in window.image(lemma.edges)}
        rest = {name: weight for name, weight in weights.items() if name not in inside}
        yield from _count_weight(part, rest, part.bound - 1 - lemma.bound, given, f"rest {number}")


def _count_weight(part: ClaimedPart, weights: dict[str, int], most: int, given: int, counter: str) -> Iterator[Clause]:
    """Yield the clauses of "the weight of these edges is at most ``most``"; refuse if the file has too few clauses."""
    total = sum(weights.values())
    if 0 <= most < total and given < total:
        fact = f"{given} clauses are too few to count a weight of {total}"
        raise WrongAnswer("proof", f"{part.folder}/formula.cnf: {fact}")
    terms = [name for name, weight in weights.items() for _ in range(weight)] if 0 <= most < total else []
    yield from at_most(terms, most, counter)
