"""``masksynth diagnose symmetry``: score attention weights, and predict what a mask does to them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.terminal import (
    BATCH,
    JSON,
    LENGTH,
    QUIET,
    count,
    input_files,
    plain,
    print_json,
    progress,
    read,
    to_the_end,
)

if TYPE_CHECKING:
    from masksynth.diagnostics.symmetry import (
        Comparison,
        MaskDiagnosis,
        TablePrediction,
        TrainingDiagnosis,
        WeightDiagnosis,
    )

    Diagnosis = WeightDiagnosis | Comparison | MaskDiagnosis | TrainingDiagnosis


@click.command("symmetry")
@click.argument("subjects", nargs=-1, metavar="[SUBJECT]...")
@click.option(
    "--mode",
    type=click.Choice(("sum", "excess")),
    help="How directionality weighs outliers; both are printed by default, excess is what is published.",
)
@click.option(
    "--gamma", type=float, help="Standard deviations above the mean from which a norm is an outlier, >= 0 [default: 2]."
)
@click.option(
    "--head-dim", type=click.IntRange(1), help="Size of a head, if there is no config.json next to the weights."
)
@LENGTH
@BATCH
@click.option("--check", is_flag=True, help="Confirm the prediction for a mask by Monte Carlo.")
@click.option(
    "--train",
    is_flag=True,
    help="Train small models under three masks and record the score; needs torch, a minute or two.",
)
@click.option("--steps", type=click.IntRange(1), help="Steps of --train [default: 600].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of --check and --train.")
@click.option("-o", "--plot", type=click.Path(path_type=Path), help="Also draw FILE.svg, FILE.png or FILE.pdf.")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@JSON
@QUIET
def symmetry(
    subjects: tuple[str, ...],
    mode: str | None,
    gamma: float | None,
    head_dim: int | None,
    length: int | None,
    batch: int | None,
    check: bool,
    train: bool,
    steps: int | None,
    seed: int,
    plot: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score the symmetry of attention weights in a checkpoint, or predict that of the updates under a mask.

    \b
    masksynth diagnose symmetry model.safetensors
    masksynth diagnose symmetry bert gpt2 run -o models.svg
    masksynth diagnose symmetry mask.npz --check
    masksynth diagnose symmetry --train -o curves.svg

    SUBJECT is a checkpoint (.safetensors, pytorch_model.bin, an index of either, a folder, .npz) with weights named as
    in GPT-2, BERT, DistilBERT, ModernBERT, T5, Llama, GPT-NeoX, Falcon, Phi-3 or DeepSeek, or a mask (a mask file, the
    folder of an answer or of packed batches, package.module:mask_mod); its content decides. Several checkpoints are
    scored side by side, and a folder of checkpoint-<step> folders is a training run; runs in folders seed-<n> are
    printed and drawn as means. The symmetry score is 1 for a symmetric W_qk, -1 for a skew-symmetric one, 1/n on
    average for an n x n one of independent Gaussian numbers.
    """
    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, [file for subject in subjects for file in input_files(subject)])
    kind = _choose_kind(subjects, train)
    given: dict[str, dict[str, Any]] = {
        "checkpoint": {"mode": mode, "gamma": gamma, "head_dim": head_dim},
        "mask": {"length": length, "batch": batch, "check": check or None},
        "training": {"steps": steps},
    }
    _refuse_others(kind, given, " ".join(subjects))
    options = {name: value for name, value in given[kind].items() if value is not None}
    what = ", ".join(map(plain, subjects)) or "small models in training"
    with progress(f"scoring {what} ...", quiet):
        result = _diagnose(kind, subjects, options, seed)
    with to_the_end():
        if plot is not None:
            from masksynth.diagnostics.symmetry.figure import draw_symmetry

            draw_symmetry(result, plot, force)
        if as_json:
            print_json(result.record())
        elif not quiet:
            click.echo("\n".join(_format(result, (mode,) if mode else ("sum", "excess"))))


def _choose_kind(subjects: tuple[str, ...], train: bool) -> str:
    """Return ``training``, ``checkpoint`` or ``mask``."""
    from masksynth.diagnostics.symmetry.input_kind import is_checkpoint

    if train and subjects:
        raise InvalidInstance("--train does not take a subject", "", "leave one of them out", subjects[0])
    if train:
        return "training"
    if not subjects:
        raise InvalidInstance("no subject", "", "name a checkpoint or a mask, or give --train")
    masks = [subject for subject in subjects if not is_checkpoint(subject)]
    missing = [mask for mask in masks if ":" not in mask and not Path(mask).exists()]
    if missing and len(subjects) > 1:
        raise InvalidInstance("there is no such file or folder", "", "name a checkpoint", missing[0])
    if masks and len(subjects) > 1:
        raise InvalidInstance("is not a checkpoint, and only checkpoints are compared", "", "name one mask", masks[0])
    return "mask" if masks else "checkpoint"


