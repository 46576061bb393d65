"""Pack: token samples to merged batches at scale, without any N x N array."""

from masksynth.pack.batch import PackedBatch, batch_arrays, batch_of_arrays, read_batch
from masksynth.pack.folder import PackedFolder, open_packed

__all__ = ["PackedBatch", "PackedFolder", "batch_arrays", "batch_of_arrays", "open_packed", "read_batch"]
