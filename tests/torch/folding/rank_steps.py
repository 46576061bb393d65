"""Folded and plain steps of two processes: data parallel and sharded."""

from __future__ import annotations

import faulthandler
import os
import warnings
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.parallel import DistributedDataParallel

from masksynth.errors import WrongAnswer
from masksynth.torch import fold, merged_logprobs
from masksynth.torch.folding import merge_call
from tests.torch.folding.rows import Rows, apart, pad, step, texts
from tests.torch.model_zoo import EXACT, make_model

RANKS = 2
ALONE = pad([[5, 6, 7, 8], [9, 10, 11], [20, 21]])
"""Rows that share nothing."""
PADS = Rows(ALONE.input_ids, torch.zeros_like(ALONE.attention_mask))
"""Rows without a token."""


def shard(model: Any, backbone: bool) -> Any:
    for layer in model.model.layers:
        fully_shard(layer)
    if backbone:
        fully_shard(model.model)
    return fully_shard(model)


WRAPPERS = {
    "DDP": DistributedDataParallel,
    "FSDP2": lambda model: shard(model, False),
    "FSDP2, backbone too": lambda model: shard(model, True),
}


FIRST_FSDP = {
    "FSDP1": {"layers": False, "original": False},
    "FSDP1, layers": {"layers": True, "original": True},
    "FSDP1, layers, bfloat16": {"layers": True, "original": False, "dtype": torch.bfloat16},
}
"""How the first FSDP wraps a folded model: its layers too or not, with its own parameters or flat ones."""


def run(folder: str) -> dict[str, Any]:
    """Return what each rank has found, by rank and case."""
    torch.multiprocessing.spawn(_rank, (folder,), RANKS)
    return {rank: torch.load(f"{folder}/{rank}.pt") for rank in range(RANKS)}


def _rank(rank: int, folder: str) -> None:
    faulthandler.dump_traceback_later(120, exit=True)  # a rank that waits forever fails the test and says where
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    results = {name: _compare(rank, name) for name in WRAPPERS}
    for name, rows in (("uneven", ALONE), ("pads", PADS)):
        results[name] = _compare(rank, "FSDP2", rows if rank else None)
    for name, options in FIRST_FSDP.items():
        results[name] = _compare_flat(rank, **options)
    results["not folded"] = {name: _score_unfolded(rank, name) for name in WRAPPERS}
    results["fault"] = _plant_fault(rank)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()  # a rank that leaves first may end the other's connections
    os._exit(0)  # models in cycles hold the group; torch (2.13) may abort where the interpreter ends its threads


def _compare(rank: int, name: str, rows: Rows | None = None) -> tuple[float, int, int, float]:
    """Return (difference of a second step, folded calls, checks, difference of log-probabilities)."""
    rows = rows or pad(texts(rank))
    results = []
    for folds in (False, True):
        model = WRAPPERS[name](make_model(EXACT["Mistral, window"], "sdpa").train())
        folded = fold(model) if folds else None
        step(model, rows)
        terms, gradients = step(model, rows)
        whole = [part.full_tensor() if hasattr(part, "full_tensor") else part for part in gradients]
        results.append((terms, whole))
    scored = merged_logprobs(model, *rows)
    unlike = (scored.log_probs - terms).masked_fill(~scored.label_mask, 0)
    apart_scored = (unlike.abs().max() / terms.abs().max().clamp_min(1e-9)).item()
    report = folded.report()
    return apart(results[1], results[0]), report.folded, report.checks, apart_scored


def _compare_flat(
    rank: int, layers: bool, original: bool, dtype: torch.dtype | None = None
) -> tuple[float, int, int, float]:
    """Return (difference of losses, folded calls, checks, difference of parameters) after two steps and an evaluation.

    The model is folded before it is wrapped. In the evaluation one rank has rows that share nothing.
    """
    rows, results = pad(texts(rank)), []
    for folds in (False, True):
        model = make_model(EXACT["Mistral, window"], "sdpa", torch.float32).train()
        folded = fold(model) if folds else None
        policy = ModuleWrapPolicy({type(model.model.layers[0])}) if layers else None
        mixed = None if dtype is None else MixedPrecision(param_dtype=dtype)
        options = {"use_orig_params": original, "mixed_precision": mixed, "device_id": torch.device("cpu")}
        model = FullyShardedDataParallel(model, auto_wrap_policy=policy, **options)
        optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
        for _ in range(2):
            optimizer.zero_grad()
            loss = model(**rows._asdict(), labels=rows.input_ids.masked_fill(rows.attention_mask == 0, -100)).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            model.eval()(**(ALONE if rank else rows)._asdict())
        with FullyShardedDataParallel.summon_full_params(model):
            results.append((torch.tensor(losses), torch.cat([part.detach().flatten() for part in model.parameters()])))
    values, parameters = (float((a - b).abs().max()) for a, b in zip(*results, strict=True))
    report = folded.report()
    return values, report.folded, report.checks, parameters


def _score_unfolded(rank: int, name: str) -> float:
    """Return the difference of log-probabilities and gradients from a plain step; the second rank has no labels."""
    rows = PADS if rank else pad(texts(rank))
    plain, model = (WRAPPERS[name](make_model(EXACT["Llama"], "sdpa").train()) for _ in range(2))
    theirs = step(plain, rows)
    terms = merged_logprobs(model, *rows).log_probs
    (terms * torch.arange(1, len(terms) + 1)[:, None]).sum().backward()
    gradients = [part.grad for part in model.parameters()]
    whole = [[p.full_tensor() if hasattr(p, "full_tensor") else p for p in part] for part in (gradients, theirs[1])]
    return apart((terms.detach(), whole[0]), (theirs[0], whole[1]))


def _plant_fault(rank: int) -> str:
    """Return the error of each rank if one of them alone makes a wrong mask."""
    plain = merge_call.model_mask
    if rank:
        merge_call.model_mask = lambda *arguments: plain(*arguments) | True
    model = WRAPPERS["FSDP2"](make_model(EXACT["Llama"], "sdpa").train())
    try:
        with fold(model):
            step(model, pad(texts(rank)))
    except WrongAnswer as error:
        return str(error)
    finally:
        merge_call.model_mask = plain
    return ""
