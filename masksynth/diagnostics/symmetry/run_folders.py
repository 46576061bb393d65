"""Find the checkpoints of training runs by the names that trainers give to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from masksynth.diagnostics.symmetry.weight_files import PICKLED, weight_files
from masksynth.errors import InvalidInstance

STEP = re.compile(r"(?:^|[-_=.])(checkpoint|ckpt|global_step|step|epoch|iter)[-_=]?(\d+)$")
"""The end of a checkpoint's name: checkpoint-100, step_100, global_step100, epoch=3-step=100, epoch_3."""
SEED = re.compile(r"seed[-_=]?\d+$")
"""Names of runs that differ by their random numbers alone."""
FILES = (".safetensors", ".npz", *PICKLED)
Found = tuple[str, tuple[tuple[int | None, Path], ...]]


def is_run(path: str | Path) -> bool:
    """Return whether a path is a folder of checkpoints whose names end in their steps, or of such folders by seed."""
    return bool(run_steps(Path(path)) or _seeds(Path(path)))


def find_runs(paths: Sequence[str | Path]) -> list[Found]:
    """Return (name, ((step, path), ...)) of each run and each single checkpoint, in the order of the paths.

    Raises
    ------
    InvalidInstance
        If there is no path, one is given twice, or a folder has two checkpoints of one step or of two counts.
    """
    if not paths:
        raise InvalidInstance("no checkpoint", "", "name at least one")
    named: dict[str, dict[int, Path]] = {}
    single: dict[str, Path] = {}
    order: list[str] = []
    for path in (run for given in map(Path, paths) for run in _seeds(given) or [given]):
        inside = run_steps(path)
        own = None if inside else _step(path)
        steps = inside or ({int(own[2]): path} if own else {})
        name = str(path.parent if own else path)
        if name in single or named.get(name, {}).keys() & steps.keys():
            raise InvalidInstance("is given twice", "", "name each checkpoint once", str(path))
        order += [name] if name not in named else []
        if steps:
            named.setdefault(name, {}).update(steps)
        else:
            single[name] = path
    found = [tuple(sorted(named[name].items())) if name in named else ((None, single[name]),) for name in order]
    return list(zip(_titles(order), found, strict=True))


def run_steps(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in a folder by step; none for a folder that is one checkpoint itself.

    Raises
    ------
    InvalidInstance
        If two are of one step, or their numbers count different things.
    """
    if not folder.is_dir():
        return {}
    found = [(match, path) for path in sorted(folder.iterdir()) if (match := _step(path))]
    if any(not _step(path) for path in weight_files(folder)):
        # a trainer's output with its last weights; or a checkpoint, beside the state of its optimizer in global_step*
        found = [(match, path) for match, path in found if match[1] == "checkpoint" and path.is_dir()]
    result: dict[int, Path] = {}
    for match, path in found:
        if match[1] != found[0][0][1]:
            fact = f"{found[0][1].name} and {path.name} count different things"
            raise InvalidInstance(fact, "", "name the checkpoints of one kind", str(folder))
        other = result.setdefault(int(match[2]), path)
        if other != path:
            fact = f"{other.name} and {path.name} are of one step"
            raise InvalidInstance(fact, "", "name the checkpoints that belong to the run", str(folder))
    return result


def seedless(name: str) -> str:
    """Return the name that runs of several seeds share; "runs" where a seed is all there is.

    Examples
    --------
    >>> seedless("runs/bert/seed-2"), seedless("runs/bert"), seedless("seed-2")
    ('runs/bert', 'runs/bert', 'runs')
    """
    path = Path(name)
    if not SEED.search(path.name):
        return name
    return str(path.parent) if path.parent.name else "runs"


def _seeds(folder: Path) -> list[Path]:
    """Return the runs in a folder of runs by seed."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if SEED.search(path.name) and run_steps(path)]


def _step(path: Path) -> re.Match[str] | None:
    """Return the kind and number at the end of a checkpoint's name; None for other files and folders."""
    if path.is_dir():
        return STEP.search(path.name)
    return STEP.search(path.stem) if path.suffix in FILES else None


def _titles(names: list[str]) -> list[str]:
    """Return the names without the folders that all of them share, unless that is the root alone; seeds keep theirs."""
    parts = [Path(name).parts for name in names]
    most = min(len(each) - 1 - bool(SEED.search(each[-1])) for each in parts) if len(names) > 1 else 0
    shared = 0
    while shared < most and len({each[: shared + 1] for each in parts}) == 1:
        shared += 1
    if parts[0][:shared] == (Path(parts[0][0]).anchor,):
        return names
    return [str(Path(*each[shared:])) for each in parts]
