"""Compare a merged row with the model's own run of it: values, and how it depends on the tokens of other rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.mask.typing import Int64Array
from masksynth.torch.folding.call_arguments import Call
from masksynth.torch.folding.default_positions import last_hidden
from masksynth.torch.folding.merge_call import Limits, Masks, merge_rows
from masksynth.torch.folding.model_facts import ModelFacts
from masksynth.torch.folding.quiet_runs import keep_embeddings, without_randomness
from masksynth.torch.folding.sharded_modules import gathered_again, has_flat_parameters, is_sharded, run_inside
from masksynth.torch.folding.token_rows import TokenRows
from masksynth.torch.folding.unfold_outputs import unfold_tensor

TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-3, torch.float16: 2e-2, torch.bfloat16: 6e-2}
"""Largest difference of hidden states of equal rows, relative to their norm; rotary tables are float32 everywhere."""
CHANGE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 1e-3}
"""Largest difference if other rows have other tokens: the same products of the same sizes, so 0 was measured."""
GROUPING = ("expert", "moe", "router", "quant", "8bit", "int8", "float8", "fp8")
"""Parts of names of modules that group or scale the tokens of all rows together, so that rounding depends on them: half
of the tokens must agree, to 10 times as much."""
ALONG = 16
"""Most tokens of a row that is run because other ranks run one."""
PARTNERS = 3
"""Most rows that are merged with the compared one."""


def choose_rows(rows: TokenRows, places: Int64Array | None, least: int = 0) -> Int64Array:
    """Return the rows of a comparison: the compared one first, then rows that share a prefix with it.

    The compared row is, among those that share a prefix, the one that comes last in the merged order, since those that
    come first are exact in every faulty model.

    Parameters
    ----------
    rows : TokenRows
    places : (U,) int64 array or None
        The merged position of each token; None if the call is not merged.
    least : int
        Rows whose index goes so far come before others: a window or chunk cuts them.
    """
    length, first = rows.length, rows.offset[:-1]
    if places is None:
        return np.argsort(-length, kind="stable")[:2]
    count = np.bincount(places)
    shares = np.add.reduceat(count[places] > 1, first) > 0
    reaches = rows.index[rows.offset[1:] - 1] >= least
    last = places[rows.offset[1:] - 1]
    row = rows.place[first] // rows.shape[1]
    follows = np.append(False, row[1:] == row[:-1])  # packed behind another, which the model may let it see
    chosen = int(np.lexsort((last, follows, shares, reaches))[-1])
    path = places[rows.offset[chosen] : rows.offset[chosen + 1]]
    common = np.add.reduceat(np.isin(places, path), first)
    order = np.lexsort((last, -common))  # those that share most; among them those that come first
    return np.append(chosen, order[order != chosen][:PARTNERS])


def compare_rows(
    root: torch.nn.Module,
    backbone: Any,
    call: Call,
    rows: TokenRows,
    facts: ModelFacts | None,
    masks: Masks | None,
    limits: Limits,
) -> str | None:
    """Return what is wrong with the first of some rows when they are merged, or None.

    Parameters
    ----------
    root, backbone : torch.nn.Module
        The outermost module that is known, and the one that is folded.
    call : Call
        The call that the rows are from.
    rows : TokenRows
        The compared row, then others.
    facts, masks
        As for ``merge_rows``.
    limits : Limits
        Its ``max_length`` holds.
    """
    merged = merge_rows(call, rows, facts, masks, Limits(limits.max_length, 0)) if len(rows) else "ratio"
    derivable = not has_flat_parameters(backbone) and not _lacks_backward(call, facts)
    if isinstance(merged, str):
        if is_sharded(backbone):
            _run_along(root, backbone, call, derivable)
        return None
    size, device = int(rows.offset[1]), call.ids.device
    row, ids, focus = (
        int(rows.place[0]) // call.ids.shape[1],
        merged.arguments["input_ids"],
        _focus(merged.places, size),
    )
    columns = torch.from_numpy(rows.place[:size] % call.ids.shape[1]).to(device)
    path = torch.from_numpy(merged.places[:size]).to(device)

    def run(tokens: Tensor) -> Tensor:
        hidden = last_hidden(run_inside(backbone, {**merged.arguments, "input_ids": tokens}))
        return unfold_tensor(hidden, merged.unfolding)[row, columns]

    with without_randomness(backbone), gathered_again(root, backbone):
        with torch.no_grad():
            number, arguments = _own_arguments(call, rows, facts)
            own = last_hidden(run_inside(backbone, arguments))[number, columns]
            states = run(ids), run(_replace_others(ids, path))
        with torch.set_grad_enabled(derivable), keep_embeddings(backbone, ids) as leaves:
            ours = run(ids)
            dtype = _coarsest(backbone, ours, leaves)
            wrong = _describe_values(ours.detach(), own, focus, dtype) or _describe_change(backbone, *states, dtype)
            if leaves and ours.requires_grad:  # also if values are wrong: other ranks wait for the backward pass
                leak = _describe_leak(ours, leaves, path)
                wrong = wrong or leak
    return wrong


def _lacks_backward(call: Call, facts: ModelFacts | None) -> bool:
    """Return whether the attention has no backward pass, as FlexAttention on a CPU."""
    return call.ids.device.type == "cpu" and facts is not None and facts.record().attention == "flex"


def _run_along(root: torch.nn.Module, backbone: Any, call: Call, derivable: bool) -> None:
    """Run a backbone as often as a comparison does: ranks that compare wait for its shards of the parameters."""
    ids = call.ids[:1, :ALONG]
    with without_randomness(backbone), gathered_again(root, backbone):
        with torch.no_grad():
            for _ in range(3):
                run_inside(backbone, {**call.others, "input_ids": ids})
        with torch.set_grad_enabled(derivable), keep_embeddings(backbone, ids) as leaves:
            output = last_hidden(run_inside(backbone, {**call.others, "input_ids": ids}))
            if leaves and output.requires_grad:
                torch.autograd.grad(output.sum(), leaves, allow_unused=True)


def _own_arguments(call: Call, rows: TokenRows, facts: ModelFacts | None) -> tuple[int, dict[str, Any]]:
    """Return the number of the compared row in a call of the model's own, and the arguments of that call.

    The call has the rows of the comparison, the compared one last: merged it is the first, so that a model in which
    the number of a row matters differs. It has all rows if rotary frequencies depend on all.
    """
    numbers = rows.place[rows.offset[:-1]] // call.ids.shape[1]
    others = np.unique(numbers[numbers != numbers[0]])
    if facts is not None and facts.record().rope_limit is not None:
        others = np.setdiff1d(np.arange(len(call.ids)), numbers[:1])
    part = torch.from_numpy(np.append(others, numbers[0])).to(call.ids.device)
    arguments = {**call.others, **call.types_of(call.ids[part]), "input_ids": call.ids[part]}
    if call.mask is not None:
        arguments["attention_mask"] = call.mask[part]
    if call.positions is not None:
        shared = call.positions.shape[-2] != len(call.ids)
        arguments["position_ids"] = call.positions if shared else call.positions[..., part, :]
    if call.use_cache is not None:
        arguments["use_cache"] = call.use_cache
    return len(part) - 1, arguments


def _replace_others(ids: Tensor, path: Tensor) -> Tensor:
    """Return merged token ids in which all but those of a path are others of the same path, where it has several."""
    flat = ids.reshape(-1)
    own = flat[path]
    given = own[(7 * torch.arange(len(flat), device=ids.device) + 3) % len(path)]
    given = torch.where(given == flat, own[(own != own[0]).to(torch.int8).argmax()], given)
    return given.index_copy(0, path, own).reshape(ids.shape)


def _focus(places: Int64Array, size: int) -> Int64Array:
    """Return the tokens of the compared row that no other row shares; all if there are none."""
    alone = np.flatnonzero(np.bincount(places)[places[:size]] == 1)
    return alone if len(alone) else np.arange(size)


def _coarsest(backbone: torch.nn.Module, ours: Tensor, leaves: list[Tensor]) -> torch.dtype:
    """Return the coarsest dtype that took part in a run: of parameters, embeddings, outputs or autocast."""
    dtypes = [part.dtype for part in (ours, *leaves, *backbone.parameters()) if part.is_floating_point()]
    if torch.is_autocast_enabled(ours.device.type):
        dtypes.append(torch.get_autocast_dtype(ours.device.type))
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)


def _describe_values(ours: Tensor, own: Tensor, focus: Int64Array, dtype: torch.dtype) -> str | None:
    """Return how far the hidden states of a row are from the model's own, if that is more than rounding."""
    apart = _distance(ours, own, own)[torch.from_numpy(focus).to(own.device)]
    # in half precision single tokens may be routed to other experts: most must agree, otherwise all
    exact = torch.finfo(dtype).eps <= torch.finfo(torch.float32).eps
    most, allowed = float(apart.max() if exact else apart.median()), TOLERANCE.get(dtype, 1e-1)
    if most <= allowed:
        return None
    return f"hidden states differ from the model's own run of the row by {most:.2g} ({dtype} allows {allowed:g})"


