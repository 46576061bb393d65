"""Known ways in which a stack replaces a mask, each as the mask that the model then has, and which of them explains what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.torch.model_check.layer_flow import inputs_of, outputs_of

Bools = NDArray[np.bool_]
FEW, DENSE, DEPTHS, HIDDEN = 256, 2048, 6, 0.02
"""Above FEW positions the first failure that fits is enough, and above DENSE fewer are tried; depths tried where the number of layers is
not known; and the part of the expected movements that rounding may hide."""

PASS_4D = (
    "pass the mask as [1, 1, N, N] in the type of the model's attention (sdpa: bool, eager: additive, flex: BlockMask)"
)
FAILURES = {
    "layers": ("the mask, through another number of layers", "pass layers= as the model has them"),
    "no mask": ("no mask: every position sees every other", PASS_4D),
    "causal": (
        "causal over the merged order",
        PASS_4D + "; for packing by position ids pass no 2-D mask and use_cache=False",
    ),
    "documents": (
        "causal within documents that begin wherever position ids do not rise by 1",
        PASS_4D + ": with none, position ids cut",
    ),
    "documents from 0": (
        "causal within documents that begin at position id 0",
        PASS_4D + ": with none, position ids cut",
    ),
    "whole documents": (
        "documents, cut where position ids do not rise by 1, seen whole",
        "say that the documents are causal",
    ),
    "mask within documents": (
        "the mask, and cut where position ids do not rise by 1",
        "turn off packing by position ids in the stack",
    ),
    "mask and causal": ("the mask, and causal on top", "turn off the stack's own causal mask (is_causal=False)"),
    "padding": ("a 2-D mask [N, N] read as a padding mask: causal, and the keys of row 0", PASS_4D),
    "transposed": ("the mask transposed: keys see queries", "index mask[query, key]"),
    "inverted": (
        "the mask inverted: true taken for masked",
        "give True where a query may attend, or the inverse if the layer says so",
    ),
    "empty rows": (
        "rows without keys see every position: finite minus infinity",
        "use -inf, or let each row see itself",
    ),
    "rows late": ("the row of the position before: off by one", "align rows with queries: row q is of position q"),
    "rows early": ("the row of the position after: off by one", "align rows with queries: row q is of position q"),
    "keys late": ("keys moved right by one: off by one", "align columns with keys: column k is of position k"),
    "keys early": ("keys moved left by one: off by one", "align columns with keys: column k is of position k"),
    "both late": ("mask moved down and right by one: off by one", "a token was put before the others: mask it too"),
    "both early": ("mask moved up and left by one: off by one", "a token was taken from the front: cut the mask too"),
    "one key more": ("each stretch of keys one longer: off by one", "compare with < where <= stands"),
    "one key less": ("each stretch of keys one shorter: off by one", "compare with <= where < stands"),
    "window": (
        "the mask, cut to the model's sliding window",
        "use a model without a sliding window, or put the window in the mask",
    ),
    "first table": ("table 0 of the pattern in every layer", "give layer l, counted from 0, table l mod P"),
    "last table": ("the last table of the pattern in every layer", "give layer l, counted from 0, table l mod P"),
    "reversed tables": ("the tables of the pattern in reverse", "give layer l, counted from 0, table l mod P"),
    "blocks": (
        "whole blocks of 128 x 128: partial blocks taken for full",
        "give the BlockMask its mask_mod and separate full blocks",
    ),
    "nothing": (
        "no attention: each position sees itself only",
        "look whether the mask is all False, or attention is switched off",
    ),
}
"""Name -> (what it looks like, what to do)."""


class Evidence(NamedTuple):
    """What was seen of who depends on whom.

    Parameters
    ----------
    keys, queries : (K,), (Q,) int64
        The inputs that were changed and the outputs that were looked through.
    columns : (K, N) bool
        Whether output n depends on input ``keys[i]``.
    rows : (Q, N) bool
        Whether output ``queries[i]`` depends on input n.
    judged : (N,) bool
        The outputs that can be judged.
    """

    keys: NDArray[np.int64]
    queries: NDArray[np.int64]
    columns: Bools
    rows: Bools
    judged: Bools


class Diagnosis(NamedTuple):
    """Which known failure explains what was seen.

    Parameters
    ----------
    name : str
        A name of ``FAILURES``, or "unknown".
    likeness : str
        What the model behaves like, in words.
    remedy : str
    also : tuple of str
        Other names that explain it as well.
    fit : float
        The part of what was looked at that it explains, 1 for all of it.
    """

    name: str
    likeness: str
    remedy: str
    also: tuple[str, ...] = ()
    fit: float = 1.0

    @property
    def words(self) -> str:
        """All but the remedy in one line."""
        if self.name == "unknown":
            return self.likeness
        return f"as if {self.likeness}" + (f" (or: {', '.join(self.also)})" if self.also else "")


def prediction(mask: Mask, seen: Evidence, layers: int | None) -> Bools:
    """What a model with this mask would show where ``seen`` looked, in one flat array."""
    size = mask.size
    if size <= FEW:
        flow = flow_matrix(mask.dense().reshape(-1, size, size), layers)
        return np.concatenate([flow[seen.judged][:, seen.keys].T.ravel(), flow[seen.queries].ravel()])
    columns = [outputs_of(mask, np.arange(size) == key, layers)[seen.judged] for key in seen.keys]
    rows = [inputs_of(mask, np.arange(size) == query, layers) for query in seen.queries]
    return np.concatenate([np.zeros(0, bool), *columns, *rows])


def flow_matrix(tables: Bools, layers: int | None) -> Bools:
    """Entry (q, k): whether output q may depend on input k after some layers (None: any number), from bool (P, N, N).

    Examples
    --------
    >>> chain = np.eye(3, dtype=bool) | np.eye(3, k=-1, dtype=bool)
    >>> [flow_matrix(chain[None], layers).sum(1).tolist() for layers in (1, None)]
    [[1, 2, 2], [1, 2, 3]]
    """
    own = np.eye(tables.shape[-1], dtype=np.float32)
    flow, layer, quiet = own, 0, 0
    while layer != layers and (layers is not None or quiet < len(tables)):
        after = ((tables[layer % len(tables)] + own) @ flow > 0).astype(np.float32)
        quiet = quiet + 1 if np.array_equal(after, flow) else 0
        flow, layer = after, layer + 1
    return flow > 0


def diagnose(
    mask: Mask, position_ids: NDArray[np.int64], seen: Evidence, layers: int | None, window: int | None = None
) -> Diagnosis:
    """The failure that explains what was seen, best first; "unknown", with the nearest, if none does."""
    found = np.concatenate([np.zeros(0, bool), *(column[seen.judged] for column in seen.columns), *seen.rows])
    right = prediction(mask, seen, layers)
    scored: dict[str, tuple[bool, float]] = {}
    for name, other in failures(mask, position_ids, window):
        for depth in _depths(name, layers):
            expected = prediction(other, seen, depth)
            if name != "layers" and np.array_equal(expected, right):
                continue
            score = _score(found, expected)
            scored[name] = max(score, scored.get(name, score))
        if mask.size > FEW and scored.get(name, (False, 0.0))[0]:
            break
    return _best(scored, _score(found, right)[1])


def _best(scored: dict[str, tuple[bool, float]], right: float) -> Diagnosis:
    """The best fitting failure; the nearest is said if it explains more than the mask itself, which is ``right`` in that part."""
    fitting = {name: part for name, (fits, part) in scored.items() if fits}
    if fitting:
        most = max(fitting.values())
        name, *also = (name for name, part in fitting.items() if part == most)
        return Diagnosis(name, *FAILURES[name], tuple(also), most)
    nearest = max(scored, key=lambda name: scored[name][1], default="")
    part = scored[nearest][1] if nearest else 0.0
    near = f'; the nearest is "{FAILURES[nearest][0]}", which explains {part:.0%}' if part > max(right, 0.5) else ""
    return Diagnosis(
        "unknown", f"no known failure looks like this{near}", "follow the mask through the stack", (), part
    )


def _score(found: Bools, expected: Bools) -> tuple[bool, float]:
    """Whether it fits, all movement explained and hardly any missing; and the part that agrees."""
    extra, hidden = int((found & ~expected).sum()), int((expected & ~found).sum())
    return extra == 0 and hidden <= HIDDEN * expected.sum(), 1 - (extra + hidden) / max(1, len(found))


def _depths(name: str, layers: int | None) -> Sequence[int | None]:
    if name == "layers":
        return [] if layers is None else [depth for depth in range(1, layers + DEPTHS) if depth != layers]
    return [layers] if layers is not None else [*range(1, DEPTHS + 1), None]


def failures(mask: Mask, position_ids: NDArray[np.int64], window: int | None = None) -> Iterator[tuple[str, Mask]]:
    """(name, the mask that the model has) for each known failure, the more common first."""
    size, own = mask.size, np.arange(mask.size)
    cut, zero = (
        documents(np.append(True, np.diff(position_ids) != 1)[:size]),
        documents((position_ids == 0) | (own == 0)),
    )
    yield "layers", mask
    yield "causal", one_interval(np.zeros_like(own), own + 1)
    yield "no mask", one_interval(np.zeros_like(own), np.full_like(own, size))
    yield "documents", one_interval(cut[0], own + 1)
    yield "documents from 0", one_interval(zero[0], own + 1)
    yield "whole documents", one_interval(*cut)
    yield "nothing", one_interval(own, own + 1)
    if mask.tables > 1:
        yield from patterns(mask)
    if size <= DENSE:
        yield from (
            (name, Mask.from_dense(table))
            for name, table in changed(mask.dense().reshape(-1, size, size), cut[0], window)
        )


def patterns(mask: Mask) -> Iterator[tuple[str, Mask]]:
    """The tables of a pattern used in other layers."""
    tables = [[mask.intervals(query, table) for query in range(mask.size)] for table in range(mask.tables)]
    yield "first table", Mask.from_intervals(tables[:1])
    yield "last table", Mask.from_intervals(tables[-1:])
    yield "reversed tables", Mask.from_intervals(tables[::-1])


def changed(dense: Bools, begin: NDArray[np.int64], window: int | None) -> Iterator[tuple[str, Bools]]:
    """Failures that are made of the mask's own entries, as bool (P, N, N); ``begin``: where each position's document begins."""
    size = dense.shape[-1]
    own = np.arange(size)
    causal = np.tri(size, dtype=bool)
    yield "mask within documents", dense & (begin[:, None] == begin[None])
    yield "mask and causal", dense & causal
    yield "padding", causal & dense[0, :1]
    if (empty := ~dense.any(2, keepdims=True)).any():
        yield "empty rows", dense | empty
    if window is not None:
        yield "window", dense & (own[:, None] - own[None] < window)
    for name, (down, right) in SHIFTS.items():
        yield from ((name, moved(dense, down, right, edge)) for edge in EDGES)
    yield "one key more", dense | moved(dense, 0, 1, "cut")
    yield "one key less", dense & moved(dense, 0, -1, "cut")
    yield "transposed", dense.transpose(0, 2, 1)
    yield "inverted", ~dense
    if size > BLOCK:
        yield "blocks", whole_blocks(dense)


SHIFTS = {
    "rows late": (1, 0),
    "rows early": (-1, 0),
    "keys late": (0, 1),
    "keys early": (0, -1),
    "both late": (1, 1),
    "both early": (-1, -1),
}
EDGES = ("cut", "stay", "wrap")
BLOCK = 128


def moved(dense: Bools, down: int, right: int, edge: str) -> Bools:
    """The entries moved; what comes in is nothing, what stood at the edge, or what went out on the other side.

    Examples
    --------
    >>> [moved(np.eye(3, dtype=bool)[None], 0, 1, edge).astype(int)[0].tolist() for edge in EDGES]
    [[[0, 1, 0], [0, 0, 1], [0, 0, 0]], [[1, 1, 0], [0, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]]
    """
    own = np.arange(dense.shape[-1])
    at = [own - down, own - right]
    rows, keys = (np.clip(part, 0, own[-1]) if edge == "stay" else part % len(own) for part in at)
    inside = [(part >= 0) & (part < len(own)) for part in at]
    result: Bools = dense[:, rows][:, :, keys]
    return result & np.outer(*inside) if edge == "cut" else result


def whole_blocks(dense: Bools) -> Bools:
    """Every block with an allowed entry, whole."""
    edges = np.arange(0, dense.shape[-1], BLOCK)
    some = np.logical_or.reduceat(np.logical_or.reduceat(dense, edges, axis=1), edges, axis=2)
    block = np.arange(dense.shape[-1]) // BLOCK
    result: Bools = some[:, block][:, :, block]
    return result


def one_interval(start: NDArray[np.int64], end: NDArray[np.int64]) -> Mask:
    """Row q is ``start[q] .. end[q]``."""
    return Mask(np.arange(len(start) + 1)[None], start.astype(np.int32), end.astype(np.int32))


def documents(begins: Bools) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each position, where its document begins and ends.

    Examples
    --------
    >>> documents(np.array([True, False, True]))
    (array([0, 0, 2]), array([2, 2, 3]))
    """
    edges = np.append(np.flatnonzero(begins), len(begins))
    number = np.cumsum(begins) - 1
    return edges[number], edges[number + 1]
