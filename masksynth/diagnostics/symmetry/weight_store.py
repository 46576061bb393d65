"""Read named weights one at a time: arrays, safetensors files, files of torch.save, sharded checkpoints, folders.

safetensors has no numpy type for bfloat16, so tensors are sliced out of the mapped file here: a bfloat16 number is the
upper half of a float32 number.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open

from masksynth.diagnostics.symmetry.weight_files import PICKLED, checkpoint_files, read_json
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.typing import AnyArray, Float64Array

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
    promised : frozenset of str
        Names that the index of the checkpoint lists, whether its shards have them or not.
    """

    entries: Mapping[str, Entry]
    fetch: Callable[[str], Float64Array]
    source: str
    config: Mapping[str, Any]
    promised: frozenset[str] = frozenset()

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
    files, promised = checkpoint_files(checkpoint)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
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
    return Store(entries, lambda name: fetchers[name](), str(checkpoint), config, promised)


def _tensors(path: Path) -> Tensors:
    if path.suffix not in PICKLED:
        return tensors(path)
    if find_spec("torch") is None:
        raise Unsupported(f"{path} is a file of torch.save and needs torch; pip install 'masksynth[torch]'")
    from masksynth.diagnostics.symmetry.torch_pickles import torch_tensors

    return torch_tensors(path)


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
