"""Figures of the pages on diagnoses: ``python docs/diagnostics.py`` draws all into docs/diagnostics/, with a page's name its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
LARGEST = 100_000
"""Most bytes of a figure."""


def clustering(folder: Path) -> list[Path]:
    """The paper's setting on the circle, and a merged mask of the catalogue on the sphere."""
    import masksynth as ms
    from masksynth.diagnostics.clustering import causal_mask, diagnose
    from masksynth.draw.clusteringfigure import write_clustering

    merged = ms.solve(ms.catalog.butterfly(n=8)).merged
    assert merged is not None
    circle = diagnose(causal_mask(200), beta=64.0, dim=2, seeds=32, time=150.0, paths=True)
    sphere = diagnose(merged.mask, beta=4.0, seeds=32, time=300.0, paths=True)
    return [
        write_clustering(circle, folder / "clustering-circle.svg", title="causal 200", force=True),
        write_clustering(sphere, folder / "clustering-sphere.svg", title="butterfly, n = 8", force=True),
    ]


PAGES: dict[str, Callable[[Path], list[Path]]] = {"clustering": clustering}
"""Page -> what draws its figures into a folder and returns their paths."""


def main(names: list[str]) -> None:
    """Write the figures of the pages, all of them where none is named."""
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
