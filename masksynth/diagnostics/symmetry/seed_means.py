"""Average the scores of runs that differ by their seeds alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from masksynth.diagnostics.symmetry.checkpoints import Checkpoint, Series
from masksynth.diagnostics.symmetry.weights import LayerScores, WeightDiagnosis

SCORES = ("symmetry", "directionality", "directionality_sum", "directionality_excess")


class Family(NamedTuple):
    """A run, or the mean of several by seed, and the runs themselves."""

    mean: Series
    members: tuple[Series, ...]

    @property
    def name(self) -> str:
        """The name of the run, or what the names of several have in common."""
        return self.members[0].family if len(self.members) > 1 else self.mean.name


def families(series: Sequence[Series]) -> list[Family]:
    """Return the runs, those of one family as one: same steps, same layers, names that differ by the seed alone.

    The mean has for each step, layer and head the mean of the members' scores; its medians are means of their medians.
    """
    named: dict[str, list[Series]] = {}
    for run in series:
        named.setdefault(run.family, []).append(run)
    result = []
    for name, members in named.items():
        if len(members) > 1 and len({_shape(run) for run in members}) == 1:
            result.append(Family(_mean(name, members), tuple(members)))
        else:
            result += [Family(run, (run,)) for run in members]
    return result


def _shape(run: Series) -> tuple[Any, ...]:
    """Return steps, names of layers and numbers of heads."""
    return tuple(
        (each.step, tuple((layer.name, layer.heads) for layer in each.scores.layers)) for each in run.checkpoints
    )


def _mean(name: str, members: Sequence[Series]) -> Series:
    checkpoints = [
        Checkpoint(several[0].step, _mean_scores([each.scores for each in several]))
        for several in zip(*(run.checkpoints for run in members), strict=True)
    ]
    return Series(f"{name}, {len(members)} seeds", tuple(checkpoints))


def _mean_scores(several: Sequence[WeightDiagnosis]) -> WeightDiagnosis:
    layers = tuple(_mean_layer(each) for each in zip(*(scores.layers for scores in several), strict=True))
    return replace(several[0], layers=layers, **_means(several, SCORES))


def _mean_layer(several: Sequence[LayerScores]) -> LayerScores:
    heads: dict[str, Any] = {
        f"head_{name}": tuple(
            _average(each) for each in zip(*(getattr(layer, f"head_{name}") for layer in several), strict=True)
        )
        for name in SCORES
    }
    return replace(several[0], **_means(several, SCORES), **heads)


def _means(several: Sequence[LayerScores | WeightDiagnosis], names: Sequence[str]) -> dict[str, Any]:
    return {name: _average([getattr(each, name) for each in several]) for name in names}


def _average(values: Sequence[float | None]) -> float | None:
    """Return the mean of the scores that are defined."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
