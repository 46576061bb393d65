"""The engine ``ilp``: SCIP interrupted and continued as often as may be, its settings, and what floating point cannot
tell.
"""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth.backends import Limits
from masksynth.cli import main
from masksynth.errors import Unsupported
from masksynth.sparse import SparseProblem, first_solution, reduce
from masksynth.sparse.engines import Standing, sparse_search
from masksynth_solvers.sparse.linear import Linear
from masksynth_solvers.sparse.path_encoding import encode
from tests.proofs.naive import preorders, random_preorder
from tests.sparse.relations import chain, one_class

RELATIONS = [
    *preorders(5, True),
    *(random_preorder(7 + seed % 4, 0.6 + 0.1 * (seed % 4), seed, False) for seed in range(40)),
    *(chain(n) for n in (7, 8, 9, 10)),
    *(one_class(n) for n in (3, 4, 5)),
]


def in_slices(problem, effort):
    """Weight of each part by SCIP in slices of an effort, with the number of slices."""
    reduction = reduce(problem)
    found = []
    for part in reduction.components:
        chosen = first_solution(problem, reduction.forced, part)
        known, slices = Standing(problem.cost(chosen), 0, chosen), 0
        searching = Linear(encode(problem, reduction.forced, part), 0)
        while not known.closed:
            known, slices = searching.advance(known, effort, None), slices + 1
        found.append((known.lower, slices))
    return found


def test_small_relations_in_short_slices():
    continued = 0
    for relation in RELATIONS:
        problem = SparseProblem(relation, 2)
        due = [standing.lower for standing in sparse_search(problem, ["maxsat"], Limits()).standings]
        found = in_slices(problem, 0.005)
        assert [weight for weight, _ in found] == due, relation.astype(int).tolist()
        continued += sum(slices > 1 for _, slices in found)
    assert continued > 5


def test_the_command_with_the_engine():
    text = CliRunner().invoke(main, ["new", "causal_lm", "--n", "12"]).stdout
    done = CliRunner().invoke(main, ["solve", "-", "--sparse", "--layers", "2", "--backend", "ilp"], input=text)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "causal_lm-12: OPTIMAL, 22 edges instead of 55 through 2 layers (11 positions, minimal)\n"
    )
    assert re.search("proved by ilp", done.stdout)


def test_weights_within_and_beyond_floating_point():
    edges = [(q, k) for q in range(6) for k in range(q)]
    fine = {edge: 3000 + 7 * edge[0] + edge[1] for edge in edges}
    answers = [ms.sparsify(chain(6), layers=2, weights=fine, backend=name) for name in ("ilp", "cpsat")]
    assert answers[0].objective == answers[1].objective
    assert answers[0].status is ms.Status.OPTIMAL
    with pytest.raises(
        Unsupported, match="ilp: the weights are too large for floating point; scale them down, or use another backend"
    ):
        ms.sparsify(chain(6), layers=2, weights=dict.fromkeys(edges, 10**6), backend="ilp")
