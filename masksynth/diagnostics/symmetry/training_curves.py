"""Record curves of loss and symmetry by mask, start and seed, and average them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from masksynth.diagnostics.symmetry.speedup import speed_up

STARTS = ("random", "symmetric")


@dataclass(frozen=True)
class Curve:
    """Curves of one run.

    Parameters
    ----------
    mask : str
    start : str
        ``random``, or ``symmetric`` where W_q began as a copy of W_k.
    seed : int
    loss : tuple of float
        On texts that are not trained on, at each recorded step.
    symmetry : tuple of float
        Mean of the layers' symmetry scores.
    """

    mask: str
    start: str
    seed: int
    loss: tuple[float, ...]
    symmetry: tuple[float, ...]


@dataclass(frozen=True)
class Trend:
    """Averages over the runs of one mask.

    Parameters
    ----------
    mask : str
    reciprocity : float
        Reciprocity of the mask: the limit for one update with errors of equal size, not a predicted trained score.
    last : float
        Mean over seeds of the last symmetry score after a random start.
    spread : float
        Its standard deviation over seeds.
    last_symmetric : float
        The same mean after a symmetric start.
    loss, loss_symmetric : float
        Mean last losses.
    speed_up : float
        Mean over seeds of `speed_up` by the symmetric start, from step 0 on.
    """

    mask: str
    reciprocity: float
    last: float
    spread: float
    last_symmetric: float
    loss: float
    loss_symmetric: float
    speed_up: float


@dataclass(frozen=True)
class TrainingDiagnosis:
    """Result of training small models under several masks.

    Parameters
    ----------
    model : str
        The model and its text in words.
    steps : tuple of int
        Steps at which the curves are recorded; the first is 0, before training.
    curves : tuple of Curve
    trends : tuple of Trend
    """

    model: str
    steps: tuple[int, ...]
    curves: tuple[Curve, ...]
    trends: tuple[Trend, ...]

    def record(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return {"diagnosis": "symmetry in training", **asdict(self)}


def trend(curves: tuple[Curve, ...], mask: str, reciprocity: float) -> Trend:
    """Return the averages for one mask from curves of both starts of every seed.

    Examples
    --------
    >>> plain = Curve("causal", "random", 0, (3.0, 2.0, 1.0), (0.0, 0.1, 0.2))
    >>> other = Curve("causal", "symmetric", 0, (3.0, 0.9, 0.8), (1.0, 0.5, 0.25))
    >>> found = trend((plain, other), "causal", 0.2)
    >>> found.last, found.spread, round(found.speed_up, 3)  # below 1.0 from the second of three entries on
    (0.2, 0.0, 0.667)
    """
    chosen = [curve for curve in curves if curve.mask == mask]
    plain, other = ([curve for curve in chosen if curve.start == start] for start in STARTS)
    last = [curve.symmetry[-1] for curve in plain]
    return Trend(
        mask,
        reciprocity,
        fmean(last),
        stdev(last) if len(last) > 1 else 0.0,
        fmean(curve.symmetry[-1] for curve in other),
        fmean(curve.loss[-1] for curve in plain),
        fmean(curve.loss[-1] for curve in other),
        fmean(speed_up(curve.loss, two.loss) for curve, two in zip(plain, other, strict=True)),
    )
