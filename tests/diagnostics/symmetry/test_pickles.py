"""Files of torch.save: read as tensors, never run; what cannot be read so is refused with the command that converts."""

from __future__ import annotations

import json
import pickle
import shlex
import subprocess
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

from masksynth.diagnostics.symmetry import diagnose_weights
from masksynth.diagnostics.symmetry.input_kind import is_checkpoint
from masksynth.errors import InvalidInstance, Unsupported
from tests.diagnostics.symmetry.test_command import run


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class Whole(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=8, vocab_size=20
    )
    result = transformers.BertModel(config)
    result.save_pretrained(tmp_path / "safe")
    return result


def copied(folder, safe):
    folder.mkdir()
    (folder / "config.json").write_text((safe / "config.json").read_text())
    return folder


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bin_is_the_safetensors_file(legacy, model, tmp_path):
    folder = copied(tmp_path / "bin", tmp_path / "safe")
    torch.save(model.state_dict(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    torch.save(Namespace(lr=1), folder / "training_args.bin")  # as trainers leave it beside the weights
    safe = diagnose_weights(tmp_path / "safe")
    for path in (folder, folder / "pytorch_model.bin"):
        assert diagnose_weights(path).layers == safe.layers


def test_shards_of_a_bin_are_read_by_their_index(model, tmp_path):
    folder, weights = copied(tmp_path / "bin", tmp_path / "safe"), model.state_dict()
    places = {name: f"pytorch_model-0000{1 + number % 2}-of-00002.bin" for number, name in enumerate(weights)}
    for shard in set(places.values()):
        torch.save({name: value for name, value in weights.items() if places[name] == shard}, folder / shard)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    safe = diagnose_weights(tmp_path / "safe")
    assert diagnose_weights(folder).layers == diagnose_weights(index).layers == safe.layers
    assert run(index).exit_code == 0
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(InvalidInstance, match=r"1 of 2 shards are missing, pytorch_model-00002-of-00002\.bin first"):
        diagnose_weights(folder)


def test_half_precision_and_checkpoints_of_training_loops(model, tmp_path):
    half = OrderedDict((name, value.bfloat16()) for name, value in model.state_dict().items())
    torch.save({"model": half, "args": Namespace(lr=0.1), "step": 3}, tmp_path / "loop.pt")
    expected = {name: value.double().numpy() for name, value in half.items()}
    assert diagnose_weights(tmp_path / "loop.pt").symmetry == diagnose_weights(expected).symmetry
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, tmp_path / "loop.ckpt")
    assert diagnose_weights(tmp_path / "loop.ckpt").symmetry == diagnose_weights(tmp_path / "safe").symmetry


def test_code_in_a_file_is_not_run(tmp_path):
    touched = tmp_path / "touched"
    torch.save({"query.weight": torch.eye(4), "x": Harmful(touched)}, tmp_path / "model.bin")
    done = run(tmp_path / "model.bin")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "contains objects that are not tensors, and reading them would run their code" in done.stderr
    assert not touched.exists()


def test_the_command_that_is_named_converts(tmp_path):
    torch.manual_seed(0)
    module = Whole()
    torch.save(module, tmp_path / "a $(model).pt")
    with pytest.raises(InvalidInstance, match="objects that are not tensors") as refusal:
        diagnose_weights(tmp_path / "a $(model).pt")
    assert str(refusal.value).endswith(f"'{tmp_path}/a $(model).pt' weights.pt")  # quoted, for any shell
    command = shlex.split(str(refusal.value).partition("convert it: ")[2])
    root = Path(__file__).parents[3]
    program = [sys.executable, *command[1:]]
    subprocess.run(program, cwd=tmp_path, env={"PYTHONPATH": str(root)}, check=True)
    expected = {name: value.detach().double().numpy() for name, value in module.state_dict().items()}
    assert diagnose_weights(tmp_path / "weights.pt").symmetry == diagnose_weights(expected).symmetry


def test_broken_and_empty_files(tmp_path):
    (tmp_path / "cut.bin").write_bytes(b"PK\3\4 cut")
    (tmp_path / "text.pt").write_text("not a pickle")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"step": 1}, tmp_path / "step.pt")
    facts = {
        "cut.bin": "not a complete file of torch.save",
        "text.pt": "not a complete file of torch.save",
        "list.pt": "contains no named tensors; save the state_dict",
        "step.pt": "contains no named tensors",
    }
    for name, fact in facts.items():
        with pytest.raises(InvalidInstance, match=fact):
            diagnose_weights(tmp_path / name)


def test_without_torch_the_install_line_is_named(tmp_path, monkeypatch):
    torch.save({}, tmp_path / "model.bin")
    monkeypatch.setattr("masksynth.diagnostics.symmetry.weight_store.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"needs torch; pip install 'masksynth\[torch\]'"):
        diagnose_weights(tmp_path / "model.bin")


def test_tensors_whose_numbers_are_not_stored_are_refused_by_type(tmp_path):
    key = torch.eye(4)
    for value, kind in ((key.to_sparse(), "torch.sparse_coo"), (key.to("meta"), "meta")):
        torch.save({"layer.query.weight": key, "layer.key.weight": value}, tmp_path / "odd.pt")
        done = run(tmp_path / "odd.pt")
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert f"layer.key.weight: is of type {kind}, which is quantised, sparse or" in done.stderr


def damaged(content, rng):
    """Return bytes cut somewhere or with a few others in their place."""
    result = bytearray(content[: rng.integers(len(content))] if rng.random() < 0.3 else content)
    for place in rng.integers(max(1, len(result)), size=rng.integers(4)):
        result[place : place + 1] = bytes([rng.integers(256)])
    return bytes(result)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_or_read(tmp_path):
    rng = np.random.default_rng(0)
    weights = {f"layer.{part}.weight": rng.normal(size=(4, 4)) for part in ("query", "key")}
    held = {name: torch.from_numpy(value) for name, value in weights.items()}
    files = [tmp_path / name for name in ("new.bin", "old.bin", "plain.pt", "numpy.npz", "model.safetensors")]
    torch.save(held, files[0])
    torch.save(held, files[1], _use_new_zipfile_serialization=False)
    files[2].write_bytes(pickle.dumps({"a": [1, 2.5, "x", (1, 2)]}, protocol=2))
    np.savez(files[3], **weights)
    save_file(weights, files[4])
    for file in files:
        content, refused = file.read_bytes(), 0
        for _ in range(60):
            file.write_bytes(damaged(content, rng))
            try:
                is_checkpoint(str(file))
                diagnose_weights(file)
            except InvalidInstance:  # and nothing else
                refused += 1
        assert refused > 15, file


@pytest.mark.parametrize("header", [b"[1]", b"5", b'"abc"', b'{"a": 5}', b'{"a.weight": []}'])
def test_headers_of_another_kind_are_refused(header, tmp_path):
    (tmp_path / "odd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    done = run(tmp_path / "odd.safetensors")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
