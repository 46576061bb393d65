"""``mask.safetensors`` and ``mask.npz``, read by the checker itself: shapes are settled before a byte of content is read."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask

MAX_DENSE = 8192
"""Most positions for which the mask is stored as a dense array."""
MAX_BYTES = 1 << 33
"""Largest array file that is opened (8 GiB)."""

Arrays = dict[str, NDArray[Any]]
Shapes = dict[str, tuple[str, tuple[int | None, ...]]]

_STORED = {"BOOL": "|b1", "U8": "|u1", "I32": "<i4", "I64": "<i8", "F64": "<f8"}


def due_shapes(size: int, tables: int, edges: int, sparse: bool = False) -> Shapes:
    """Name -> (dtype, shape) of the arrays of an answer with N positions, P tables and E loss edges; None is a free length.

    Examples
    --------
    >>> due_shapes(3, 1, 2)["mask"], due_shapes(9000, 2, 2)["row_offset"], due_shapes(9000, 1, 2, sparse=True)["edge_key"]
    (('|b1', (3, 3)), ('<i8', (2, 9001)), ('<i8', (None,)))
    """
    dense: Shapes = {"mask": ("|b1", (size, size) if tables == 1 else (tables, size, size))}
    runs: Shapes = {
        "row_offset": ("<i8", (tables, size + 1)),
        "key_start": ("<i4", (None,)),
        "key_end": ("<i4", (None,)),
    }
    if sparse:
        runs = dict.fromkeys(("edge_query", "edge_key"), ("<i8", (None,)))
    loss: Shapes = dict.fromkeys(("loss_position", "loss_label", "loss_task"), ("<i8", (edges,)))
    return {
        **(dense if size <= MAX_DENSE else runs),
        "position_ids": ("<i8", (size,)),
        **loss,
        "loss_weight": ("<f8", (edges,)),
    }


def _check_shapes(found: Mapping[str, tuple[str, tuple[int, ...]]], due: Shapes, optional: Shapes, longest: int) -> None:
    """Raise unless ``found`` is all arrays of ``due`` and any of ``optional``, with their types and shapes."""
    if wrong := sorted((found.keys() ^ due.keys()) - optional.keys()):
        raise InvalidInstance(
            f"array {wrong[0]!r} is {'missing' if wrong[0] in due else 'not part of an answer of this size'}"
        )
    for name in found:
        dtype, shape = due[name] if name in due else optional[name]
        fits = len(found[name][1]) == len(shape) and all(
            a == b or (b is None and a <= longest) for a, b in zip(found[name][1], shape, strict=True)
        )
        if found[name][0] != dtype or not fits:
            raise InvalidInstance(
                f"array {name!r} is {found[name][0]} {list(found[name][1])} where {dtype} {list(shape)} is due"
            )


def read_safetensors(path: Path, due: Shapes, optional: Shapes, longest: int) -> tuple[Arrays, dict[str, str]]:
    """Read the arrays and the metadata of a safetensors file.

    Raises
    ------
    InvalidInstance
        For anything but exactly the arrays due; nothing is loaded before all shapes are settled.
    """
    from safetensors import SafetensorError, safe_open

    with _reading(path, SafetensorError), safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        found = {
            name: (_STORED.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
            for name, part in slices.items()
        }
        _check_shapes(found, due, optional, longest)
        arrays = {name: file.get_tensor(name) for name in found}
        metadata = dict(file.metadata() or {})
    _check_bools(arrays, path)
    return arrays, metadata


def read_npz(path: Path, due: Shapes, optional: Shapes, longest: int) -> Arrays:
    """Read the arrays of an npz file; headers first, no pickle, no byte more than the arrays due.

    Raises
    ------
    InvalidInstance
        For anything but exactly the arrays due.
    """
    with (
        _reading(path, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, TokenError),
        zipfile.ZipFile(path) as archive,
    ):
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) != len(archive.infolist()) or any(
            not info.filename.endswith(".npy") for info in members.values()
        ):
            raise InvalidInstance("a member is stored twice or is no array")
        found = {}
        for name, info in members.items():
            with archive.open(info) as stream:
                dtype, shape, _ = _npy_header(stream)
            found[name] = (dtype, shape)
        _check_shapes(found, due, optional, longest)
        arrays = {}
        for name in found:
            with archive.open(members[name]) as stream:
                arrays[name] = _npy_content(stream, name)
    _check_bools(arrays, path)
    return arrays


def _npy_header(stream: IO[bytes]) -> tuple[str, tuple[int, ...], bool]:
    """(dtype, shape, Fortran order) at the beginning of a .npy stream."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InvalidInstance(f"npy format {version} is not read")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return dtype.str, shape, fortran


