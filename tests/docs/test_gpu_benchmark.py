"""The GPU benchmark at tiny sizes on a CPU: every case runs, ways to run the same agree, the budget is kept."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from benchmarks.command import main
from benchmarks.gpu import list_cases, measure_gpu
from benchmarks.gpu_setting import Setting, merge_and_pack, rollouts
from benchmarks.results import read_result
from tests.docs.pages import DOCS

PAGE = (DOCS / "gpu.md").read_text(encoding="utf-8")


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_every_case(one_thread, tmp_path):
    done = CliRunner().invoke(main, ["gpu", "--tiny", "--budget", "300", "--write", str(tmp_path)])
    assert done.exit_code == 0, done.output
    result = read_result(tmp_path / "gpu.json")
    assert result.command == "python -m benchmarks gpu --budget 300 --tiny"
    tables = {part.rows[0][0]: part.records() for part in result.tables}
    assert list(tables) == ["attention", "model", "fold", "windows", "forms", "block sizes", "lengths", "discovery"]
    assert all(f"| {name} |" in PAGE for name in tables)
    for row in tables["attention"]:
        assert row["difference"] < 1e-5
        assert (row["forward + backward ms"] is None) == ("flex" in row["attention"])
    for name in ("model", "windows"):
        assert [row["layout"] for row in tables[name]][:4] == ["separate", "packed", "merged", "merged, varlen"]
        for size in {row["positions"] for row in tables[name]}:
            losses = [row["loss for each label"] for row in tables[name] if row["positions"] == size]
            assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)
        assert all(row["tokens run"] == row["positions"] for row in tables[name] if "merged" in row["layout"])
    for plain, folded in (tables["fold"][:2], tables["fold"][2:]):
        assert plain["loss"] == pytest.approx(folded["loss"], abs=2e-5)
        assert folded["positions"] < plain["positions"]
    assert any("backward pass of FlexAttention" in note for note in result.notes)


def test_cases_beyond_the_budget_are_named():
    result = measure_gpu(1e-9, True)
    assert not result.tables
    [note] = [note for note in result.notes if note.startswith("Not run within 1e-09 s: ")]
    cases = list(list_cases(Setting(torch.device("cpu"), True, 0.0)))
    assert note.count("(") == len(cases)
    assert "attention (length 64, dtype torch.float32), model (length 64), fold (length 32, kind GRPO)" in note


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_says_so():
    done = CliRunner().invoke(main, ["gpu"])
    assert done.exit_code == 1
    assert "torch finds no CUDA device; --tiny runs the same code on a CPU" in done.output


def test_plain_packing_has_the_tokens_of_the_merged_batch_in_the_order_of_its_samples():
    merged, plain = merge_and_pack(rollouts(100))
    assert (plain.input_ids == merged.input_ids[merged.sample_position]).all()
    assert plain.positions == len(merged.sample_position) == 8 * (25 + 9)
    assert merged.positions == 25 + 8 * 9


def test_the_page_says_that_nothing_was_measured():
    assert "**No figure has been measured on a GPU yet.**" in PAGE
