"""Merge token samples into batches at scale, without any N x N array."""

from masksynth.pack.batch import PackedBatch, batch_arrays, batch_of_arrays, read_batch
from masksynth.pack.packed_folder import PackedFolder, open_packed
from masksynth.pack.packing import pack_batches, pack_samples
from masksynth.pack.run_summary import Summary
from masksynth.pack.unpacking import unpack_samples

__all__ = [
    "PackedBatch",
    "PackedFolder",
    "Summary",
    "batch_arrays",
    "batch_of_arrays",
    "open_packed",
    "pack_batches",
    "pack_samples",
    "read_batch",
    "unpack_samples",
]
