"""Outside voices: networkx's transitive reduction, and MaxSAT solvers from `hermax` on emitted files and on a plain
formula.
"""

from __future__ import annotations

import json
from pathlib import Path

import hermax.non_incremental as solvers
import networkx as nx
import numpy as np
import pytest
from pysat.formula import WCNF

import masksynth as ms
from masksynth.backends import Objective
from masksynth.sparse import SparseProblem
from masksynth_solvers.sparse.wcnf import write_sparse_wcnf
from tests.cli.test_emit import parsed
from tests.sparse.families import fewest_edges
from tests.sparse.naive import pairs_of, plain_formula, told
from tests.sparse.relations import carries, random_poset, random_preorder

INSTANCES = Path(__file__).parent.parent.parent / "instances"
OUTSIDE = ("OLLSolver", "UWrMaxSATCompetition", "CASHWMaxSAT", "CGSS", "WMaxCDCL")
"""Open-WBO, UWrMaxSAT, CASHWMaxSAT, CGSS and WMaxCDCL take turns."""


def longest(relation):
    """Edges of a longest chain of a partial order."""
    return nx.dag_longest_path_length(nx.DiGraph(pairs_of(relation))) if pairs_of(relation) else 0


def test_as_many_layers_as_the_height_need_the_transitive_reduction():
    deep = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        relation = random_poset(int(rng.integers(2, 16)), rng.choice([0.1, 0.3, 0.6, 0.9]), seed)
        order = rng.permutation(len(relation))
        relation = relation[np.ix_(order, order)]
        due = set(nx.transitive_reduction(nx.DiGraph(pairs_of(relation))).edges)
        layers = rng.choice([longest(relation), longest(relation) + 1, 40, None])
        answer = ms.sparsify(relation, layers=None if layers is None else max(1, int(layers)))
        assert answer.status is ms.Status.OPTIMAL, told(relation, layers)
        assert set(pairs_of(answer.mask.dense())) == due, told(relation, layers)
        deep += longest(relation) > 2
    assert deep > 100


def test_layers_fewer_than_the_longest_shortest_way_need_more():
    for seed in range(40):
        relation = random_poset(10, 0.6, seed)
        reduced = nx.transitive_reduction(nx.DiGraph(pairs_of(relation)))
        far = max(max(ways.values()) for _, ways in nx.all_pairs_shortest_path_length(reduced))
        fewest = [ms.sparsify(relation, layers=layers).objective.value for layers in (far, far - 1)]
        assert fewest[0] == reduced.number_of_edges() < fewest[1], told(relation, far)


def test_any_depth_needs_one_cycle_a_class_and_one_arc_a_cover():
    mixed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        relation = random_preorder(rng, int(rng.integers(1, 15)), rng.choice([0.06, 0.1, 0.15]))
        due = fewest_edges(relation)
        answer = ms.sparsify(relation)
        assert (answer.status, answer.objective) == (ms.Status.OPTIMAL, Objective(len(due), len(due))), told(
            relation, None
        )
        assert carries(answer.mask.dense(), relation, None), told(relation, None)
        mixed += 1 < len({row.tobytes() for row in relation}) < len(relation)
    assert mixed > 100


def best(hard, soft, solver):
    """The least weight of broken soft clauses, by a solver of `hermax`."""
    formula = WCNF()
    formula.extend(hard)
    formula.extend([clause for _, clause in soft], weights=[weight for weight, _ in soft])
    if not soft:
        return 0
    outside = getattr(solvers, solver)(formula)
    try:
        assert outside.solve()
        return outside.get_cost()
    finally:
        outside.close()


def sparse_cases(sizes, most):
    """Lines of the manifest: proved sparse instances of these sizes, spread over the families."""
    lines = json.loads((INSTANCES / "manifest.json").read_text(encoding="utf-8"))
    fitting = [
        line for line in lines if line["edges"] is not None and line["size"] in sizes and line["status"] == "OPTIMAL"
    ]
    return fitting[:: max(1, len(fitting) // most)]


@pytest.mark.parametrize("place", range(len(OUTSIDE)))
def test_maxsat_solvers_find_the_same_optimum_in_emitted_files(place, tmp_path):
    """The optimum of the file plus its offset is the least number of edges."""
    searched = 0
    for line in sparse_cases(("tiny", "small"), 60)[place :: len(OUTSIDE)]:
        instance = ms.load(INSTANCES / line["file"])
        relation = ms.solve(instance, sparse=False, layers=None, backend="criterion").merged.mask.dense()
        write_sparse_wcnf(SparseProblem(relation, instance.layers), tmp_path / "model.wcnf", force=True)
        offset, hard, soft = parsed(tmp_path / "model.wcnf")
        assert best(hard, soft, OUTSIDE[place]) + offset == line["edges"], line["file"]
        searched += bool(soft)
    assert searched >= 7


def test_weights_are_in_emitted_files(tmp_path):
    rng = np.random.default_rng(3)
    for seed in range(40):
        relation = random_preorder(rng, 6, 0.25)
        weights = {edge: int(rng.integers(-3, 9)) for edge in pairs_of(relation)}
        problem = SparseProblem(relation, 2, weights=weights)
        write_sparse_wcnf(problem, tmp_path / "model.wcnf", force=True)
        offset, hard, soft = parsed(tmp_path / "model.wcnf")
        due = ms.sparsify(relation, 2, weights=weights, backend="sat").objective.value
        assert best(hard, soft, OUTSIDE[seed % 2]) + offset == due, told(relation, 2, ((), (), weights))


def test_a_plain_formula_of_the_whole_has_the_same_optimum():
    """Another encoding, without reduction, by another solver: nothing of masksynth but the expectation."""
    for line in sparse_cases(("tiny",), 40):
        instance = ms.load(INSTANCES / line["file"])
        if instance.layers is not None:
            relation = ms.solve(instance, sparse=False, layers=None, backend="criterion").merged.mask.dense()
            hard, soft = plain_formula(relation, instance.layers)
            assert best(hard, [(1, clause) for clause in soft], "OLLSolver") == line["edges"], line["file"]


def test_a_file_with_a_clause_less_has_a_lower_optimum(tmp_path):
    write_sparse_wcnf(SparseProblem(np.tril(np.ones((7, 7), bool)), 2), tmp_path / "model.wcnf")
    offset, hard, soft = parsed(tmp_path / "model.wcnf")
    demands = [clause for clause in hard if len(clause) == 1]
    assert best(hard, soft, "OLLSolver") + offset == 10
    assert best([clause for clause in hard if clause not in demands], soft, "OLLSolver") + offset < 10
