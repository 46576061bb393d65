"""Windows: a lemma holds for every image of it inside a part whose formula is that of the lemma, but for the names of positions.

A lemma says of its formula that whatever meets it weighs at least the bound. Edges that meet a part's formula give all its demands a path;
those of an image, being demands of the part, have theirs among sure edges and the edges of the image, since no others may help. So the
formula of the image is met wherever that of the part is, and the bound is spent there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.formula import part_clauses
from masksynth.verify.proof.statement import ClaimedPart, ClaimedWindow, Statement


def image_of(statement: Statement, part: ClaimedPart, window: ClaimedWindow, place: str) -> ClaimedPart:
    """The image of a window's lemma: inside the part, with the weights of the lemma.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """
    lemma = statement.lemmas[window.lemma]
    for query, key in lemma.demands + lemma.edges:
        if query not in window.positions or key not in window.positions:
            raise _wrong(place, f"no position stands for an end of {(query, key)}")
    demands, edges = window.image(lemma.demands), window.image(lemma.edges)
    for kind, image, whole in (("demand", demands, part.demands), ("edge", edges, part.edges)):
        if beyond := set(image) - set(whole):
            raise _wrong(place, f"the {kind} {min(beyond)} is not one of the part")
    for edge, target in zip(lemma.edges, edges, strict=True):
        if statement.weight(edge) != statement.weight(target):
            raise _wrong(place, f"the weights of {edge} and {target} differ")
    return ClaimedPart(place, demands, edges, lemma.bound, lemma.kind)


def check_images(statement: Statement) -> None:
    """Every image has the formula of its lemma.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """

    @cache
    def due(lemma: int) -> set[frozenset[str]]:
        return set(_renamed(statement, statement.lemmas[lemma], {place: place for place in range(statement.size)}))

    right = set()
    for part in statement.lemmas + statement.parts:
        for at, window in enumerate(part.windows):
            place = f"{part.folder}: window {at}"
            one_map = window.lemma, frozenset(window.positions.items())
            if one_map not in right:
                back = {target: source for source, target in window.positions.items()}
                if set(_renamed(statement, image_of(statement, part, window, place), back)) != due(window.lemma):
                    raise _wrong(place, f"its formula is not that of lemma-{window.lemma:03d}")
                right.add(one_map)


def _renamed(statement: Statement, part: ClaimedPart, names: dict[int, int]) -> Iterator[frozenset[str]]:
    """The clauses of a part, positions by their other names, ``?`` where they have none."""

    @cache
    def renamed(literal: str) -> str:
        kind, *numbers = literal.split()
        kept = numbers[: 0 if kind.endswith("edge") else 1]
        return " ".join([kind, *kept, *(str(names.get(int(number), "?")) for number in numbers[len(kept) :])])

    for clause in part_clauses(statement.size, statement.depth, statement.sure, part.edges, part.demands):
        yield frozenset(map(renamed, clause))


def _wrong(place: str, fact: str) -> WrongAnswer:
    return WrongAnswer("proof", f"problem.json: {place}: {fact}")
