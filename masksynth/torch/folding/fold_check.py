"""When merged rows are compared with the model's own runs, and on which ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist

from masksynth.errors import WrongAnswer
from masksynth.torch.folding.call_arguments import Call
from masksynth.torch.folding.compare_rows import choose_rows
from masksynth.torch.folding.merge_call import Merged
from masksynth.torch.folding.model_facts import ModelFacts
from masksynth.torch.folding.sharded_modules import is_sharded
from masksynth.torch.folding.token_rows import TokenRows

Setting = tuple[Any, ...]
LENGTHS = tuple(2**power for power in range(25))
"""A backbone is checked again when its longest row first exceeds one of them: layers may depend on the length."""


class Checked(NamedTuple):
    """What was checked for one backbone, for each setting: (attention, dtype, device, training or not, parts).

    Parameters
    ----------
    here : set of (setting, int)
        Length from which rows were checked: 0 for any merged row, W for rows longer than a window or chunk of W.
    everywhere : set of (setting, int)
        Those that all ranks have agreed on.
    """

    here: set[tuple[Setting, int]]
    everywhere: set[tuple[Setting, int]]


_CHECKED: WeakKeyDictionary[torch.nn.Module, Checked] = WeakKeyDictionary()
"""By backbone, so that it is remembered for the model, however often it is folded; copies are checked anew."""


def check_call(
    backbone: torch.nn.Module,
    call: Call,
    rows: TokenRows,
    merged: Merged | str,
    facts: ModelFacts | None,
    compare: Callable[[TokenRows], str | None],
) -> int:
    """Compare a row of a call with the model's own run, if there is something that was not compared before.

    Parameters
    ----------
    backbone : torch.nn.Module
    call : Call
    rows : TokenRows
        All rows of the call.
    merged : Merged or str
        The merged call, or the reason why it is none.
    facts : ModelFacts or None
    compare : callable
        Rows, the compared one first -> what is wrong, or None.

    Returns
    -------
    int
        Number of comparisons: 0 or 1.

    Raises
    ------
    WrongAnswer
        If the merged row is not that of the model's own run, on this rank or another.
    """
    checked = _CHECKED.setdefault(backbone, Checked(set(), set()))
    joint = _runs_jointly(backbone)
    setting = (*(facts.setting if facts is not None else _setting(backbone)), backbone.training)
    setting += (count_parts(backbone, hooks=not joint),)
    sizes = _sizes(facts)
    longest = int(rows.index.max(initial=-1)) + 1
    wanted = {size for size in sizes if (size < longest and not isinstance(merged, str))}
    wanted -= {size for size in sizes if (setting, size) in checked.here}
    if joint:
        open_sizes = [size for size in sizes if (setting, size) not in checked.everywhere]
        wanted = _wanted_anywhere(open_sizes, wanted, call.ids.device)
    if not wanted:
        return 0
    places = None if isinstance(merged, str) else merged.places
    wrong = compare(rows.select(choose_rows(rows, places, max(wanted))) if len(rows) else rows)
    if joint and wrong is None and _any_rank(False, call.ids.device):
        wrong = "the comparison failed on another rank"
    elif joint and wrong is not None:
        _any_rank(True, call.ids.device)
    if wrong is not None:
        name = type(backbone).__name__
        raise WrongAnswer("fold", f"{wrong}: merged rows of {name} are not exact; train it without fold")
    done = {(setting, size) for size in wanted}
    checked.here.update(done)
    checked.everywhere.update(done if joint else ())
    return 1


def _setting(backbone: torch.nn.Module) -> Setting:
    first = next(backbone.parameters(), torch.empty(0))
    return first.dtype, first.device


def count_parts(backbone: torch.nn.Module, hooks: bool) -> int:
    """Return how many modules a backbone has; with the hooks on them, which one rank may have and others not.

    Examples
    --------
    >>> count_parts(torch.nn.Sequential(torch.nn.Linear(2, 2)), hooks=False)
    2
    """
    parts = list(backbone.modules())
    return len(parts) + sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts) * hooks


def _sizes(facts: ModelFacts | None) -> list[int]:
    """Return 0, powers of two, and the windows and chunks of a model where they are known, ascending."""
    reaches = set() if facts is None else set(facts.record().layers)
    known = {size for reach in reaches for size in (reach.window, reach.chunk) if size is not None}
    return sorted({0, *LENGTHS, *known})


def _runs_jointly(backbone: torch.nn.Module) -> bool:
    """Return whether all ranks call the backbone at the same time: in training, or where it is sharded."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return False
    return is_sharded(backbone) or (backbone.training and torch.is_grad_enabled())


def _wanted_anywhere(sizes: list[int], wanted: set[int], device: torch.device) -> set[int]:
    """Return the sizes that some rank wants to check."""
    if not sizes:
        return set()
    flags = torch.tensor([int(size in wanted) for size in sizes], device=_meeting_device(device))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return {size for size, flag in zip(sizes, flags.tolist(), strict=True) if flag}


def _any_rank(flag: bool, device: torch.device) -> bool:
    flags = torch.tensor([int(flag)], device=_meeting_device(device))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags.item())


def _meeting_device(device: torch.device) -> torch.device:
    """Return where the process group exchanges small tensors: NCCL only on a GPU."""
    return device if "nccl" in dist.get_backend() else torch.device("cpu")
