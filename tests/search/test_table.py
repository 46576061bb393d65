"""Results as Parquet, CSV and data frames."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from masksynth import Limits, catalog
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.search import table as table_module
from masksynth.search.result import line_of
from masksynth.search.table import COLUMNS, columns, write_table
from tests.search.test_summary import failed, made, solved

TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
SCHEMA = pa.schema([(name, TYPES[kind]) for name, (kind, _) in COLUMNS.items()])


@pytest.fixture(scope="module")
def batch():
    """Dense and sparse answers, and a failure."""
    sparse = solved(catalog.causal_lm(n=6), "auto", layers=2, sparse=True, limits=Limits(effort=1))
    return [
        solved(catalog.butterfly(n=4), "cpsat"),
        sparse,
        failed("bad,\n\u2603.json", "not JSON", "auto", Limits(seconds=3)),
    ]


def test_parquet_holds_what_the_results_say(batch, tmp_path):
    path = tmp_path / "r.parquet"
    assert write_table(path, iter(batch)) == 3
    table = pq.read_table(path)
    assert table.schema == SCHEMA
    dense, sparse, bad = table.to_pylist()
    assert (dense["positions"], dense["positions_bound"], dense["edges"], dense["edges_bound"]) == (10, 10, None, None)
    edges = batch[1].objective["edges"]
    assert (sparse["edges"], sparse["edges_bound"], sparse["layers"], sparse["sparse"]) == (
        edges["value"],
        edges["bound"],
        2,
        True,
    )
    assert (bad["instance"], bad["status"], bad["error"], bad["proved"], bad["hash"]) == (
        "bad,\n\u2603.json",
        None,
        "not JSON",
        False,
        None,
    )
    assert json.loads(bad["limits"])["seconds"] == 3
    assert [row["seconds"] for row in table.to_pylist()] == [result.seconds for result in batch]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("results", [[], [made("UNKNOWN", winner=None)]], ids=["none", "nothing known"])
def test_empty_columns_keep_their_types(results, tmp_path):
    write_table(tmp_path / "r.parquet", results)
    table = pq.read_table(tmp_path / "r.parquet")
    assert (table.schema, len(table)) == (SCHEMA, len(results))
    write_table(tmp_path / "r.csv", results)
    assert (tmp_path / "r.csv").read_text().splitlines()[0].split(",") == list(COLUMNS)


def test_csv_and_parquet_are_the_same_table(batch, tmp_path):
    write_table(tmp_path / "r.csv", batch)
    write_table(tmp_path / "r.parquet", batch)
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wanted = pq.read_table(tmp_path / "r.parquet").to_pylist()
    for row, want in zip(rows, wanted, strict=True):
        texts = {
            key: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in want.items()
        }
        assert row == texts
    frame = pd.read_csv(tmp_path / "r.csv")
    assert frame["proved"].tolist() == [True, batch[1].proved, False]


def test_a_data_frame_takes_the_columns(batch):
    frame = pd.DataFrame(columns(batch))
    assert frame.loc[frame["proved"], "positions"].tolist()[0] == 10
    assert frame["sparse"].dtype == np.bool_
    assert frame.groupby("backend")["seconds"].max().to_dict().keys() == {"cpsat", "auto"}
    assert pd.DataFrame(columns([])).shape == (0, len(COLUMNS))


def test_many_results_are_written_block_by_block(monkeypatch, tmp_path):
    monkeypatch.setattr(table_module, "BLOCK", 7)
    assert write_table(tmp_path / "r.parquet", (made(seconds=n) for n in range(50))) == 50
    file = pq.ParquetFile(tmp_path / "r.parquet")
    assert file.metadata.num_row_groups == 8
    assert file.read()["seconds"].to_pylist() == list(range(50))


def test_file_names_that_are_no_text_are_escaped(tmp_path):
    odd = os.fsdecode(b"a\xff.json")
    write_table(tmp_path / "r.parquet", [made(instance=odd)])
    write_table(tmp_path / "r.csv", [made(instance=odd)])
    assert pq.read_table(tmp_path / "r.parquet")["instance"].to_pylist() == ["a\\udcff.json"]
    assert "a\\udcff.json" in (tmp_path / "r.csv").read_text()


def broken(results):
    yield from results
    raise InvalidInstance("not a line of results", "line 4", "", "r.jsonl")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_is_there_whole_or_not_at_all(ending, batch, tmp_path):
    path = tmp_path / f"r.{ending}"
    with pytest.raises(InvalidInstance, match="line 4"):
        write_table(path, broken(batch))
    assert list(tmp_path.iterdir()) == []
    write_table(path, batch)
    before = path.read_bytes()
    with pytest.raises(InvalidInstance, match="already exists; choose another name or give --force"):
        write_table(path, batch[:1])
    with pytest.raises(InvalidInstance, match="line 4"):
        write_table(path, broken(batch[:1]), force=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert write_table(path, batch[:1], force=True) == 1


def test_other_endings_and_places_are_refused(batch, tmp_path):
    with pytest.raises(InvalidInstance, match=r"ends in '\.xlsx'; name a \.parquet or \.csv file"):
        write_table(tmp_path / "r.xlsx", batch)
    (tmp_path / "file").touch()
    with pytest.raises(MasksynthError, match=r"the table cannot be written: (Not a directory|File exists)"):
        write_table(tmp_path / "file" / "r.csv", batch)
    write_table(tmp_path / "new" / "r.csv", batch)
    assert (tmp_path / "new" / "r.csv").is_file()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_disk_that_is_full_leaves_nothing(ending, tmp_path):
    program = (
        "import sys; from masksynth.search.table import write_table; from masksynth.search.result import result_of\n"
        "from masksynth.errors import MasksynthError\n"
        "line = sys.stdin.read()\n"
        "try: write_table(sys.argv[1], (result_of(line.replace('NAME', 'x' * 64 + str(n * 7919))) for n in range(20_000)))\n"  # noqa: E501
        "except MasksynthError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / f"r.{ending}")], input=line_of(made(instance="NAME")).decode(),
        capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )  # fmt: skip
    assert "the table cannot be written: " in done.stdout, done
    assert len(done.stdout.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_seconds_are_numbers_also_where_they_are_whole():
    assert columns([replace(made(), seconds=1)])["seconds"] == [1.0]
