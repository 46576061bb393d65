"""Score several checkpoints in one call: models side by side, and training runs over their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from masksynth.diagnostics.symmetry.run_folders import find_runs, seedless
from masksynth.diagnostics.symmetry.scores import GAMMA, check_mode
from masksynth.diagnostics.symmetry.statements import OF_WEIGHTS
from masksynth.diagnostics.symmetry.weights import WeightDiagnosis, diagnose_weights


@dataclass(frozen=True)
class Checkpoint:
    """Scores of a model at a step of its training.

    Parameters
    ----------
    step : int or None
        None where the name of the checkpoint does not end in one, as checkpoint-100, step_100 or epoch_3 do.
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

    @property
    def family(self) -> str:
        """The name that runs of several seeds share, the name itself of others."""
        return seedless(self.name)


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
        Checkpoints and runs. Folders checkpoint-<step> of one parent are one run, too, and a folder of runs seed-<n>
        is all of these. Weights that lie in the folder of a run itself are not read, nor are those under other names.
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
