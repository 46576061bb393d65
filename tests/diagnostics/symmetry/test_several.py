"""Several checkpoints and training runs in one call: what is found, printed, recorded and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

from examples import symmetry_models, symmetry_runs
from masksynth.diagnostics.symmetry import STATEMENTS, diagnose_checkpoints, diagnose_weights, published_range
from tests.diagnostics.symmetry.test_command import MINI, run

NAMES = ("symmetry", "directionality_sum", "directionality_excess")


def saved(folder, seed, size=12, layers=2):
    """Write a small checkpoint of random weights."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    names = [f"layer.{layer}.{part}.weight" for layer in range(layers) for part in ("query", "key")]
    save_file({name: rng.normal(size=(size, size)) for name in names}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"num_attention_heads": 3}')


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("one", 0), ("two", 50)):
        for step in (0, 100, 20):
            saved(Path("runs", name, f"checkpoint-{step}"), seed + step)
    (Path("runs") / "one" / "checkpoint-best").mkdir()
    saved(Path("plain"), 7, layers=3)
    return tmp_path


def test_a_run_is_its_checkpoints_in_the_order_of_their_steps(runs):
    found = diagnose_checkpoints(["runs/one"])
    (series,) = found.series
    assert (series.name, [each.step for each in series.checkpoints]) == ("runs/one", [0, 20, 100])
    for each in series.checkpoints:
        alone = diagnose_weights(f"runs/one/checkpoint-{each.step}")
        assert each.scores == alone
    named = diagnose_checkpoints(["runs/one/checkpoint-100", "runs/one/checkpoint-0", "plain"])
    assert [[each.step for each in series.checkpoints] for series in named.series] == [[0, 100], [None]]


def test_runs_and_models_side_by_side(runs):
    done = run("runs/one", "runs/two", "plain", "-o", "several.svg")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("7 checkpoints of 3 models, medians over layers\n")
    record = json.loads(run("runs/one", "runs/two", "plain", "--json").stdout)
    assert [series["name"] for series in record["series"]] == ["runs/one", "runs/two", "plain"]
    last = record["series"][1]["checkpoints"][-1]
    alone = json.loads(run("runs/two/checkpoint-100", "plain", "--json").stdout)["series"][0]["checkpoints"][0]
    assert last == alone
    row = next(line for line in done.stdout.splitlines() if line.startswith("  plain"))
    scores = record["series"][2]["checkpoints"][0]
    assert row.split()[1:5] == ["3", *(f"{scores[name]:.3f}" for name in NAMES)]
    assert "symmetry by layer (median of its heads)" in done.stdout
    texts = {one.text for one in ET.parse("several.svg").iter() if one.text}
    assert {"step", "runs/one", "plain", "directionality, mode excess", "directionality, mode sum"} <= texts


def test_each_layer_and_head_is_in_the_table(runs):
    done = run("runs/one")
    table = done.stdout.split("symmetry by layer")[1].split("directionality")[0].splitlines()
    assert table[1].split() == ["layer", "0", "20", "100"]
    found = diagnose_checkpoints(["runs/one"]).series[0]
    for index, line in enumerate(table[2:4]):
        layers = [each.scores.layers[index] for each in found.checkpoints]
        cells = [f"{layer.symmetry:.3f} ({np.median(layer.head_symmetry):.3f})" for layer in layers]
        assert line.split() == [str(index), *" ".join(cells).split()]


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["runs/one", "runs/one"], "runs/one: is given twice; name each checkpoint once"),
        (["runs/one", "runs/one/checkpoint-0"], "checkpoint-0: is given twice"),
        (["plain", "plain"], "plain: is given twice"),
        (["plain", "mask.npy"], "mask.npy: is not a checkpoint, and only checkpoints are compared; name one mask"),
        (["plain", "absent"], "absent: there is no such file or folder; name a checkpoint"),
    ],
)
def test_refusals(arguments, fact, runs):
    np.save("mask.npy", np.tri(4, dtype=bool))
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert fact in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_both_modes_are_shown_by_default_and_published_medians_beside_theirs(runs):
    """The medians are those of mode excess: printed under mode sum they would be compared with other figures."""
    both, by_sum, by_excess = (run(MINI, *options).stdout for options in ((), ("--mode", "sum"), ("--mode", "excess")))
    assert "d (sum)  d (excess)" in both
    row = next(line for line in both.splitlines() if line.startswith("  median"))
    assert row.split()[1:] == ["0.491", "-0.013", "-0.098"]
    assert "published medians" in both
    assert "published medians" in by_excess
    assert "published medians" not in by_sum
    assert "published medians" not in run(MINI, "--gamma", 1).stdout
    record = json.loads(run(MINI, "--json").stdout)
    assert record["directionality"] == record["directionality_sum"] != record["directionality_excess"]
    excess = json.loads(run(MINI, "--mode", "excess", "--json").stdout)
    assert excess["directionality"] == record["directionality_excess"]
    for layer, other in zip(record["layers"], excess["layers"], strict=True):
        assert layer["head_directionality_excess"] == other["head_directionality"]


