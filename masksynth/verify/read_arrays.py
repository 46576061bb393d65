"""Read ``mask.safetensors`` and ``mask.npz``, shapes being checked before any content is read: the checker's own."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.verify.ragged import build_mask, coalesce_pairs

MAX_DENSE = 8192
"""Maximum number of positions for which the mask is stored dense."""
MAX_BYTES = 1 << 33
"""Largest array file that is opened (8 GiB)."""

Arrays = dict[str, AnyArray]
Shapes = dict[str, tuple[str, tuple[int | None, ...]]]


class Expected(NamedTuple):
    """Arrays of a file.

    Parameters
    ----------
    required, optional : Shapes
        Arrays that must and may be there.
    longest : int
        Limit of the lengths that are None in a shape.
    """

    required: Shapes
    optional: Shapes
    longest: int


_STORED = {"BOOL": "|b1", "U8": "|u1", "I32": "<i4", "I64": "<i8", "F64": "<f8"}


def array_shapes(size: int, tables: int, edges: int, sparse: bool = False) -> Shapes:
    """Return name -> (dtype, shape) of the arrays of an answer; None is any length.

    Parameters
    ----------
    size, tables, edges : int
        Numbers of positions, of tables and of loss edges.
    sparse : bool
        Whether the mask is sparse.

    Examples
    --------
    >>> array_shapes(3, 1, 2)["mask"], array_shapes(9000, 2, 2)["row_offset"]
    (('|b1', (3, 3)), ('<i8', (2, 9001)))
    >>> array_shapes(9000, 1, 2, sparse=True)["edge_key"]
    ('<i8', (None,))
    """
    dense: Shapes = {"mask": ("|b1", (size, size) if tables == 1 else (tables, size, size))}
    intervals: Shapes = {
        "row_offset": ("<i8", (tables, size + 1)),
        "key_start": ("<i4", (None,)),
        "key_end": ("<i4", (None,)),
    }
    if sparse:
        intervals = dict.fromkeys(("edge_query", "edge_key"), ("<i8", (None,)))
    loss: Shapes = dict.fromkeys(("loss_position", "loss_label", "loss_task"), ("<i8", (edges,)))
    return {
        **(dense if size <= MAX_DENSE else intervals),
        "position_ids": ("<i8", (size,)),
        **loss,
        "loss_weight": ("<f8", (edges,)),
    }


def _check_shapes(stored: Mapping[str, tuple[str, tuple[int, ...]]], expected: Expected) -> None:
    """Raise unless the arrays, given by type and shape, are the expected ones."""
    if wrong := sorted((stored.keys() ^ expected.required.keys()) - expected.optional.keys()):
        fact = "missing" if wrong[0] in expected.required else "not part of an answer of this size"
        raise InvalidInstance(f"array {wrong[0]!r} is {fact}")
    for name, (stored_type, stored_shape) in stored.items():
        dtype, shape = expected.required[name] if name in expected.required else expected.optional[name]
        fits = len(stored_shape) == len(shape) and all(
            a == b or (b is None and a <= expected.longest) for a, b in zip(stored_shape, shape, strict=True)
        )
        if stored_type != dtype or not fits:
            got = f"{stored_type} {list(stored_shape)}"
            raise InvalidInstance(f"array {name!r}: expected {dtype} {list(shape)}, got {got}")


def read_safetensors(path: Path, expected: Expected) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file.

    Raises
    ------
    InvalidInstance
        Unless the arrays are the expected ones; nothing is loaded before all shapes are checked.
    """
    from safetensors import SafetensorError, safe_open

    with _reading(path, SafetensorError), safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is not a mapping)
        shapes = {
            name: (_STORED.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
            for name, part in slices.items()
        }
        _check_shapes(shapes, expected)
        arrays = {name: file.get_tensor(name) for name in shapes}
        metadata = dict(file.metadata() or {})
    _check_bools(arrays, path)
    return arrays, metadata


def read_npz(path: Path, expected: Expected) -> Arrays:
    """Return the arrays of an npz file: headers are read first, no pickle, not a byte more than the expected arrays.

    Raises
    ------
    InvalidInstance
        Unless the arrays are the expected ones.
    """
    with (
        _reading(path, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, TokenError),
        zipfile.ZipFile(path) as archive,
    ):
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) != len(archive.infolist()) or any(
            not info.filename.endswith(".npy") for info in members.values()
        ):
            raise InvalidInstance("a member is stored twice or is not an array")
        shapes = {}
        for name, info in members.items():
            with archive.open(info) as stream:
                dtype, shape, _ = _npy_header(stream)
            shapes[name] = (dtype, shape)
        _check_shapes(shapes, expected)
        arrays = {}
        for name in shapes:
            with archive.open(members[name]) as stream:
                arrays[name] = _npy_content(stream, name)
    _check_bools(arrays, path)
    return arrays


