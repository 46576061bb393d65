"""Arrays to bytes and back: safetensors and npz, equal bytes for equal arrays, never pickle."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.mask_arrays import Array, Arrays, content_hash

SCHEMA = "1"
TYPES = ("b1", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8")
"""Types of numpy in the order in which safetensors sorts arrays, the last one first."""


def safetensors_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as a safetensors file with the metadata ``schema`` and ``content_hash``.

    Examples
    --------
    >>> safetensors_bytes({"a": np.zeros((2, 3)).T}) == safetensors_bytes({"a": np.zeros((3, 2))})
    True
    """
    return b"".join(safetensors_parts(arrays))


def safetensors_parts(arrays: Mapping[str, Array]) -> list[bytes | memoryview]:
    """Return the parts of the file of ``safetensors_bytes``, its header and its arrays, without copying the arrays.

    Equal to what the library writes, with the metadata sorted: wide types first, then by name. Equal arrays give equal
    files. The library needs three copies of the arrays in memory.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"content_hash": content_hash(contiguous), "schema": SCHEMA}
    header: dict[str, object] = {"__metadata__": metadata}
    parts, before = list[bytes | memoryview](), 0
    for name, array in sorted(contiguous.items(), key=lambda entry: (-TYPES.index(entry[1].dtype.str[1:]), entry[0])):
        kind, width = array.dtype.kind, array.dtype.itemsize
        stored = "BOOL" if kind == "b" else f"{kind.upper()}{8 * width}"
        header[name] = {"dtype": stored, "shape": array.shape, "data_offsets": (before, before + array.nbytes)}
        parts.append(array.reshape(-1).view(np.uint8).data)
        before += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of eight bytes
    return [len(text).to_bytes(8, "little") + text, *parts]


def sorted_metadata(data: bytes) -> tuple[bytes, memoryview]:
    """Return the header and the arrays of a safetensors file, the metadata keys sorted."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    return data[:8] + text, memoryview(data)[end:]


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as a compressed npz file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: np.ascontiguousarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return stream.getvalue()


def read_safetensors(path: Path) -> Arrays:
    """Return the arrays of a safetensors file.

    Raises
    ------
    InvalidInstance
        If it cannot be read, or is of another schema.
    WrongAnswer
        If it has a content hash that is not the hash of its arrays.
    """
    return read_stored(path)[0]


def read_stored(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file; raise as ``read_safetensors`` does."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InvalidInstance(
            f"cannot be read as safetensors: {error}", remedy="write the file again", source=str(path)
        ) from None
    if metadata.get("schema", SCHEMA) != SCHEMA:
        raise InvalidInstance(
            f"schema {metadata['schema']} is unknown", remedy=f"this version reads schema {SCHEMA}", source=str(path)
        )
    if "content_hash" in metadata and metadata["content_hash"] != (expected := content_hash(arrays)):
        stored = metadata["content_hash"]
        raise WrongAnswer("files", f"{path}: the arrays hash to {expected[:12]}..., the metadata have {stored[:12]}...")
    return arrays, metadata


def read_npz(path: Path) -> Arrays:
    """Return the arrays of an npz file; refuse one that needs pickle."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise InvalidInstance(
            f"cannot be read as npz: {error}", remedy="write the file again", source=str(path)
        ) from None


def first_wrongly_stored(arrays: Mapping[str, Array], path: Path) -> str:
    """Return the name of the first array that a safetensors file does not hold as given; empty if all are equal.

    One array at a time is read, so that large arrays are not held twice.
    """
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        for name in sorted(names | set(arrays)):
            expected = {name: arrays[name]} if name in arrays else {}
            if same_arrays(expected, {name: file.get_tensor(name)} if name in names else {}):
                return name
    return ""


def same_arrays(left: Mapping[str, Array], right: Mapping[str, Array]) -> str:
    """Return the name of the first array that differs in presence, dtype, shape or bytes; empty if none does."""
    for name in sorted(left.keys() | right.keys()):
        a, b = left.get(name), right.get(name)
        if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape or not _equal_bytes(a, b):
            return name
    return ""


def _equal_bytes(left: Array, right: Array) -> bool:
    """Return whether two arrays of one type and shape have equal bytes, so that NaN equals itself."""
    first, second = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (left, right))
    return np.array_equal(first, second)
