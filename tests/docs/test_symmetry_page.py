"""The page on symmetry, run from top to bottom in an empty folder, its figures, and its table of published values."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest

from examples import symmetry_models, symmetry_runs
from masksynth.diagnostics.symmetry import PUBLISHED, diagnose_checkpoints
from masksynth.diagnostics.symmetry.seed_means import families
from masksynth.diagnostics.symmetry.torch_pickles import CONVERT
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

TEXT = (DOCS / "symmetry.md").read_text(encoding="utf-8")
PAGE = blocks(DOCS / "symmetry.md")
SPEC = importlib.util.spec_from_file_location("diagnostics", DOCS / "diagnostics.py")
figures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(figures)


def structure(picture):
    """Texts and ids of a picture, which do not depend on a version of matplotlib."""
    return re.findall(r">([^<>\s][^<>]*)</text>", picture.read_text(encoding="utf-8"))


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"console", "python", "sh", "text"}
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = [block._replace(text=block.text.replace("0.491 ", "0.492 ")) for block in PAGE[:1]]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)


def test_the_blocks_that_are_not_run_train_or_fetch_or_convert():
    """The first is run below; training and the conversion are tested in tests/diagnostics/symmetry."""
    found = [block.text.splitlines() for block in PAGE if block.language == "sh"]
    assert [lines[0].split(" -", 1)[0] for lines in found] == [
        "python",
        "python",
        "python",
        "masksynth diagnose symmetry",
    ]
    assert found[-1] == ["masksynth diagnose symmetry --train -o curves.svg"]
    assert found[2][0] == CONVERT.format(path="model.pt")


def test_the_table_of_models_is_that_of_the_recorded_scores():
    rows = re.findall(
        r"\| (-?[\d.]+) \| (-?[\d.]+) \| (-?[\d.]+) \|$", TEXT.split("### A training run")[0], re.MULTILINE
    )
    recorded = figures.read_comparison("symmetry-models").series
    assert [
        tuple(
            f"{value:.3f}" for value in (run.last.symmetry, run.last.directionality_sum, run.last.directionality_excess)
        )
        for run in recorded
    ] == rows
    encoders, decoders = recorded[:5], recorded[5:]
    assert [run.name for run in decoders] == ["smollm2", "whisper-decoder"]
    assert min(run.last.symmetry for run in encoders) > max(run.last.symmetry for run in decoders)


def test_the_tables_of_runs_are_those_of_the_recorded_scores():
    text = TEXT.split("### A training run")[1].split("\n### ")[0]
    tables = [
        re.findall(r"^\| [\w-]+, (?:de|en)coder \| (.+) \|$", part, re.MULTILINE) for part in text.split("| d (excess)")
    ]
    recorded = families(figures.read_comparison("symmetry-runs").series)
    losses = json.loads((DOCS / "diagnostics" / "symmetry-runs.json").read_text())["losses"]
    for rows, name in zip(tables, ("symmetry", "directionality_excess"), strict=True):
        assert len(rows) == len(recorded) == len(symmetry_runs.MODELS)
        for row, family in zip(rows, recorded, strict=True):
            cells = [f"{getattr(each.scores, name):.3f}" for each in family.mean.checkpoints]
            last = [getattr(run.last, name) for run in family.members]
            ends = [losses[run.name]["1600"] for run in family.members]
            loss = [f"{sum(ends) / 3:.2f}"] if name == "symmetry" else []
            assert row.split(" | ") == [*cells, f"{min(last):.3f} to {max(last):.3f}", *loss]


def test_the_recorded_runs_show_what_the_page_says():
    """Three seeds to the end; all learned; the contrast with learned positions, its reverse with rotary ones."""
    runs = {family.name: family.members for family in families(figures.read_comparison("symmetry-runs").series)}
    assert {tuple(each.step for each in run.checkpoints) for one in runs.values() for run in one} == {
        symmetry_runs.SAVED
    }
    assert {len(one) for one in runs.values()} == {3}
    record = json.loads((DOCS / "diagnostics" / "symmetry-runs.json").read_text())
    losses, longer = record["losses"], record["longer"]
    entropy = symmetry_runs.entropy(symmetry_runs.read_text()[0])
    assert max(each["1600"] for each in losses.values()) < entropy - 0.9
    last = {name: [run.last.symmetry for run in one] for name, one in runs.items()}
    assert min(last["bert"] + last["roberta"]) > max(last["gpt2"])
    assert max(last["modernbert"]) < min(last["llama"])
    llama, modernbert = (longer[f"{name}/seed-1"] for name in ("llama", "modernbert"))
    assert llama["steps"] == modernbert["steps"] == [*symmetry_runs.SAVED, 4800]
    falls = f"{llama['symmetry'][-2]:.3f}\nat step 1,600 and ends at {llama['symmetry'][-1]:.3f}"
    assert f"Llama falls to {falls}, ModernBERT ends at {modernbert['symmetry'][-1]:.3f}" in TEXT
    directed = {name: [run.last.directionality_excess for run in one] for name, one in runs.items()}
    assert max(value for name, values in directed.items() if name != "bert" for value in values) < 0
    assert min(directed["bert"]) < 0 < max(directed["bert"])


def test_the_recorded_models_have_their_scores_today(tmp_path):
    """Fetches the packages of the table, 200 MB, as the page's first line does."""
    symmetry_models.main([str(tmp_path / "models")])
    recorded = figures.read_comparison("symmetry-models").series
    today = diagnose_checkpoints([tmp_path / "models" / series.name for series in recorded]).series
    assert sorted(series.name for series in recorded) == sorted(symmetry_models.MODELS)
    for series, found in zip(recorded, today, strict=True):
        for layer, now in zip(series.last.layers, found.last.layers, strict=True):
            assert layer.symmetry == pytest.approx(now.symmetry, abs=1e-4)
            assert layer.head_symmetry == pytest.approx(now.head_symmetry, abs=1e-4)
            assert layer.directionality_sum == pytest.approx(now.directionality_sum, abs=1e-4)
            assert layer.head_directionality_excess == pytest.approx(now.head_directionality_excess, abs=1e-4)


def test_figures_are_small_and_show_what_is_diagnosed_today(tmp_path):
    shown = re.findall(r"\]\(diagnostics/([^)]*\.svg)\)", TEXT)
    assert [name.removeprefix("symmetry-") for name in shown] == [
        "weights.svg",
        "models.svg",
        "runs.svg",
        "mask.svg",
        "training.svg",
    ]
    assert all(5_000 < (DOCS / "diagnostics" / name).stat().st_size < 100_000 for name in shown)
    for made in figures.symmetry_quick(tmp_path):
        assert structure(made) == structure(DOCS / "diagnostics" / made.name), "run python docs/diagnostics.py symmetry"
        assert len(structure(made)) > 10


def test_the_table_of_published_values_is_that_of_the_code():
    rows = re.findall(r"^\| ([\w.-]+) \| ([\d.]+) \| ([-\d.]+) \| (encoder|decoder) \|$", TEXT, flags=re.MULTILINE)
    assert [
        (one.model, f"{one.symmetry:.2f}", f"{one.directionality:.2f}", "decoder" if one.decoder else "encoder")
        for one in PUBLISHED
    ] == rows