def test_statements_have_a_status_and_a_source(runs):
    assert {one.status for one in STATEMENTS} <= {"theorem", "conjecture", "open", "refuted"}
    assert all(one.source and one.claim for one in STATEMENTS)
    statuses = {one.name: one.status for one in STATEMENTS}
    np.save("mask.npy", np.tri(4, dtype=bool))
    for subject in ("plain", "mask.npy"):
        for one in json.loads(run(subject, "--json").stdout)["statements"]:
            assert set(one) == {"name", "claim", "status", "source"}
            assert statuses[one["name"]] == one["status"]
    (low, _), _ = published_range(decoder=False)
    (_, high), _ = published_range(decoder=True)
    assert low < high  # encoders and decoders overlap: why "encoders above decoders" is refuted
    assert "(theorem, if |x|^2/d -> 1)" in run("mask.npy").stdout


def test_tokens_of_random_lengths_have_another_limit():
    """Isotropic tokens x_i = s_i g_i: the limit is the reciprocity of M_ij s_i s_j, not of M."""
    rng, size, dim = np.random.default_rng(0), 8, 4000
    lengths = np.sqrt(np.array([0.1, 2.8, 0.1, 0.1, 0.1, 2.8, 0.1, 1.9]))
    tokens = lengths[:, None] * rng.standard_normal((size, dim))
    gram, mask = tokens @ tokens.T, np.tri(size)
    score = np.trace(mask @ gram @ mask @ gram) / np.trace(mask @ gram @ mask.T @ gram)
    weighted = mask * np.outer(lengths, lengths)
    assert score == pytest.approx((weighted * weighted.T).sum() / (weighted**2).sum(), abs=0.02)
    assert abs(score - 2 / 9) > 0.2


@pytest.mark.parametrize("name", symmetry_runs.MODELS)
def test_the_example_saves_a_run_that_is_diagnosed(name, tmp_path, monkeypatch):
    transformers.utils.logging.disable_progress_bar()
    monkeypatch.setattr(symmetry_runs, "SAVED", (0, 1))
    monkeypatch.setattr(symmetry_runs, "TRIED", 2)
    losses = symmetry_runs.train(name, symmetry_runs.read_text(), 2, 0, tmp_path / "seed-0")
    assert list(losses) == [0, 1, 2]
    assert losses[0] == pytest.approx(np.log(symmetry_runs.BYTES), abs=1)
    assert losses[2] < losses[0]
    (series,) = diagnose_checkpoints([tmp_path / "seed-0"]).series
    assert [each.step for each in series.checkpoints] == [0, 1, 2]
    assert [len(each.scores.layers) for each in series.checkpoints] == [3, 3, 3]
    assert all(abs(each.scores.symmetry) < 0.1 for each in series.checkpoints)


def test_the_command_of_the_page_trains_seeds_that_are_diagnosed_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(symmetry_runs, "TRIED", 1)
    symmetry_runs.main([str(tmp_path / "runs"), "--models", "gpt2", "bert", "--steps", "1", "--seeds", "4", "5"])
    done = run(tmp_path / "runs" / "gpt2", tmp_path / "runs" / "bert")
    assert done.stdout.startswith("8 checkpoints of 2 models, medians over layers, means over seeds\n")
    again = tmp_path / "again"
    symmetry_runs.main([str(again), "--models", "bert", "--steps", "1", "--seeds", "5"])
    (first,) = diagnose_checkpoints([tmp_path / "runs" / "bert" / "seed-5"]).series
    (second,) = diagnose_checkpoints([again / "bert"]).series
    assert first.last.layers == second.last.layers


