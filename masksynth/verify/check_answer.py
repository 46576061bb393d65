"""``verify``: a merged task against its instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.tasks.merged import MergedTask
from masksynth.tasks.model import Instance, TaskFamily
from masksynth.verify.answer_shape import check_embeddings, check_loss, check_problem, embedding, identities
from masksynth.verify.any_depth import check_any_depth
from masksynth.verify.check_leak import check_leaks
from masksynth.verify.classes import check_sparse
from masksynth.verify.layered import check_layers, demand
from masksynth.verify.task_flow import family_flow


@dataclass(frozen=True)
class Report:
    """What was found right.

    Parameters
    ----------
    positions, classes : int
        Positions of the merged task and how many of them differ (by any depth, or after L layers).
    tables : int
        Length of the layer pattern.
    layers : int, optional
        The depth at which equality was asked; None: any.
    loss_edges : int
    checks : tuple of str
        The requirements checked, in order; ``leak`` only if some prediction hides something.
    minimal : bool
        Whether the number of positions was proven least.
    edges : int, optional
        The pairs off the diagonal of a sparse mask; None for the dense mask.
    """

    positions: int
    classes: int
    tables: int
    layers: int | None
    loss_edges: int
    checks: tuple[str, ...]
    minimal: bool
    edges: int | None = None


def verify(instance: Instance, merged: MergedTask, *, minimal: bool = True) -> Report:
    """Check a merged task against its instance.

    Parameters
    ----------
    instance : Instance
        Only its family counts; the question answered travels in ``merged.problem``.
    merged : MergedTask
    minimal : bool
        Also ask for the least number of positions and for the lowest index of each class.

    Raises
    ------
    WrongAnswer
        Naming the broken requirement with tokens and, for a leak, the path.

    Notes
    -----
    A merged task is right iff every task maps to it preserving identity and, class by class, the number of keys in each row; it is
    minimal iff moreover every class is hit and has max(1, largest multiplicity in a row) positions (Li & Guo, Hasse Diagrams for
    Attention, arXiv 2606.09951, generalised from dense acyclic tasks without equal nodes). At L layers colours after L layers are
    compared instead. A sparse answer takes its classes from the tasks, and is right iff each position sees, through L layers of the mask
    with its diagonal, exactly the classes in the closed row of its own; that it has the fewest edges is not checked here.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.tasks import LossEdge, Node, Position, Prediction, Question, Task, TaskFamily
    >>> from masksynth.verify.answer_shape import instance_hash
    >>> family = TaskFamily((Task("t", [Node("w", "a", 0)], {"w": ["w"]}, [Prediction("w", "b")]),))
    >>> question = Question(None, False, 1, instance_hash(family))
    >>> merged = MergedTask((Position("a", 0),), Mask.from_dense(np.eye(1, dtype=bool)), {"t": {"w": 0}}, ("b",), ("t",),
    ...                     (LossEdge(0, 0, 0, 1.0),), question)
    >>> report = verify(Instance(family, "one"), merged)
    >>> report.positions, report.checks
    (1, ('problem', 'shape', 'identity', 'labels', 'loss edges', 'rows', 'minimality'))
    """
    if not isinstance(instance, Instance) or not isinstance(merged, MergedTask):
        kinds = f"{type(instance).__name__} and {type(merged).__name__}"
        raise InvalidInstance(f"verify takes an Instance and a MergedTask, not {kinds}", "", "give answer.merged")
    family, problem = instance.family, merged.problem
    check_problem(problem, family)
    identity = identities(merged, family.tables)
    check_embeddings(family, merged, identity)
    check_loss(family, merged)
    flow = family_flow(family)
    if problem.sparse:
        classes = check_sparse(flow, merged, identity, embedding(flow, merged, np.ones(flow.first[-1], bool)), minimal)
    elif problem.layers is None:
        index = embedding(flow, merged, np.ones(flow.first[-1], bool))
        classes = check_any_depth(flow, merged, identity, index, minimal)
    else:
        asked = demand(flow, problem.layers)
        index = embedding(flow, merged, asked.age >= 0)
        classes = check_layers(flow, merged, identity, index, asked, problem.layers, minimal)
    check_leaks(flow, problem.layers)
    edges = merged.mask.pairs - merged.mask.size if problem.sparse else None
    checks = _checks(family, problem.sparse, minimal)
    return Report(
        merged.mask.size, classes, merged.mask.tables, problem.layers, len(merged.loss_edges), checks, minimal, edges
    )


def _checks(family: TaskFamily, sparse: bool, minimal: bool) -> tuple[str, ...]:
    """List the requirements in the order in which they are checked."""
    hiding = any(prediction.hides for task in family.tasks for prediction in task.predict)
    core = ("classes", "flow") if sparse else ("rows",)
    return (
        "problem",
        "shape",
        "identity",
        "labels",
        "loss edges",
        *core,
        *("minimality",) * minimal,
        *("leak",) * hiding,
    )
