"""SAT encoding of the search for a common supergraph, for all solvers: `encode` applies, `Encoding.classes` inverts it.

Variables, in the order of the clause families below

1. ``same[u, v]``   nodes u < v coincide; only for pairs of equal identity whose rows hold the same identities,
2. ``meets[...]``   a one-to-one matching of the keys of equal identity in two rows, where a row has several,
3. ``first[v]``     no earlier node coincides with v: v opens a class and costs one position,
4. ``count[...]``   at least j of the first i keys of a row coincide with u (sequential counter, Sinz, CP 2005),
5. ``copy[u, j]``   the class that u opens has j >= 2 keys in one row, which costs one more position.

The cost is offset + the number of true ``first`` and ``copy``. Any relation that is consistent with itself is valid,
the largest one included, so cycles need no further clauses (``docs/theory.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from time import monotonic

from masksynth.errors import Unsupported
from masksynth.files import write_file
from masksynth.problem import Problem

MAX_PAIRS = 400_000
"""Maximum number of pairs that may coincide before a search backend refuses."""
MAX_CLAUSES = 20_000_000
"""Maximum number of clauses of an encoding."""

Pair = tuple[int, int]


class OutOfTime(Exception):
    """The time limit was reached while the problem was being encoded."""


@dataclass
class Encoding:
    """Hard ``clauses`` over variables 1 .. ``variables``; cost: ``offset`` + true literals of ``cost``."""

    nodes: int
    same: dict[Pair, int] = field(default_factory=dict)
    clauses: list[list[int]] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)
    cost: list[int] = field(default_factory=list)
    offset: int = 0
    variables: int = 0
    until: float | None = None

    def new(self) -> int:
        """Return a new variable."""
        self.variables += 1
        return self.variables

    def add(self, *clause: int) -> None:
        """Add a hard clause."""
        if len(self.clauses) >= MAX_CLAUSES:
            raise Unsupported(f"the search needs more than {MAX_CLAUSES} clauses; use --backend criterion")
        if self.until is not None and len(self.clauses) % 4096 == 0 and monotonic() >= self.until:
            raise OutOfTime
        self.clauses.append(list(clause))

    def literal(self, u: int, v: int) -> int | None:
        """Return the literal "u and v coincide"; 0 if they always do (u = v), None if they never do."""
        return 0 if u == v else self.same.get((min(u, v), max(u, v)))

    def classes(self, true: Iterable[int]) -> tuple[int, ...]:
        """Return the class of each node, numbered by first appearance, given the true literals of a model."""
        held = set(true)
        leader = list(range(self.nodes))
        for (u, v), literal in sorted(self.same.items(), key=lambda item: (item[0][1], item[0][0])):
            if literal in held and leader[v] == v:
                leader[v] = leader[u]
        numbers: dict[int, int] = {}
        return tuple(numbers.setdefault(node, len(numbers)) for node in leader)

    def value(self, true: Iterable[int]) -> int:
        """Return the cost of a model."""
        held = set(true)
        return self.offset + sum(literal in held for literal in self.cost)

    def apart(self) -> set[int]:
        """Return the true variables of the trivial solution, in which no two nodes coincide."""
        return set(self.first.values())


def encode(problem: Problem, until: float | None = None) -> Encoding:
    """Encode a problem at any depth.

    Parameters
    ----------
    problem : Problem
    until : float, optional
        When to stop, by ``time.monotonic``.

    Raises
    ------
    OutOfTime
        At ``until``.
    Unsupported
        At finite depth (the encoding has no levels), or above ``MAX_PAIRS`` or ``MAX_CLAUSES``.

    Examples
    --------
    >>> from masksynth import catalog
    >>> encoding = encode(Problem(catalog.causal_lm(n=4).family))
    >>> len(encoding.same), encoding.offset + len(encoding.cost)
    (4, 6)
    """
    if problem.layers is not None:
        raise Unsupported("search backends do not support --layers; use --backend criterion or auto")
    if problem.pair_count > MAX_PAIRS:
        raise Unsupported(
            f"{problem.pair_count} pairs of nodes may coincide, more than {MAX_PAIRS}; use --backend criterion"
        )
    encoding = Encoding(len(problem.nodes.name), until=until)
    for pair in problem.pairs:
        encoding.same[pair] = encoding.new()
    _equivalence(encoding, problem)
    _rows_match(encoding, problem)
    _openers(encoding)
    _copies(encoding, problem)
    return encoding


def _equivalence(encoding: Encoding, problem: Problem) -> None:
    """Add transitivity: if u ~ v and v ~ w then u ~ w, and its two permutations."""
    for group in problem.groups:
        for u, v, w in combinations(group, 3):
            uv, vw, uw = encoding.same[u, v], encoding.same[v, w], encoding.same[u, w]
            encoding.add(-uv, -vw, uw)
            encoding.add(-uv, -uw, vw)
            encoding.add(-uw, -vw, uv)


def _by_identity(row: Sequence[int], identity: Sequence[int]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for key in row:
        groups.setdefault(identity[key], []).append(key)
    return groups


def _rows_match(encoding: Encoding, problem: Problem) -> None:
    """Add equal rows: if u ~ v then in each table their keys can be matched one to one, partners coinciding."""
    nodes = problem.nodes
    for (u, v), literal in encoding.same.items():
        for table in nodes.rows:
            if table[u] == table[v]:
                continue
            ours, theirs = _by_identity(table[u], nodes.identity), _by_identity(table[v], nodes.identity)
            for identity, keys in ours.items():
                _matching(encoding, literal, keys, theirs[identity])


def _matching(encoding: Encoding, literal: int, ours: list[int], theirs: list[int]) -> None:
    """Add that ``literal`` implies a one-to-one matching of two key lists of equal length, partners coinciding.

    A key with one candidate meets it whenever ``literal`` holds, so it needs no variable of its own.
    """
    columns: dict[int, list[int]] = {}
    for key in ours:
        meets = {other: same for other in theirs if (same := encoding.literal(key, other)) is not None}
        met = [literal] if len(meets) == 1 else [encoding.new() for _ in meets]
        if len(meets) != 1:
            encoding.add(-literal, *met)
        for (other, same), meeting in zip(meets.items(), met, strict=True):
            if same:
                encoding.add(-meeting, same)
            columns.setdefault(other, []).append(meeting)
    for column in columns.values():
        for first, second in combinations(column, 2):  # each partner is matched at most once
            encoding.add(*{-first, -second})


def _openers(encoding: Encoding) -> None:
    """Add the cost of classes: a node opens one, at the cost of a position, unless it equals an earlier node."""
    earlier: dict[int, list[int]] = {}
    for (_, v), literal in encoding.same.items():
        earlier.setdefault(v, []).append(literal)
    encoding.offset += encoding.nodes - len(earlier)
    for v, literals in earlier.items():
        encoding.first[v] = encoding.new()
        encoding.add(encoding.first[v], *literals)
        encoding.cost.append(encoding.first[v])


def _copies(encoding: Encoding, problem: Problem) -> None:
    """Add the cost of copies: if j >= 2 keys of one row are in the class that u opens, it costs j positions or more."""
    identity = problem.nodes.identity
    rows = {row for table in problem.nodes.rows for row in table}
    crowds = {tuple(sorted(part)) for row in rows for part in _by_identity(row, identity).values() if len(part) > 1}
    copy: dict[Pair, int] = {}
    groups = problem.groups
    home = {node: number for number, group in enumerate(groups) for node in group}
    for crowd in sorted(crowds):
        for number in sorted({home[key] for key in crowd if key in home}):
            present = [key for key in crowd if home.get(key) == number]
            if len(present) > 1:
                for u in groups[number]:
                    if u <= present[-2]:
                        _count(encoding, u, present, copy)


def _count(encoding: Encoding, u: int, crowd: list[int], copy: dict[Pair, int]) -> None:
    """Define ``copy[u, j]``: true if u opens its class and at least j of ``crowd`` coincide with u."""
    always = int(u in crowd)
    for number, reached in enumerate(
        _at_least(encoding, [encoding.same[min(u, key), max(u, key)] for key in crowd if key != u]), 1
    ):
        j = number + always
        if j < 2:
            continue
        if (u, j) not in copy:
            copy[u, j] = encoding.new()
            encoding.cost.append(copy[u, j])
        opens = [-encoding.first[u]] if u in encoding.first else []
        encoding.add(*opens, -reached, copy[u, j])


def _at_least(encoding: Encoding, literals: list[int]) -> list[int]:
    """Return literals implied by "at least 1, 2, ... of ``literals``": a sequential counter in one direction."""
    counted: list[int] = []
    for literal in literals:
        grown = [encoding.new() for _ in range(len(counted) + 1)]
        for index, output in enumerate(grown):
            if index < len(counted):
                encoding.add(-counted[index], output)
            encoding.add(-literal, *([-counted[index - 1]] if index else []), output)
        counted = grown
    return counted


def wcnf(encoding: Encoding) -> Iterator[str]:
    """Yield the lines of the MaxSAT problem in the 2022 WCNF format: ``c offset K``, hard lines ``h``, soft lines.

    Soft clauses have weight 1. The optimum plus K is the number of positions.
    """
    yield f"c offset {encoding.offset}"
    for clause in encoding.clauses:
        yield f"h {' '.join(map(str, clause))} 0"
    for literal in encoding.cost:
        yield f"1 {-literal} 0"


def write_wcnf(problem: Problem, path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Write a problem as a WCNF file for any MaxSAT solver (``masksynth solve --emit``), atomically.

    Raises
    ------
    Unsupported
        At finite depth, or if the search is too large.
    InvalidInstance
        If the file exists and ``force`` is False, or it is one of the ``inputs``.
    MasksynthError
        If the file cannot be written; an existing file is not changed.
    """
    write_lines(wcnf(encode(problem)), path, force, inputs)


def write_lines(lines: Iterable[str], path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Write lines to a file, atomically."""
    write_file(path, (f"{line}\n".encode() for line in lines), force, inputs, "the search")
