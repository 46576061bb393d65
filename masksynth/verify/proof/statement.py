"""The claims of a proof folder: problem.json, relation.npy and mask.npy, read and validated, not yet checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from masksynth.errors import InvalidInstance
from masksynth.verify.proof.proof_files import Bools, read_array, read_json

MAX_SIZE = 4096
"""Maximum number of positions for which a proof is checked."""
MAX_WEIGHT = 10**6
MAX_LAYERS = 10**9
MAX_NUMBER = 10**15

Edge = tuple[int, int]
PositionIndex = Annotated[int, msgspec.Meta(ge=0, lt=MAX_SIZE)]
EdgeEntry = tuple[PositionIndex, PositionIndex]
Weight = Annotated[int, msgspec.Meta(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]
Number = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]


class ClaimedHit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Edges of which every solution uses at least one according to the claim, and the pair that needs it."""

    edges: Annotated[tuple[EdgeEntry, ...], msgspec.Meta(min_length=1)]
    demand: EdgeEntry


class ClaimedWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lemma used inside a part, and [the lemma's position, the part's position] for each position of the lemma."""

    lemma: Annotated[int, msgspec.Meta(ge=0)]
    positions: tuple[EdgeEntry, ...]

    @property
    def map(self) -> dict[int, int]:
        """The part's position for each of the lemma's."""
        return dict(self.positions)

    def image(self, edges: Iterable[Edge]) -> tuple[Edge, ...]:
        """Return the images in the part of edges, or demands, of the lemma."""
        image = self.map
        return tuple((image[query], image[key]) for query, key in edges)


class ClaimedPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part or lemma: its demands, the edges that may help, and a lower bound on their weight in any solution."""

    folder: str
    demands: tuple[EdgeEntry, ...]
    edges: tuple[EdgeEntry, ...]
    bound: Number
    kind: Literal["drat", "duals"]
    windows: tuple[ClaimedWindow, ...] = ()
    swaps: tuple[EdgeEntry, ...] = ()


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of problem.json; names of positions and the hash of an instance are for readers."""

    masksynth_proof: Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_SIZE)]
    layers: Annotated[int, msgspec.Meta(ge=1, le=MAX_LAYERS)] | None
    layered: bool
    forced: tuple[EdgeEntry, ...]
    forbidden: tuple[EdgeEntry, ...]
    weights: tuple[tuple[PositionIndex, PositionIndex, Weight], ...]
    value: Number
    bound: Number
    sure: tuple[EdgeEntry, ...]
    packing: tuple[ClaimedHit, ...]
    parts: tuple[ClaimedPart, ...]
    lemmas: tuple[ClaimedPart, ...] = ()
    positions: list[Any] | msgspec.UnsetType = msgspec.UNSET
    sha256: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, eq=False)
class Statement:
    """The claims of a proof folder, without the proofs of its parts.

    Parameters
    ----------
    relation : (n, n) bool
    mask : (n, n) or (L, n, n) bool
    layers : int or None
        As given; ``depth`` is the number of layers that formulas have.
    layered : bool
        Whether each layer has a mask of its own.
    forced, forbidden : edges
    weights : mapping of edge to int
        1 for other edges.
    value, bound : int
        Weight of the mask, and the claimed lower bound.
    sure : edges
        Edges that every solution uses according to the claim.
    packing : tuple of ClaimedHit
    parts, lemmas : tuple of ClaimedPart
    """

    relation: Bools
    mask: Bools
    layers: int | None
    layered: bool
    forced: tuple[Edge, ...]
    forbidden: tuple[Edge, ...]
    weights: Mapping[Edge, int]
    value: int
    bound: int
    sure: tuple[Edge, ...]
    packing: tuple[ClaimedHit, ...]
    parts: tuple[ClaimedPart, ...]
    lemmas: tuple[ClaimedPart, ...] = ()

    @property
    def size(self) -> int:
        """n, the number of positions."""
        return len(self.relation)

    @property
    def depth(self) -> int:
        """L, cut to n - 1 for one mask, whose paths need no more edges; a mask for each layer has exactly L layers."""
        if self.layered and self.layers is not None:
            return self.layers
        longest = max(1, self.size - 1)
        return longest if self.layers is None else min(self.layers, longest)

    def weight(self, edge: Edge) -> int:
        """Return the cost of an edge in one layer."""
        return self.weights.get(edge, 1)


def read_statement(folder: Path) -> Statement:
    """Read problem.json, relation.npy and mask.npy.

    Raises
    ------
    InvalidInstance
        Naming the file and the JSON path.
    """
    source = folder / "problem.json"
    content = read_json(source)
    relation, mask = read_array(folder / "relation.npy"), read_array(folder / "mask.npy")
    try:
        document = _convert(content)
        _check_document(document)
        if relation.shape != (document.size, document.size):
            fact = f"{document.size} positions, but relation.npy has the shape {list(relation.shape)}"
            raise InvalidInstance(fact, "$.size")
    except InvalidInstance as error:
        raise error.within(source=str(source)) from None
    size = document.size
    shape = (document.layers, size, size) if document.layered else (size, size)
    if mask.shape != shape:
        fact = f"expected shape {list(shape)}, got {list(mask.shape)}"
        raise InvalidInstance(fact, "", source=str(folder / "mask.npy"))
    names = ("layers", "layered", "forced", "forbidden", "value", "bound", "sure", "packing", "parts", "lemmas")
    fields = {name: getattr(document, name) for name in names}
    weights = {(query, key): weight for query, key, weight in document.weights}
    return Statement(relation=relation, mask=mask, weights=weights, **fields)


def _convert(content: Any) -> _Document:
    """Return the typed content of problem.json; raise InvalidInstance with the JSON path of the first invalid value."""
    try:
        return msgspec.convert(content, _Document, strict=True)
    except msgspec.ValidationError as error:
        fact, _, path = str(error).partition(" - at `")
        raise InvalidInstance(fact[0].lower() + fact[1:], path.rstrip("`") or "$") from None


def _check_document(document: _Document) -> None:
    """Check what types do not express: the format, the number of layers, edges, names of parts, and windows."""
    size, layers = document.size, document.layers
    if document.masksynth_proof != 1:
        fact = f"format {document.masksynth_proof} is unknown"
        raise InvalidInstance(fact, "$.masksynth_proof", "use a newer masksynth")
    if document.layered and (layers is None or layers > MAX_SIZE):
        fact = f"a mask for each layer, but {layers} layers"
        raise InvalidInstance(fact, "$.layers", f"give a number of layers up to {MAX_SIZE}")
    if document.positions is not msgspec.UNSET and len(document.positions) != size:
        raise InvalidInstance(f"expected {size} entries, got {len(document.positions)}", "$.positions")
    for name in ("forced", "forbidden", "sure"):
        _check_edges(getattr(document, name), f"$.{name}", size)
    _check_edges([(query, key) for query, key, _ in document.weights], "$.weights", size)
    for number, hit in enumerate(document.packing):
        _check_edges(hit.edges, f"$.packing[{number}].edges", size)
        _check_edges([hit.demand], f"$.packing[{number}].demand", size)
    for number, lemma in enumerate(document.lemmas):
        _check_part(lemma, "lemma", number, size, number)  # a lemma may use earlier ones
    for number, part in enumerate(document.parts):
        _check_part(part, "part", number, size, len(document.lemmas))


def _check_part(part: ClaimedPart, kind: str, number: int, size: int, lemmas: int) -> None:
    """Check a part or lemma (``kind``), whose windows may use the first ``lemmas`` lemmas."""
    path, name = f"$.{kind}s[{number}]", f"{kind}-{number:03d}"
    if part.folder != name:
        raise InvalidInstance(f"expected {name!r}, got {part.folder!r:.40}", f"{path}.folder")
    _check_edges(part.demands, f"{path}.demands", size)
    _check_edges(part.edges, f"{path}.edges", size)
    _check_edges(part.swaps, f"{path}.swaps", size)
    if part.windows and part.kind != "drat":
        raise InvalidInstance(f"a proof by {part.kind} cannot have windows", f"{path}.windows")
    for index, window in enumerate(part.windows):
        _check_window(window, f"{path}.windows[{index}]", size, lemmas)


def _check_window(window: ClaimedWindow, path: str, size: int, lemmas: int) -> None:
    """Check that the lemma of a window comes earlier, and that positions are mapped one to one."""
    if not lemmas:
        raise InvalidInstance("there is no earlier lemma", path)
    if window.lemma >= lemmas:
        raise InvalidInstance(f"expected a lemma from 0 to {lemmas - 1}, got {window.lemma}", f"{path}.lemma")
    sources, targets = [pair[0] for pair in window.positions], [pair[1] for pair in window.positions]
    if max(sources + targets, default=0) >= size:
        fact = f"expected positions from 0 to {size - 1}, got {max(sources + targets)}"
        raise InvalidInstance(fact, f"{path}.positions")
    if len(set(sources)) < len(sources):
        raise InvalidInstance("a position is mapped twice", f"{path}.positions")
    if len(set(targets)) < len(targets):
        raise InvalidInstance("two positions are mapped to one", f"{path}.positions")


def _check_edges(edges: Iterable[Edge], path: str, size: int) -> None:
    """Check that edges are different pairs of different positions below ``size``."""
    seen = set()
    for number, edge in enumerate(edges):
        if max(edge) >= size:
            raise InvalidInstance(f"expected positions from 0 to {size - 1}, got {list(edge)}", f"{path}[{number}]")
        if edge[0] == edge[1]:
            raise InvalidInstance(f"{list(edge)} is on the diagonal", f"{path}[{number}]")
        if edge in seen:
            raise InvalidInstance(f"the edge {list(edge)} is repeated", f"{path}[{number}]")
        seen.add(edge)
