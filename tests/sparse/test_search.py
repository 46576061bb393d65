"""Searches within limits: what an interrupted, a repeated and a shared search answers, with real worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import masksynth as ms
from masksynth.backends import Limits
from masksynth.sparse import SparseProblem, disjoint_cuts, disjoint_intervals, first_solution, greedy, reduce
from masksynth.sparse.engines import Standing, engine, sparse_search
from masksynth_solvers import interruptible
from masksynth_solvers.encoding import OutOfTime
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.component_task import ComponentTask
from masksynth_solvers.sparse.descent import Descent
from masksynth_solvers.sparse.path_encoding import encode
from masksynth_solvers.sparse.portfolio import ComponentSearch, race
from masksynth_solvers.sparse.russian_dolls import solve_windows
from tests.sparse.relations import carries, chain, grid, one_class, random_poset

HARD = chain(40)


def children(parent=None):
    """Processes of engines that this process, or another one, has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        try:
            started_by = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (
                started_by == (parent or os.getpid())
                and b"masksynth_solvers.sparse.worker" in (entry / "cmdline").read_bytes()
            ):
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def test_a_time_limit_gives_the_best_mask_and_bound():
    begun = time.monotonic()
    answer = ms.sparsify(HARD, layers=2, limits=Limits(seconds=3))
    assert time.monotonic() - begun < 30
    assert answer.status is ms.Status.FEASIBLE
    assert 128 <= answer.objective.bound < answer.objective.value <= 143
    assert carries(answer.mask.dense(), HARD, 2)


def test_no_time_at_all_gives_a_mask_all_the_same():
    answer = ms.sparsify(HARD, layers=3, limits=Limits(seconds=0))
    assert (answer.status, answer.outcome.standings[0].proved_by in ("none", "packing")) == (ms.Status.FEASIBLE, True)
    assert carries(answer.mask.dense(), HARD, 3)


def test_effort_makes_equal_runs_give_equal_answers():
    runs = [ms.sparsify(random_poset(40, 0.5, 1), layers=2, limits=Limits(effort=3)) for _ in range(2)]
    assert runs[0].mask == runs[1].mask
    assert (runs[0].objective, runs[0].certificate) == (runs[1].objective, runs[1].certificate)


def test_more_effort_never_gives_a_worse_answer():
    found = [ms.sparsify(chain(18), layers=2, limits=Limits(effort=effort)).objective for effort in (0, 1, 4)]
    assert [one.value for one in found] == sorted((one.value for one in found), reverse=True)
    assert [one.bound for one in found] == sorted(one.bound for one in found)


def shared(relation, layers, names, seconds):
    """Search the one part of a relation with engines in processes of their own, from the greedy solution on."""
    problem = SparseProblem(relation, layers)
    found = reduce(problem)
    (part,) = found.components
    chosen = greedy(problem, found.forced, part)
    state = ComponentSearch(ComponentTask(problem, found.forced, part, 0), Standing(problem.cost(chosen), 0, chosen))
    best = [state.known]
    with suppress(OutOfTime):  # the time may end while an engine builds its clauses
        for _ in race(state, names, Budget(time.monotonic() + seconds)):
            best.append(state.known)
    return best


@pytest.mark.parametrize("names", [("sat", "maxsat"), ("sat", "maxsat", "cpsat")])
def test_engines_in_processes_of_their_own_prove_the_same_optimum(names):
    standings = shared(chain(15), 2, names, 200)
    assert (standings[-1].lower, standings[-1].upper) == (34 - 14, 34 - 14)
    assert all(after.lower >= before.lower and after.upper <= before.upper for before, after in pairwise(standings))
    assert not children()


def test_workers_through_the_front_door():
    answer = ms.sparsify(random_poset(30, 0.5, 1), layers=2, limits=Limits(seconds=200, workers=2))
    assert (answer.status, answer.objective.value) == (ms.Status.OPTIMAL, 66)
    assert not children()


