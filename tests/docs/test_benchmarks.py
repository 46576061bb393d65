"""The benchmarks at tiny sizes, the stored figures, and the page that is computed from them."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module

import pytest
from click.testing import CliRunner

from benchmarks import chats, ordering, piping, solving, summary
from benchmarks import clustering as cases
from benchmarks.command import main
from benchmarks.results import FOLDER, Result, parse_cell, read_result, table, write_result
from tests.docs.pages import DOCS, ROOT

FILES = ["gsm8k_rollouts", "preference_pairs", "reasoning_calls"]
NAMES = (
    "merge",
    "trie",
    "solve",
    "search",
    "sparse",
    "auto",
    "reach",
    "constructions",
    "kernel",
    "filling",
    "packing",
    "pipe",
    "chats",
    "arrange",
    "blocks",
    "audit",
    "training",
    "order",
    "batches",
    "clustering",
    "hierarchy",
    "discovery_exact",
    "discovery",
)


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def measure(folder, *arguments):
    """Run benchmarks; compare the columns of their tables with the stored ones; return the results by name."""
    done = benchmark(*arguments, "--write", folder)
    assert done.returncode == 0, done.stderr
    results = {path.stem: read_result(path) for path in folder.glob("*.json")}
    for name, result in results.items():
        assert [part.columns for part in result.tables] == [part.columns for part in stored(name).tables]
    return results


def stored(name):
    return read_result(FOLDER / f"{name}.json")


def column(result, name, number=0):
    return [record[name] for record in result.tables[number].records()]


@pytest.mark.slow
def test_solving_beside_another_checkout(monkeypatch):
    monkeypatch.setenv("MASKSYNTH_OLD", str(ROOT))
    monkeypatch.setattr(solving, "REPEATS", 1)
    monkeypatch.setattr(solving, "SOLVED", {"chains": solving.SOLVED["chains"]})
    result = solving.measure_solving(100)
    assert [part.columns for part in result.tables] == [part.columns for part in stored("solve").tables]
    [record] = result.tables[0].records()
    assert (record["family"], record["positions"]) == ("chains", "49")
    assert all(0.1 < float(record[f"old / new {part}"]) < 10 for part in ("load", "solve", "write", "all"))
    assert [record["command"] for record in result.tables[1].records()][:2] == [
        "masksynth --version",
        "masksynth --help",
    ]


@pytest.mark.slow
def test_merging_and_searching(tmp_path):
    results = measure(tmp_path, "merge", "trie", "--max-size", 1000)
    merge = results["merge"]
    assert column(merge, "family") == ["chains", "prefix tree", "butterfly", "block two-stream"]
    assert merge.tables[0].records()[2]["positions"] == 3 * 32 - 2
    assert len(results["trie"].tables[0].rows) == 1
    assert "masksynth" in merge.machine
    assert merge.command == "python -m benchmarks merge --max-size 1000 --limit 20"
    search = measure(tmp_path, "search", "--max-size", 24, "--limit", 60)["search"]
    assert len(search.tables[0].rows) >= 3
    assert all(isinstance(cell, float) for name in ("cpsat s", "maxsat s", "ilp s") for cell in column(search, name))
    assert read_result(tmp_path / "merge.json") == merge


METHODS = ("CP-SAT, default", "RC2, default", "SCIP", "HiGHS", "sat", "maxsat", "cpsat", "auto")


@pytest.mark.slow
def test_sparse_masks_are_proved_by_every_method(tmp_path):
    sparse = measure(tmp_path, "sparse", "--max-size", 4, "--limit", 30)["sparse"]
    cases = column(sparse, "cases")[0]
    assert column(sparse, "method") == [*METHODS]
    assert set(column(sparse, "solved")) == {cases}
    families = sparse.tables[1].records()
    expected = [*(f"chains L = {layers}" for layers in (2, 3, 4, 5, 6)), "classes", "instances"]
    assert [record["family"] for record in families] == expected
    assert sum(record["cases"] for record in families) == cases
    assert all(record[method] == record["cases"] for record in families for method in METHODS)
    assert "Proved by no method of the last table (RC2, default; sat; maxsat; auto): none." in sparse.notes
    drawing = (tmp_path / "cactus.svg").read_text()
    assert all(f">{method} ({cases})<" in drawing for method in METHODS)
    again = measure(tmp_path, "sparse", "--max-size", 4, "--limit", 30, "--methods", "rc2,auto")["sparse"]
    assert again.command.endswith("--methods rc2,auto")
    kept, new = sparse.tables[0].rows, again.tables[0].rows
    for method, row, other in zip(METHODS, kept, new, strict=True):
        assert row[:3] == other[:3]
        assert (row == other) or method in ("RC2, default", "auto")
    assert again.tables[1] == sparse.tables[1]
    [note] = [note for note in again.notes if note.startswith("Not part of this run")]
    assert "maxsat; cpsat" in note
    refused = benchmark("sparse", "--max-size", 3, "--limit", 30, "--methods", "rc2", "--write", tmp_path)
    assert refused.returncode == 1
    assert "to keep the figures of methods that are not run" in refused.stderr


@pytest.mark.slow
def test_reach_of_chains_and_posets(tmp_path):
    reach = measure(tmp_path, "reach", "--max-size", 5, "--limit", 30)["reach"]
    assert column(reach, "CP-SAT, default") == column(reach, "auto") == [5] * 9
    assert column(reach, "edges")[:3] == [6, 5, 4]


def test_packing_by_one_and_two_jobs(tmp_path, monkeypatch):
    for name, value in {"TEXT": 1, "FILES": 2, "ROUNDS": 1, "TURNS": 1, "DISK": 1 << 16}.items():
        monkeypatch.setattr(piping, name, value)
    stages, runs, rates = piping.measure_kind("preference_pairs")
    assert len(stages) + 1 == len(piping.STAGES)
    assert [(cells[0], cells[2]) for cells in runs] == [("1 plain", "1"), ("2 gzip", "1")]
    assert all(len(cells) + 1 == len(piping.RUNS) for cells in runs)
    assert len(piping.extrapolate(*rates)) + 1 == len(piping.PAPER)
    assert all(value >= 0 for value in rates)
    _, plain, packed = piping.write_samples("preference_pairs", tmp_path)
    rows = [json.loads(line) for line in plain.read_text().splitlines()]
    first, second = ([json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()] for path in packed)
    assert first + second == rows
    assert len({row["id"] for row in rows}) == len(rows)
    assert [len(row["labels"]) for row in first] == [len(row["labels"]) for row in second]
    assert [row["labels"] for row in first] != [row["labels"] for row in second]


@pytest.mark.slow
def test_packing_against_a_trie(tmp_path):
    results = measure(tmp_path, "packing", "kernel", "--max-size", 1)
    assert column(results["packing"], "file") == FILES
    kernel = results["kernel"]
    assert column(kernel, "samples") == ["agent trajectories", *FILES]
    assert column(kernel, "tokens")[1:] == [3216, 767, 8425]
    assert column(kernel, "tokens / position")[0] > 10


@pytest.mark.slow
def test_batches_against_a_loop(tmp_path):
    batches = measure(tmp_path, "batches", "--max-size", 60)["batches"]
    assert column(batches, "workers") == [1, 1, 2, 1, 2, 1, 2]
    assert set(column(batches, "instances")) == {60}
    assert column(batches, "overhead, ms")[0] == 0
    for record in batches.tables[0].records():
        assert abs(record["seconds"] * record["instances/s"] - 60) < 6


@pytest.fixture
def measured_here(tmp_path, monkeypatch):
    """Run a benchmark in this process, its cells too; those of other benchmarks have processes of their own."""

    def run(name, *arguments, file=None):
        module = import_module(f"benchmarks.{file or name}")
        monkeypatch.setattr(module, "alone", lambda work, *given: work(*given))
        done = CliRunner().invoke(main, [name, *map(str, arguments), "--write", str(tmp_path)])
        assert done.exit_code == 0, done.output
        result = read_result(tmp_path / f"{name}.json")
        assert [part.columns for part in result.tables] == [part.columns for part in stored(name).tables]
        return result

    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    return run


def test_starts_together_against_a_loop(measured_here, monkeypatch):
    short = tuple(case._replace(time=case.time / 10) for case in cases.CASES)
    monkeypatch.setattr(cases, "CASES", short)
    clustering = measured_here("clustering", "--max-size", 1)
    systems = [("circle", "angles"), ("circle", "vectors"), ("circle", "angles"), *[("sphere", "vectors")] * 3]
    assert [row[:2] for row in clustering.tables[0].rows] == systems
    assert set(column(clustering, "starts")) == {1}
    assert max(column(clustering, "difference, 99 %")) < 1e-3


def test_hierarchies_against_softmax(measured_here):
    hierarchy = measured_here("hierarchy", "--max-size", 1024)
    assert column(hierarchy, "positions") == [1024] * 5
    assert column(hierarchy, "scores held, MiB") == [0.1, 0.1, 0.1, 4.0, 0.0]


def test_chats_against_a_loop(measured_here, monkeypatch):
    monkeypatch.setattr(chats, "ROUNDS", 1)
    result = measured_here("chats", "--max-size", 2000)
    assert column(result, "samples") == [2, 8, 40]


def test_orders_of_data_sets(measured_here, monkeypatch):
    train = ordering.train_sources
    monkeypatch.setattr(ordering, "ROUNDS", 1)
    monkeypatch.setattr(ordering, "train_sources", lambda sources, count: train(sources[-1:], count))
    result = measured_here("order", "--max-size", 8000, file="ordering")
    for record in result.tables[0].records():
        assert 1 <= record["shuffled"] <= record["prefix"] <= record["limit"]
    [epoch] = result.tables[1].records()
    assert epoch["positions, prefix"] <= epoch["positions, shuffled"] <= epoch["tokens"]


def program(text):
    return subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_cpu_clock_ends_a_cell():
    done = program(
        "from benchmarks.measure import metered\n"
        "import itertools, time\n"
        "value, spent = metered(0.3, lambda: sum(itertools.repeat(1)))\n"
        "print(value, 0.2 < spent < 1, metered(0.3, lambda: time.sleep(0.6) or 7)[0])\n"
        "metered(9, lambda: 1 / 0)\n"
    )
    assert done.stdout.split() == ["None", "True", "7"]
    assert "ZeroDivisionError" in done.stderr
    assert "RuntimeError" in done.stderr


def test_a_wrong_optimum_is_refused():
    done = program(
        "from benchmarks.sparse import check_agreement, _compared\n"
        "from benchmarks.relations import suite\n"
        "case = suite(3)[0]\n"
        "print(check_agreement(case, [None, 2]))\n"
        "try:\n    _compared({5: 6}, {5: 7})\nexcept AssertionError as error:\n    print(error)\n"
        "check_agreement(case, [3])\n"
    )
    assert done.stdout.splitlines() == ["2", "5 positions: 6 and 7 edges are both claimed optimal"]
    assert "chain 3, L = 2: several optima are claimed: [2, 3]" in done.stderr


def test_the_plot_is_the_same_twice(tmp_path):
    drawn = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in drawn:
        times = {"SCIP": [0.5, 2.0], "HiGHS": [], "RC2": [0.001], "CP-SAT": [1.0], "auto": [0.1, 0.2, 0.3]}
        done = program(
            "from pathlib import Path; from benchmarks.plots import cactus\n"
            f"cactus(Path({str(path)!r}), {times!r}, 4, 5.0)"
        )
        assert done.returncode == 0, done.stderr
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert ">auto (3)<" in drawn[0].read_text()


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_stored_with_command_and_machine(name):
    result = stored(name)
    assert all(part.rows for part in result.tables)
    assert result.command.startswith(f"python -m benchmarks {name} --max-size ")
    assert re.search(r"\d+ cores, Python 3\.\d+\.\d+, masksynth ", result.machine)


def test_stored_positions_are_those_of_closed_forms_and_other_runs():
    merge = {(r["family"], r["task nodes"]): r["positions"] for r in stored("merge").tables[0].records()}
    assert {("butterfly", n * n): 3 * n - 2 for n in (32, 100, 316, 1000)}.items() <= merge.items()
    assert {("chains", n): n // 2 - 1 for n in (10**3, 10**4, 10**5, 10**6)}.items() <= merge.items()
    trees = {n: positions for (family, n), positions in merge.items() if family == "prefix tree"}
    assert trees == {r["task nodes"]: r["positions"] for r in stored("trie").tables[0].records()}


def test_stored_edges_are_not_below_their_bounds():
    for r in stored("constructions").tables[0].records():
        assert r["bound"] <= r["edges"]
        assert abs(r["edges / bound"] - r["edges"] / r["bound"]) < 1e-3
        assert abs(r["edges / position"] - r["edges"] / r["positions"]) < 1e-2


def test_stored_counts_of_proofs_agree():
    sparse = stored("sparse")
    families = sparse.tables[1].records()
    for r in sparse.tables[0].records():
        assert r["solved in 1 s"] <= r["solved"] == sum(record[r["method"]] for record in families) <= r["cases"]
        assert abs(r["total CPU s"] + 5 * (r["cases"] - r["solved"]) - r["total CPU s, a miss as the limit"]) < 1
    assert all(max(record[method] for method in METHODS) <= record["cases"] for record in families)
    by_case = sparse.tables[2].records()
    for r in sparse.tables[0].records():
        seconds = [record.get(r["method"], "not stored") for record in by_case]
        if "not stored" not in seconds:
            assert sum(second is not None for second in seconds) == r["solved"]
    for r in stored("reach").tables[0].records():
        assert abs(r["ratio"] - r["auto"] / r["CP-SAT, default"]) < 0.06


def test_stored_training_is_that_of_the_separate_samples():
    records = [r for r in stored("training").tables[0].records() if r["layout"] == "merged"]
    assert {r["samples"] for r in records} == set(FILES)
    assert max(r["gradient difference"] for r in records) < 1e-5


def test_results_are_read_as_written(tmp_path):
    result = Result((table(["a", "b"], [["1,024", "-"], ["x y", 0.5]]),), ("a note",), "machine", "command")
    write_result(tmp_path / "result.json", result)
    back = read_result(tmp_path / "result.json")
    assert back.tables[0].rows == ((1024, None), ("x y", 0.5))
    assert (back.tables[0].columns, back.notes, back.machine) == (("a", "b"), ("a note",), "machine")
    assert [parse_cell(text) for text in ("1,2,3 x", "-1", "1e-3", "> 5")] == ["1,2,3 x", -1, 0.001, "> 5"]


def test_page_shows_the_stored_figures():
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert summary.replace_summary(page, summary.format_summary(FOLDER)) == page, "run python -m benchmarks.summary"


def test_page_follows_a_changed_figure(tmp_path):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "reach.json"
    path.write_text(path.read_text().replace("2.9, ", "3.7, "))
    assert "1.4 to 3.7" in summary.format_summary(tmp_path)
    assert "1.4 to 3.7" not in summary.format_summary(FOLDER)


def test_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="expected one <!-- begin summary --> and one <!-- end summary -->"):
        summary.replace_summary("# Nothing\n", "text")


def test_page_names_every_benchmark():
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == {*NAMES}


def test_fitted_exponents():
    text = "from benchmarks.measure import exponent as e\nprint(e([1, 10, 100], [3, 300, 30000]), e([1, 2], [5, 5]))"
    assert [round(float(value), 6) for value in program(text).stdout.split()] == [2.0, 0.0]
