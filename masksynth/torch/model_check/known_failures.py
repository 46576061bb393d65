"""Known ways in which a stack replaces a mask, and which of them explains the observed dependence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.torch.model_check.failure_masks import failures
from masksynth.torch.model_check.mask_flow import reachable_inputs, reachable_outputs

FEW = 256
"""Above this number of positions the first failure that fits ends the search."""
DEPTHS = 6
"""Numbers of layers that are tried where it is unknown: 1 up to this one."""
HIDDEN = 0.02
"""Largest part of the expected movements that rounding may hide."""
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
        "bidirectional within documents that begin wherever position ids do not rise by 1",
        "make the documents causal",
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
        "pass True where a query may attend, or the inverse if the layer expects it",
    ),
    "empty rows": (
        "rows without keys see every position: finite minus infinity",
        "use -inf, or let each row attend to itself",
    ),
    "rows late": ("the row of the position before: off by one", "align rows with queries: row q is of position q"),
    "rows early": ("the row of the position after: off by one", "align rows with queries: row q is of position q"),
    "keys late": ("keys moved right by one: off by one", "align columns with keys: column k is of position k"),
    "keys early": ("keys moved left by one: off by one", "align columns with keys: column k is of position k"),
    "both late": ("mask moved down and right by one: off by one", "a token was added at the front: mask it too"),
    "both early": ("mask moved up and left by one: off by one", "a token was removed at the front: cut the mask too"),
    "one key more": ("each interval of keys one longer: off by one", "compare with < instead of <="),
    "one key less": ("each interval of keys one shorter: off by one", "compare with <= instead of <"),
    "window": (
        "the mask, cut to the model's sliding window",
        "use a model without a sliding window, or put the window in the mask",
    ),
    "first table": ("table 0 of the pattern in every layer", "pass table l mod P to layer l, counted from 0"),
    "last table": ("the last table of the pattern in every layer", "pass table l mod P to layer l, counted from 0"),
    "reversed tables": ("the tables of the pattern in reverse", "pass table l mod P to layer l, counted from 0"),
    "blocks": (
        "complete blocks of 128 x 128: partial blocks taken for full",
        "create the BlockMask with its mask_mod and separate full blocks",
    ),
    "nothing": (
        "no attention: each position sees itself only",
        "check whether the mask is all False, or attention is switched off",
    ),
}
"""Name -> (description, remedy)."""


class Evidence(NamedTuple):
    """Which tested outputs depend on which inputs.

    Parameters
    ----------
    keys, queries : (K,), (Q,) int64
        The inputs that were changed and the outputs that were tested.
    columns : (K, N) bool
        Whether output n depends on input ``keys[i]``.
    rows : (Q, N) bool
        Whether output ``queries[i]`` depends on input n.
    judged : (N,) bool
        Which outputs are numbers.
    """

    keys: Int64Array
    queries: Int64Array
    columns: BoolArray
    rows: BoolArray
    judged: BoolArray


class Diagnosis(NamedTuple):
    """The known failure that explains the observed dependence.

    Parameters
    ----------
    name : str
        A name of ``FAILURES``, or "unknown".
    likeness : str
        Description of how the model behaves.
    remedy : str
    also : tuple of str
        Other names that explain it equally well.
    fit : float
        The part of the tested pairs that it explains, 1 for all of them.
    """

    name: str
    likeness: str
    remedy: str
    also: tuple[str, ...] = ()
    fit: float = 1.0

    @property
    def words(self) -> str:
        """Name, description and alternatives in one line."""
        if self.name == "unknown":
            return self.likeness
        return f"as if {self.likeness}" + (f" (or: {', '.join(self.also)})" if self.also else "")


def predict(mask: Mask, evidence: Evidence, layers: int | None) -> BoolArray:
    """Return what a model with this mask would show for the tested inputs and outputs, as one flat bool array."""
    size = mask.size
    if size <= FEW:
        flow = flow_matrix(mask.dense().reshape(-1, size, size), layers)
        return np.concatenate([flow[evidence.judged][:, evidence.keys].T.ravel(), flow[evidence.queries].ravel()])
    columns = [reachable_outputs(mask, np.arange(size) == key, layers)[evidence.judged] for key in evidence.keys]
    rows = [reachable_inputs(mask, np.arange(size) == query, layers) for query in evidence.queries]
    return np.concatenate([np.zeros(0, bool), *columns, *rows])


def flow_matrix(tables: BoolArray, layers: int | None) -> BoolArray:
    """Return which outputs may depend on which inputs: entry (q, k) of an (N, N) bool array.

    Parameters
    ----------
    tables : (P, N, N) bool
        The layer pattern.
    layers : int or None
        Number of layers; None: any number.

    Examples
    --------
    >>> chain = np.eye(3, dtype=bool) | np.eye(3, k=-1, dtype=bool)
    >>> [flow_matrix(chain[None], layers).sum(1).tolist() for layers in (1, None)]
    [[1, 2, 2], [1, 2, 3]]
    """
    identity = np.eye(tables.shape[-1], dtype=np.float32)  # each layer keeps a position's own state
    flow, layer, unchanged = identity, 0, 0
    while layer != layers and (layers is not None or unchanged < len(tables)):
        after = ((tables[layer % len(tables)] + identity) @ flow > 0).astype(np.float32)
        unchanged = unchanged + 1 if np.array_equal(after, flow) else 0
        flow, layer = after, layer + 1
    return flow > 0


def diagnose(
    mask: Mask, position_ids: Int64Array, evidence: Evidence, layers: int | None, window: int | None = None
) -> Diagnosis:
    """Return the failure that explains the evidence best; "unknown", with the nearest failure, if none does.

    Parameters
    ----------
    mask : Mask
        The right one.
    position_ids : (N,) int64
    evidence : Evidence
    layers : int or None
        Number of layers, None if unknown.
    window : int, optional
        The sliding window of the model's config, in tokens.
    """
    columns = (column[evidence.judged] for column in evidence.columns)
    measured = np.concatenate([np.zeros(0, bool), *columns, *evidence.rows])
    right = predict(mask, evidence, layers)
    scores: dict[str, tuple[bool, float]] = {}
    for name, other in failures(mask, position_ids, window):
        for depth in _depths(name, layers):
            expected = predict(other, evidence, depth)
            if name != "layers" and np.array_equal(expected, right):
                continue
            score = _score(measured, expected)
            scores[name] = max(score, scores.get(name, score))
        if mask.size > FEW and scores.get(name, (False, 0.0))[0]:
            break
    return _choose_best(scores, _score(measured, right)[1])


def _choose_best(scores: dict[str, tuple[bool, float]], right: float) -> Diagnosis:
    """Return the best fitting failure, or "unknown" with the nearest if that explains more than the right mask."""
    fitting = {name: part for name, (fits, part) in scores.items() if fits}
    if fitting:
        most = max(fitting.values())
        name, *also = (name for name, part in fitting.items() if part == most)
        return Diagnosis(name, *FAILURES[name], tuple(also), most)
    nearest = max(scores, key=lambda name: scores[name][1], default="")
    part = scores[nearest][1] if nearest else 0.0
    near = f'; the nearest is "{FAILURES[nearest][0]}", which explains {part:.0%}' if part > max(right, 0.5) else ""
    remedy = "follow the mask through the stack"
    return Diagnosis("unknown", f"no known failure explains this{near}", remedy, (), part)


def _score(measured: BoolArray, expected: BoolArray) -> tuple[bool, float]:
    """Return whether a failure fits (all movement explained, hardly any missing), and the part that agrees."""
    extra, hidden = int((measured & ~expected).sum()), int((expected & ~measured).sum())
    return extra == 0 and hidden <= HIDDEN * expected.sum(), 1 - (extra + hidden) / max(1, len(measured))


def _depths(name: str, layers: int | None) -> Sequence[int | None]:
    """Return the numbers of layers at which a failure is tried."""
    if name == "layers":
        return [] if layers is None else [depth for depth in range(1, layers + DEPTHS) if depth != layers]
    return [layers] if layers is not None else [*range(1, DEPTHS + 1), None]
