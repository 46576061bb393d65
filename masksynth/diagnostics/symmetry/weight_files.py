"""Find the files that hold the weights of a checkpoint: one file, the shards of an index, or those of a folder."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path, PureWindowsPath
from typing import Any

from masksynth.errors import InvalidInstance

INDEX = ".safetensors.index.json"
PICKLED_INDEX = ".bin.index.json"
INDICES = (INDEX, PICKLED_INDEX)
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
"""Endings of files that torch.save writes."""
KINDS = ((INDEX, "*.safetensors"), (PICKLED_INDEX, "pytorch_model*.bin"))
"""Ending of an index and pattern of the files of weights, in the order in which they are looked for."""
SHARDED = (
    (
        "*.distcp",
        "shards of torch.distributed (.distcp)",
        "put them together: python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} model.pt",
    ),
    (
        "*_states.pt",
        "shards of DeepSpeed (*_states.pt)",
        "put those of {folder} together with zero_to_fp32.py, which DeepSpeed wrote into the folder above",
    ),
)
"""Pattern, name and remedy of the parts in which trainers on several devices leave weights."""
PART = re.compile(r"-(\d+)-of-(\d+)\.\w+$")
"""End of the name of one shard: which, of how many."""
Named = tuple[list[Path], frozenset[str]]


def checkpoint_files(checkpoint: Path) -> Named:
    """Return the files of a checkpoint, and the names of the tensors that its index, if any, says are in them.

    Raises
    ------
    InvalidInstance
        If there is no checkpoint, its kind is not known, or shards are missing.
    """
    if not checkpoint.exists():
        raise InvalidInstance("there is no such file or folder", "", "name a checkpoint", str(checkpoint))
    if checkpoint.name.endswith(INDICES):
        return _shards(checkpoint)
    if checkpoint.is_dir():
        return _folder_files(checkpoint)
    if checkpoint.suffix not in (".safetensors", ".npz", *PICKLED):
        remedy = f"name a .safetensors, .npz, {', '.join(PICKLED)} file, a *{INDEX}, or a folder"
        raise InvalidInstance(f"ends in {checkpoint.suffix!r:.40}", "", remedy, str(checkpoint))
    return [checkpoint], frozenset()


def weight_files(folder: Path) -> list[Path]:
    """Return the files in a folder that would be read as weights."""
    return [path for _, pattern in KINDS for path in folder.glob(pattern)]


def _folder_files(folder: Path) -> Named:
    """Return the files of weights in a folder: safetensors before pickles, an index before files."""
    for ending, pattern in KINDS:
        indices = sorted(folder.glob(f"*{ending}"))
        if len(indices) > 1:
            raise InvalidInstance(
                f"contains {len(indices)} indices, {indices[0].name} first", "", "name one of them", str(folder)
            )
        if indices:
            return _shards(indices[0])
        if files := sorted(folder.glob(pattern)):
            _check_all_parts(files, folder)
            return files, frozenset()
    raise _no_weights(folder)


def _check_all_parts(files: list[Path], folder: Path) -> None:
    """Raise InvalidInstance for a folder without an index that has some of its shards only."""
    parts = [match for file in files if (match := PART.search(file.name))]
    most = max((int(match[2]) for match in parts), default=0)
    if len(parts) < most:
        fact = f"{most - len(parts)} of {most} shards are missing, found {parts[0].string}"
        raise InvalidInstance(fact, "", "fetch them, or name one shard to see its layers alone", str(folder))


def _no_weights(folder: Path) -> InvalidInstance:
    """Return the refusal of a folder without a file of weights; it names what lies there instead."""
    for pattern, kind, remedy in SHARDED:
        shard = next((path for depth in ("", "*/") for path in folder.glob(depth + pattern)), None)
        if shard is not None:
            fact = f"contains {kind} and no whole weights"
            return InvalidInstance(fact, "", remedy.format(folder=shlex.quote(str(shard.parent))), str(folder))
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and weight_files(path))
    remedy = "name a folder that save_pretrained wrote, or a file of weights"
    remedy = f"name one of its folders: {', '.join(inside[:4])}" if inside else remedy
    return InvalidInstance("contains no .safetensors file and no pytorch_model.bin", "", remedy, str(folder))


def _shards(index: Path) -> Named:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise InvalidInstance(
            "has no weight_map of tensor names to files", "", "use the index that belongs to the shards", str(index)
        )
    outside = next((name for name in names.values() if not _is_inside(name)), None)
    if outside is not None:
        fact = f"has {outside!r:.80} in its weight_map, which is not in the folder of the index"
        raise InvalidInstance(fact, "", "use the index that belongs to the shards", str(index))
    shards = [index.parent / name for name in sorted(set(names.values()))]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise InvalidInstance(
            f"{len(missing)} of {len(shards)} shards are missing, {missing[0]} first", "", "fetch them", str(index)
        )
    return shards, frozenset(names)


def _is_inside(name: str) -> bool:
    """Return whether a relative path stays in its folder; symbolic links there, as a hub's cache has, may lead out."""
    path = PureWindowsPath(name)  # takes / and \\ for separators, and knows drives
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; raise InvalidInstance if it holds another thing."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInstance(f"not JSON: {error}", "", "use a complete file", str(path)) from None
    if not isinstance(result, dict):
        raise InvalidInstance("expected a JSON object", "", "use the file that belongs to the checkpoint", str(path))
    return result
