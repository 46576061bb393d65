"""``--emit``: the search as a WCNF that any MaxSAT solver runs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from pysat.examples.rc2 import RC2
from pysat.formula import WCNF

import masksynth as ms
from masksynth.tasks.instance_files import dumps
from tests.cli.command import here, masksynth, refused, regular

INSTANCES = Path(__file__).parent.parent.parent / "instances"


def parsed(path):
    """(offset, hard clauses, soft clauses) of the 2022 format, read line by line."""
    offset, hard, soft = None, [], []
    for line in path.read_text().splitlines():
        head, *rest = line.split()
        if head == "c":
            if rest[0] == "offset":
                assert offset is None
                offset = int(rest[1])
            continue
        *clause, end = map(int, rest)
        assert end == 0
        assert 0 not in clause
        if head == "h":
            hard.append(clause)
        else:
            soft.append((int(head), clause))
    return offset, hard, soft


def optimum(path):
    """The optimum of a WCNF by RC2, plus its offset."""
    offset, hard, soft = parsed(path)
    formula = WCNF()
    formula.extend(hard)
    formula.extend([clause for _, clause in soft], weights=[weight for weight, _ in soft])
    with RC2(formula) as rc2:
        assert rc2.compute() is not None
        return rc2.cost + offset


def holds(clause, values):
    return any((literal > 0) == values[abs(literal) - 1] for literal in clause)


def brute(path):
    """The optimum of a tiny WCNF over all assignments, plus its offset."""
    offset, hard, soft = parsed(path)
    size = max((abs(literal) for clause in [*hard, *(clause for _, clause in soft)] for literal in clause), default=0)
    assert size <= 16
    best = min(
        sum(weight for weight, clause in soft if not holds(clause, values))
        for values in product((False, True), repeat=size)
        if all(holds(clause, values) for clause in hard)
    )
    return best + offset


@pytest.mark.parametrize(
    ("text", "tiny"),
    [
        (dumps(ms.catalog.causal_lm(n=4)), True),
        (dumps(ms.catalog.causal_lm(n=2)), True),
        (regular(3, 2), False),
        ('{"masksynth": 1, "name": "none", "tasks": []}', True),
        (dumps(ms.catalog.butterfly(n=6)), False),
        (dumps(ms.catalog.tabpfn_duplicates()), False),
        ((INSTANCES / "layer-pattern-copies.json").read_text(), False),
        (regular(8, 3), False),
    ],
)
def test_optimum_plus_offset_is_the_number_of_positions(text, tiny, tmp_path):
    path = tmp_path / "model.wcnf"
    done = here("solve", "-", "--emit", path, "--backend", "criterion", "--quiet", text=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    due = len(ms.solve(ms.loads(text), backend="criterion").merged.positions)
    assert optimum(path) == due
    if tiny:
        assert brute(path) == due


def test_a_tampered_model_has_another_optimum(tmp_path):
    path = tmp_path / "model.wcnf"
    here("solve", "-", "--emit", path, "--quiet", text=dumps(ms.catalog.causal_lm(n=4)))
    text = path.read_text()
    offset = parsed(path)[0]
    path.write_text(text.replace(f"c offset {offset}\n", f"c offset {offset + 1}\n"))
    assert optimum(path) == brute(path) == 4
    path.write_text(text + "h 1 0\nh -1 0\n")
    with pytest.raises(AssertionError):
        optimum(path)


def test_pysat_reads_the_file_itself(tmp_path):
    path = tmp_path / "model.wcnf"
    here("solve", "-", "--emit", path, "--quiet", text=dumps(ms.catalog.butterfly(n=4)))
    with RC2(WCNF(from_file=str(path))) as rc2:
        rc2.compute()
        assert rc2.cost + parsed(path)[0] == 10


def test_a_refused_model_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.wcnf"
    path.write_text("old\n")
    text = (INSTANCES / "cover-rows-layers-2.json").read_text()
    assert "finite depth" in refused(masksynth("solve", "-", "--emit", path, "-o", tmp_path / "out", text=text))
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]
    assert "already exists" in refused(
        masksynth("solve", "-", "--emit", path, "--quiet", text=dumps(ms.catalog.causal_lm(n=3)))
    )
    assert (
        masksynth("solve", "-", "--emit", path, "--force", "--quiet", text=dumps(ms.catalog.causal_lm(n=3))).returncode
        == 0
    )
    assert path.read_text().startswith("c offset ")
    assert list(tmp_path.iterdir()) == [path]