def _npy_content(stream: IO[bytes], name: str) -> NDArray[Any]:
    dtype, shape, fortran = _npy_header(stream)
    wanted = prod(shape) * np.dtype(dtype).itemsize
    data = stream.read(wanted + 1)
    if len(data) != wanted:
        raise InvalidInstance(f"array {name!r} does not have the {wanted} bytes that its shape asks for")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


@contextmanager
def _reading(path: Path, *faults: type[Exception]) -> Iterator[None]:
    """Turn whatever a broken file brings about into one InvalidInstance."""
    if not path.is_file():
        raise InvalidInstance("there is no such file", remedy="name a folder that solve has written", source=str(path))
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInstance(f"larger than {MAX_BYTES} bytes", source=str(path))
    expected: tuple[type[Exception], ...] = (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        SyntaxError,
        MemoryError,
        RecursionError,
        *faults,
    )
    try:
        yield
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None
    except expected as error:
        raise InvalidInstance(
            f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}", source=str(path)
        ) from None


def _check_bools(arrays: Arrays, path: Path) -> None:
    for name, array in arrays.items():
        if array.dtype == bool and np.ascontiguousarray(array).view(np.uint8).max(initial=0) > 1:
            raise InvalidInstance(f"array {name!r} holds bytes other than 0 and 1", source=str(path))


def stored_mask(arrays: Arrays, size: int, tables: int) -> Mask:
    """Make the mask of its stored form, dense, intervals or edges."""
    if "edge_query" in arrays:
        return mask_of_edges(arrays["edge_query"], arrays["edge_key"], size)
    if "mask" not in arrays:
        return Mask(arrays["row_offset"], arrays["key_start"], arrays["key_end"])
    if size == 0:
        return Mask(np.zeros((tables, 1), np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
    return Mask.from_dense(arrays["mask"])


def mask_of_edges(query: NDArray[np.int64], key: NDArray[np.int64], size: int) -> Mask:
    """Make a mask of its edges off the diagonal, ascending by query, then by key, each once; the diagonal is added.

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
        raise InvalidInstance(f"{len(query)} entries in edge_query, {len(key)} in edge_key")
    faults = (
        ("outside the positions", (query < 0) | (key < 0) | (query >= size) | (key >= size)),
        ("on the diagonal", query == key),
        ("out of order or repeated", np.append(False, np.diff(query * size + key) <= 0)[: len(query)]),
    )
    for what, odd in faults:
        if odd.any():
            at = int(odd.argmax())
            raise InvalidInstance(f"edge {at}, ({query[at]}, {key[at]}), is {what}")
    pairs = np.sort(np.append(query * size + key, np.arange(size) * (size + 1)))
    row, column = np.divmod(pairs, max(size, 1))
    opens = np.append(True, (np.diff(column) != 1) | (np.diff(row) != 0))[: len(pairs)]
    last = np.append(np.flatnonzero(opens)[1:], len(pairs)) - 1
    offset = np.append(0, np.bincount(row[opens], minlength=size).cumsum())[None]
    return Mask(offset, column[opens].astype(np.int32), (column[last] + 1).astype(np.int32))


def content_hash(arrays: Arrays) -> str:
    """SHA-256 (hex) over ``name:dtype:shape`` and the bytes in C order, name by name in sorted order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}:{list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
