"""Packed folders of given batches, as ``pack`` writes them."""

from masksynth.pack.batch import batch_hash
from masksynth.pack.packed_folder import MANIFEST, Entry, manifest_head
from masksynth.pack.write_folder import batch_content, write_manifest


def packed_folder(path, batches, max_length=None):
    """Write batches as a packed folder; returns its path."""
    path.mkdir()
    entries = []
    for number, batch in enumerate(batches):
        name = f"batch-{number:05}.safetensors"
        (path / name).write_bytes(b"".join(batch_content(batch)))
        entries.append(Entry(name, batch.positions, tuple(batch.samples), hash=batch_hash(batch)))
    longest = max((batch.positions for batch in batches), default=0)
    write_manifest(path / MANIFEST, manifest_head(max_length or longest, None, ()), lambda: entries)
    return path
