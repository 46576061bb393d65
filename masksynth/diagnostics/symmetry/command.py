"""``masksynth diagnose symmetry``: scores of attention weights, and what a mask will do to them."""

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

    Found = WeightDiagnosis | MaskDiagnosis | TrainingDiagnosis

ORIENTATION = ("BERT-base", "RoBERTa-base", "GPT2", "LLaMA2-13B")


@click.command("symmetry")
@click.argument("subject", required=False)
@click.option(
    "--mode",
    type=click.Choice(("sum", "excess")),
    help="How directionality weighs outliers [default: sum; published: excess].",
)
@click.option("--gamma", type=float, help="Standard deviations from which a norm is an outlier [default: 2].")
@click.option(
    "--head-dim", type=click.IntRange(1), help="Size of a head, where no config.json lies beside the weights."
)
@LENGTH
@BATCH
@click.option("--check", is_flag=True, help="Confirm the prediction for a mask by Monte Carlo.")
@click.option(
    "--train",
    is_flag=True,
    help="Train small models under three masks and watch the score; needs torch, a minute or two.",
)
@click.option("--steps", type=click.IntRange(1), help="Of --train [default: 600].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of --check and --train.")
@click.option("-o", "--plot", type=click.Path(path_type=Path), help="Also draw FILE.svg, FILE.png or FILE.pdf.")
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
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
    """Symmetry of attention: of the weights in a checkpoint, or of the updates that a mask makes.

    \b
    masksynth diagnose symmetry model.safetensors
    masksynth diagnose symmetry mask.npz --check
    masksynth diagnose symmetry --train -o curves.svg

    SUBJECT is a checkpoint (.safetensors, *.safetensors.index.json, a folder, .npz) with weights named as in GPT-2, BERT, DistilBERT,
    ModernBERT, T5 or Llama, or a mask (a mask file, the folder of an answer or of packed batches, package.module:mask_mod); which one is
    told by its content. The symmetry score is 1 for a symmetric W_qk, -1 for a skew-symmetric one, 1/n on average for a random n x n one.
    """
    if plot is not None:
        from masksynth.draw.pictures import check_picture

        check_picture(plot, force, input_files(subject))
    kind = _kind(subject, train)
    given: dict[str, dict[str, Any]] = {
        "checkpoint": {"mode": mode, "gamma": gamma, "head_dim": head_dim},
        "mask": {"length": length, "batch": batch, "check": check or None},
        "training": {"steps": steps},
    }
    _refuse_others(kind, given, subject or "")
    options = {name: value for name, value in given[kind].items() if value is not None}
    with progress(f"looking at {plain(subject or 'small models in training')} ...", quiet):
        found = _diagnosed(kind, subject or "", options, seed)
    with to_the_end():
        if plot is not None:
            from masksynth.diagnostics.symmetry.figure import draw_symmetry

            draw_symmetry(found, plot, force)
        if as_json:
            print_json(found.record())
        elif not quiet:
            click.echo("\n".join(_lines(found)))


def _kind(subject: str | None, train: bool) -> str:
    from masksynth.diagnostics.symmetry.input_kind import is_checkpoint

    if train and subject is not None:
        raise InvalidInstance("--train takes no subject", "", "leave one of them out", subject)
    if train:
        return "training"
    if subject is None:
        raise InvalidInstance("no subject", "", "name a checkpoint or a mask, or give --train")
    return "checkpoint" if is_checkpoint(subject) else "mask"


def _refuse_others(kind: str, given: dict[str, dict[str, Any]], subject: str) -> None:
    """An option that goes with another kind of subject is an error, not ignored."""
    for other, options in given.items():
        for name, value in options.items():
            if other != kind and value is not None:
                raise InvalidInstance(
                    f"--{name.replace('_', '-')} goes with a {other}, not with a {kind}", "", "leave it out", subject
                )


def _diagnosed(kind: str, subject: str, options: dict[str, Any], seed: int) -> Found:
    from masksynth.diagnostics.symmetry import diagnose_mask, diagnose_weights

    if kind == "training":
        if find_spec("torch") is None:
            raise Unsupported("--train needs torch; pip install 'masksynth[torch]'")
        from masksynth.diagnostics.symmetry.torch_training import train_masks

        return train_masks(seed=seed, **options)
    if kind == "checkpoint":
        return diagnose_weights(subject, **options)
    looked_at = read(subject, None, options.get("length"), options.get("batch"))
    return diagnose_mask(looked_at.mask, looked_at.name, check="check" in options, seed=seed)


def _lines(found: Found) -> list[str]:
    from masksynth.diagnostics.symmetry import MaskDiagnosis, WeightDiagnosis

    if isinstance(found, WeightDiagnosis):
        return _weights(found)
    return _mask(found) if isinstance(found, MaskDiagnosis) else _training(found)


