"""The benchmarks at tiny sizes, and the places in the page that they write."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT

NAMES = ("machine", "merge", "trie", "search")


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def rows(page, name):
    """Cells of the table that stands between the markers of a page."""
    part = re.search(rf"<!-- begin {name} -->(.*?)<!-- end {name} -->", page, flags=re.DOTALL)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")]


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
