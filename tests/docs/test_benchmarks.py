"""The benchmarks at tiny sizes, and the places in the page that they write."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT

FILES = ["gsm8k_rollouts", "preference_pairs", "reasoning_calls"]
NAMES = (
    "machine",
    "merge",
    "trie",
    "search",
    "sparse",
    "reach",
    "constructions",
    "packing",
    "blocks",
    "audit",
    "training",
    "batches",
    "clustering",
    "hierarchy",
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


def rows(page, name):
    """Cells of the table that stands between the markers of a page."""
    part = re.search(rf"<!-- begin {name} -->(.*?)<!-- end {name} -->", page, flags=re.DOTALL)[1]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")
    ]


def test_tables_are_written_between_the_markers(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(DOCS / "benchmarks.md", page)
    done = benchmark("merge", "trie", "--most", 1000, "--write", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    head, *cells = rows(text, "merge")
    assert head[0] == "family"
    assert [cell[0] for cell in cells] == ["chains", "prefix tree", "butterfly", "block two-stream"]
    assert {cell[0]: cell[2] for cell in cells}["butterfly"] == str(3 * 32 - 2)
    assert len(rows(text, "trie")) == 2
    done = benchmark("search", "--most", 24, "--limit", 60, "--write", page)
    assert done.returncode == 0, done.stderr
    head, *cells = rows(page.read_text(), "search")
    assert len(cells) >= 3
    assert all(re.fullmatch(r"\d+\.\d\d", cell) for row in cells for cell in row[4:7])
    assert rows(page.read_text(), "merge")[0] == rows(text, "merge")[0]


def test_sparse_masks_are_proved_by_every_method(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(DOCS / "benchmarks.md", page)
    done = benchmark("sparse", "reach", "--most", 5, "--limit", 30, "--write", page)
    assert done.returncode == 0, done.stderr
    head, *cells = rows(page.read_text(), "sparse")
    methods = ["CP-SAT, default", "RC2, default", "SCIP", "HiGHS", "sat", "maxsat", "cpsat", "auto"]
    cases = int(head[1].removeprefix("solved of "))
    assert [cell[:2] for cell in cells[:8]] == [[method, str(cases)] for method in methods]
    assert cells[8] == ["solved", "of", *methods]
    assert [cell[:2] for cell in cells[9:14]] == [[f"chains L = {layers}", "2"] for layers in (2, 3, 4, 5, 6)]
    assert [cell[0] for cell in cells[14:]] == ["classes", "instances"]
    assert sum(int(cell[1]) for cell in cells[9:]) == cases
    assert all(set(cell[2:]) == {cell[1]} for cell in cells[9:])
    assert "Proved by nobody: none." in page.read_text()
    drawing = (tmp_path / "cactus.svg").read_text()
    assert all(f">{method} ({cases})<" in drawing for method in methods)
    _, *reached = rows(page.read_text(), "reach")
    assert [cell[2:4] for cell in reached] == [["5", "5"]] * 9
    assert [cell[5] for cell in reached[:3]] == ["6", "5", "4"]


def test_packing_beside_a_trie(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(DOCS / "benchmarks.md", page)
    done = benchmark("packing", "--write", page)
    assert done.returncode == 0, done.stderr
    cells = rows(page.read_text(), "packing")
    assert [cell[0] for cell in cells] == ["file", *FILES, "file", *FILES]
    assert [cell[1] for cell in cells[1:4]] == ["3,216", "767", "8,425"]


def test_batches_beside_a_plain_loop(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(DOCS / "benchmarks.md", page)
    done = benchmark("batches", "--most", 60, "--write", page)
    assert done.returncode == 0, done.stderr
    _, *cells = rows(page.read_text(), "batches")
    assert [cell[1] for cell in cells] == ["1", "1", "2", "1", "2", "1", "2"]
    assert {cell[2] for cell in cells} == {"60"}
    assert cells[0][5] == "0.00"
    for row in cells:
        assert abs(float(row[3]) * float(row[4].replace(",", "")) - 60) < 6


def test_starts_together_beside_a_loop(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(DOCS / "benchmarks.md", page)
    done = benchmark("clustering", "--most", 1, "--write", page)
    assert done.returncode == 0, done.stderr
    _, *cells = rows(page.read_text(), "clustering")
    assert [cell[:2] for cell in cells] == [["circle", "angles"], ["circle", "vectors"]] + [["circle", "angles"]] + [
        ["sphere", "vectors"]
    ] * 3
    assert all(cell[6] == "1" and float(cell[10]) < 1e-3 for cell in cells)


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
        "from benchmarks.sparse import agreed, _compared\n"
        "from benchmarks.relations import suite\n"
        "case = suite(3)[0]\n"
        "print(agreed(case, [None, 2]))\n"
        "try:\n    _compared({5: 6}, {5: 7})\nexcept AssertionError as error:\n    print(error)\n"
        "agreed(case, [3])\n"
    )
    assert done.stdout.splitlines() == ["2", "5 positions: 6 and 7 edges are both claimed optimal"]
    assert "chain 3, L = 2: several optima are claimed: [2, 3]" in done.stderr


def test_the_plot_is_the_same_twice(tmp_path):
    drawn = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in drawn:
        times = {"SCIP": [0.5, 2.0], "HiGHS": [], "RC2": [0.001], "CP-SAT": [1.0], "auto": [0.1, 0.2, 0.3]}
        done = program(
            f"from pathlib import Path; from benchmarks.plots import cactus; cactus(Path({str(path)!r}), {times!r}, 4, 5.0)"
        )
        assert done.returncode == 0, done.stderr
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert ">auto (3)<" in drawn[0].read_text()


def test_a_page_without_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Nothing\n")
    done = benchmark("machine", "--write", page)
    assert done.returncode == 1
    assert "no markers for 'machine'" in done.stderr
    assert page.read_text() == "# Nothing\n"


@pytest.mark.parametrize("name", NAMES)
def test_page_has_a_place_for_every_table(name):
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert text.count(f"<!-- begin {name} -->") == text.count(f"<!-- end {name} -->") == 1


def test_fitted_exponents():
    program = "from benchmarks.measure import exponent as e; print(round(e([1, 10, 100], [3, 300, 30000]), 6), round(e([1, 2], [5, 5]), 6))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2.0", "0.0"]


def test_hierarchies_beside_softmax(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(DOCS / "benchmarks.md", page)
    done = benchmark("hierarchy", "--most", 1024, "--write", page)
    assert done.returncode == 0, done.stderr
    _, *cells = rows(page.read_text(), "hierarchy")
    assert len(cells) == 5
    assert {cell[0] for cell in cells} == {"1,024"}
    assert [cell[4] for cell in cells] == ["0.1", "0.1", "0.1", "4.0", "0.0"]