def _npy_header(stream: IO[bytes]) -> tuple[str, tuple[int, ...], bool]:
    """Return (dtype, shape, Fortran order) from the beginning of a .npy stream."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InvalidInstance(f"npy format {version} is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return dtype.str, shape, fortran


def _npy_content(stream: IO[bytes], name: str) -> AnyArray:
    """Return the array of a .npy stream."""
    dtype, shape, fortran = _npy_header(stream)
    length = prod(shape) * np.dtype(dtype).itemsize
    data = stream.read(length + 1)
    if len(data) != length:
        raise InvalidInstance(f"array {name!r}: expected {length} bytes for its shape, got fewer or more")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


@contextmanager
def _reading(path: Path, *faults: type[Exception]) -> Iterator[None]:
    """Turn every error that a malformed file causes into one InvalidInstance."""
    if not path.is_file():
        raise InvalidInstance("there is no such file", remedy="name a folder written by solve", source=str(path))
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInstance(f"larger than {MAX_BYTES} bytes", source=str(path))
    errors: tuple[type[Exception], ...] = (OSError, ValueError, TypeError, KeyError, SyntaxError)
    errors += (MemoryError, RecursionError, *faults)
    try:
        yield
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None
    except errors as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInstance(f"cannot be read: {reason}", source=str(path)) from None


def _check_bools(arrays: Arrays, path: Path) -> None:
    """Raise if a bool array has bytes other than 0 and 1."""
    for name, array in arrays.items():
        if array.dtype == bool and np.ascontiguousarray(array).view(np.uint8).max(initial=0) > 1:
            raise InvalidInstance(f"array {name!r} has bytes other than 0 and 1", source=str(path))


def stored_mask(arrays: Arrays, size: int, tables: int) -> Mask:
    """Return the mask that is stored dense, as intervals or as edges."""
    if "edge_query" in arrays:
        return mask_of_edges(arrays["edge_query"], arrays["edge_key"], size)
    if "mask" not in arrays:
        return Mask(arrays["row_offset"], arrays["key_start"], arrays["key_end"])
    if size == 0:
        return Mask(np.zeros((tables, 1), np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
    return Mask.from_dense(arrays["mask"])


def mask_of_edges(query: Int64Array, key: Int64Array, size: int) -> Mask:
    """Return the mask with the given edges and the diagonal.

    Parameters
    ----------
    query, key : (edges,) int64
        Edges off the diagonal, strictly increasing by (query, key).
    size : int
        Number of positions.

    Raises
    ------
    InvalidInstance
        If lengths differ, or an edge is out of range, on the diagonal, out of order or repeated.

    Examples
    --------
    >>> print(mask_of_edges(np.array([1, 2]), np.array([0, 0]), 3))
    ■ · ·
    ■ ■ ·
    ■ · ■
    """
    if query.shape != key.shape:
        raise InvalidInstance(f"edge_query has {len(query)} entries, edge_key has {len(key)}")
    faults = (
        ("outside the positions", (query < 0) | (key < 0) | (query >= size) | (key >= size)),
        ("on the diagonal", query == key),
        ("out of order or repeated", np.append(False, np.diff(query * size + key) <= 0)[: len(query)]),
    )
    for what, wrong in faults:
        if wrong.any():
            edge = int(wrong.argmax())
            raise InvalidInstance(f"edge {edge}, ({query[edge]}, {key[edge]}), is {what}")
    # A pair is the integer query * size + key.
    pairs = np.sort(np.append(query * size + key, np.arange(size) * (size + 1)))
    return build_mask([coalesce_pairs(*np.divmod(pairs, max(size, 1)))], size)


def content_hash(arrays: Arrays) -> str:
    """Return the SHA-256 (hex) over ``name:dtype:shape`` and the bytes in C order of each array, by sorted name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}:{list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
