"""Mask files: ``.npy``, ``.npz``, ``.safetensors``, or their bytes on stdin, with what is stored with the mask."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.export.formats import npz_bytes, read_npz, read_safetensors, safetensors_bytes
from masksynth.export.mask_arrays import MAX_DENSE, mask_arrays, mask_of_edges, need
from masksynth.files import check_file, write_file
from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray
from masksynth.subject.dense_array import mask_of_dense
from masksynth.subject.mask_mod import full_block_lists
from masksynth.subject.subject import Labels, Subject

ENDINGS = (".npy", ".npz", ".safetensors")
DENSE = ("mask", "attention_mask")
FORMS = (*DENSE, "row_offset", "edge_query")
"""Arrays of which a mask file holds exactly one."""
BLOCK_LISTS = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")


def read_mask(path: str | Path) -> Mask:
    """Read the mask of a file, of an answer's folder or of the first batch of a packed folder.

    Parameters
    ----------
    path : path
        As for `masksynth.subject.read_subject`.

    Raises
    ------
    InvalidInstance
        If there is nothing to read, or it does not contain a mask.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/causal.npy", np.tril(np.ones((3, 3), bool)))
    ...     read_mask(f"{folder}/causal.npy")
    Mask(size=3, tables=1, pairs=6)
    """
    from masksynth.subject.read_subject import read_subject  # the other kinds of path

    return read_subject(path).mask


def read_mask_file(path: Path) -> Subject:
    """Return the subject in a mask file: its mask and what else is stored there.

    Raises
    ------
    InvalidInstance
        Naming the file.
    """
    try:
        if path.suffix == ".npy":
            return _subject_of_arrays({"mask": load_npy(path)}, str(path))
        return _subject_of_arrays(read_npz(path) if path.suffix == ".npz" else read_safetensors(path), str(path))
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, error.path if error.path != "$" else "", error.remedy, str(path)) from None


def read_stdin() -> bytes:
    """Return the bytes on standard input; raise InvalidInstance if it is closed."""
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", "-")
    return sys.stdin.buffer.read()


def is_mask_bytes(content: bytes) -> bool:
    r"""Return whether some bytes begin as a mask file.

    Examples
    --------
    >>> is_mask_bytes(b"\x93NUMPY"), is_mask_bytes(b"[[0, 1], [2, 3]]")
    (True, False)
    """
    return _ending_of(content) is not None


def read_mask_bytes(content: bytes) -> Subject:
    """Return the subject in the bytes of a mask file, read from standard input; the first ones determine the format.

    Raises
    ------
    InvalidInstance
        If they are empty, or not those of a mask file.
    """
    ending = _ending_of(content)
    if ending is None:
        remedy = f"pipe in the bytes of a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file"
        raise InvalidInstance("is not a mask file" if content else "is empty", "", remedy, "<stdin>")
    with tempfile.NamedTemporaryFile(prefix="masksynth-", suffix=ending) as copy:
        copy.write(content)
        copy.flush()
        try:
            return replace(read_mask_file(Path(copy.name)), name="-")
        except InvalidInstance as error:
            raise InvalidInstance(error.fact, error.path, error.remedy, "<stdin>") from None


def _ending_of(content: bytes) -> str | None:
    """Return the ending of the format that some bytes begin with, None if it is none of ``ENDINGS``."""
    if content.startswith(b"\x93NUMPY"):
        return ".npy"
    if content.startswith(b"PK"):
        return ".npz"
    # a safetensors file: the length of its JSON header in 8 bytes, then that header
    header_ends = 8 + int.from_bytes(content[:8], "little")
    return ".safetensors" if content[8:9] == b"{" and header_ends <= len(content) else None


def load_npy(path: Path) -> AnyArray:
    """Return the array of a .npy file.

    Raises
    ------
    InvalidInstance
        If it cannot be read, or needs pickle; without the name of the file.
    """
    try:
        array: AnyArray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except OSError as error:
        fact = f"cannot be read: {error.strerror or error}"
        raise InvalidInstance(fact, "", "save an array with numpy.save") from None
    except (ValueError, EOFError):  # numpy's own message suggests allow_pickle, which is unsafe
        fact = "is not a complete .npy file of plain numbers"
        raise InvalidInstance(fact, "", "save an array with numpy.save") from None


def _subject_of_arrays(arrays: Mapping[str, AnyArray], name: str) -> Subject:
    forms = [form for form in FORMS if form in arrays]
    if len(forms) != 1:
        fact = f"the arrays {sorted(arrays)} hold {len(forms)} masks"
        raise InvalidInstance(fact, "", f"store one of {', '.join(FORMS)}")
    mask, forbidden, dtype = _mask_of_form(arrays, forms[0])
    return Subject(
        mask,
        name,
        tuple(_checked(arrays, "input_ids").tolist()) if "input_ids" in arrays else None,
        _checked(arrays, "position_ids").astype(np.int64) if "position_ids" in arrays else None,
        labels=_read_labels(arrays),
        forbidden=forbidden,
        dtype=dtype,
        blocks=_read_blocks(arrays, mask.size),
        updated=need(arrays, "updated", np.bool_, 2) if "updated" in arrays else None,
    )


def _mask_of_form(arrays: Mapping[str, AnyArray], form: str) -> tuple[Mask, float | None, str]:
    """Return the mask, the finite number by which it forbids, and the dtype in which it is stored."""
    if form in DENSE:
        return *mask_of_dense(arrays[form], form), str(arrays[form].dtype)
    if form == "row_offset":
        offset = np.atleast_2d(need(arrays, "row_offset", np.int64, None))
        mask = Mask(offset, need(arrays, "key_start", np.int32, 1), need(arrays, "key_end", np.int32, 1))
    else:
        query, key = need(arrays, "edge_query", np.int64, 1), need(arrays, "edge_key", np.int64, 1)
        mask = mask_of_edges(query, key, len(need(arrays, "position_ids", np.int64, 1)))
    return mask, None, "bool"


def _checked(arrays: Mapping[str, AnyArray], name: str, kinds: str = "iu") -> AnyArray:
    """Return a stored array, flat; raise unless its dtype is of one of the ``kinds``, integers by default."""
    array = arrays[name].ravel()
    if array.size and array.dtype.kind not in kinds:
        words = "integers" if kinds == "iu" else "numbers"
        raise InvalidInstance(f"array {name!r}: expected {words}, got {array.dtype}", "", f"store {words}")
    return array


def _read_labels(arrays: Mapping[str, AnyArray]) -> Labels | None:
    """Return the loss edges that are stored with a mask, None without.

    Values are token ids, or indices of labels whose names only solution.json has.
    """
    if "loss_position" not in arrays:
        return None
    position, value = need(arrays, "loss_position", np.int64, 1), need(arrays, "loss_label", np.int64, 1)
    count = len(position)
    task_array = next((name for name in ("loss_task", "loss_sample") if name in arrays), None)
    task = np.zeros(count, np.int64) if task_array is None else _checked(arrays, task_array).astype(np.int64)
    weight = _checked(arrays, "loss_weight", "iuf").astype(np.float64) if "loss_weight" in arrays else np.ones(count)
    if not len(value) == len(task) == len(weight) == count:
        raise InvalidInstance("the loss arrays differ in length", "", "store one entry for each loss edge")
    return Labels(position, tuple(value.tolist()), weight, task, (), ((),) * count, np.full(count, -1))


def _read_blocks(arrays: Mapping[str, AnyArray], size: int) -> Any:
    """Return the block lists stored with a mask over ``size`` positions, and their block size; None without."""
    if BLOCK_LISTS[0] not in arrays:
        return None
    if missing := [name for name in BLOCK_LISTS[:2] if name not in arrays]:
        raise InvalidInstance(f"array {missing[0]!r} is missing", "", "store kv_num_blocks and kv_indices")
    block = _checked(arrays, "block_size").tolist() if "block_size" in arrays else [128, 128]
    queries, keys = int(block[0]), int(block[-1])
    if queries < 1 or keys < 1:
        raise InvalidInstance(f"block_size: expected positive integers, got {block}", "", "store [queries, keys]")
    lists = full_block_lists([arrays.get(name) for name in BLOCK_LISTS], -(-size // queries), -(-size // keys))
    return lists, (queries, keys)


def check_mask_target(path: Path, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a place where a mask cannot be written.

    Parameters
    ----------
    path : Path
    force : bool
        Whether an existing file may be replaced.
    inputs : iterable of paths
        Files that are never replaced.

    Raises
    ------
    InvalidInstance
        For another ending, an input, or an existing file without ``force``.
    """
    if path.suffix not in ENDINGS:
        remedy = f"name a file that ends in {', '.join(ENDINGS)}"
        raise InvalidInstance(f"ends in {path.suffix!r}", "", remedy, str(path))
    check_file(path, force, inputs)


