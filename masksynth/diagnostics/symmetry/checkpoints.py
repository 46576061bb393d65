"""Score several checkpoints in one call: models side by side, and training runs over their steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from masksynth.diagnostics.symmetry.scores import GAMMA, check_mode
from masksynth.diagnostics.symmetry.statements import OF_WEIGHTS
from masksynth.diagnostics.symmetry.weights import WeightDiagnosis, diagnose_weights
from masksynth.errors import InvalidInstance

STEP = re.compile(r"checkpoint-(\d+)$")
Found = tuple[str, tuple[tuple[int | None, Path], ...]]


@dataclass(frozen=True)
class Checkpoint:
    """Scores of a model at a step of its training.

    Parameters
    ----------
    step : int or None
        None where the name of the checkpoint is not checkpoint-<step>.
    scores : WeightDiagnosis
    """

    step: int | None
    scores: WeightDiagnosis


@dataclass(frozen=True)
class Series:
    """The checkpoints of one training run in the order of their steps, or one model.

    Parameters
    ----------
    name : str
    checkpoints : tuple of Checkpoint
    """

    name: str
    checkpoints: tuple[Checkpoint, ...]

    @property
    def last(self) -> WeightDiagnosis:
        """Scores of the last checkpoint."""
        return self.checkpoints[-1].scores


@dataclass(frozen=True)
class Comparison:
    """Scores of several models or runs.

    Parameters
    ----------
    mode : str
        Which directionality the field ``directionality`` of every checkpoint is.
    gamma : float
    series : tuple of Series
    """

    mode: str
    gamma: float
    series: tuple[Series, ...]

    def record(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        series = [
            {
                "name": run.name,
                "checkpoints": [{"step": each.step, **asdict(each.scores)} for each in run.checkpoints],
            }
            for run in self.series
        ]
        kind = "symmetry of checkpoints"
        rest = {"series": series, "statements": [one._asdict() for one in OF_WEIGHTS]}
        return {"diagnosis": kind, "mode": self.mode, "gamma": self.gamma, **rest}


def is_run(path: str | Path) -> bool:
    """Return whether a path is a folder with folders named checkpoint-<step>, as trainers write them."""
    return bool(_steps(Path(path)))


def diagnose_checkpoints(
    paths: Sequence[str | Path],
    *,
    mode: str = "sum",
    gamma: float = GAMMA,
    head_dim: int | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Comparison:
    """Score several checkpoints, each as `diagnose_weights` does; a folder of checkpoint-<step> folders is a run.

    Parameters
    ----------
    paths : sequence of path
        Checkpoints and runs. Folders checkpoint-<step> of one parent are one run, too. Weights that lie in the folder
        of a run itself are not read.
    mode : {"sum", "excess"}
    gamma : float
    head_dim : int, optional
    progress : callable
        Called with checkpoints done and all checkpoints.

    Raises
    ------
    InvalidInstance
        If there is nothing to score, a path is given twice, or as `diagnose_weights`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a", "b"):
    ...         names = (f"layer.{part}.weight" for part in ("query", "key"))
    ...         np.savez(f"{folder}/{name}.npz", **{each: rng.normal(size=(8, 8)) for each in names})
    ...     found = diagnose_checkpoints([f"{folder}/a.npz", f"{folder}/b.npz"])
    >>> [len(run.checkpoints) for run in found.series], found.series[0].checkpoints[0].step
    ([1, 1], None)
    """
    check_mode(mode, gamma)
    runs = find_runs(paths)
    total, done = sum(len(checkpoints) for _, checkpoints in runs), 0
    series = []
    for name, checkpoints in runs:
        scored = []
        for step, path in checkpoints:
            progress(done, total)
            scored.append(Checkpoint(step, diagnose_weights(path, mode=mode, gamma=gamma, head_dim=head_dim)))
            done += 1
        series.append(Series(name, tuple(scored)))
    return Comparison(mode, float(gamma), tuple(series))


def find_runs(paths: Sequence[str | Path]) -> list[Found]:
    """Return (name, ((step, path), ...)) of each run and each single checkpoint, in the order of the paths.

    Raises
    ------
    InvalidInstance
        If there is no path, or one is given twice.
    """
    if not paths:
        raise InvalidInstance("no checkpoint", "", "name at least one")
    named: dict[str, dict[int, Path]] = {}
    single: dict[str, Path] = {}
    order: list[str] = []
    for path in map(Path, paths):
        step = STEP.search(path.name)
        steps = _steps(path) or ({int(step[1]): path} if step and path.is_dir() else {})
        name = str(path.parent if step and not _steps(path) and path.is_dir() else path)
        if name in single or named.get(name, {}).keys() & steps.keys():
            raise InvalidInstance("is given twice", "", "name each checkpoint once", str(path))
        order += [name] if name not in named else []
        if steps:
            named.setdefault(name, {}).update(steps)
        else:
            single[name] = path
    found = [tuple(sorted(named[name].items())) if name in named else ((None, single[name]),) for name in order]
    return list(zip(_titles(order), found, strict=True))


def _titles(names: list[str]) -> list[str]:
    """Return the names without the folders that all of them share, unless that is the root alone."""
    parts = [Path(name).parts for name in names]
    shared = 0
    while len(names) > 1 and len({each[: shared + 1] for each in parts}) == 1:
        shared += 1
    if parts[0][:shared] == (Path(parts[0][0]).anchor,):
        return names
    return [str(Path(*each[shared:])) for each in parts]


def _steps(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a run by step; none for another folder."""
    if not folder.is_dir():
        return {}
    result: dict[int, Path] = {}
    for path in sorted(folder.glob("checkpoint-*")):
        match = STEP.search(path.name)
        if match and path.is_dir():
            other = result.setdefault(int(match[1]), path)
            if other != path:
                fact = f"{other.name} and {path.name} are of one step"
                raise InvalidInstance(fact, "", "name the checkpoints that belong to the run", str(folder))
    return result
