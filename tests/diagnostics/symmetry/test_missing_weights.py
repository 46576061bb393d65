"""A checkpoint that lacks layers is refused, or says so: its median would be that of other layers."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from masksynth.diagnostics.symmetry import diagnose_weights
from masksynth.errors import InvalidInstance

NAMES = [f"h.{layer}.attention.self.{side}.weight" for layer in range(3) for side in ("query", "key")]


def arrays(names):
    random = np.random.default_rng(1)
    return {name: random.standard_normal((8, 8)).astype(np.float32) for name in names}


def test_a_folder_without_index_has_all_of_its_shards(tmp_path):
    for part in (1, 3):
        save_file(arrays(NAMES[2 * part - 2 : 2 * part]), tmp_path / f"model-0000{part}-of-00003.safetensors")
    with pytest.raises(InvalidInstance, match=r"1 of 3 shards are missing, found model-00001-of-00003.safetensors"):
        diagnose_weights(tmp_path)
    found = diagnose_weights(tmp_path / "model-00003-of-00003.safetensors")
    assert found.notes == ("shard 3 of 3: layers in the others are not scored",)
    save_file(arrays(NAMES[2:4]), tmp_path / "model-00002-of-00003.safetensors")
    found = diagnose_weights(tmp_path)
    assert len(found.layers) == 3
    assert found.notes == ()


def test_shards_have_the_queries_and_keys_of_their_index(tmp_path):
    file = "model-00001-of-00001.safetensors"
    index = tmp_path / "model.safetensors.index.json"
    save_file(arrays(NAMES[:4]), tmp_path / file)
    index.write_text(json.dumps({"weight_map": dict.fromkeys([*NAMES, "lm_head.weight"], file)}))
    for path in (tmp_path, index):
        with pytest.raises(InvalidInstance, match=r"h.2.attention.self.key.weight: is in the index and in no shard"):
            diagnose_weights(path)
    index.write_text(json.dumps({"weight_map": dict.fromkeys([*NAMES[:4], "lm_head.weight"], file)}))
    assert len(diagnose_weights(tmp_path).layers) == 2  # a tied output, which is stored once, is not missed


def test_queries_without_keys_are_noted():
    found = diagnose_weights(arrays(NAMES[:5]))
    assert len(found.layers) == 2
    assert found.notes == (
        "left out: 1 queries without keys of their layer, or keys without queries, "
        "h.2.attention.self.query.weight first",
    )
    cross = arrays([*NAMES, "h.0.crossattention.self.query.weight"])
    assert diagnose_weights(cross).notes == ()


def test_fewer_layers_than_config_json_gives_are_noted():
    config = {"num_attention_heads": 2, "num_hidden_layers": 3}
    assert diagnose_weights(arrays(NAMES), config=config).notes == ()
    (note,) = diagnose_weights(arrays(NAMES[:4]), config=config).notes
    assert note.startswith("2 layers with attention weights, and config.json gives num_hidden_layers 3: ")