def write_mask(mask: Mask, path: str | Path, force: bool = True, inputs: Iterable[str | Path] = ()) -> None:
    """Write a mask: ``.npy`` as a bool array, ``.npz`` and ``.safetensors`` with the arrays of an answer.

    Parameters
    ----------
    mask : Mask
    path : path
    force : bool
        Whether an existing file is replaced.
    inputs : iterable of paths
        Files that are never replaced.

    Raises
    ------
    InvalidInstance
        For another ending, or a mask of more than ``MAX_DENSE`` positions as ``.npy``.
    MasksynthError
        If the file cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Mask.from_dense(np.tril(np.ones((3, 3), bool))), f"{folder}/causal.npz")
    ...     read_mask(f"{folder}/causal.npz")
    Mask(size=3, tables=1, pairs=6)
    """
    target = Path(path)
    check_mask_target(target, force, inputs)
    write_file(target, _mask_bytes(mask, target), force, inputs, "the mask")


def _mask_bytes(mask: Mask, path: Path) -> bytes:
    """Return the content of a mask file in the format of the ending of ``path``."""
    if path.suffix == ".npy":
        if mask.size > MAX_DENSE:
            fact = f"{mask.size} positions are too many for a dense array"
            raise InvalidInstance(fact, "", "name a .npz or .safetensors file", str(path))
        stream = io.BytesIO()
        np.save(stream, mask.dense())
        return stream.getvalue()
    arrays = mask_arrays(mask, sparse=mask.size > MAX_DENSE and mask.tables == 1)
    if "edge_query" in arrays:
        arrays["position_ids"] = np.arange(mask.size)  # edges alone do not determine the number of positions
    return npz_bytes(arrays) if path.suffix == ".npz" else safetensors_bytes(arrays)
