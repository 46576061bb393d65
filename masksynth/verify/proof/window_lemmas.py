"""Windows: images of a lemma inside a part, whose formula must be that of the lemma up to the names of positions.

A lemma states that every solution of its formula weighs at least the bound. A solution of a part's formula gives all
demands of the part a path; the demands of an image, being demands of the part, have theirs among the sure edges and the
edges of the image, since no others may help. So it also solves the formula of the image, and spends the bound there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.formula import part_clauses
from masksynth.verify.proof.statement import ClaimedPart, ClaimedWindow, Statement


def image_of(statement: Statement, part: ClaimedPart, window: ClaimedWindow, place: str) -> ClaimedPart:
    """Return the image of a window's lemma, after checking that it is in the part and has the lemma's weights.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """
    lemma, positions = statement.lemmas[window.lemma], window.map
    for query, key in lemma.demands + lemma.edges:
        if query not in positions or key not in positions:
            raise _wrong(place, f"an end of {(query, key)} is not mapped to a position")
    demands, edges = window.image(lemma.demands), window.image(lemma.edges)
    for kind, image, allowed in (("demand", demands, part.demands), ("edge", edges, part.edges)):
        if beyond := set(image) - set(allowed):
            raise _wrong(place, f"the {kind} {min(beyond)} is not one of the part")
    for edge, target in zip(lemma.edges, edges, strict=True):
        if statement.weight(edge) != statement.weight(target):
            raise _wrong(place, f"the weights of {edge} and {target} differ")
    return ClaimedPart(place, demands, edges, lemma.bound, lemma.kind)


def check_images(statement: Statement) -> None:
    """Check that every image has the formula of its lemma.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """

    @cache
    def lemma_formula(lemma: int) -> set[frozenset[str]]:
        identity = {position: position for position in range(statement.size)}
        return set(_rename_clauses(statement, statement.lemmas[lemma], identity))

    checked = set()
    for part in statement.lemmas + statement.parts:
        for number, window in enumerate(part.windows):
            place = f"{part.folder}: window {number}"
            key = window.lemma, frozenset(window.positions)
            if key not in checked:
                back = {target: source for source, target in window.positions}
                image = image_of(statement, part, window, place)
                if set(_rename_clauses(statement, image, back)) != lemma_formula(window.lemma):
                    raise _wrong(place, f"its formula is not that of lemma-{window.lemma:03d}")
                checked.add(key)


def _rename_clauses(statement: Statement, part: ClaimedPart, names: dict[int, int]) -> Iterator[frozenset[str]]:
    """Yield the clauses of a part with positions renamed, ``?`` where they have no new name."""

    @cache
    def rename(literal: str) -> str:
        kind, *numbers = literal.split()
        kept = numbers[: 0 if kind.endswith("edge") else 1]  # the level of a literal "reach LEVEL QUERY KEY"
        return " ".join([kind, *kept, *(str(names.get(int(number), "?")) for number in numbers[len(kept) :])])

    for clause in part_clauses(statement.size, statement.depth, statement.sure, part.edges, part.demands):
        yield frozenset(map(rename, clause))


def _wrong(place: str, fact: str) -> WrongAnswer:
    """Return an error of problem.json; ``place`` is the part and the window."""
    return WrongAnswer("proof", f"problem.json: {place}: {fact}")
