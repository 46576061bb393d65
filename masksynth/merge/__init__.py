"""Merging: node equivalence, the minimal merged task, its criterion, and explanations."""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.collector import paused_collector
from masksynth.errors import InvalidInstance, check_type
from masksynth.merge.bottom_up import find_classes, is_acyclic
from masksynth.merge.build import merge_from_classes, use_lowest_copies
from masksynth.merge.disjoint_union import live_union, read_rows
from masksynth.merge.find_leaks import find_leak
from masksynth.merge.finite_depth import merge_layers
from masksynth.merge.refine import refine
from masksynth.tasks import Instance, MergedTask, TaskFamily
from masksynth.tasks.instance_files import question_of

__all__ = ["find_leak", "merge", "merge_classes", "merge_family", "use_lowest_copies"]


def merge(instance: Instance) -> MergedTask:
    """Return the minimal merged task of an instance: `merge_family` of its family and layers.

    Raises
    ------
    InvalidInstance
        If the argument is not an Instance.
    Unsupported
        If rows outside chains and trees need more than 50 million entries.

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
    check_type(instance, Instance)
    return merge_family(instance.family, instance.layers)


@paused_collector()
def merge_family(family: TaskFamily, layers: int | None = None) -> MergedTask:
    """Return the minimal merged task of a family, in closed form.

    At any depth its positions are the classes of colour refinement over the disjoint union of the tasks' live nodes,
    each repeated max(1, most members in one row) times; with ``layers`` = L, colours are refined for L layers only
    (`masksynth.merge.finite_depth`). That no merged task has fewer positions is proved in ``docs/theory.md``
    (it extends the criterion of arXiv 2606.09951 to multisets, cycles and layer patterns).

    Parameters
    ----------
    family : TaskFamily
    layers : int, optional
        Number of layers L of the model [default: any depth].

    Raises
    ------
    InvalidInstance
        If the first argument is not a TaskFamily.
    Unsupported
        If rows outside chains and trees need more than 50 million entries.

    Examples
    --------
    >>> from masksynth import catalog
    >>> [len(merge_family(catalog.butterfly(n=n).family).positions) for n in (2, 4, 8)]
    [4, 10, 22]
    """
    check_type(family, TaskFamily)
    union = live_union(family)
    question = question_of(family, layers)
    if layers is not None:
        return merge_layers(union, read_rows(union, compress=False), layers, question)
    rows = read_rows(union, compress=True)
    if is_acyclic(rows):
        classes = find_classes(union.identity, rows)
    else:
        classes = refine(list(zip(union.identity, rows.size, strict=True)), rows.rows, rows.refs)
    return merge_from_classes(union, rows, classes, question)


@paused_collector()
def merge_classes(family: TaskFamily, classes: Sequence[int]) -> MergedTask:
    """Return the merged task of a stable colouring of the live nodes, as a search backend finds it.

    Parameters
    ----------
    family : TaskFamily
    classes : sequence of n ints
        Class of each live node, numbered by first appearance.

    Raises
    ------
    InvalidInstance
        If the number of classes given is not the number of live nodes.

    Examples
    --------
    Each node in a class of its own: a merged task, but not a minimal one.

    >>> from masksynth import catalog
    >>> len(merge_classes(catalog.causal_lm(n=4).family, range(6)).positions)
    6
    """
    check_type(family, TaskFamily)
    union = live_union(family)
    if len(classes) != len(union.task):
        raise InvalidInstance(f"expected {len(union.task)} classes, one for each live node, got {len(classes)}")
    return merge_from_classes(union, read_rows(union, compress=True), classes, question_of(family, None))
