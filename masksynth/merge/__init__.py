"""Merging: node equivalence, the minimal merged task, its criterion, and explanations."""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.errors import InvalidInstance
from masksynth.merge.build import at_lowest_copies, merged_from_classes
from masksynth.merge.disjoint_union import live_union, read_rows
from masksynth.merge.find_leaks import find_leak
from masksynth.merge.layers import merge_layers
from masksynth.merge.refine import refine
from masksynth.tasks import Instance, MergedTask, TaskFamily
from masksynth.tasks.instance_files import question_of

__all__ = ["at_lowest_copies", "find_leak", "merge", "merge_classes", "merge_family"]


def merge(instance: Instance) -> MergedTask:
    """The minimal merged task of an instance: `merge_family` of its family and layers.

    Examples
    --------
    >>> from masksynth import catalog
    >>> merged = merge(catalog.causal_lm(n=4))
    >>> len(merged.positions), [edge.position for edge in merged.loss_edges]
    (3, [0, 1, 2])
    >>> print(merged.mask)
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """
    return merge_family(instance.family, instance.layers)


def merge_family(family: TaskFamily, layers: int | None = None) -> MergedTask:
    """The minimal merged task of a family, in closed form.

    At any depth its positions are the classes of colour refinement over the disjoint union of the tasks' live nodes, each repeated
    max(1, most members in one row) times; with ``layers`` = L colours are followed for L layers only (`masksynth.merge.layers`). That no
    merged task has fewer positions is proved in ``docs/theory.md`` (it sharpens the criterion of arXiv 2606.09951 to multisets, cycles and
    layer patterns).

    Raises
    ------
    Unsupported
        If rows outside chains and trees would need more than ``MAX_ENTRIES`` entries.

    Examples
    --------
    >>> from masksynth import catalog
    >>> [len(merge_family(catalog.butterfly(n=n).family).positions) for n in (2, 4, 8)]
    [4, 10, 22]
    """
    union = live_union(family)
    question = question_of(family, layers)
    if layers is not None:
        return merge_layers(union, read_rows(union, compress=False), layers, question)
    rows = read_rows(union, compress=True)
    start = list(zip(union.identity, rows.size, strict=True))
    return merged_from_classes(union, rows, refine(start, rows.rows, rows.refs), question)


def merge_classes(family: TaskFamily, classes: Sequence[int]) -> MergedTask:
    """The merged task of a stable colouring of the live nodes, numbered by first appearance, as a search backend finds it.

    Raises
    ------
    InvalidInstance
        If there is not one class for each live node.

    Examples
    --------
    All nodes apart: a merged task, but not a minimal one.

    >>> from masksynth import catalog
    >>> len(merge_classes(catalog.causal_lm(n=4).family, range(6)).positions)
    6
    """
    union = live_union(family)
    if len(classes) != len(union.task):
        raise InvalidInstance(f"{len(classes)} classes for {len(union.task)} live nodes")
    return merged_from_classes(union, read_rows(union, compress=True), classes, question_of(family, None))
