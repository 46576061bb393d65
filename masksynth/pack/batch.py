"""One merged batch of token samples as arrays, and the same arrays as a file.

=======================================  =======  =======  ===========================================================
name                                     dtype    shape    meaning
=======================================  =======  =======  ===========================================================
``input_ids``, ``position_ids``          int64    [N]      token id and position id of each position
``row_offset``                           int64    [N + 1]  row q attends to ``key_start[t] <= k < key_end[t]`` for
``key_start``, ``key_end``               int32    [T]      ``row_offset[q] <= t < row_offset[q + 1]``
``loss_position``                        int64    [E]      the position that predicts
``loss_label``                           int64    [E]      the token id that it predicts
``loss_sample``                          int64    [E]      the sample of the label, an index into ``samples``
``loss_weight``                          float64  [E]      the sample's weight times that of the label (``weights``)
``sample_offset``                        int64    [S + 1]  row pointers of the samples into ``sample_position``
``sample_position``                      int64    [U]      the position of each live token, sample after sample
``sample_weight``                        float64  [S]      the samples' weights
``loss_index``                           int64    [E]      index of the label in its sample: ``labels[loss_index]``
``dead_offset``                          int64    [S + 1]  row pointers of the samples into the next two
``dead_index``, ``dead_token``           int64    [D]      tokens on which no label depends: index in the sample, id
``field_<name>``                         float64  [E]      a token field (``advantages``, ...) at each label
``extra_<name>``                         int64    [N]      an additional part of a position's identity (``kinds``, ...)
=======================================  =======  =======  ===========================================================

There is one loss edge for each trained label, never summed, sample after sample and in the order of the labels.

A file has the runs of ``sample_position`` in its place: a path through the trie is a few runs of consecutive positions.

=======================================  =======  =======  ===========================================================
``run_start``, ``run_length``            int32    [R]      the positions ``run_start[r], run_start[r] + 1, ...``, run
                                                           after run, are ``sample_position``; no run can be extended
=======================================  =======  =======  ===========================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.export.formats import read_stored
from masksynth.export.mask_arrays import Array, Arrays, need
from masksynth.mask import Mask
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import Float64Array, Int64Array
from masksynth.pack.check_batch import check_batch, expand_runs

ARRAYS: dict[str, type] = {
    "input_ids": np.int64,
    "position_ids": np.int64,
    "loss_position": np.int64,
    "loss_label": np.int64,
    "loss_sample": np.int64,
    "loss_weight": np.float64,
    "sample_offset": np.int64,
    "sample_position": np.int64,
    "sample_weight": np.float64,
    "loss_index": np.int64,
    "dead_offset": np.int64,
    "dead_index": np.int64,
    "dead_token": np.int64,
}
RUNS = ("run_start", "run_length")
FIELD, KEY = "field_", "extra_"
BATCH_HASH = "batch_hash"
"""Key of the hash in the metadata of a batch's file."""
CHANGED = "restore the folder, or pack the samples again"
"""Remedy for a folder that was changed after it was written."""


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """A merged batch of N positions that trains S samples; the table above names its arrays.

    Parameters
    ----------
    samples : tuple of str or int
        The samples' ids.
    mask : Mask
        One table over the N positions.
    fields, keys : mapping of str to arrays
        Token fields at each label, and additional parts of a position's identity.
    """

    samples: tuple[str | int, ...]
    input_ids: Int64Array
    position_ids: Int64Array
    mask: Mask
    loss_position: Int64Array
    loss_label: Int64Array
    loss_sample: Int64Array
    loss_weight: Float64Array
    sample_offset: Int64Array
    sample_position: Int64Array
    sample_weight: Float64Array
    loss_index: Int64Array
    dead_offset: Int64Array
    dead_index: Int64Array
    dead_token: Int64Array
    fields: Mapping[str, Float64Array] = field(default_factory=dict)
    keys: Mapping[str, Int64Array] = field(default_factory=dict)

    @property
    def positions(self) -> int:
        """N, the number of positions."""
        return len(self.input_ids)

    def __repr__(self) -> str:
        return (
            f"PackedBatch({len(self.samples)} samples, {self.positions} positions, {len(self.loss_label)} loss edges)"
        )

    def _repr_html_(self) -> str:
        """Return its counts and a picture of its mask with token ids, for a notebook."""
        from masksynth.mask.svg_picture import mask_svg
        from masksynth.tasks.html import html_block
        from masksynth.tasks.value_text import count

        names = [f"{token}@{place}" for token, place in zip(self.input_ids[:64], self.position_ids[:64], strict=True)]
        counts = ((len(self.samples), "sample"), (self.positions, "position"), (len(self.loss_label), "loss edge"))
        return html_block("PackedBatch", [count(*pair) for pair in counts], mask_svg(self.mask, names))


