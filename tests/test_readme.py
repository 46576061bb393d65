"""The commands, the Python and the figures of README are right."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import masksynth as ms
from benchmarks.results import FOLDER, read_result
from tests.docs.pages import Block, blocks, shell

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(ROOT / "README.md")
MASK_MOD = "def mask_mod(b, h, q, kv):\n    return q >= kv\n"


def texts(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def commands() -> list[str]:
    """Return each command of a shell block that runs masksynth."""
    lines = [line for block in texts("sh") for line in block.text.splitlines()]
    return [line.partition("&& ")[2] or line for line in lines if "masksynth " in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a folder with the samples of README, a mask and its tokens, a mask_mod, and the instances."""
    path = tmp_path_factory.mktemp("readme")
    [samples] = texts("json")
    (path / samples.title).write_text(samples.text)
    np.save(path / "mask.npy", np.kron(np.eye(2), np.tril(np.ones((3, 3)))) > 0)
    tokens = {"inputs": [5, 6, 7, 5, 6, 9], "positions": [0, 1, 2] * 2, "labels": [[1, 7], [2, 8], [4, 9], [5, 8]]}
    (path / "tokens.json").write_text(json.dumps(tokens))
    (path / "package").mkdir()
    (path / "package" / "module.py").write_text(MASK_MOD)
    shutil.copytree(ROOT / "instances", path / "instances")
    return path


@pytest.mark.slow
def test_every_command_runs(folder: Path) -> None:
    for command in commands():
        smaller = command.replace("4..64", "4..6").replace("--length 4096", "--length 64")
        output = shell(f"{smaller.partition('  #')[0]}; echo exit code $?", folder)
        assert output.splitlines()[-1] == "exit code 0", f"{command}\n{output}"
    assert {"packed", "out", "report.html", "hasse.svg", "results.jsonl"} <= {path.name for path in folder.iterdir()}


def test_ci_finds_its_two_commands() -> None:
    installs = re.findall(r"^pip install .*$", README, re.MULTILINE)
    assert [line for line in installs if "solve" in line] == [
        "pip install . && masksynth solve instances/butterfly-8.json -o out"
    ]
    assert [line for line in installs if "pytest" in line] == ['pip install -e ".[dev]" && pytest -n 2']


def test_the_picture_is_the_merged_mask() -> None:
    answer = ms.solve(ms.catalog.butterfly(n=4))
    assert answer.merged is not None
    drawn = [line[4:23] for line in README.splitlines() if re.match(r"[fbp]\d  [■·]", line)]
    assert drawn == str(answer.merged.mask).splitlines()


def test_the_shown_output_is_printed(folder: Path) -> None:
    printed = shell("masksynth solve instances/butterfly-8.json", folder)
    shown = re.search(r"```text\n(butterfly-8:.*?)```", README, re.DOTALL)
    assert shown is not None
    assert printed.startswith(shown.group(1).removesuffix("  ...\n"))


def test_the_savings_are_those_of_solve_and_of_the_kernel_benchmark() -> None:
    solved = [
        (sum(len(task.nodes) for task in instance.family.tasks), ms.solve(instance).objective["positions"].value)
        for instance in (
            ms.catalog.shared_prefix_group(P=1000, R=200, G=8),
            ms.catalog.multiturn_reasoning(turns=((300, 500, 200), (200, 500, 200), (200, 500, 200), (200, 500, 200))),
            ms.catalog.butterfly(n=8),
        )
    ]
    packed = [(r["tokens"], r["positions"]) for r in read_result(FOLDER / "kernel.json").tables[0].records()[1:]]
    rows = re.findall(r"^\|[^|]+\| ([\d,]+) \| ([\d,]+) \|$", README, re.MULTILINE)
    assert [(int(a.replace(",", "")), int(b.replace(",", ""))) for a, b in rows] == [*packed, *solved]


def test_the_python_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folding, training, solving = texts("python")
    monkeypatch.chdir(tmp_path)
    ms.pack_samples(folder / "samples.jsonl", "packed")
    names: dict[str, object] = {"model": tiny_model()}
    names["trainer"] = tiny_trainer(names["model"], tmp_path)
    exec(compile(folding.text, "README.md", "exec"), names)
    report = names["folded"].report()  # type: ignore[attr-defined]
    assert (report.folded, report.tokens, report.positions) == (2, 2 * 24, 2 * 12)
    exec(compile(training.text, "README.md", "exec"), names)
    assert str(names["batch"]).startswith("TrainingBatch(PackedBatch(2 samples, 4 positions, 4 loss edges)")
    assert names["loss"].item() > 0  # type: ignore[attr-defined]
    exec(compile(solving.text, "README.md", "exec"), names)
    assert getattr(names["mask"], "shape", None) == (1, 1, 22, 22)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "solution.json",
        "mask.safetensors",
        "mask.npz",
        "flex_mask.py",
    }


def tiny_model() -> object:
    """Return a GPT-2 with random weights and a vocabulary of 16."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": 16, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1}
    dropout = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(**shape, **dropout, bos_token_id=None, eos_token_id=None))


def tiny_trainer(model: object, folder: Path) -> object:
    """Return a trainer of transformers that takes two steps on four rows of six tokens, which share four."""
    from transformers import Trainer, TrainingArguments

    rows = [[3, 4, 5, 6, last, 2 * last] for last in range(4, 8)]
    data = [{"input_ids": row, "labels": row} for row in rows]
    shape = {"per_device_train_batch_size": 4, "max_steps": 2, "report_to": "none", "use_cpu": True}
    return Trainer(model, TrainingArguments(str(folder / "trainer"), **shape), train_dataset=data)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target.partition("#")[0]).exists(), target
