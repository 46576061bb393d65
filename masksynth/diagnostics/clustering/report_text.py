"""Write clustering diagnoses as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from masksynth.diagnostics.clustering.clustering_record import Clustering
from masksynth.diagnostics.clustering.comparison import row_of
from masksynth.diagnostics.clustering.model_heads import HeadSpectrum
from masksynth.diagnostics.clustering.root_groups import Group
from masksynth.diagnostics.clustering.roots import FIXED
from masksynth.diagnostics.clustering.statements import CERTAINTIES
from masksynth.diagnostics.clustering.value_spectrum import CONFIGURATIONS
from masksynth.diagnostics.statements import Status
from masksynth.mask.check_rows import format_intervals
from masksynth.mask.equal_values import run_starts
from masksynth.terminal import count, plain, printable

GROUPS = 8
"""Maximum number of groups that are printed."""


def diagnosis_lines(name: str, result: Clustering) -> list[str]:
    """Return the diagnosis of one mask."""
    return [f"{plain(name)}: {_head(result)}", *(f"  {line}" for line in _format(result))]


def _head(result: Clustering) -> str:
    run = f"beta {result.beta:.4g}, dimension {result.dim}, {count(result.seeds, 'start')}, time {result.time:g}"
    return f"{count(result.positions, 'position')}, {run}"


def _format(result: Clustering) -> list[str]:
    """Return the diagnosis as lines of text."""
    lines = [*_setting(result), _clusters(result), *_lasting(result), _centres(result), *_captured(result)]
    if result.parts > 1:
        lines.append(f"the mask has {result.parts:,} connected components")
    if result.empty:
        lines.append(f"{count(result.empty, 'row')} empty: such a position attends to nothing and does not move")
    if result.without_self:
        rows = count(result.without_self, "row")
        lines.append(f"{rows} without themselves: such a position follows the others with its full weight")
    lines.append(_known(result))
    for group in result.groups[:GROUPS]:
        lines += _group(group, result)
    if rest := result.groups[GROUPS:]:
        positions = count(sum(len(group.positions) for group in rest), "position")
        lines.append(f"and {count(len(rest), 'group')} more of {positions} (--json)")
    return lines


def _setting(result: Clustering) -> list[str]:
    lines = [printable(result.setting)] if result.setting else []
    if result.value is None or result.to_leading is None:
        return lines
    top, far = result.value.leading, result.to_leading[-1]
    number = f"{top.real:.3g}" if result.value.real else f"{top.real:.3g} +- {abs(top.imag):.3g} i"
    times = f" ({result.value.multiplicity} of this real part)" if result.value.multiplicity > 1 else ""
    line = f"leading eigenvalue of V {number}{times}: for a causal mask, {result.value.configuration}"
    ends = "" if result.reached is None else f"; so at the end of {result.reached:,} of {count(result.seeds, 'start')}"
    lines.append(f"{line}{ends}")
    if result.value.multiplicity < result.dim:
        near = f"{result.to_leading[0]:.3g} at 0, {far:.3g} at the end"
        lines.append(f"mean angle to L, the span of its eigenvectors: {near}")
    return lines


def _lasting(result: Clustering) -> list[str]:
    """Return the median of the longest states of several clusters, where starts have any."""
    found = [each for each in result.lasting if each is not None]
    if not found:
        return []
    number, since, until = (float(np.median([each[place] for each in found])) for place in range(3))
    over = sum(each.ended for each in found)
    ends = f"over by then in {over} of {count(len(found), 'start')}"
    lines = [f"longest state of several clusters: {number:g} from {since:.3g} to {until:.3g} (medians), {ends}"]
    if result.two_tokens is not None:
        took = f"two tokens alone meet after {result.two_tokens:.3g}"
        lines.append(f"least gap of its clusters: {result.lasting_gap:.3g} (median), from where {took}")
    return lines


def _clusters(result: Clustering) -> str:
    """Return the number of clusters at the start, at about 1 % and 10 % of the time, and at the end."""
    near = [
        min(range(len(result.times)), key=lambda i: abs(result.times[i] - result.time * share)) for share in (0.01, 0.1)
    ]
    moments = dict.fromkeys([0, *near, -1])
    counts = ", ".join(f"{result.clusters.mean[i]:.1f} at {result.times[i]:.3g}" for i in moments)
    return f"clusters (neighbours within {result.angle:.3g} rad): {counts}"


def _centres(result: Clustering) -> str:
    if result.centres is None or result.strong is None:
        return f"no centres: their distance 4 / sqrt(beta) = {result.delta:.3g} exceeds pi; give a beta of 1.63 or more"
    text = (
        f"centres of the start at distance {result.delta:.3g}: {result.centres:.1f} Renyi, {result.strong:.1f} strong"
    )
    if result.expected_strong is None:
        return text
    if result.start_given:
        law = "" if result.expected_of_law is None else f", {result.expected_of_law:.1f} among endlessly many draws"
        return f"{text} (expected of these points in random order: {result.expected_strong:.1f} strong{law})"
    full = "" if result.expected_renyi is None else f", {result.expected_renyi:.1f} Renyi on a full circle"
    return f"{text} (expected: {result.expected_strong:.1f} strong{full})"


def _captured(result: Clustering) -> list[str]:
    if not result.captured:
        return []
    captured = dict(result.captured)
    renyi, strong = (captured[name].mean for name in ("renyi", "strong"))
    shares = f"{renyi[0]:.0%} at 0, {renyi[-1]:.0%} at the end; of a strong one {strong[0]:.0%}, {strong[-1]:.0%}"
    return [f"within {result.radius:.3g} of a centre: {shares}"]


def _known(result: Clustering) -> str:
    """Return for how many positions the limit in infinite time is known, at any beta."""
    sums = dict.fromkeys(CERTAINTIES, 0)
    for group in result.groups:
        sums[_certainty(group, result)] += len(group.positions)
    texts = [f"a theorem for {count(sums['theorem'], 'position')}"]
    texts += [f"a conjecture for {sums['conjecture']:,}"] if sums["conjecture"] else []
    texts += [f"open for {sums['open']:,}"] if sums["open"] else []
    texts += [f"refuted for {sums['refuted']:,}"] if sums["refuted"] else []
    return f"limit: {', '.join(texts if len(texts) > 1 else [*texts, 'that is all'])}"


def _certainty(group: Group, result: Clustering) -> Status:
    """Return ``theorem``, ``conjecture``, ``open`` or ``refuted``, for the starts of this run."""
    return "theorem" if group.hemisphere == result.seeds else group.certainty


def _group(group: Group, result: Clustering) -> list[str]:
    """Return the lines about one group of positions."""
    roots = f"{', '.join(map(str, group.roots[:4]))}{', ...' if len(group.roots) > 4 else ''}"
    head = f"{count(len(group.positions), 'position')} ({format_intervals(_intervals(group.positions))})"
    if group.status == FIXED:
        return [f"{head}: {group.meaning}"]
    when = "less than half of them so far" if group.half is None else f"half of them from time {group.half:.3g}"
    near = f"{group.gathered[-1]:.0%} within {result.angle:.3g} rad, {when}"
    known = [group.meaning, *_hemispheres(group, result)]
    noun = "root" if len(group.roots) == 1 else "roots"
    return [f"{head} of {noun} {roots}: {near}", *(f"  {line}" for line in known)]


def _hemispheres(group: Group, result: Clustering) -> list[str]:
    if group.hemisphere is None:
        return []
    name = "half" if result.dim == 2 else "hemisphere"
    return [f"in an open {name}, so that the theorem holds: {group.hemisphere:,} of {count(result.seeds, 'start')}"]


def _intervals(positions: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return ascending positions as half-open intervals."""
    array = np.asarray(positions, np.int64)
    starts = np.flatnonzero(run_starts(array - np.arange(len(array))))
    ends = np.append(starts[1:], len(array))[: len(starts)] - 1
    return list(zip(array[starts].tolist(), (array[ends] + 1).tolist(), strict=True))


