"""Read the files of a packed folder: the manifest, and the arrays of each batch. The checker's own.

Nothing of ``masksynth.pack`` is used: types, lengths, ranges and hashes are checked here again, on purpose: a fault in
one must not be shared.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.verify.ragged import repeat_ranges, row_of_entry

IGNORED = -100
MANIFEST = "manifest.json"
SCHEMA = 1
FIELD, KEY = "field_", "extra_"
POSITION_ARRAYS = ("input_ids", "position_ids")
EDGE_ARRAYS = ("loss_position", "loss_label", "loss_sample", "loss_index")
OTHER_ARRAYS = ("row_offset", "sample_offset", "dead_offset", "dead_index", "dead_token")
RUNS = ("run_start", "run_length")
REALS = ("loss_weight", "sample_weight")
INTERVALS = ("key_start", "key_end")


class SegmentEntry(msgspec.Struct, frozen=True):
    """A segment in the manifest; ``sees`` lists earlier segments as numbers or half-open ranges."""

    length: int
    sees: tuple[int | tuple[int, int], ...]
    within: Literal["causal", "full", "self"]
    position: int
    predict: Literal["next", "self"]
    after: int


class Entry(msgspec.Struct, frozen=True):
    """One batch in the manifest."""

    file: str
    positions: int
    samples: tuple[str | int, ...]
    groups: tuple[str | int | None, ...] | None = None
    segments: tuple[tuple[SegmentEntry, ...] | None, ...] | None = None
    hash: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The content of manifest.json."""

    masksynth_pack: int
    max_length: int
    batches: tuple[Entry, ...]
    options: dict[str, Any] | None = None
    skipped: tuple[str | int, ...] | None = None
    hash: str | None = None

    def option(self, name: str, default: Any) -> Any:
        """Return an option of the packing, or the default if the folder does not store it."""
        return default if self.options is None else self.options.get(name, default)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a packed folder.

    Raises
    ------
    InvalidInstance
        If it is missing, malformed or of another schema.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        remedy = "name a folder written by masksynth pack, or finish it with --resume"
        raise InvalidInstance(f"{MANIFEST} cannot be read: {error.strerror}", "", remedy, str(folder)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInstance(f"not a manifest: {error}", "", "pack the samples again", str(path)) from None
    if manifest.masksynth_pack != SCHEMA:
        fact = f"schema {manifest.masksynth_pack} is unknown"
        raise InvalidInstance(fact, "", f"this version reads schema {SCHEMA}", str(path))
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check that the manifest lists each batch file of the folder once, and no other file.

    Raises
    ------
    WrongAnswer
        Naming the file.
    """
    names = Counter(entry.file for entry in manifest.batches)
    for name, times in names.items():
        if Path(name).name != name or times > 1:
            expected = "expected a file of the folder, once"
            raise WrongAnswer("files", f"{MANIFEST} names {name!r:.80} {times} times, {expected}")
    if others := sorted({path.name for path in folder.glob("batch-*.safetensors")} - names.keys()):
        raise WrongAnswer("files", f"{MANIFEST} does not name {others[0]}")
    for entry in manifest.batches:
        for word, values in (("groups", entry.groups), ("segments", entry.segments)):
            if values is not None and len(values) != len(entry.samples):
                raise WrongAnswer("files", f"{entry.file} has {len(values)} {word} for {len(entry.samples)} samples")


def wrong_hash(manifest: Manifest) -> str:
    """Return what is wrong with the hash of the manifest; empty if it is right or there is none."""
    if manifest.hash is None:
        return ""
    digest = hashlib.sha256()
    head = {name: getattr(manifest, name) for name in ("masksynth_pack", "max_length", "options", "skipped")}
    for part in (head, *manifest.batches):
        digest.update(msgspec.json.encode(part, order="sorted"))
        digest.update(b"\n")
    computed = digest.hexdigest()
    fact = f"the entries of {MANIFEST} have the hash {computed[:12]}..., it states {manifest.hash[:12]}..."
    return "" if computed == manifest.hash else fact


def read_batch(folder: Path, entry: Entry) -> tuple[SimpleNamespace, str]:
    """Read a batch; return it and what is wrong with its hashes (empty if they are right, or there are none).

    Returns
    -------
    batch : namespace
        With the attributes of a ``PackedBatch`` that the checks read.
    wrong : str

    Raises
    ------
    InvalidInstance
        If the file is missing or malformed: a type, a length or an index out of range.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / entry.file
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is not a mapping)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InvalidInstance(f"cannot be read: {error}", "", "pack the samples again", str(path)) from None
    try:
        _check_types(arrays)
        batch = _make_batch(arrays, entry)
        _check_ranges(batch)
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, "", "pack the samples again", str(path)) from None
    return batch, _wrong_hashes(arrays, {MANIFEST: entry.hash, "its metadata": metadata.get("batch_hash")}, entry.file)


