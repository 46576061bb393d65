"""What a proof folder claims: problem.json, relation.npy and mask.npy, read and put into shape, not yet believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.verify.proof.proof_files import Bools, read_array, read_json

Edge = tuple[int, int]
MAX_SIZE = 4096
"""Most positions for which a proof is checked."""
MAX_WEIGHT = 10**6
MAX_LAYERS = 10**9
KINDS = ("drat", "duals")
_KEYS = (
    "masksynth_proof",
    "size",
    "layers",
    "layered",
    "forced",
    "forbidden",
    "weights",
    "value",
    "bound",
    "sure",
    "packing",
    "parts",
)
_MORE = ("lemmas", "positions", "sha256")


@dataclass(frozen=True)
class ClaimedHit:
    """Edges of which every solution is said to use one, and the pair that needs it."""

    edges: tuple[Edge, ...]
    demand: Edge


@dataclass(frozen=True)
class ClaimedWindow:
    """A lemma used inside a part: the part's position for each of the lemma's."""

    lemma: int
    positions: Mapping[int, int]

    def image(self, edges: Iterable[Edge]) -> tuple[Edge, ...]:
        """Where the edges, or demands, of the lemma lie in the part."""
        return tuple((self.positions[query], self.positions[key]) for query, key in edges)


@dataclass(frozen=True)
class ClaimedPart:
    """Demands, the edges that may help, and the bound on the weight of those edges in any solution; a lemma is one as well."""

    folder: str
    demands: tuple[Edge, ...]
    edges: tuple[Edge, ...]
    bound: int
    kind: str
    windows: tuple[ClaimedWindow, ...] = ()


@dataclass(frozen=True, eq=False)
class Statement:
    """All that a proof folder says beside the proofs of its parts.

    Parameters
    ----------
    relation : (n, n) bool
    mask : (n, n) or (L, n, n) bool
    layers : int or None
        As given; ``depth`` is the number of layers that formulas have.
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
        """L; no path of one mask needs more than n - 1 edges, but layers with a mask each are as many as they are."""
        if self.layered and self.layers is not None:
            return self.layers
        longest = max(1, self.size - 1)
        return longest if self.layers is None else min(self.layers, longest)

    def weight(self, edge: Edge) -> int:
        """Cost of an edge in one layer."""
        return self.weights.get(edge, 1)


def read_statement(folder: Path) -> Statement:
    """Read problem.json, relation.npy and mask.npy.

    Raises
    ------
    InvalidInstance
        Naming the file and the place in it.
    """
    source = folder / "problem.json"
    document = read_json(source)
    relation, mask = read_array(folder / "relation.npy"), read_array(folder / "mask.npy")
    try:
        statement = _statement(document, relation, mask)
    except InvalidInstance as error:
        raise error.within(source=str(source)) from None
    size = statement.size
    due = (statement.layers, size, size) if statement.layered else (size, size)
    if mask.shape != due:
        raise InvalidInstance(f"shape {list(mask.shape)} where {list(due)} is due", "", source=str(folder / "mask.npy"))
    return statement


def _statement(document: Any, relation: Bools, mask: Bools) -> Statement:
    _keys(document, "$", _KEYS, _MORE)
    if _int(document["masksynth_proof"], "$.masksynth_proof", 0, 10**6) != 1:
        raise InvalidInstance(
            f"format {document['masksynth_proof']} is not known", "$.masksynth_proof", "use a newer masksynth"
        )
    size = _int(document["size"], "$.size", 1, MAX_SIZE)
    if relation.shape != (size, size):
        raise InvalidInstance(f"{size} positions, but relation.npy has the shape {list(relation.shape)}", "$.size")
    layered = _typed(document["layered"], bool, "$.layered")
    layers = None if document["layers"] is None else _int(document["layers"], "$.layers", 1, MAX_LAYERS)
    if layered and (layers is None or layers > MAX_SIZE):
        raise InvalidInstance(
            f"a mask for each layer, but {layers} layers", "$.layers", f"give a number of layers up to {MAX_SIZE}"
        )
    _notes(document, size)
    lemmas = [_part(item, "lemma", at, size, at) for at, item in _items(document.get("lemmas", []), "$.lemmas")]
    return Statement(
        relation=relation,
        mask=mask,
        layers=layers,
        layered=layered,
        forced=_edges(document["forced"], "$.forced", size),
        forbidden=_edges(document["forbidden"], "$.forbidden", size),
        weights=_weights(document["weights"], size),
        value=_int(document["value"], "$.value"),
        bound=_int(document["bound"], "$.bound"),
        sure=_edges(document["sure"], "$.sure", size),
        packing=tuple(_hit(item, f"$.packing[{at}]", size) for at, item in _items(document["packing"], "$.packing")),
        parts=tuple(_part(item, "part", at, size, len(lemmas)) for at, item in _items(document["parts"], "$.parts")),
        lemmas=tuple(lemmas),
    )