def killed_while(search, count):
    """Run a search and kill ``count`` of its engine processes as soon as they are there."""
    killed = []

    def kill():
        until = time.monotonic() + 60
        while len(killed) < count and time.monotonic() < until:
            for child in children():
                if child not in killed and len(killed) < count:
                    os.kill(child, signal.SIGKILL)
                    killed.append(child)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        return search()
    finally:
        killer.join()
        assert len(killed) == count


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are found in /proc")
def test_an_engine_that_is_killed_is_missed_but_the_search_goes_on():
    standings = killed_while(lambda: shared(HARD, 2, ("sat", "maxsat"), 6), 1)
    assert len(standings) > 1
    assert standings[-1].upper <= standings[0].upper
    assert not children()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are found in /proc")
def test_a_search_whose_other_engines_are_killed_goes_on_alone():
    standings = killed_while(lambda: shared(chain(16), 2, ("sat", "maxsat", "cpsat"), 200), 2)
    assert (standings[-1].lower, standings[-1].upper) == (38 - 15, 38 - 15)
    assert not children()


def test_ctrl_c_leaves_the_best_answer_and_no_process(tmp_path):
    program = (
        "import numpy as np, masksynth as ms\n"
        "print('ready', flush=True)\n"
        "answer = ms.sparsify(np.tril(np.ones((40, 40), bool)), 2, limits=ms.Limits(seconds=100, workers=2))\n"
        "print(answer.status.name, answer.objective.value)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "ready\n"
    until = time.monotonic() + 60
    while not children(running.pid) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (out.split()[0], err) == ("FEASIBLE", "")
    assert int(out.split()[1]) <= 203


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are found in /proc")
def test_engines_end_when_the_search_is_killed():
    program = (
        "import numpy as np, masksynth as ms\n"
        "ms.sparsify(np.tril(np.ones((40, 40), bool)), 2, limits=ms.Limits(seconds=100, workers=2))\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program])
    until = time.monotonic() + 60
    while not (started := children(running.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1)
    running.kill()
    running.wait()
    assert started
    while any(Path(f"/proc/{child}").exists() for child in started) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in started)


def test_two_workers_stop_at_an_effort_with_equal_answers():
    """The value and the bound do not depend on which process is the faster; the main process is slowed down once."""
    relation, limits = random_poset(30, 0.8, 1), Limits(effort=1.5, workers=2)
    first = ms.sparsify(relation, layers=2, limits=limits)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        second = ms.sparsify(relation, layers=2, limits=limits)
    finally:
        busy.kill()
        busy.wait()
    assert first.objective == second.objective
    assert first.status is ms.Status.FEASIBLE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["sat", "maxsat"])
def test_ctrl_c_waits_for_the_end_of_a_slice(name):
    """PySAT installs no handler of its own that would jump out of its solver, and the engine goes on afterwards."""
    problem = SparseProblem(chain(40), 2)
    found = reduce(problem)
    (part,) = found.components
    chosen = first_solution(problem, found.forced, part)
    known = Standing(problem.cost(chosen), 0, chosen)
    searching = engine(name)(encode(problem, found.forced, part), 0)
    raised = threading.Event()

    def press():  # again after a while: Python drops an interrupt that comes while a solver is deleted
        wait = 1.0
        while not raised.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)
            wait = 4.0

    fingers = threading.Thread(target=press)
    fingers.start()
    with pytest.raises(KeyboardInterrupt):
        searching.advance(known, 10**6, time.monotonic() + 60)
    raised.set()
    fingers.join()
    assert not searching.advance(known, 0.1, None).closed


