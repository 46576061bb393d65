"""Draw several masks side by side, the spectra of V of a checkpoint, and the final configurations by V."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from masksynth.diagnostics.clustering.figure import over_time, scale_counts, sphere_paths
from masksynth.draw.display_names import printable
from masksynth.draw.paper import PALETTE
from masksynth.draw.pictures import check_picture, write_figure
from masksynth.errors import InvalidInstance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from masksynth.diagnostics.clustering.clustering_record import Clustering
    from masksynth.diagnostics.clustering.model_heads import HeadSpectrum

PATHS = 8
"""Paths in a panel of configurations."""


def write_comparison(results: Mapping[str, Clustering], path: str | Path, *, force: bool = False) -> Path:
    """Draw clusters and the mean inner product over time for several masks.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``write_clustering``.
    """
    from masksynth.draw.paper import drawing

    target = check_picture(path, force)
    with drawing():
        return write_figure(_comparison(results), target, "Collapse of positions under several masks", force)


def _comparison(results: Mapping[str, Clustering]) -> Figure:
    figure = _figure(10, 3.8)
    left, right = figure.subplots(1, 2)
    for number, (name, result) in enumerate(results.items()):
        colour = PALETTE[number % len(PALETTE)]
        for axes, curve in ((left, result.clusters), (right, result.similarity)):
            if curve is not None:
                axes.fill_between(result.times, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
                axes.plot(result.times, curve.mean, color=colour, linewidth=1.3, label=printable(name)[:40])
    one = next(iter(results.values()))
    scale_counts(left, max(max(result.clusters.high) for result in results.values()), one.angle)
    right.set(ylim=(-0.1, 1.02), ylabel="mean inner product of two positions", title="1 is complete collapse")
    for axes in (left, right):
        over_time(axes, np.array(one.times))
    right.legend(frameon=False, loc="upper left")
    return figure


def write_spectra(found: Sequence[HeadSpectrum], path: str | Path, *, title: str = "", force: bool = False) -> Path:
    """Draw the eigenvalues of V of all heads in the complex plane, and the leading one of each by layer.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``write_clustering``.
    """
    from masksynth.draw.paper import drawing

    target = check_picture(path, force)
    with drawing():
        return write_figure(_spectra(found, title), target, "Eigenvalues of V of the heads of a model", force)


def _spectra(found: Sequence[HeadSpectrum], title: str) -> Figure:
    figure = _figure(10, 3.8)
    left, right = figure.subplots(1, 2)
    every = np.array([each for head in found for each in head.spectrum.eigenvalues])
    left.plot(every.real, every.imag, ".", color="0.75", markersize=2, label="all", rasterized=True)
    layers = np.array([head.layer for head in found])
    top = np.array([head.spectrum.leading for head in found])
    real = np.array([head.spectrum.real for head in found])
    for which, colour, label in ((real, "#0072b2", "leading, real"), (~real, "#d55e00", "leading, complex")):
        left.plot(top[which].real, top[which].imag, "o", color=colour, markersize=3, label=label)
        right.plot(layers[which], top[which].real, "o", color=colour, markersize=3, label=label)
    right.axhline(0, color="0.6", linewidth=0.8)
    left.set(xlabel="real part", ylabel="imaginary part", title=f"{printable(title)[:40]}: V of {len(found)} heads")
    right.set(xlabel="layer", ylabel="largest real part", title="above 0: points, below: clouds")
    left.legend(frameon=False)
    return figure


def write_configurations(results: Sequence[Clustering], path: str | Path, *, force: bool = False) -> Path:
    """Draw the paths of the first start for several V, one panel each, with the configuration that V predicts.

    Parameters
    ----------
    results : sequence of Clustering
        With ``paths``, on the sphere.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``write_clustering``; and for a record without paths or of another dimension than 3.
    """
    from masksynth.draw.paper import drawing

    target = check_picture(path, force)
    if any(result.paths is None or result.dim != 3 for result in results):
        raise InvalidInstance("expected records with paths and dimension 3", "", "make them with diagnose(paths=True)")
    with drawing():
        figure = _figure(2.6 * len(results), 3.3)
        for axes, result in zip(np.atleast_1d(figure.subplots(1, len(results))), results, strict=True):
            x = np.array(result.paths)
            sphere_paths(
                axes, x[np.linspace(0, len(x) - 1, min(len(x), PATHS)).astype(int)], np.array(result.times), [0]
            )
            kind = "V = I: one point" if result.value is None else result.value.configuration
            axes.set_title(f"{printable(result.setting)[:30]}\n{kind}", parse_math=False, fontsize=8)
        return write_figure(figure, target, "Final configurations by the leading eigenvalue of V", force)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=72, facecolor="white", layout="constrained")