def _wrong_hashes(arrays: dict[str, AnyArray], written: dict[str, str | None], name: str) -> str:
    """Return which of the written hashes, by where they are written, is wrong; ``name`` is the file's."""
    if not any(written.values()):
        return ""
    digest = hashlib.sha256()
    for array_name in sorted(arrays):
        array = np.ascontiguousarray(arrays[array_name])
        digest.update(f"{array_name}:{array.dtype.newbyteorder('<').str}:{list(array.shape)}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    computed = digest.hexdigest()
    for where, stated in written.items():
        if stated is not None and stated != computed:
            return f"the arrays of {name} have the hash {computed[:12]}..., {where} states {stated[:12]}..."
    return ""


def _check_types(arrays: dict[str, AnyArray]) -> None:
    """Check that the arrays are exactly those of a batch, each of its type and one-dimensional."""
    expected: dict[str, Any] = dict.fromkeys((*POSITION_ARRAYS, *EDGE_ARRAYS, *OTHER_ARRAYS), np.dtype(np.int64))
    expected |= dict.fromkeys(REALS, np.dtype(np.float64)) | dict.fromkeys(INTERVALS, np.dtype(np.int32))
    if "sample_position" in arrays:  # written before paths were stored as runs
        expected["sample_position"] = np.dtype(np.int64)
    else:
        expected |= dict.fromkeys(RUNS, np.dtype(np.int32))
    if missing := sorted(expected.keys() - arrays.keys()):
        raise InvalidInstance(f"array {missing[0]} is missing")
    for name, array in arrays.items():
        kind = np.float64 if name.startswith(FIELD) else np.int64 if name.startswith(KEY) else expected.get(name)
        if kind is None:
            raise InvalidInstance(f"array {name!r:.80} is not part of a batch")
        if array.dtype != kind or array.ndim != 1:
            wanted = f"expected {np.dtype(kind)}, one-dimensional"
            raise InvalidInstance(f"array {name!r:.80}: {wanted}, got {array.dtype} {list(array.shape)}")


def _make_batch(arrays: dict[str, AnyArray], entry: Entry) -> SimpleNamespace:
    """Return the arrays of a batch as attributes, with its mask, fields and keys."""
    mask = Mask(arrays["row_offset"][None], arrays["key_start"], arrays["key_end"])
    plain = {name: arrays[name] for name in (*POSITION_ARRAYS, *EDGE_ARRAYS, *OTHER_ARRAYS[1:], *REALS)}
    plain["sample_position"] = _read_positions(arrays)
    fields = {name.removeprefix(FIELD): values for name, values in arrays.items() if name.startswith(FIELD)}
    keys = {name.removeprefix(KEY): values for name, values in arrays.items() if name.startswith(KEY)}
    return SimpleNamespace(samples=entry.samples, mask=mask, fields=fields, keys=keys, **plain)


def _read_positions(arrays: dict[str, AnyArray]) -> Int64Array:
    """Return the position of each live token, sample after sample, from the runs of consecutive ones."""
    if "sample_position" in arrays:
        return arrays["sample_position"]
    start, length = (arrays[name].astype(np.int64) for name in RUNS)
    if len(start) != len(length) or (length < 1).any() or (start + length > len(arrays["input_ids"])).any():
        raise InvalidInstance("arrays run_start and run_length are not runs of positions")
    return repeat_ranges(start, length)


def _check_ranges(batch: SimpleNamespace) -> None:
    """Check that lengths fit and indices are in range, which every later step relies on."""
    size, edges, samples = len(batch.input_ids), len(batch.loss_label), len(batch.samples)
    lengths = {"position_ids": size, "sample_weight": samples, "sample_offset": samples + 1, "dead_offset": samples + 1}
    lengths |= dict.fromkeys((*EDGE_ARRAYS, "loss_weight"), edges) | {"dead_token": len(batch.dead_index)}
    for name, length in lengths.items():
        if len(getattr(batch, name)) != length:
            raise InvalidInstance(f"array {name} has {len(getattr(batch, name))} entries, expected {length}")
    for name, values in (*batch.fields.items(), *batch.keys.items()):
        if len(values) != (edges if name in batch.fields and values is batch.fields[name] else size):
            fact = f"array {name!r:.80} has {len(values)} entries"
            raise InvalidInstance(f"{fact}, expected one for each label or position")
    if batch.mask.size != size:
        raise InvalidInstance(f"row_offset has {batch.mask.size} rows, expected {size}")
    for name, total in (("sample_offset", len(batch.sample_position)), ("dead_offset", len(batch.dead_index))):
        offset = getattr(batch, name)
        if offset[0] != 0 or offset[-1] != total or (np.diff(offset) < 0).any():
            raise InvalidInstance(f"array {name} does not increase from 0 to {total}")
    length = np.diff(batch.sample_offset) + np.diff(batch.dead_offset)
    owner = row_of_entry(batch.dead_offset)
    _check_indices("loss_sample", batch.loss_sample, samples)
    for name, limit in (
        ("loss_position", size),
        ("sample_position", size),
        ("loss_index", length[batch.loss_sample]),
        ("dead_index", length[owner]),
    ):
        _check_indices(name, getattr(batch, name), limit)


def _check_indices(name: str, index: Int64Array, limit: Any) -> None:
    """Raise at the first index that is not from 0 to below the limit, which is one number or one for each index."""
    wrong = (index < 0) | (index >= limit)
    if wrong.any():
        entry = int(np.argmax(wrong))
        raise InvalidInstance(f"array {name} has {index[entry]} at {entry}, which is out of range")
