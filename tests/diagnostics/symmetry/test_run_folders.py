"""Training runs as trainers leave them: names of checkpoints, seeds, shards of several devices, adapters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
import transformers
from peft import LoraConfig, get_peft_model
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from masksynth.diagnostics.symmetry import diagnose_checkpoints, diagnose_weights, is_run
from masksynth.diagnostics.symmetry.run_folders import find_runs
from masksynth.diagnostics.symmetry.torch_weights import diagnose_module
from masksynth.errors import InvalidInstance
from tests.diagnostics.symmetry.test_command import run
from tests.diagnostics.symmetry.test_several import saved


def steps(*paths):
    return [(name, [step for step, _ in found]) for name, found in find_runs(paths)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [
        ["checkpoint-2", "checkpoint-10"],
        ["step_2", "step_10"],
        ["step2", "step10"],
        ["global_step2", "global_step10"],
        ["epoch_2", "epoch_10"],
        ["iter-2", "iter-10"],
        ["ckpt-2", "ckpt-10"],
    ],
)
def test_folders_are_checkpoints_by_their_number(names, folder):
    for name in names:
        saved(folder / "out" / name, 0)
    for other in ("final", "checkpoint-best", "logs-3", "backstep"):
        (folder / "out" / other).mkdir()
    assert steps("out") == [("out", [2, 10])]
    assert steps(*(f"out/{name}" for name in names)) == [("out", [2, 10])]
    assert [each.step for each in diagnose_checkpoints(["out"]).series[0].checkpoints] == [2, 10]


def test_files_are_checkpoints_by_their_number(folder):
    rng = np.random.default_rng(0)
    (folder / "out").mkdir()
    for name in ("epoch=1-step=30.ckpt", "epoch=2-step=60.ckpt"):
        state = {f"layer.{part}.weight": torch.tensor(rng.normal(size=(6, 6))) for part in ("query", "key")}
        torch.save({"state_dict": state, "epoch": 1}, folder / "out" / name)
    assert steps("out") == [("out", [30, 60])]
    assert is_run("out")
    assert not is_run("out/epoch=1-step=30.ckpt")
    arrays = {name: value.numpy() for name, value in state.items()}
    assert diagnose_checkpoints(["out"]).series[0].last.layers == diagnose_weights(arrays).layers


def test_what_lies_beside_the_weights_of_a_checkpoint_is_no_run(folder):
    """As a trainer with DeepSpeed leaves it: the weights, and in global_step2 the state of the optimizer."""
    saved(folder / "out" / "checkpoint-2", 0)
    (folder / "out" / "checkpoint-2" / "global_step2").mkdir()
    saved(folder / "out" / "last", 1)  # and the last weights in the folder of the run itself
    for file in (folder / "out" / "last").iterdir():
        file.rename(folder / "out" / file.name)
    assert not is_run("out/checkpoint-2")
    assert steps("out") == [("out", [2])]


def test_numbers_that_count_different_things_are_refused(folder):
    saved(folder / "out" / "step_4", 0)
    saved(folder / "out" / "epoch_1", 0)
    with pytest.raises(InvalidInstance, match=r"out: epoch_1 and step_4 count different things; name the checkpoints"):
        diagnose_checkpoints(["out"])


def test_names_without_a_number_are_named_in_the_refusal(folder):
    saved(folder / "out" / "checkpoint-final", 0)
    saved(folder / "out" / "best", 0)
    with pytest.raises(InvalidInstance, match=r"pytorch_model.bin; name one of its folders: best, checkpoint-final"):
        diagnose_weights("out")


def test_steps_may_be_missing_and_layers_may_differ(folder):
    for step, layers in ((0, 1), (7, 2), (1000, 3)):
        saved(folder / "out" / f"checkpoint-{step}", step, layers=layers)
    done = run("out", "-o", "run.svg")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.split("symmetry by layer")[1].splitlines()[2:5]]
    assert [(row[0], (len(row) - 1) // 2) for row in rows] == [("0", 3), ("1", 2), ("2", 1)]
    (folder / "out" / "checkpoint-1000" / "model.safetensors").unlink()  # stopped while it was written
    cut = run("out")
    assert (cut.exit_code, cut.stdout, cut.stderr.count("\n")) == (2, "", 1)
    assert "out/checkpoint-1000: contains no .safetensors file" in cut.stderr


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_shards_of_several_devices_are_refused_with_what_puts_them_together(folder):
    state = {f"layer.{part}.weight": torch.randn(6, 6) for part in ("query", "key")}
    sharded = folder / "out" / "checkpoint-5" / "pytorch_model_fsdp_0"
    dcp.save(state, checkpoint_id=sharded)
    for path in ("out", "out/checkpoint-5", sharded):
        with pytest.raises(InvalidInstance, match=r"contains shards of torch.distributed \(.distcp\)") as refusal:
            diagnose_checkpoints([path])
        assert "python -m torch.distributed.checkpoint.format_utils dcp_to_torch" in str(refusal.value)
    dcp_to_torch_save(sharded, folder / "model.pt")  # what the command that is named calls
    assert diagnose_weights("model.pt").layers[0].heads is None
    deep = folder / "deep" / "checkpoint-5" / "global_step5"
    deep.mkdir(parents=True)
    torch.save({"module": {}}, deep / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    with pytest.raises(
        InvalidInstance, match=r"contains shards of DeepSpeed .*global_step5 together with zero_to_fp32"
    ):
        diagnose_checkpoints(["deep/checkpoint-5"])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
@pytest.mark.parametrize("targets", [["c_attn"], ["c_proj"]])
def test_adapters_are_refused_until_they_are_merged(targets, folder):
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=20))
    base = diagnose_module(model)
    adapted = get_peft_model(model, LoraConfig(target_modules=targets, fan_in_fan_out=True, init_lora_weights=False))
    adapted.save_pretrained("adapter")
    torch.save(adapted.state_dict(), "whole.pt")
    for diagnose in (lambda: diagnose_weights("adapter"), lambda: diagnose_weights("whole.pt")):
        with pytest.raises(InvalidInstance, match=r"belongs to an adapter.*; merge it first: .*merge_and_unload"):
            diagnose()
    with pytest.raises(InvalidInstance, match="belongs to an adapter"):
        diagnose_module(adapted)
    merged = diagnose_module(adapted.merge_and_unload())
    assert (merged.symmetry == pytest.approx(base.symmetry, abs=1e-9)) == (targets == ["c_proj"])


def test_runs_by_seed_are_one_in_tables_and_figures_and_apart_in_the_record(folder):
    for seed in (1, 2, 3):
        for step in (0, 10):
            saved(folder / "bert" / f"seed-{seed}" / f"checkpoint-{step}", 10 * seed + step)
    saved(folder / "plain", 7)
    assert is_run("bert")
    assert run("bert").stdout.startswith("6 checkpoints of 1 model, medians over layers, means over seeds\n")
    assert [name for name, _ in find_runs(["bert"])] == [f"bert/seed-{seed}" for seed in (1, 2, 3)]
    assert find_runs(["bert/seed-1", "bert/seed-2"]) == find_runs(["bert"])[:2]
    done = run("bert", "plain", "-o", "means.svg")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("7 checkpoints of 2 models, medians over layers, means over seeds\n")
    record = json.loads(run("bert", "plain", "--json").stdout)
    assert [one["name"] for one in record["series"]] == ["bert/seed-1", "bert/seed-2", "bert/seed-3", "plain"]
    last = [one["checkpoints"][-1]["symmetry"] for one in record["series"][:3]]
    row = next(line for line in done.stdout.splitlines() if line.split()[:2] == ["10", "2"])
    assert row.split()[2] == f"{np.mean(last):.3f}"
    assert f"{min(last):.3f}, {max(last):.3f} of seeds" in row
    layer = np.mean([one["checkpoints"][-1]["layers"][1]["symmetry"] for one in record["series"][:3]])
    table = done.stdout.split("symmetry by layer")[1]
    assert f"\n      1  {layer:>8.3f}".split() == table.splitlines()[3].split()[:2]
    assert "bert, 3 seeds" in Path("means.svg").read_text()


def test_seeds_of_other_steps_or_layers_are_not_averaged(folder):
    saved(folder / "bert" / "seed-1" / "checkpoint-0", 1)
    saved(folder / "bert" / "seed-2" / "checkpoint-5", 2)
    done = run("bert")
    assert done.exit_code == 0
    assert "means over seeds" not in done.stdout
    assert "2 checkpoints of 2 models" in done.stdout