def _refuse_others(kind: str, given: dict[str, dict[str, Any]], subject: str) -> None:
    """Raise InvalidInstance for options of another kind of subject."""
    for other, options in given.items():
        for name, value in options.items():
            if other != kind and value is not None:
                raise InvalidInstance(
                    f"--{name.replace('_', '-')} applies to a {other}, not to a {kind}", "", "omit it", subject
                )


def _diagnose(kind: str, subjects: tuple[str, ...], options: dict[str, Any], seed: int) -> Diagnosis:
    from masksynth.diagnostics.symmetry import diagnose_checkpoints, diagnose_mask, diagnose_weights, is_run

    if kind == "training":
        if find_spec("torch") is None:
            raise Unsupported("--train needs torch; pip install 'masksynth[torch]'")
        from masksynth.diagnostics.symmetry.torch_training import train_masks

        return train_masks(seed=seed, **options)
    if kind == "checkpoint" and (len(subjects) > 1 or is_run(subjects[0])):
        return diagnose_checkpoints(subjects, **options)
    if kind == "checkpoint":
        return diagnose_weights(subjects[0], **options)
    named = read(subjects[0], None, options.get("length"), options.get("batch"))
    return diagnose_mask(named.mask, named.name, check="check" in options, seed=seed)


def _format(result: Diagnosis, modes: tuple[str, ...]) -> list[str]:
    """Return a diagnosis as lines of text."""
    from masksynth.diagnostics.symmetry import Comparison, MaskDiagnosis, WeightDiagnosis
    from masksynth.diagnostics.symmetry.weights_text import format_comparison, format_weights

    if isinstance(result, WeightDiagnosis):
        return format_weights(result, modes)
    if isinstance(result, Comparison):
        return format_comparison(result, modes)
    return _format_mask(result) if isinstance(result, MaskDiagnosis) else _format_training(result)


def _format_mask(result: MaskDiagnosis) -> list[str]:
    lines = [f"{plain(result.source)}: {result.positions:,} position{'' if result.positions == 1 else 's'}"]
    for number, prediction in enumerate(result.tables):
        name = f"table {number}: " if len(result.tables) > 1 else ""
        lines += [f"  {line}" for line in _format_table(prediction, name)]
    if result.left_out:
        lines.append(f"  not drawn, too large at so many positions: d = {', '.join(map(str, result.left_out))}")
    return lines


def _format_table(prediction: TablePrediction, name: str) -> list[str]:
    pairs = f"{prediction.pairs:,} pair{'' if prediction.pairs == 1 else 's'}"
    limit = "the limit of the symmetry score of the update of W_qk (theorem, if |x|^2/d -> 1)"
    lines = [f"{name}reciprocity {prediction.reciprocity:.4f} of {pairs}: {limit}"]
    if prediction.parts > 1:
        lines.append(f"the mask has {prediction.parts:,} connected components")
    lines.append(f"an early token (p ~ N - k) {_early(prediction)}")
    for sampled in prediction.sampled:
        means = f"mean {sampled.mean:.4f} +- {sampled.error:.4f} of {sampled.draws} random updates"
        lines.append(f"d = {sampled.dimension:>5}: {means}, expected {sampled.expected:.4f}")
    return lines


def _early(prediction: TablePrediction) -> str:
    """Return whether rows or columns of W_qk grow faster for tokens that occur early, as text."""
    context, predicted = prediction.early_context, prediction.early_predicted
    if not context and not predicted:
        return "has no pair with another: rows and columns grow equally"
    if abs(context - predicted) < 1e-9 * max(context, predicted):
        return "is context as often as it is predicted: rows and columns grow equally"
    if not predicted:
        return "is context and never predicted from another: columns grow faster"
    if not context:
        return "is predicted and never context: rows grow faster"
    faster = "columns" if context > predicted else "rows"
    return f"is context {context / predicted:.3g} times as often as it is predicted: {faster} grow faster"


def _format_training(result: TrainingDiagnosis) -> list[str]:
    rows = [f"{'mask':<13}  reciprocity  symmetry: random start  symmetric start  loss: random, symmetric  speed-up"]
    for trend in result.trends:
        last = f"{trend.last:.3f} +- {trend.spread:.3f}"
        losses = f"{trend.loss:.3f}, {trend.loss_symmetric:.3f}"
        scores = f"{trend.reciprocity:>11.3f}  {last:>22}  {trend.last_symmetric:>15.3f}"
        rows.append(f"{trend.mask:<13}  {scores}  {losses:>23}  {trend.speed_up:>8.0%}")
    seeds = count(len({curve.seed for curve in result.curves}), "seed")
    return [f"{seeds}, {count(result.steps[-1], 'step')} each; {result.model}", *[f"  {row}" for row in rows]]
