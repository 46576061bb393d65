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
from safetensors.numpy import save

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.mask_arrays import Array, Arrays, content_hash

SCHEMA = "1"


def safetensors_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as a safetensors file with the metadata ``schema`` and ``content_hash``.

    The numpy writer of safetensors stores strided views wrongly, so every array is made C-contiguous first. Metadata
    keys are sorted, since the library writes them in random order, so that equal arrays give equal files.

    Examples
    --------
    >>> safetensors_bytes({"a": np.zeros((2, 3)).T}) == safetensors_bytes({"a": np.zeros((3, 2))})
    True
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"schema": SCHEMA, "content_hash": content_hash(contiguous)}
    return b"".join(sorted_metadata(save(contiguous, metadata=metadata)))


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


def same_arrays(left: Mapping[str, Array], right: Mapping[str, Array]) -> str:
    """Return the name of the first array that differs in presence, dtype, shape or bytes; empty if none does."""
    for name in sorted(left.keys() | right.keys()):
        a, b = left.get(name), right.get(name)
        if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            return name
    return ""
