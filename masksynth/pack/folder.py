"""A packed folder: ``manifest.json`` beside ``batch-00000.safetensors``, ``batch-00001.safetensors``, ..."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from masksynth.errors import InvalidInstance
from masksynth.pack.batch import PackedBatch, read_batch

MANIFEST = "manifest.json"


class Entry(msgspec.Struct, frozen=True):
    """One batch: its file, its number of positions, the ids of its samples; their groups and segments where any has one."""

    file: str
    positions: int
    samples: tuple[str | int, ...]
    groups: tuple[str | int | None, ...] | None = None
    segments: tuple[Any, ...] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What a packed folder holds."""

    masksynth_pack: int
    max_length: int
    batches: tuple[Entry, ...]


@dataclass(frozen=True)
class PackedFolder:
    """A packed folder: ``len(folder)`` batches, ``folder[i]`` reads one (nothing is kept in memory)."""

    path: Path
    manifest: Manifest

    def __len__(self) -> int:
        return len(self.manifest.batches)

    def __getitem__(self, number: int) -> PackedBatch:
        entry = self.manifest.batches[number]
        batch = read_batch(self.path / entry.file, entry.samples)
        if batch.positions != entry.positions:
            fact = f"has {batch.positions} positions, {MANIFEST} says {entry.positions}"
            raise InvalidInstance(fact, "", "pack the samples again", str(self.path / entry.file))
        return batch


def open_packed(folder: str | Path) -> PackedFolder:
    """The packed folder at a path.

    Raises
    ------
    InvalidInstance
        If its manifest is missing (an unfinished run has none), malformed, or of another schema.
    """
    path = Path(folder)
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        remedy = "name a folder written by masksynth pack, or finish it with --resume"
        raise InvalidInstance(f"{MANIFEST} cannot be read: {error.strerror}", "", remedy, str(path)) from None
    except msgspec.MsgspecError as error:
        raise InvalidInstance(str(error), "", "pack the samples again", str(path / MANIFEST)) from None
    if manifest.masksynth_pack != 1:
        raise InvalidInstance(f"schema {manifest.masksynth_pack} is not known", "", "this version reads schema 1", str(path / MANIFEST))
    for entry in manifest.batches:
        if Path(entry.file).name != entry.file:
            raise InvalidInstance(f"{entry.file!r} is not a file name", "", "pack the samples again", str(path / MANIFEST))
        for name, given in (("groups", entry.groups), ("segments", entry.segments)):
            if given is not None and len(given) != len(entry.samples):
                fact = f"{entry.file} has {len(given)} {name} for {len(entry.samples)} samples"
                raise InvalidInstance(fact, "", "pack the samples again", str(path / MANIFEST))
    return PackedFolder(path, manifest)