def comparison_lines(results: Mapping[str, Clustering]) -> list[str]:
    """Return several masks side by side."""
    rows = [row_of(name, result) for name, result in results.items()]
    width = max(len("mask"), *(min(len(plain(row.name)), 40) for row in rows))
    one = next(iter(results.values()))
    run = f"beta {one.beta:.4g}, dimension {one.dim}, {count(one.seeds, 'start')}, time {one.time:g}"
    lines = [f"{len(rows)} masks, {run}"]
    lines.append(f"  {'mask':<{width}}  positions    pairs  roots  clusters  similarity  half at  limit")
    for row in rows:
        half = "never" if row.half is None else f"{row.half:.3g}"
        known = ", ".join(f"{word} {number}" for word, number in row.known.items())
        numbers = f"{row.positions:>9,}  {row.pairs:>7,}  {row.roots:>5}  {row.clusters:>8.1f}  {row.similarity:>10.3f}"
        lines.append(f"  {plain(row.name)[:40]:<{width}}  {numbers}  {half:>7}  {known}")
    lines.append(
        "  similarity: mean inner product of two positions at the end; half at: from when on it is 0.5 or more"
    )
    return lines


def spectra_lines(name: str, found: Sequence[HeadSpectrum]) -> list[str]:
    """Return what the leading eigenvalues of V of all heads of a checkpoint are, layer by layer."""
    sums = Counter(head.spectrum.configuration for head in found)
    real = sum(head.spectrum.real for head in found)
    head = f"{plain(name)}: V of {count(len(found), 'head')}, leading eigenvalue real in {real}"
    lines = [f"{sums[each]:>5}  {each}" for each in CONFIGURATIONS if sums[each]]
    for layer in sorted({each.layer for each in found}):
        tops = [each.spectrum for each in found if each.layer == layer]
        numbers = " ".join(f"{each.leading.real:+.2f}{'' if each.real else 'c'}" for each in tops)
        lines.append(f"layer {layer:>2}: {numbers}")
    lines.append("largest real part of an eigenvalue of W_o W_v on the range of each head; c: complex")
    return [head, *(f"  {line}" for line in lines)]
