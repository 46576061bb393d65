"""``verify``: check a merged task against its instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.collector import paused_collector
from masksynth.errors import InvalidInstance
from masksynth.tasks.instance import Instance, TaskFamily
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import check_embeddings, check_loss, check_problem, check_shape, read_embedding
from masksynth.verify.any_depth import check_any_depth
from masksynth.verify.check_leak import check_leaks
from masksynth.verify.classes import check_sparse
from masksynth.verify.fixed_depth import check_layers, find_demand
from masksynth.verify.task_flow import family_flow
from masksynth.verify.updated import check_updated


@dataclass(frozen=True)
class Report:
    """Result of a successful check.

    Parameters
    ----------
    positions : int
        Number of positions of the merged task.
    classes : int
        Number of classes of positions that are not equivalent (at any depth, or after L layers).
    tables : int
        Length of the layer pattern.
    layers : int, optional
        The depth at which equality was checked; None: any.
    loss_edges : int
        Number of loss edges.
    checks : tuple of str
        The requirements checked, in order; ``leak`` only if a prediction hides something, ``updated`` only if the
        answer says which positions are updated.
    minimal : bool
        Whether the number of positions was proved to be the least.
    edges : int, optional
        Number of pairs off the diagonal of a sparse mask; None for a dense mask.
    """

    positions: int
    classes: int
    tables: int
    layers: int | None
    loss_edges: int
    checks: tuple[str, ...]
    minimal: bool
    edges: int | None = None


@paused_collector()
def verify(instance: Instance, merged: MergedTask, *, minimal: bool = True) -> Report:
    """Check a merged task against its instance.

    Parameters
    ----------
    instance : Instance
        Only its family counts; layers and sparsity are those of ``merged.problem``.
    merged : MergedTask
    minimal : bool
        Also check that the number of positions is the least, and that nodes are at the lowest index of their class.

    Raises
    ------
    WrongAnswer
        Naming the requirement that fails, with tokens and, for a leak, the path.

    Notes
    -----
    A merged task is right iff every task maps to it preserving identity and, class by class, the number of keys in each
    row; it is minimal iff moreover every class contains a node and has max(1, largest multiplicity in a row) positions
    (Li & Guo, Hasse Diagrams for Attention, arXiv 2606.09951, generalised from dense acyclic tasks without equal
    nodes). At L layers, colours after L layers are compared instead. A sparse answer takes its classes from the tasks,
    and is right iff each position sees, through L layers of the mask with its diagonal, exactly the classes in the
    closed row of its own; that it has the fewest edges is not checked here.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.tasks import LossEdge, Node, Position, Prediction, Question, Task, TaskFamily
    >>> from masksynth.verify.answer_shape import instance_hash
    >>> family = TaskFamily((Task("t", [Node("w", "a", 0)], {"w": ["w"]}, [Prediction("w", "b")]),))
    >>> question = Question(None, False, 1, instance_hash(family))
    >>> positions, mask = (Position("a", 0),), Mask.from_dense(np.eye(1, dtype=bool))
    >>> edges = (LossEdge(0, 0, 0, 1.0),)
    >>> merged = MergedTask(positions, mask, {"t": {"w": 0}}, ("b",), ("t",), edges, question)
    >>> report = verify(Instance(family, "one"), merged)
    >>> report.positions, report.checks
    (1, ('problem', 'shape', 'identity', 'labels', 'loss edges', 'rows', 'minimality'))
    """
    if not isinstance(instance, Instance) or not isinstance(merged, MergedTask):
        kinds = f"{type(instance).__name__} and {type(merged).__name__}"
        raise InvalidInstance(f"expected an Instance and a MergedTask, got {kinds}", "", "give answer.merged")
    family, problem = instance.family, merged.problem
    check_problem(problem, family)
    identity = check_shape(merged, family.tables)
    check_embeddings(family, merged, identity)
    check_loss(family, merged)
    flow = family_flow(family)
    if problem.layers is None or problem.sparse:
        index = read_embedding(flow, merged, np.ones(flow.first[-1], bool))
        check = check_sparse if problem.sparse else check_any_depth
        classes = check(flow, merged, identity, index, minimal)
    else:
        demand = find_demand(flow, problem.layers)
        index = read_embedding(flow, merged, demand.age >= 0)
        classes = check_layers(flow, merged, identity, index, demand, minimal)
    check_leaks(flow, problem.layers)
    check_updated(merged)
    edges = merged.mask.pairs - merged.mask.size if problem.sparse else None
    checks = _list_checks(family, problem.sparse, minimal) + ("updated",) * (merged.updated is not None)
    mask = merged.mask
    return Report(mask.size, classes, mask.tables, problem.layers, len(merged.loss_edges), checks, minimal, edges)


def _list_checks(family: TaskFamily, sparse: bool, minimal: bool) -> tuple[str, ...]:
    """Return the requirements in the order in which they are checked."""
    hides = any(prediction.hides for task in family.tasks for prediction in task.predict)
    core = ("classes", "flow") if sparse else ("rows",)
    return (
        "problem",
        "shape",
        "identity",
        "labels",
        "loss edges",
        *core,
        *("minimality",) * minimal,
        *("leak",) * hides,
    )
