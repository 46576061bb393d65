"""Format the scores of checkpoints as text: one model by layer, and several models or steps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from masksynth.diagnostics.symmetry.checkpoints import Comparison
from masksynth.diagnostics.symmetry.published import PUBLISHED, published_range
from masksynth.diagnostics.symmetry.scores import GAMMA
from masksynth.diagnostics.symmetry.seed_means import Family, families
from masksynth.diagnostics.symmetry.weights import LayerScores, WeightDiagnosis
from masksynth.draw.display_names import printable
from masksynth.terminal import count, plain

MODELS_SHOWN = ("BERT-base", "RoBERTa-base", "GPT2", "LLaMA2-13B")
"""Published models that are printed for comparison."""
COLUMNS = 6
"""Most columns of a table of layers."""
SIGNS = "positive: long rows (queries), negative: long columns (keys)"


def format_weights(result: WeightDiagnosis, modes: Sequence[str]) -> list[str]:
    """Return the scores of one checkpoint as lines, directionality in the given modes."""
    layouts = ", ".join(dict.fromkeys(layer.kind for layer in result.layers))
    width = max(len("layer"), *(len(plain(layer.name)) for layer in result.layers))
    heading = "  ".join(f"{name:>{_width(modes)}}" for name in _headings(modes))
    table = [f"{'layer':<{width}}  symmetry  {heading}  symmetry of heads: min, median, max"]
    table += [f"{plain(layer.name):<{width}} {_scores(layer, modes)}  {_heads(layer)}" for layer in result.layers]
    table += [f"{'median':<{width}} {_scores(result, modes)}"]
    head = f"{_tail(result.source)}: {count(len(result.layers), 'layer')}, weights named as in {layouts}"
    notes = [f"note: {printable(note)}" for note in result.notes]
    return [
        head,
        *[f"  {line}" for line in [*table, _rule(modes, result.gamma), *notes, *_published(modes, result.gamma)]],
    ]


def format_comparison(result: Comparison, modes: Sequence[str]) -> list[str]:
    """Return the scores of several checkpoints as lines: medians of each, then symmetry and directionality by layer."""
    grouped = families(result.series)
    rows = [
        (plain(_tail(family.mean.name, 40)) if not number else "", each, _span(family, number))
        for family in grouped
        for number, each in enumerate(family.mean.checkpoints)
    ]
    width = max(len("checkpoint"), *(len(name) for name, *_ in rows))
    heading = "  ".join(f"{name:>{_width(modes)}}" for name in _headings(modes))
    lines = [f"{'checkpoint':<{width}}      step  layers  symmetry  {heading}  symmetry: layers min, max  of heads"]
    for name, each, span in rows:
        step = "" if each.step is None else f"{each.step:,}"
        scores = f"{len(each.scores.layers):>6} {_scores(each.scores, modes)}"
        lines.append(f"{name:<{width}}  {step:>8}  {scores}  {span:>25}  {_number(_head_median(each.scores), 8)}")
    columns = _columns(grouped)
    for what in ("symmetry", *(f"directionality_{mode}" for mode in modes)):
        lines += ["", f"{what.replace('_', ', mode ')} by layer (median of its heads)"]
        for first in range(0, len(columns), COLUMNS):
            lines += _by_layer(what, columns[first : first + COLUMNS])
    notes = dict.fromkeys(f"note: {printable(note)}" for run in result.series for note in run.last.notes)
    lines += ["", _rule(modes, result.gamma), *notes, *_published(modes, result.gamma)]
    checkpoints = sum(len(run.checkpoints) for run in result.series)
    means = ", means over seeds" if len(grouped) < len(result.series) else ""
    head = f"{count(checkpoints, 'checkpoint')} of {count(len(grouped), 'model')}, medians over layers{means}"
    return [head, *[f"  {line}".rstrip() for line in lines]]


def _span(family: Family, number: int) -> str:
    """Return the least and largest symmetry of the layers of a checkpoint; of its medians, where there are seeds."""
    several = [run.checkpoints[number].scores for run in family.members]
    found = [scores.symmetry for scores in several] if len(several) > 1 else [one.symmetry for one in several[0].layers]
    known = [value for value in found if value is not None]
    of = " of seeds" if len(several) > 1 else ""
    return f"{min(known):.3f}, {max(known):.3f}{of}" if known else "undefined"


def _columns(grouped: Sequence[Family]) -> list[tuple[str, WeightDiagnosis]]:
    """Return titles and scores of the columns by layer: last checkpoints of several models, or the steps of one run.

    Of many steps the first, the last, and some evenly between.
    """
    if len(grouped) > 1:
        return [(plain(_tail(family.name, 16)), family.mean.last) for family in grouped]
    found = [("" if each.step is None else f"{each.step:,}", each.scores) for each in grouped[0].mean.checkpoints]
    most = min(len(found), COLUMNS)
    return [found[round(place * (len(found) - 1) / max(1, most - 1))] for place in range(most)]


def _by_layer(what: str, columns: Sequence[tuple[str, WeightDiagnosis]]) -> list[str]:
    """Return a table with one row for each layer: its score, and the median over its heads in brackets."""
    width = max(16, *(len(title) for title, _ in columns))
    lines = [f"{'layer':>5}  " + "  ".join(f"{title:>{width}}" for title, _ in columns)]
    for index in range(max(len(scores.layers) for _, scores in columns)):
        cells = [_cell(scores.layers[index], what) if index < len(scores.layers) else "" for _, scores in columns]
        lines.append(f"{index:>5}  " + "  ".join(f"{cell:>{width}}" for cell in cells))
    return lines


def _cell(layer: LayerScores, what: str) -> str:
    heads = [value for value in getattr(layer, f"head_{what}") if value is not None]
    inner = f" ({median(heads):.3f})" if heads else ""
    return f"{_number(getattr(layer, what), 0)}{inner}"


def _head_median(scores: WeightDiagnosis) -> float | None:
    known = [value for layer in scores.layers for value in layer.head_symmetry if value is not None]
    return median(known) if known else None


def _headings(modes: Sequence[str]) -> list[str]:
    return ["directionality"] if len(modes) == 1 else [f"d ({mode})" for mode in modes]


def _width(modes: Sequence[str]) -> int:
    return max(9, *map(len, _headings(modes)))


def _scores(item: LayerScores | WeightDiagnosis, modes: Sequence[str]) -> str:
    directed = (_number(getattr(item, f"directionality_{mode}"), _width(modes)) for mode in modes)
    return f"{_number(item.symmetry, 9)}  {'  '.join(directed)}"


def _rule(modes: Sequence[str], gamma: float) -> str:
    both = "d: directionality, (excess) as published" if gamma == GAMMA else "d: directionality"
    name = f"directionality: mode {modes[0]}" if len(modes) == 1 else both
    return f"{name}, gamma {gamma:g}; {SIGNS}"


def _tail(source: str, most: int = 60) -> str:
    """Return the end of a long name, which is the most informative part of a path."""
    return plain(source if len(source) <= most else f"...{source[3 - most :]}")


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


def _published(modes: Sequence[str], gamma: float) -> list[str]:
    """Return published medians; none where directionality is not computed as the published ones were."""
    if "excess" not in modes or gamma != GAMMA:
        return []
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
