"""Train small models under three masks and draw how symmetric W_qk becomes, for two kinds of text.

python -m examples.symmetry_training curves.svg --order 2 --steps 600

The command `masksynth diagnose symmetry --train` does the same for text of order 1. The models and the training
loop are in `masksynth.diagnostics.symmetry.torch_training`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from masksynth.diagnostics.symmetry.figure import draw_symmetry
from masksynth.diagnostics.symmetry.torch_training import STEPS, train_masks


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print one line per mask, and write the curves of loss and symmetry to a picture."""
    parser = ArgumentParser(description="Train small models under three masks; needs torch and matplotlib.")
    parser.add_argument("picture", help="SVG, PNG or PDF file with the curves; replaced if it exists")
    parser.add_argument("--order", type=int, default=1, help="words before the next one that determine it: 1 or 2")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs per mask and start")
    options = parser.parse_args(arguments)
    result = train_masks(seeds=options.seeds, steps=options.steps, order=options.order)
    draw_symmetry(result, options.picture, force=True)
    for trend in result.trends:
        print(f"{trend.mask}: reciprocity {trend.reciprocity:.3f}, symmetry {trend.last:.3f} after a random start")


if __name__ == "__main__":
    main()