def _part(item: Any, sort: str, at: int, size: int, lemmas: int) -> ClaimedPart:
    """A part or lemma, whose windows use the first ``lemmas`` lemmas."""
    path = f"$.{sort}s[{at}]"
    _keys(item, path, ("folder", "demands", "edges", "bound", "kind"), ("windows",))
    name, kind = f"{sort}-{at:03d}", _typed(item["kind"], str, f"{path}.kind")
    if item["folder"] != name:
        raise InvalidInstance(f"{item['folder']!r:.40} where {name!r} is due", f"{path}.folder")
    if kind not in KINDS:
        raise InvalidInstance(f"{kind!r:.40} is not one of {', '.join(KINDS)}", f"{path}.kind")
    demands, edges = (_edges(item[key], f"{path}.{key}", size) for key in ("demands", "edges"))
    given = _items(item.get("windows", []), f"{path}.windows")
    windows = tuple(_window(entry, f"{path}.windows[{place}]", size, lemmas) for place, entry in given)
    if windows and kind != "drat":
        raise InvalidInstance(f"windows beside a proof by {kind}", f"{path}.windows")
    return ClaimedPart(name, demands, edges, _int(item["bound"], f"{path}.bound"), kind, windows)


def _window(item: Any, path: str, size: int, lemmas: int) -> ClaimedWindow:
    """A window, with a one to one map of positions."""
    _keys(item, path, ("lemma", "positions"))
    if not lemmas:
        raise InvalidInstance("no lemma stands before it", path)
    positions = {}
    for at, pair in _items(item["positions"], place := f"{path}.positions"):
        if type(pair) is not list or len(pair) != 2:
            raise InvalidInstance(f"{pair!r:.40} is not [from, to]", f"{place}[{at}]")
        source, target = (_int(number, f"{place}[{at}]", 0, size - 1) for number in pair)
        if source in positions:
            raise InvalidInstance(f"position {source} is mapped twice", place)
        positions[source] = target
    if len(set(positions.values())) < len(positions):
        raise InvalidInstance("two positions are mapped to one", place)
    return ClaimedWindow(_int(item["lemma"], f"{path}.lemma", 0, lemmas - 1), positions)


def _hit(item: Any, path: str, size: int) -> ClaimedHit:
    _keys(item, path, ("edges", "demand"))
    edges = _edges(item["edges"], f"{path}.edges", size)
    if not edges:
        raise InvalidInstance("no edge", f"{path}.edges")
    return ClaimedHit(edges, _edges([item["demand"]], f"{path}.demand", size)[0])


def _weights(value: Any, size: int) -> dict[Edge, int]:
    triples = [item for _, item in _items(value, "$.weights")]
    if any(type(item) is not list or len(item) != 3 for item in triples):
        raise InvalidInstance("an entry is not [query, key, weight]", "$.weights")
    edges = _edges([item[:2] for item in triples], "$.weights", size)
    numbers = [_int(item[2], "$.weights", -MAX_WEIGHT, MAX_WEIGHT) for item in triples]
    return dict(zip(edges, numbers, strict=True))


def _edges(value: Any, path: str, size: int) -> tuple[Edge, ...]:
    """Different pairs of different positions."""
    edges = []
    for at, item in _items(value, path):
        if type(item) is not list or len(item) != 2:
            raise InvalidInstance(f"{item!r:.40} is not [query, key]", f"{path}[{at}]")
        query, key = (_int(number, f"{path}[{at}]", 0, size - 1) for number in item)
        if query == key:
            raise InvalidInstance(f"[{query}, {key}] is on the diagonal", f"{path}[{at}]")
        edges.append((query, key))
    if len(set(edges)) < len(edges):
        raise InvalidInstance("an edge is repeated", path)
    return tuple(edges)


def _notes(document: dict[str, Any], size: int) -> None:
    """What is there for readers: a name for each position, the hash of an instance."""
    if "positions" in document and len(_typed(document["positions"], list, "$.positions")) != size:
        raise InvalidInstance(f"{len(document['positions'])} entries for {size} positions", "$.positions")
    if "sha256" in document:
        _typed(document["sha256"], str, "$.sha256")


def _items(value: Any, path: str) -> enumerate[Any]:
    return enumerate(_typed(value, list, path))


def _keys(value: Any, path: str, due: tuple[str, ...], more: tuple[str, ...] = ()) -> None:
    keys = _typed(value, dict, path).keys()
    for key in due:
        if key not in keys:
            raise InvalidInstance(f"{key!r} is missing", path)
    for key in keys:
        if key not in due + more:
            raise InvalidInstance(f"{key!r:.40} is not known", path)


def _typed(value: Any, kind: type, path: str) -> Any:
    if type(value) is not kind:
        raise InvalidInstance(f"{type(value).__name__} where {kind.__name__} is due", path)
    return value


def _int(value: Any, path: str, low: int = -(10**15), high: int = 10**15) -> int:
    if not low <= _typed(value, int, path) <= high:
        raise InvalidInstance(f"{value!r:.40} is not from {low} to {high}", path)
    number: int = value
    return number