def batch_arrays(batch: PackedBatch) -> Arrays:
    """Return the arrays of a batch, as the table above lists them."""
    mask = batch.mask
    return {
        **{name: np.ascontiguousarray(getattr(batch, name), dtype) for name, dtype in ARRAYS.items()},
        "row_offset": np.ascontiguousarray(mask.row_offset[0]),
        "key_start": mask.key_start,
        "key_end": mask.key_end,
        **{FIELD + name: np.ascontiguousarray(values, np.float64) for name, values in batch.fields.items()},
        **{KEY + name: np.ascontiguousarray(values, np.int64) for name, values in batch.keys.items()},
    }


def stored_arrays(batch: PackedBatch) -> Arrays:
    """Return the arrays of a batch as a file has them: those of `batch_arrays` with runs for ``sample_position``.

    Examples
    --------
    >>> from masksynth.pack.packing import pack_batches
    >>> rows = [{"input_ids": ids, "labels": [-100, *ids[1:]]} for ids in ([1, 2, 3], [1, 2, 4], [1, 5, 6])]
    >>> [batch] = pack_batches(rows)
    >>> arrays = stored_arrays(batch)
    >>> batch.sample_position.tolist(), arrays["run_start"].tolist(), arrays["run_length"].tolist()
    ([0, 1, 0, 1, 0, 2], [0, 0, 0, 2], [2, 2, 1, 1])
    """
    arrays = batch_arrays(batch)
    position = arrays.pop("sample_position")
    first = np.flatnonzero(run_starts(position - np.arange(len(position))))  # constant within a run
    arrays["run_start"] = position[first].astype(np.int32)
    arrays["run_length"] = np.diff(first, append=len(position)).astype(np.int32)
    return arrays


def batch_of_arrays(arrays: Mapping[str, Array], samples: tuple[str | int, ...]) -> PackedBatch:
    """Return the batch that `batch_arrays` or `stored_arrays` returned, after checking each length and each index.

    Raises
    ------
    InvalidInstance
        Naming the first array that is missing, of another type, or points outside the batch.
    """
    if "sample_position" not in arrays:
        start, length = (need(arrays, name, np.int32, 1) for name in RUNS)
        positions = len(need(arrays, "input_ids", np.int64, 1))
        arrays = {**arrays, "sample_position": expand_runs(start, length, positions)}
    plain = {name: need(arrays, name, dtype, 1) for name, dtype in ARRAYS.items()}
    offset = need(arrays, "row_offset", np.int64, 1)
    mask = Mask(offset[None], need(arrays, "key_start", np.int32, 1), need(arrays, "key_end", np.int32, 1))
    batch = PackedBatch(
        samples=samples,
        mask=mask,
        fields=_take_prefixed(arrays, FIELD, np.float64),
        keys=_take_prefixed(arrays, KEY, np.int64),
        **plain,
    )
    check_batch(batch)
    return batch


def _take_prefixed(arrays: Mapping[str, Array], prefix: str, dtype: type) -> Arrays:
    """Return the arrays whose names begin with a prefix, under their names without it."""
    names = sorted(name for name in arrays if name.startswith(prefix))
    return {name.removeprefix(prefix): need(arrays, name, dtype, 1) for name in names}


def read_batch(path: Path, samples: tuple[str | int, ...], written: str | None = None) -> PackedBatch:
    """Read the batch in a file.

    Parameters
    ----------
    path : Path
    samples : tuple of str or int
        The samples' ids, from the manifest.
    written : str, optional
        The hash of its arrays, from the manifest.

    Raises
    ------
    InvalidInstance
        Naming the file, if it is malformed, or if the hash of its arrays differs from ``written`` or from that in its
        own metadata.
    """
    try:
        arrays, metadata = read_stored(path)
        batch = batch_of_arrays(arrays, samples)
    except InvalidInstance as error:
        raise error if error.source else InvalidInstance(error.fact, "", error.remedy or CHANGED, str(path)) from None
    expected = {"manifest.json": written, "the file's metadata": metadata.get(BATCH_HASH)}
    if any(expected.values()):
        digest = arrays_hash(arrays)
        for source, stored in expected.items():
            if stored is not None and stored != digest:
                hashes = f"the arrays have the hash {digest[:12]}..., {source} has {stored[:12]}..."
                raise InvalidInstance(f"{hashes}: the file was changed or exchanged", "", CHANGED, str(path))
    return batch


def batch_hash(batch: PackedBatch) -> str:
    """Return the SHA-256 (hex) of a batch's arrays as a file has them; see `arrays_hash`.

    Examples
    --------
    >>> from masksynth.pack.packing import pack_batches
    >>> [batch] = pack_batches([{"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, -100], "weight": 0.5}])
    >>> batch_hash(batch)[:12]
    '9047e1d6039e'
    """
    return arrays_hash(stored_arrays(batch))


def arrays_hash(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 (hex) of some arrays, name by name in sorted order.

    For each array: ``name:dtype:shape`` and a newline, then its values in C order, little-endian. Hashing releases the
    interpreter lock.
    """
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        values = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name}:{values.dtype.str}:{list(values.shape)}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()
