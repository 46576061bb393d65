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
from masksynth.mask.csr import row_of_entry
from masksynth.mask.typing import Float64Array, Int64Array

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


def batch_of_arrays(arrays: Mapping[str, Array], samples: tuple[str | int, ...]) -> PackedBatch:
    """Return the batch that `batch_arrays` stored, after checking each length and each index.

    Raises
    ------
    InvalidInstance
        Naming the first array that is missing, of another type, or points outside the batch.
    """
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
    _check_lengths(batch)
    _check_bounds(batch)
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
        digest = batch_hash(batch)
        for source, stored in expected.items():
            if stored is not None and stored != digest:
                hashes = f"the arrays have the hash {digest[:12]}..., {source} has {stored[:12]}..."
                raise InvalidInstance(f"{hashes}: the file was changed or exchanged", "", CHANGED, str(path))
    return batch


def batch_hash(batch: PackedBatch) -> str:
    """Return the SHA-256 (hex) of a batch's arrays, name by name in sorted order.

    For each array: ``name:dtype:shape`` and a newline, then its values in C order, little-endian. The arrays are those
    of the table in ``masksynth.pack.batch``, with its types; hashing releases the interpreter lock.

    Examples
    --------
    >>> from masksynth.pack.packing import pack_batches
    >>> [batch] = pack_batches([{"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, -100], "weight": 0.5}])
    >>> batch_hash(batch)[:12]
    'ad5dd197f4b1'
    """
    digest = hashlib.sha256()
    for name, array in sorted(batch_arrays(batch).items()):
        values = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name}:{values.dtype.str}:{list(values.shape)}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _check_lengths(batch: PackedBatch) -> None:
    """Refuse arrays whose lengths do not fit together."""
    n, e, s = batch.positions, len(batch.loss_label), len(batch.samples)
    for name, length in (
        ("position_ids", n),
        *((name, e) for name in ("loss_position", "loss_sample", "loss_weight", "loss_index")),
        *((name, s + 1) for name in ("sample_offset", "dead_offset")),
        ("sample_weight", s),
        ("dead_index", len(batch.dead_token)),
    ):
        if len(getattr(batch, name)) != length:
            raise InvalidInstance(
                f"{name}: expected {length} entries, got {len(getattr(batch, name))}", "", "pack the samples again"
            )
    if batch.mask.size != n:
        raise InvalidInstance(f"row_offset: expected {n} rows, got {batch.mask.size}", "", "pack the samples again")
    for name, values in (*batch.fields.items(), *batch.keys.items()):
        length = e if name in batch.fields else n
        if len(values) != length:
            raise InvalidInstance(f"{name}: expected {length} entries, got {len(values)}", "", "pack the samples again")


def _check_bounds(batch: PackedBatch) -> None:
    """Refuse indices out of range, negative ids and infinite weights."""
    for name, values, top in (
        ("loss_position", batch.loss_position, batch.positions),
        ("loss_sample", batch.loss_sample, len(batch.samples)),
        ("sample_position", batch.sample_position, batch.positions),
    ):
        if len(values) and (values.min() < 0 or values.max() >= top):
            raise InvalidInstance(
                f"{name}: expected 0 to {top - 1}, got {values.min()} to {values.max()}", "", "pack the samples again"
            )
    for name, numbers in (
        ("input_ids", batch.input_ids),
        ("position_ids", batch.position_ids),
        ("dead_token", batch.dead_token),
    ):
        if len(numbers) and numbers.min() < 0:
            raise InvalidInstance(f"{name}: expected integers >= 0, got {numbers.min()}", "", "pack the samples again")
    for name, reals in (("loss_weight", batch.loss_weight), ("sample_weight", batch.sample_weight)):
        if not np.isfinite(reals).all():
            raise InvalidInstance(f"{name} contains a number that is not finite", "", "pack the samples again")
    if (np.diff(batch.loss_sample) < 0).any():
        raise InvalidInstance("loss_sample decreases", "", "pack the samples again")
    for name, offset, size in (
        ("sample_offset", batch.sample_offset, len(batch.sample_position)),
        ("dead_offset", batch.dead_offset, len(batch.dead_token)),
    ):
        if offset[0] != 0 or offset[-1] != size or (np.diff(offset) < 0).any():
            raise InvalidInstance(f"{name} does not increase from 0 to {size}", "", "pack the samples again")
    length = np.diff(batch.sample_offset) + np.diff(batch.dead_offset)  # tokens of each sample
    home = row_of_entry(batch.dead_offset)  # sample of each dead token
    for name, index, owner in (
        ("loss_index", batch.loss_index, batch.loss_sample),
        ("dead_index", batch.dead_index, home),
    ):
        if len(index) and (index.min() < 0 or (index >= length[owner]).any()):
            raise InvalidInstance(f"{name} is outside its sample", "", "pack the samples again")
    if ((np.diff(batch.dead_index) <= 0) & (np.diff(home) == 0)).any():
        raise InvalidInstance("dead_index does not increase within its sample", "", "pack the samples again")