def test_decoders_see_what_precedes_and_encoders_do_not_see_what_they_predict():
    text, _ = symmetry_runs.read_text()
    assert not torch.isin(text, torch.tensor([0, symmetry_runs.MASK])).any()
    share = symmetry_runs.HIDDEN
    batch = symmetry_runs._batch(text, torch.Generator().manual_seed(0), share)
    hidden = batch["input_ids"] == symmetry_runs.MASK
    assert hidden.double().mean() == pytest.approx(share, abs=0.04)
    assert torch.equal(batch["labels"] != -100, hidden)
    plain = symmetry_runs._batch(text, torch.Generator().manual_seed(0), 0.0)
    assert torch.equal(torch.where(hidden, batch["labels"], batch["input_ids"]), plain["labels"])
    assert symmetry_runs.entropy(torch.tensor([5, 5, 9, 9])) == pytest.approx(np.log(2))


def test_the_example_of_models_keeps_queries_and_keys(tmp_path):
    """Of the packages it fetches, the one that is installed: the folder written has the scores of the whole model."""
    site = MINI.parents[2]
    arrays, config = symmetry_models.MODELS["minilm"](site)
    symmetry_models._save(tmp_path / "minilm", arrays, config)
    assert len(arrays) == 12
    assert diagnose_weights(tmp_path / "minilm").layers == diagnose_weights(MINI).layers


def test_other_gammas_are_not_called_published():
    assert "(excess) as published, gamma 2" in run(MINI).stdout
    assert "published" not in run(MINI, "--gamma", 1.5).stdout


def test_runs_that_cannot_be_told_apart_and_missing_ones_are_refused(runs):
    missing = run("runs/one", "nowhere")
    assert (missing.exit_code, missing.stderr) == (
        2,
        "Error: nowhere: there is no such file or folder; name a checkpoint\n",
    )
    saved(Path("runs/one/checkpoint-020"), 1)
    twice = run("runs/one")
    assert (twice.exit_code, twice.stderr.count("\n")) == (2, 1)
    assert "checkpoint-020 and checkpoint-20 are of one step" in twice.stderr


@pytest.mark.parametrize(
    ("config", "rotary"),
    [
        ({"rope_theta": 1e4}, True),
        ({"model_type": "falcon"}, True),  # as older ones are stored
        ({"model_type": "falcon", "rope_theta": 1e4, "alibi": True}, False),
        ({"model_type": "gpt_neox", "rotary_pct": 0.25}, True),
        ({"text_config": 5}, False),
        ({}, False),
    ],
)
def test_the_note_on_rotary_embeddings(config, rotary):
    key = np.eye(4)
    found = diagnose_weights({"layer.query.weight": key, "layer.key.weight": key}, config=config)
    assert any("rotary" in note for note in found.notes) == rotary


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (transformers.SmolLM3Config(num_hidden_layers=6), " in 5 of 6 layers"),
        (transformers.SmolLM3Config(num_hidden_layers=3), ""),
        (transformers.SmolLM3Config(num_hidden_layers=2, no_rope_layers=[0, 0]), None),
        (transformers.Cohere2Config(num_hidden_layers=8), " in 6 of 8 layers"),
        (transformers.Exaone4Config(num_hidden_layers=4, sliding_window=16), " in 3 of 4 layers"),
        (transformers.EsmConfig(position_embedding_type="rotary"), ""),
        (transformers.EsmConfig(position_embedding_type="absolute"), None),
        (transformers.GraniteMoeHybridConfig(position_embedding_type="nope"), None),
    ],
)
def test_the_note_on_rotary_embeddings_counts_the_layers_that_have_them(config, where):
    key = np.eye(4)
    notes = diagnose_weights({"layer.query.weight": key, "layer.key.weight": key}, config=config.to_dict(), head_dim=2)
    expected = [] if where is None else [f"rotary position embeddings{where}: the scores are those of the part"]
    assert [note.partition(" without")[0] for note in notes.notes if "rotary" in note] == expected
