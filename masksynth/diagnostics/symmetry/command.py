"""``masksynth diagnose symmetry``: score attention weights, and predict what a mask does to them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from statistics import median
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
        LayerScores,
        MaskDiagnosis,
        TablePrediction,
        TrainingDiagnosis,
        WeightDiagnosis,
    )

    Diagnosis = WeightDiagnosis | MaskDiagnosis | TrainingDiagnosis

MODELS_SHOWN = ("BERT-base", "RoBERTa-base", "GPT2", "LLaMA2-13B")
"""Published models that are printed for comparison."""


@click.command("symmetry")
@click.argument("subject", required=False)
@click.option(
    "--mode",
    type=click.Choice(("sum", "excess")),
    help="How directionality weighs outliers [default: sum; published: excess].",
)
@click.option("--gamma", type=float, help="Standard deviations from which a norm is an outlier [default: 2].")
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
    subject: str | None,
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
    masksynth diagnose symmetry mask.npz --check
    masksynth diagnose symmetry --train -o curves.svg

    SUBJECT is a checkpoint (.safetensors, *.safetensors.index.json, a folder, .npz) with weights named as in GPT-2,
    BERT, DistilBERT, ModernBERT, T5 or Llama, or a mask (a mask file, the folder of an answer or of packed batches,
    package.module:mask_mod); its content decides. The symmetry score is 1 for a symmetric W_qk, -1 for a skew-symmetric
    one, 1/n on average for a random n x n one.
    """
    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, input_files(subject))
    kind = _choose_kind(subject, train)
    given: dict[str, dict[str, Any]] = {
        "checkpoint": {"mode": mode, "gamma": gamma, "head_dim": head_dim},
        "mask": {"length": length, "batch": batch, "check": check or None},
        "training": {"steps": steps},
    }
    _refuse_others(kind, given, subject or "")
    options = {name: value for name, value in given[kind].items() if value is not None}
    with progress(f"scoring {plain(subject or 'small models in training')} ...", quiet):
        result = _diagnose(kind, subject or "", options, seed)
    with to_the_end():
        if plot is not None:
            from masksynth.diagnostics.symmetry.figure import draw_symmetry

            draw_symmetry(result, plot, force)
        if as_json:
            print_json(result.record())
        elif not quiet:
            click.echo("\n".join(_format(result)))


def _choose_kind(subject: str | None, train: bool) -> str:
    """Return ``training``, ``checkpoint`` or ``mask``."""
    from masksynth.diagnostics.symmetry.input_kind import is_checkpoint

    if train and subject is not None:
        raise InvalidInstance("--train does not take a subject", "", "leave one of them out", subject)
    if train:
        return "training"
    if subject is None:
        raise InvalidInstance("no subject", "", "name a checkpoint or a mask, or give --train")
    return "checkpoint" if is_checkpoint(subject) else "mask"


def _refuse_others(kind: str, given: dict[str, dict[str, Any]], subject: str) -> None:
    """Raise InvalidInstance for options of another kind of subject."""
    for other, options in given.items():
        for name, value in options.items():
            if other != kind and value is not None:
                raise InvalidInstance(
                    f"--{name.replace('_', '-')} applies to a {other}, not to a {kind}", "", "omit it", subject
                )


def _diagnose(kind: str, subject: str, options: dict[str, Any], seed: int) -> Diagnosis:
    from masksynth.diagnostics.symmetry import diagnose_mask, diagnose_weights

    if kind == "training":
        if find_spec("torch") is None:
            raise Unsupported("--train needs torch; pip install 'masksynth[torch]'")
        from masksynth.diagnostics.symmetry.torch_training import train_masks

        return train_masks(seed=seed, **options)
    if kind == "checkpoint":
        return diagnose_weights(subject, **options)
    named = read(subject, None, options.get("length"), options.get("batch"))
    return diagnose_mask(named.mask, named.name, check="check" in options, seed=seed)


def _format(result: Diagnosis) -> list[str]:
    """Return a diagnosis as lines of text."""
    from masksynth.diagnostics.symmetry import MaskDiagnosis, WeightDiagnosis

    if isinstance(result, WeightDiagnosis):
        return _format_weights(result)
    return _format_mask(result) if isinstance(result, MaskDiagnosis) else _format_training(result)


def _format_weights(result: WeightDiagnosis) -> list[str]:
    layouts = ", ".join(dict.fromkeys(layer.kind for layer in result.layers))
    width = max(len("layer"), *(len(plain(layer.name)) for layer in result.layers))
    table = [f"{'layer':<{width}}  symmetry  directionality  symmetry of heads: min, median, max"]
    table += [
        _row(plain(layer.name), width, layer.symmetry, layer.directionality, _heads(layer)) for layer in result.layers
    ]
    table += [_row("median", width, result.symmetry, result.directionality)]
    head = f"{_tail(result.source)}: {count(len(result.layers), 'layer')}, weights named as in {layouts}"
    signs = "positive: long rows (queries), negative: long columns (keys)"
    rule = f"directionality: mode {result.mode}, gamma {result.gamma:g}; {signs}"
    lines = [*table, rule, *[f"note: {note}" for note in result.notes], *_published()]
    return [head, *[f"  {line}" for line in lines]]


def _tail(source: str, most: int = 60) -> str:
    """Return the end of a long name, which is the most informative part of a path."""
    return plain(source if len(source) <= most else f"...{source[3 - most :]}")


def _row(name: str, width: int, symmetry: float | None, directionality: float | None, rest: str = "") -> str:
    return f"{name:<{width}} {_number(symmetry, 9)}  {_number(directionality, 14)}  {rest}".rstrip()


def _heads(layer: LayerScores) -> str:
    """Return the least, median and largest symmetry of the heads of a layer, as text."""
    scores = [value for value in layer.head_symmetry if value is not None]
    if not scores:
        return "not known" if layer.heads is None else "all undefined"
    shared = f", {layer.key_heads} key heads" if layer.key_heads != layer.heads else ""
    heads = f"({layer.heads} of {layer.head_dim}{shared})"
    return f"{min(scores):.3f}, {median(scores):.3f}, {max(scores):.3f} {heads}"


def _number(value: float | None, width: int) -> str:
    return f"{'undefined' if value is None else f'{value:.3f}':>{width}}"


def _published() -> list[str]:
    from masksynth.diagnostics.symmetry import PUBLISHED, published_range

    lines = ["published medians, symmetry and directionality (mode excess), arXiv 2502.10927:"]
    for name, decoder in (("encoders", False), ("decoders", True)):
        (low, high), (least, most) = published_range(decoder)
        shown = ", ".join(
            f"{item.model} {item.symmetry:.2f} {item.directionality:+.2f}"
            for item in PUBLISHED
            if item.decoder == decoder and item.model in MODELS_SHOWN
        )
        lines.append(f"  {name} {low:.2f} to {high:.2f} and {least:+.2f} to {most:+.2f}: {shown}")
    return lines


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
    limit = "the limit of the symmetry score of the update of W_qk"
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