def test_ctrl_c_while_the_thread_of_a_solver_starts(monkeypatch):
    """The caller is not left before the solver has ended, whenever the signal comes."""

    class Interrupted(threading.Thread):
        def start(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            super().start()

    ended = []
    monkeypatch.setattr(interruptible, "Thread", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        interruptible.run_in_thread(lambda: ended.append(time.sleep(0.3)))
    assert ended == [None]


@pytest.mark.parametrize(("n", "layers", "least"), [(15, 2, 34), (15, 3, 24), (15, 4, 21)])
def test_windows_inside_windows_prove_chains(n, layers, least):
    """The bounds of all windows are least weights, and with them one descent closes the chain."""
    problem = SparseProblem(chain(n), layers)
    found = reduce(problem)
    (part,) = found.components
    inner = solve_windows(problem, found.forced, part, Budget())
    exact = {
        len({place for edge in window.component.pairs for place in range(edge[1], edge[0] + 1)}): window.bound
        for window in inner
    }
    for size, bound in exact.items():
        assert bound == ms.sparsify(chain(size), layers=layers).objective.value - (size - 1), size
    formula = encode(problem, found.forced, part)
    formula.windows = inner
    start = sparse_search(problem, ("sat",), Limits(effort=0)).standings[0]
    assert Descent(formula, 0).advance(start, 100, None).lower == least - (n - 1)


def test_quick_bounds_never_exceed_the_optimum():
    rng = np.random.default_rng(3)
    for relation in (
        chain(9),
        grid(3, 3),
        grid(2, 5),
        one_class(4),
        *(random_poset(14, 0.6, int(seed)) for seed in rng.integers(0, 99, 6)),
    ):
        for layers in (2, 3):
            problem = SparseProblem(relation, layers)
            found = reduce(problem)
            for part, standing in zip(
                found.components, sparse_search(problem, ("sat",), Limits()).standings, strict=True
            ):
                assert standing.closed
                cuts = disjoint_cuts(problem, found.forced, part)
                assert len({edge for cut in cuts for edge in cut.edges}) == sum(len(cut.edges) for cut in cuts)
                assert sum(min(map(problem.weight, cut.edges)) for cut in cuts) <= standing.upper
                small = disjoint_intervals(problem, found.forced, part, 6)
                assert len({edge for window in small for edge in window.edges}) == sum(
                    len(window.edges) for window in small
                )


def test_options():
    """Forced, forbidden, weighted, free and layered edges, each against what can be counted by hand."""
    assert ms.sparsify(chain(4), layers=3, forced=[(3, 0)]).objective.value == 4
    assert ms.sparsify(chain(4), layers=2, forbidden=[(3, 1)]).objective.value == 4
    cut = ms.sparsify(chain(4), layers=2, forbidden=[(3, 2)])
    assert (cut.status, cut.mask, cut.unreachable) == (ms.Status.INFEASIBLE, None, (3, 2))
    dear = ms.sparsify(chain(4), layers=2, weights={(2, 0): 5, (3, 1): 5})
    assert (dear.objective.value, dear.mask.dense()[3, 0]) == (4, True)
    free = ms.sparsify(chain(4), layers=2, weights={(3, 0): -2, (3, 1): 0})
    assert (free.objective.value, free.mask.dense()[3, 0]) == (3 - 2 + 0, True)
    both = ms.sparsify(chain(4), layers=2, layered=True)
    assert (both.objective.value, both.mask.tables) == (4, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_that_one_engine_refuses_are_left_to_the_others(workers):
    """``sat`` counts weights up to 20,000 in a totalizer, so it leads here and is then missed."""
    problem = SparseProblem(chain(7), 2, weights={(q, k): 10_000 + 7 * q - k for q in range(7) for k in range(q)})
    with pytest.raises(ms.Unsupported, match="that a totalizer counts"):
        sparse_search(problem, ("sat",), Limits())
    found = sparse_search(problem, ("sat", "cpsat"), Limits(workers=workers)).standings
    assert found[0].closed
    assert found[0].upper == sparse_search(problem, ("maxsat",), Limits()).standings[0].upper


def test_what_cannot_be_searched_is_refused_and_what_is_large_is_built():
    with pytest.raises(ms.Unsupported, match="too large to search; use --backend construct"):
        ms.sparsify(chain(200), layers=2, backend="sat")
    with pytest.raises(ms.Unsupported, match="supports neither weights"):
        ms.sparsify(chain(5), layers=2, backend="construct", forced=[(4, 0)])
    with pytest.raises(ms.Unsupported, match="unknown sparse backend 'glpk'"):
        ms.sparsify(chain(5), layers=2, backend="glpk")
    large = ms.sparsify(chain(200), layers=2)
    assert (large.outcome, large.objective.value) == (None, sum(k.bit_length() - 1 for k in range(1, 201)))
    assert carries(large.mask.dense(), chain(200), 2)


def test_a_relation_is_closed_first_and_that_is_said():
    covers = np.eye(5, dtype=bool) | np.eye(5, k=-1, dtype=bool)
    answer = ms.sparsify(covers, layers=2)
    assert (answer.closed, answer.objective.value, carries(answer.mask.dense(), chain(5), 2)) == (False, 6, True)
    assert ms.sparsify(chain(5), layers=2).closed
