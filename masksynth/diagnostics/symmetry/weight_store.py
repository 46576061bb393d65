"""Read named weights one at a time: arrays, safetensors files, files of torch.save, sharded checkpoints, folders.

safetensors has no numpy type for bfloat16, so tensors are sliced out of the mapped file here: a bfloat16 number is the
upper half of a float32 number.
"""

from __future__ import annotations

import json
import shlex
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.typing import AnyArray, Float64Array

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
Tensors = list[tuple[str, "Entry", Callable[[], "Float64Array"]]]
PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types of weights that are read; all others are quantised, or not weights."""


class Entry(NamedTuple):
    """Shape of a tensor, and its type as safetensors names it."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Store:
    """Weights by name, read on demand.

    Parameters
    ----------
    entries : mapping of str to Entry
    fetch : callable
        The values of a name as float64.
    source : str
        Where they are from, for messages.
    config : mapping
        The model's config.json; empty where there is none.
    """

    entries: Mapping[str, Entry]
    fetch: Callable[[str], Float64Array]
    source: str
    config: Mapping[str, Any]

    def entry(self, name: str) -> Entry:
        """Return shape and type of weights that can be read.

        Raises
        ------
        InvalidInstance
            If they are quantised, sparse, or of no type of weights.
        """
        result = self.entries[name]
        if result.dtype not in PLAIN:
            fact = f"is of type {result.dtype}, which is quantised, sparse or not a type of weights"
            raise InvalidInstance(fact, name, "dequantise the weights first, or store plain numbers", self.source)
        return result

    def read(self, name: str) -> Float64Array:
        """Return the values of a name as float64.

        Raises
        ------
        InvalidInstance
            If they are quantised, or not all finite.
        """
        self.entry(name)
        values = self.fetch(name)
        if not np.isfinite(values).all():
            raise InvalidInstance(
                "contains values that are NaN or infinite", name, "use a complete checkpoint", self.source
            )
        return values


def store_of(
    arrays: Mapping[str, ArrayLike], config: Mapping[str, Any] | None = None, source: str = "weights"
) -> Store:
    """Return a store of arrays in memory, by the names of their checkpoint.

    Examples
    --------
    >>> store_of({"layer.0.attention.self.query.weight": np.eye(2)}).entries
    {'layer.0.attention.self.query.weight': Entry(shape=(2, 2), dtype='F64')}
    """
    held: dict[str, AnyArray] = {name: np.asarray(value) for name, value in arrays.items()}
    names = {"float64": "F64", "float32": "F32", "float16": "F16"}
    entries = {
        name: Entry(value.shape, names.get(value.dtype.name, value.dtype.name.upper())) for name, value in held.items()
    }
    return Store(entries, lambda name: held[name].astype(np.float64), source, config or {})


def open_checkpoint(path: str | Path) -> Store:
    """Open a checkpoint: .safetensors, files of torch.save, an index of either, a folder, or an .npz of named arrays.

    ``config.json`` next to the weights is read, too. Of a folder with both kinds of files, .safetensors is read. Files
    of torch.save (.bin, .pt, .pth, .ckpt) need torch, and are read without running code from them.

    Raises
    ------
    InvalidInstance
        If there is no checkpoint, a file is incomplete, contains Python objects that are not tensors, or two files of a
        folder hold a tensor of the same name.
    Unsupported
        If a file of torch.save is to be read, and torch is not installed.
    """
    checkpoint = Path(path)
    files = _files(checkpoint)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if files[0].suffix == ".npz":
        return store_of(_npz(files[0]), config, str(checkpoint))
    entries: dict[str, Entry] = {}
    fetchers: dict[str, Callable[[], Float64Array]] = {}
    for file in files:
        for name, entry, fetch in _tensors(file):
            if name in entries:
                raise InvalidInstance(
                    f"{file.name} contains a tensor that is also in another file",
                    name,
                    "name one file",
                    str(checkpoint),
                )
            entries[name], fetchers[name] = entry, fetch
    return Store(entries, lambda name: fetchers[name](), str(checkpoint), config)


def _files(checkpoint: Path) -> list[Path]:
    if not checkpoint.exists():
        raise InvalidInstance("there is no such file or folder", "", "name a checkpoint", str(checkpoint))
    if checkpoint.name.endswith(INDICES):
        return _shards(checkpoint)
    if checkpoint.is_dir():
        return _folder_files(checkpoint)
    if checkpoint.suffix not in (".safetensors", ".npz", *PICKLED):
        remedy = f"name a .safetensors, .npz, {', '.join(PICKLED)} file, a *{INDEX}, or a folder"
        raise InvalidInstance(f"ends in {checkpoint.suffix!r:.40}", "", remedy, str(checkpoint))
    return [checkpoint]


def weight_files(folder: Path) -> list[Path]:
    """Return the files in a folder that would be read as weights."""
    return [path for _, pattern in KINDS for path in folder.glob(pattern)]


def _folder_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder: safetensors before pickles, an index before files."""
    for ending, pattern in KINDS:
        indices = sorted(folder.glob(f"*{ending}"))
        if len(indices) > 1:
            raise InvalidInstance(
                f"contains {len(indices)} indices, {indices[0].name} first", "", "name one of them", str(folder)
            )
        result = _shards(indices[0]) if indices else sorted(folder.glob(pattern))
        if result:
            return result
    raise _no_weights(folder)


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


def _tensors(path: Path) -> Tensors:
    if path.suffix not in PICKLED:
        return tensors(path)
    if find_spec("torch") is None:
        raise Unsupported(f"{path} is a file of torch.save and needs torch; pip install 'masksynth[torch]'")
    from masksynth.diagnostics.symmetry.torch_pickles import torch_tensors

    return torch_tensors(path)


def _shards(index: Path) -> list[Path]:
    names = _json(index).get("weight_map")
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
    return shards


def _is_inside(name: str) -> bool:
    """Return whether a relative path stays in its folder; symbolic links there, as a hub's cache has, may lead out."""
    path = PureWindowsPath(name)  # takes / and \\ for separators, and knows drives
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def _json(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInstance(f"not JSON: {error}", "", "use a complete file", str(path)) from None
    if not isinstance(result, dict):
        raise InvalidInstance("expected a JSON object", "", "use the file that belongs to the checkpoint", str(path))
    return result


def _npz(path: Path) -> dict[str, AnyArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, BadZipFile, zlib.error):
        raise InvalidInstance(
            "not a complete .npz file of plain numbers", "", "save arrays with numpy.savez", str(path)
        ) from None


def tensors(path: Path) -> Tensors:
    """Return (name, entry, function that reads it) of every tensor in a safetensors file.

    Raises
    ------
    InvalidInstance
        If the file is not a complete safetensors file.
    """
    try:
        with safe_open(path, framework="numpy"):  # the header, and that it covers the file exactly
            pass
    except (SafetensorError, OSError) as error:
        raise InvalidInstance(
            f"not a complete safetensors file: {error}", "", "fetch it again, or name another file", str(path)
        ) from None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return [
        (
            name,
            entry := Entry(tuple(item["shape"]), item["dtype"]),
            partial(_read, path, entry, 8 + length + item["data_offsets"][0]),
        )
        for name, item in header.items()
    ]


def _read(path: Path, entry: Entry, offset: int) -> Float64Array:
    raw = np.fromfile(path, PLAIN[entry.dtype], int(np.prod(entry.shape)), offset=offset).reshape(entry.shape)
    if entry.dtype == "BF16":
        raw = (raw.astype("<u4") << 16).view("<f4")
    return raw.astype(np.float64)