def _describe_change(backbone: Any, ours: Tensor, elsewhere: Tensor, dtype: torch.dtype) -> str | None:
    """Return how far a row moves with the tokens of other rows, also where no derivative shows it; None: rounding."""
    names = {type(part).__name__.lower() for part in backbone.modules()}
    grouped = any(word in name for name in names for word in GROUPING)
    apart, allowed = _distance(ours, elsewhere, ours), CHANGE.get(dtype, 1e-3) * (10 if grouped else 1)
    most = float(apart.median() if grouped else apart.max())
    if most <= allowed:
        return None
    return f"hidden states differ by {most:.2g} for other tokens of other rows ({dtype} allows {allowed:g})"


def _distance(a: Tensor, b: Tensor, unit: Tensor) -> Tensor:
    """Return the distance of the states of each token, in units of the root mean square norm of ``unit``."""
    scale = unit.double().square().sum(-1).mean().sqrt().clamp_min(1e-30)
    return (a.double() - b.double()).square().sum(-1).sqrt() / scale


def _describe_leak(ours: Tensor, leaves: list[Tensor], path: Tensor) -> str | None:
    """Return the largest derivative of a row's hidden states by tokens outside the row, unless it is exactly 0."""
    weight = (
        torch.arange(ours.numel(), device=ours.device, dtype=torch.float32).cos().to(ours.dtype).reshape(ours.shape)
    )
    gradients = torch.autograd.grad((ours * weight).sum(), leaves, allow_unused=True)
    for gradient in gradients:
        if gradient is None:
            continue
        flat = gradient.detach().double().abs().flatten(0, 1).flatten(1)
        outside = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
        outside[path] = False
        if not bool((flat[outside] == 0).all()):  # NaN too
            return f"hidden states depend on tokens of other rows (derivative {float(flat[outside].max()):.2g})"
    return None
