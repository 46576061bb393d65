"""Forged proofs of formulas that have a model: ``python -m tests.proofs.fuzz --count 100000``.

Each formula is random with a planted model, so that no proof of it can be right. Each kind of forgery is written for it
as the text of a proof, read, and put to both checkers, and to one with RAT, as dratify is by default, which accepts
some. A true proof of an unsatisfiable neighbour is put to the checkers as well: both must accept it for the neighbour.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from time import perf_counter

from masksynth.errors import InvalidInstance
from masksynth.verify.proof.dimacs import parse_steps
from masksynth.verify.proof.refutation import find_fault_by_dratify
from masksynth.verify.proof.rup import Clauses, find_fault

EMPTY = (False, ())


def add(*literals):
    return False, literals


def delete(*literals):
    return True, literals


def random_formula(chance):
    """(variables, clauses, model): random clauses, units among them, that a planted model satisfies."""
    variables = chance.randint(2, 9)
    model = {variable: chance.choice((-1, 1)) * variable for variable in range(1, variables + 1)}
    clauses = []
    for _ in range(chance.randint(1, 4 * variables)):
        width = min(variables, chance.choice((1, 2, 2, 3, 3, 3, 4)))
        clause = [chance.choice((-1, 1)) * variable for variable in chance.sample(range(1, variables + 1), width)]
        if not any(model[abs(literal)] == literal for literal in clause):
            place = chance.randrange(width)
            clause[place] = -clause[place]
        clauses.append(tuple(clause))
    return variables, clauses, model


def propagated(clauses, true):
    """(literals that units imply, in their order, with their reasons; whether a clause is false), naively."""
    true, reasons = set(true), {}
    while True:
        for clause in clauses:
            open_literals = [literal for literal in clause if -literal not in true]
            if not open_literals:
                return reasons, True
            if len(open_literals) == 1 and open_literals[0] not in true:
                true.add(open_literals[0])
                reasons[open_literals[0]] = clause
                break
        else:
            return reasons, False


def refutation(clauses, variables, decisions=()):
    """Steps that refute a formula: the negated decisions of each node of a search tree, children first.

    None if it has a model.
    """
    reasons, conflict = propagated(clauses, decisions)
    if conflict:
        return [add(*(-literal for literal in decisions))]
    held = {abs(literal) for literal in (*decisions, *reasons)}
    free = [variable for variable in range(1, variables + 1) if variable not in held]
    if not free:
        return None
    steps = []
    for literal in (free[0], -free[0]):
        below = refutation(clauses, variables, (*decisions, literal))
        if below is None:
            return None
        steps += below
    return [*steps, add(*(-literal for literal in decisions))]


def neighbour(chance, variables, clauses):
    """(clauses, steps): the formula with a few more clauses, unsatisfiable, and a true proof of it."""
    more = list(clauses)
    while True:
        width = min(variables, chance.choice((1, 2, 2, 3)))
        more.append(tuple(chance.choice((-1, 1)) * v for v in chance.sample(range(1, variables + 1), width)))
        if steps := refutation(more, variables):
            return more, steps


def any_literal(chance, variables, fresh=2):
    return chance.choice((-1, 1)) * chance.randint(1, variables + fresh)


def five_lines(chance, variables, clauses):
    """The five lines that prove anything where RAT meets a deleted reason, over fresh or used variables of any sign."""
    z, y = chance.choice((-1, 1)) * (variables + 1), chance.choice((-1, 1)) * (variables + 2)
    if chance.random() < 0.3:
        z, y = any_literal(chance, variables), any_literal(chance, variables)
    pair = [y, -z]
    chance.shuffle(pair)
    return [add(z), add(*pair), delete(*chance.sample(pair, 2)), add(-y), EMPTY]


def foreign_proof(chance, variables, clauses):
    """A true proof of an unsatisfiable neighbour."""
    return neighbour(chance, variables, clauses)[1]


def deleted_reasons(chance, variables, clauses):
    """Delete every clause that has an implied literal, then claim its negation."""
    reasons, _ = propagated(clauses, ())
    if not reasons:
        return [*(delete(*clause) for clause in clauses), add(any_literal(chance, variables)), EMPTY]
    literal = chance.choice(list(reasons))
    gone = [delete(*clause) for clause in clauses if literal in clause]
    return [*gone, add(-literal), *[EMPTY] * chance.randint(1, 2)]


def deleted_units(chance, variables, clauses):
    """Delete units, some of them with a literal written twice, then claim their negations."""
    units = [clause[0] for clause in clauses if len(clause) == 1] or [variables + 1]
    steps = [add(variables + 1)] if units == [variables + 1] else []
    for literal in units:
        steps += [
            delete(*[literal] * chance.randint(1, 3)),
            add(-literal, *([-literal] if chance.random() < 0.5 else [])),
        ]
    return [*steps, EMPTY]


def copies_and_tautologies(chance, variables, clauses):
    """Copies of clauses, tautologies and clauses that were never added, deleted once more than they were added.

    Around the five lines.
    """
    steps = []
    for clause in chance.sample(clauses, min(len(clauses), 3)):
        steps += [add(*clause), add(*clause, *clause), *[delete(*clause)] * chance.randint(1, 4)]
    x = any_literal(chance, variables)
    steps += [add(x, -x), add(x, -x, any_literal(chance, variables)), delete(x, -x), delete(*range(1, variables + 1))]
    forged = five_lines(chance, variables, clauses)
    place = chance.randrange(len(steps))
    return [*steps[:place], *forged[:-1], *steps[place:], EMPTY]


def definitions(chance, variables, clauses):
    """Define z as a and b, which RAT allows, forget half of that, and claim the other half broken."""
    z, (a, b) = variables + 1, (any_literal(chance, variables, 0) for _ in range(2))
    steps = [add(z, -a, -b), add(-z, a), add(-z, b), add(a), delete(a), delete(-z, a), delete(-z, b)]
    return [*steps, add(z), add(-a, -z), add(-a), EMPTY]


def altered(chance, variables, clauses):
    """A true proof of a neighbour with steps dropped, repeated, negated.

    And clauses of the formula deleted in between.
    """
    steps = []
    for step in foreign_proof(chance, variables, clauses):
        turn = chance.random()
        if turn < 0.15:
            continue
        if turn < 0.3:
            steps.append(delete(*chance.choice(clauses)))
        if turn < 0.45 and step[1]:
            step = add(*(-literal if chance.random() < 0.5 else literal for literal in step[1]))
        steps += [step] * (2 if turn > 0.85 else 1)
    return [*steps, EMPTY]


def noise(chance, variables, clauses):
    """Random steps, and the empty clause at the end."""
    steps = []
    for _ in range(chance.randint(0, 12)):
        literals = [any_literal(chance, variables, 3) for _ in range(chance.randint(1, 3))]
        steps.append((chance.random() < 0.3, tuple(literals)))
        if chance.random() < 0.3:
            steps.append(delete(*chance.choice(clauses)))
    return [*steps, EMPTY]


KINDS = (five_lines, foreign_proof, deleted_reasons, deleted_units, copies_and_tautologies, definitions, altered, noise)


def text_of(chance, steps):
    """Steps as text, with the white space and comments that a proof may have."""
    end = chance.choice(("\n", "\r\n", " \n"))
    lines = []
    for deleted, literals in steps:
        if chance.random() < 0.05:
            lines.append(chance.choice(("c 1 0", "", "c", "  ")))
        lines.append(" ".join([*["d"] * deleted, *map(str, literals), "0"]))
    return "".join(line + end for line in lines)


def with_rat(formula, steps):
    """Whether a checker accepts the steps that also takes RAT clauses, and keeps literals whose reasons are deleted.

    dratify 0.1.10 is one as it comes, and so was masksynth's check of refutations.
    """
    held = Clauses(
        max(abs(literal) for clause in (*formula, *(literals for _, literals in steps)) for literal in clause)
    )
    for clause in formula:
        held.add(clause)
    for deleted, literals in steps:
        if deleted:
            held.delete(literals)
        elif not (held.implies(literals) or is_rat(held, literals)):
            return False
        elif not literals:
            return True
        else:
            held.add(literals)
    return False


def is_rat(held, literals):
    """Whether each resolvent of a clause on its first literal follows by unit propagation."""
    if not literals:
        return False
    pivot = literals[0]
    others = [clause for copies in held.copies.values() for clause in copies if -pivot in clause]
    return all(held.implies((*literals, *(literal for literal in clause if literal != -pivot))) for clause in others)


def fuzz(count, seed=0):
    """Counts by (kind, what happened).

    ``forged``, ``accepted`` by a checker of masksynth, ``with RAT``, ``disagree``, ``refused true``.
    """
    found = Counter()
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        variables, clauses, _ = random_formula(chance)
        for kind in KINDS:
            name = kind.__name__
            found[name, "forged"] += 1
            try:
                steps = parse_steps(text_of(chance, kind(chance, variables, clauses)), variables)
            except InvalidInstance:  # a variable beyond what the proof can account for
                found[name, "unreadable"] += 1
                continue
            faults = find_fault_by_dratify(clauses, steps), find_fault(clauses, steps)
            found[name, "accepted"] += "" in faults
            found[name, "disagree"] += faults[0] != faults[1]
            found[name, "with RAT"] += with_rat(clauses, steps)
        more, steps = neighbour(chance, variables, clauses)
        found["true proof", "refused"] += find_fault_by_dratify(more, steps) != "" or find_fault(more, steps) != ""
        found["true proof", "forged"] += 1
    return found


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    begun = perf_counter()
    found = fuzz(asked.count, asked.seed)
    for (kind, what), number in sorted(found.items()):
        print(f"{kind:24} {what:10} {number:9,}")
    forged = sum(number for (kind, what), number in found.items() if what == "forged" and kind != "true proof")
    bad = sum(number for (_, what), number in found.items() if what in ("accepted", "disagree", "refused"))
    with_rat_accepted = sum(number for (_, what), number in found.items() if what == "with RAT")
    print(
        f"{asked.count:,} formulas, {forged:,} forged proofs: {bad:,} faults; "
        f"with RAT {with_rat_accepted:,} are accepted"
        f" ({perf_counter() - begun:.0f} s)"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