def _weights(found: WeightDiagnosis) -> list[str]:
    kinds = ", ".join(dict.fromkeys(one.kind for one in found.layers))
    width = max(len("layer"), *(len(plain(one.name)) for one in found.layers))
    table = [f"{'layer':<{width}}  symmetry  directionality  symmetry of heads: least, median, most"]
    table += [_row(plain(one.name), width, one.symmetry, one.directionality, _heads(one)) for one in found.layers]
    table += [_row("median", width, found.symmetry, found.directionality)]
    head = f"{_tail(found.source)}: {count(len(found.layers), 'layer')}, weights named as in {kinds}"
    rule = f"directionality: mode {found.mode}, gamma {found.gamma:g}; positive: long rows (queries), negative: long columns (keys)"
    lines = [*table, rule, *[f"note: {note}" for note in found.notes], *_published()]
    return [head, *[f"  {line}" for line in lines]]


def _tail(source: str, most: int = 60) -> str:
    """The end of a long name, where a path tells most."""
    return plain(source if len(source) <= most else f"...{source[3 - most :]}")


def _row(name: str, width: int, symmetry: float | None, directionality: float | None, rest: str = "") -> str:
    return f"{name:<{width}} {_number(symmetry, 9)}  {_number(directionality, 14)}  {rest}".rstrip()


def _heads(one: LayerScores) -> str:
    known = [value for value in one.head_symmetry if value is not None]
    if not known:
        return "not known" if one.heads is None else "all undefined"
    shared = f", {one.key_heads} key heads" if one.key_heads != one.heads else ""
    return f"{min(known):.3f}, {median(known):.3f}, {max(known):.3f} ({one.heads} of {one.head_dim}{shared})"


def _number(value: float | None, width: int) -> str:
    return f"{'undefined' if value is None else f'{value:.3f}':>{width}}"


def _published() -> list[str]:
    from masksynth.diagnostics.symmetry import PUBLISHED, published_range

    lines = ["published medians, symmetry and directionality (mode excess), arXiv 2502.10927:"]
    for name, decoder in (("encoders", False), ("decoders", True)):
        (low, high), (least, most) = published_range(decoder)
        shown = ", ".join(
            f"{p.model} {p.symmetry:.2f} {p.directionality:+.2f}"
            for p in PUBLISHED
            if p.decoder == decoder and p.model in ORIENTATION
        )
        lines.append(f"  {name} {low:.2f} to {high:.2f} and {least:+.2f} to {most:+.2f}: {shown}")
    return lines


def _mask(found: MaskDiagnosis) -> list[str]:
    lines = [f"{plain(found.source)}: {found.positions:,} position{'' if found.positions == 1 else 's'}"]
    for number, one in enumerate(found.tables):
        lines += [f"  {line}" for line in _table(one, f"table {number}: " if len(found.tables) > 1 else "")]
    if found.left_out:
        lines.append(f"  not drawn, too large at so many positions: d = {', '.join(map(str, found.left_out))}")
    return lines


def _table(one: TablePrediction, name: str) -> list[str]:
    pairs = f"{one.pairs:,} pair{'' if one.pairs == 1 else 's'}"
    lines = [
        f"{name}reciprocity {one.reciprocity:.4f} of {pairs}: the symmetry score of the update of W_qk tends to it"
    ]
    if one.parts > 1:
        lines.append(f"the mask falls into {one.parts:,} parts that see nothing of one another")
    lines.append(f"a token that stands early (p ~ N - k) {_early(one)}")
    for drawn in one.sampled:
        means = f"mean {drawn.mean:.4f} +- {drawn.error:.4f} of {drawn.draws} random updates"
        lines.append(f"d = {drawn.dimension:>5}: {means}, expected {drawn.expected:.4f}")
    return lines


def _early(one: TablePrediction) -> str:
    context, predicted = one.early_context, one.early_predicted
    if not context and not predicted:
        return "neither sees another nor is seen by one: rows and columns alike"
    if abs(context - predicted) < 1e-9 * max(context, predicted):
        return "is context as often as it is predicted: rows and columns alike"
    if not predicted:
        return "is context and never predicted from another: columns grow faster"
    if not context:
        return "is predicted and never context: rows grow faster"
    faster = "columns" if context > predicted else "rows"
    return f"is context {context / predicted:.3g} times as often as it is predicted: {faster} grow faster"


def _training(found: TrainingDiagnosis) -> list[str]:
    rows = [f"{'mask':<13}  reciprocity  symmetry: random start  symmetric start  loss: random, symmetric  speed-up"]
    for one in found.trends:
        last = f"{one.last:.3f} +- {one.spread:.3f}"
        losses = f"{one.loss:.3f}, {one.loss_symmetric:.3f}"
        rows.append(
            f"{one.mask:<13}  {one.reciprocity:>11.3f}  {last:>22}  {one.last_symmetric:>15.3f}  {losses:>23}  {one.speed_up:>8.0%}"
        )
    seeds = count(len({curve.seed for curve in found.curves}), "seed")
    return [f"{seeds}, {count(found.steps[-1], 'step')} each; {found.model}", *[f"  {row}" for row in rows]]
