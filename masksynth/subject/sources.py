"""Reading what is to be audited: mask files, folders, importable mask_mods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.export.answer_folder import SOLUTION, read_merged
from masksynth.export.formats import read_npz, read_safetensors
from masksynth.export.mask_arrays import mask_of_edges, need
from masksynth.mask import Mask
from masksynth.mask.dense import mask_from_chunks, rows_per_chunk
from masksynth.pack import PackedBatch, open_packed
from masksynth.subject.mask_mod import NAME, block_mask_parts, imported, lists_of, mask_of_mod, other_masks
from masksynth.subject.subject import Labels, Subject
from masksynth.tasks import MergedTask
from masksynth.tasks.canonical import canonical

MANIFEST = "manifest.json"
ENDINGS = (".npy", ".npz", ".safetensors")
FORMS = ("mask", "attention_mask", "row_offset", "edge_query")
Array = NDArray[Any]


def read_source(path: str | Path, length: int | None, batch: int | None) -> Subject:
    """The subject at a path, or of an importable mask_mod.

    Raises
    ------
    InvalidInstance
        If there is nothing to read, or an option does not fit what is there.
    """
    text, place = str(path), Path(path)
    if not place.exists() and NAME.fullmatch(text):
        if batch is not None:
            raise InvalidInstance("is no packed folder, so it has no batches", "", "leave --batch out", text)
        return _of_object(imported(text), length, text)
    if not place.exists():
        raise InvalidInstance(
            "there is no such file or folder", "", "name one, or package.module:mask_mod with --length", text
        )
    if length is not None:
        raise InvalidInstance("has a length of its own", "", "give --length with package.module:mask_mod only", text)
    if place.is_dir() and (place / MANIFEST).is_file():
        return _of_packed(place, batch or 0)
    if batch is not None:
        raise InvalidInstance("is no packed folder, so it has no batches", "", "leave --batch out", text)
    if place.is_dir() and not (place / SOLUTION).is_file():
        raise InvalidInstance(
            f"holds neither {SOLUTION} nor {MANIFEST}", "", "name a folder that solve or pack wrote", text
        )
    return subject_of_merged(read_merged(place), text) if place.is_dir() else _of_file(place)


def _of_object(found: Any, length: int | None, source: str) -> Subject:
    """A mask_mod, or a BlockMask with its lists."""
    blocks, partial = None, ""
    if hasattr(found, "mask_mod") and hasattr(found, "kv_num_blocks"):
        many = found.kv_num_blocks.shape[:-1].numel()
        found, length, blocks = block_mask_parts(found, length, source)
        partial = f"the BlockMask has {many} masks; batch 0 and head 0 alone were read" if many > 1 else ""
    if length is None or type(length) is not int or length < 1:
        raise InvalidInstance("has no length of its own", "", "give --length N", source)
    mask = mask_of_mod(found, length, source)
    return Subject(mask, source, dtype="mask_mod", blocks=blocks, partial=partial or other_masks(found, length, source))


def _of_packed(folder: Path, number: int) -> Subject:
    packed = open_packed(folder)
    if not 0 <= number < len(packed):
        raise InvalidInstance(
            f"has {len(packed)} batches, not a batch {number}", "", "batches are counted from 0", str(folder)
        )
    entries = packed.manifest.batches
    subject = subject_of_batch(
        packed[number], f"{folder}, batch {number}", entries[number].segments, entries[number].groups
    )
    elsewhere = tuple(name for at, entry in enumerate(entries) for name in entry.samples if at != number)
    return replace(subject, elsewhere=elsewhere)


def subject_of_merged(merged: MergedTask, name: str = "answer") -> Subject:
    """A merged task as a subject; what its predictions hide is known to its family alone.

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> subject_of_merged(merge(catalog.causal_lm(n=3))).labels.value
    ('w1', 'w2')
    """
    edges = merged.loss_edges
    labels = Labels(
        np.array([edge.position for edge in edges], np.int64),
        tuple(merged.labels[edge.label] for edge in edges),
        np.array([edge.weight for edge in edges], np.float64),
        np.array([edge.task for edge in edges], np.int64),
        merged.tasks,
        ((),) * len(edges),
        np.full(len(edges), -1),
    )
    return Subject(
        merged.mask,
        name,
        inputs=tuple(place.input for place in merged.positions),
        positions=np.array([place.position for place in merged.positions], np.int64),
        kinds=tuple(place.kind for place in merged.positions),
        labels=labels,
        layers=merged.problem.layers,
        embeddings=merged.embeddings,
        sparse=merged.problem.sparse,
    )


def subject_of_batch(
    batch: PackedBatch,
    name: str = "batch",
    segments: tuple[Any, ...] | None = None,
    groups: tuple[Any, ...] | None = None,
) -> Subject:
    """A packed batch as a subject: a label that predicts the next token hides the position of that token.

    ``segments`` and ``groups`` are those of the samples, as the manifest of a packed folder lists them.
    """
    from masksynth.subject.packed_labels import group_numbers, targets

    target, unsaid = targets(batch)
    labels = Labels(
        batch.loss_position,
        tuple(batch.loss_label.tolist()),
        batch.loss_weight,
        batch.loss_sample,
        batch.samples,
        ((),) * len(batch.loss_label),
        target,
        unsaid,
        "it is not the token of its sample that it stands for",
    )
    kinds = None
    if batch.keys:
        names = sorted(batch.keys)
        kinds = tuple(
            " ".join(f"{name}={value}" for name, value in zip(names, row, strict=True))
            for row in zip(*(batch.keys[name].tolist() for name in names), strict=True)
        )
    inputs = tuple(batch.input_ids.tolist())
    return Subject(
        batch.mask,
        name,
        inputs,
        batch.position_ids,
        kinds,
        labels,
        batch=batch,
        segments=segments,
        groups=group_numbers(batch, groups),
    )


def _of_file(place: Path) -> Subject:
    if place.suffix not in ENDINGS:
        remedy = f"name a file that ends in {', '.join(ENDINGS)}, a folder, or package.module:mask_mod"
        raise InvalidInstance(f"ends in {place.suffix!r}", "", remedy, str(place))
    if not place.is_file():
        raise InvalidInstance(
            "there is no such file", "", "name a mask file, a folder, or package.module:mask_mod", str(place)
        )
    try:
        if place.suffix == ".npy":
            return _of_arrays({"mask": _load(place)}, str(place))
        return _of_arrays(read_npz(place) if place.suffix == ".npz" else read_safetensors(place), str(place))
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, error.path if error.path != "$" else "", error.remedy, str(place)) from None


def _load(path: Path) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return found
    except OSError as error:
        raise InvalidInstance(
            f"cannot be read: {error.strerror or error}", "", "save an array with numpy.save"
        ) from None
    except (ValueError, EOFError):  # numpy's text tells people to unpickle what they should not
        raise InvalidInstance(
            "is not a whole .npy file of plain numbers", "", "save an array with numpy.save"
        ) from None


def _of_arrays(arrays: Mapping[str, Array], name: str) -> Subject:
    forms = [form for form in FORMS if form in arrays]
    if len(forms) != 1:
        raise InvalidInstance(
            f"the arrays {sorted(arrays)} hold {len(forms)} masks", "", f"store one of {', '.join(FORMS)}"
        )
    forbidden, dtype = None, "bool"
    if forms[0] in FORMS[:2]:
        mask, forbidden = mask_of_dense(arrays[forms[0]], forms[0])
        dtype = str(arrays[forms[0]].dtype)
    elif forms[0] == "row_offset":
        offset = np.atleast_2d(need(arrays, "row_offset", np.int64, None))
        mask = Mask(offset, need(arrays, "key_start", np.int32, 1), need(arrays, "key_end", np.int32, 1))
    else:
        mask = mask_of_edges(
            need(arrays, "edge_query", np.int64, 1), need(arrays, "edge_key", np.int64, 1), _places(arrays)
        )
    inputs = tuple(_numbers(arrays, "input_ids").tolist()) if "input_ids" in arrays else None
    positions = _numbers(arrays, "position_ids").astype(np.int64) if "position_ids" in arrays else None
    return Subject(
        mask,
        name,
        inputs,
        positions,
        labels=_labels(arrays),
        forbidden=forbidden,
        dtype=dtype,
        blocks=_blocks(arrays, mask.size),
    )


def _numbers(arrays: Mapping[str, Array], name: str, kinds: str = "iu") -> Array:
    """Return a stored array, flat, after checking that it holds integers, or numbers; booleans are neither."""
    array = arrays[name].ravel()
    if array.size and array.dtype.kind not in kinds:
        words = "integers" if kinds == "iu" else "numbers"
        raise InvalidInstance(f"array {name!r} holds {array.dtype}, not {words}", "", f"store {words}")
    return array


def _places(arrays: Mapping[str, Array]) -> int:
    return len(need(arrays, "position_ids", np.int64, 1))


def _labels(arrays: Mapping[str, Array]) -> Labels | None:
    """Loss edges stored beside a mask; their values are token ids, or numbers of labels that only solution.json names."""
    if "loss_position" not in arrays:
        return None
    position, value = need(arrays, "loss_position", np.int64, 1), need(arrays, "loss_label", np.int64, 1)
    count = len(position)
    named_tasks = next((name for name in ("loss_task", "loss_sample") if name in arrays), None)
    task = np.zeros(count, np.int64) if named_tasks is None else _numbers(arrays, named_tasks).astype(np.int64)
    weight = _numbers(arrays, "loss_weight", "iuf").astype(np.float64) if "loss_weight" in arrays else np.ones(count)
    if not len(value) == len(task) == len(weight) == count:
        raise InvalidInstance("the loss arrays differ in length", "", "store one entry for each loss edge")
    return Labels(position, tuple(value.tolist()), weight, task, (), ((),) * count, np.full(count, -1))


def _blocks(arrays: Mapping[str, Array], size: int) -> Any:
    names = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
    if names[0] not in arrays:
        return None
    if missing := [name for name in names[:2] if name not in arrays]:
        raise InvalidInstance(f"array {missing[0]!r} is missing", "", "store kv_num_blocks and kv_indices")
    block = _numbers(arrays, "block_size").tolist() if "block_size" in arrays else [128, 128]
    rows, keys = int(block[0]), int(block[-1])
    if rows < 1 or keys < 1:
        raise InvalidInstance(f"block_size {block} is not positive", "", "store [queries, keys]")
    return lists_of([arrays.get(name) for name in names], -(-size // rows), -(-size // keys)), (rows, keys)


def mask_of_dense(array: Array, name: str = "mask") -> tuple[Mask, float | None]:
    """The mask of a dense array, and the finite number by which an additive one forbids.

    Parameters
    ----------
    array : bool or float, (n, n), (P, n, n) or (1, 1, n, n)
        A float array is additive: 0 where allowed; minus infinity, or one large negative number, elsewhere.

    Raises
    ------
    InvalidInstance
        For integers, for floats that are no additive mask, for another shape.

    Examples
    --------
    >>> mask_of_dense(np.where(np.tril(np.ones((2, 2), bool)), 0, np.finfo(np.float32).min).astype(np.float32))
    (Mask(size=2, tables=1, pairs=3), -3.4028234663852886e+38)
    """
    if array.ndim == 4 and array.shape[:2] == (1, 1):
        array = array[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[-1] != array.shape[-2] or not len(array):
        raise InvalidInstance(f"array {name!r} has shape {array.shape}", "", "store (n, n), (P, n, n) or (1, 1, n, n)")
    if array.dtype != bool and array.dtype.kind != "f":
        raise InvalidInstance(
            f"array {name!r} holds {array.dtype}",
            "",
            "store bool (True: may attend), or float with 0 and minus infinity",
        )
    seen: set[float] = set()
    mask = mask_from_chunks((_stretches(table, seen, name) for table in array), array.shape[-1])
    return mask, next(iter(seen), None)


def _stretches(table: Array, seen: set[float], name: str) -> Iterator[NDArray[np.bool_]]:
    """Rows of a table as booleans; the finite numbers that forbid are put into ``seen``, one at most."""
    step = rows_per_chunk(len(table))
    for first in range(0, len(table), step):
        rows = np.asarray(table[first : first + step])
        if rows.dtype != bool:
            finite = np.unique(rows[(rows != 0) & ~np.isneginf(rows)])
            seen.update(finite.tolist())
            odd = sorted(seen)
            if len(odd) > 1 or np.isnan(odd).any() or any(value > -100 for value in odd):
                raise InvalidInstance(
                    f"array {name!r} holds {', '.join(map(str, odd[:3]))} beside 0, so it is no additive mask",
                    "",
                    "store 0 and minus infinity, or a bool array",
                )
            rows = rows == 0
        yield rows


def named(value: Any) -> str:
    """A JSON value as text for people."""
    return value if isinstance(value, str) else canonical(value)
