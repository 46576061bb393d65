"""Read a packed folder: ``manifest.json`` and ``batch-00000.safetensors``, ``batch-00001.safetensors``, ...

Hashes are of values in memory, not of bytes in files: another order of the arrays in a file, other metadata or other
white space in the manifest do not change them; a changed label, token, interval, weight, id or option does.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from masksynth.errors import InvalidInstance, MasksynthWarning
from masksynth.pack.batch import CHANGED, PackedBatch, read_batch
from masksynth.pack.label_layout import LAYOUTS, LabelLayout

MANIFEST = "manifest.json"


class Entry(msgspec.Struct, frozen=True):
    """One batch of a folder.

    Parameters
    ----------
    file : str
    positions : int
    samples : tuple
        Ids of its samples.
    groups, segments : tuple, optional
        Group and segments of each sample; None if no sample has any.
    hash : str, optional
        Hash of its arrays; None in folders that were written before there were hashes.
    """

    file: str
    positions: int
    samples: tuple[str | int, ...]
    groups: tuple[str | int | None, ...] | None = None
    segments: tuple[Any, ...] | None = None
    hash: str | None = None


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of `pack_samples` with which a folder was written, and the version of masksynth.

    ``token_fields`` and ``key_fields`` are the names of all per-token lists that were looked for, with the defaults.
    Options that are off are not stored, so that folders written before there were such options keep their hash.
    ``chats`` says how the samples were tokenized, if they were.
    """

    max_length: int
    window: int
    token_fields: tuple[str, ...]
    key_fields: tuple[str, ...]
    skip_long: bool
    version: str
    split_groups: bool = False
    separate_groups: bool = False
    layout: LabelLayout = LAYOUTS[0]
    chats: dict[str, Any] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The content of a packed folder.

    ``options``, ``skipped`` (ids of the samples left out) and ``hash`` are None in folders that were written before
    there were hashes.
    """

    masksynth_pack: int
    max_length: int
    batches: tuple[Entry, ...]
    options: Options | None = None
    skipped: tuple[str | int, ...] | None = None
    hash: str | None = None

    def head(self) -> dict[str, Any]:
        """Return the manifest without batches and hash."""
        return manifest_head(self.max_length, self.options, self.skipped, self.masksynth_pack)


def manifest_head(
    max_length: int, options: Options | None, skipped: tuple[str | int, ...] | None, schema: int = 1
) -> dict[str, Any]:
    """Return a manifest without batches and hash."""
    return {"masksynth_pack": schema, "max_length": max_length, "options": options, "skipped": skipped}


def manifest_hash(head: Mapping[str, Any], entries: Iterable[Any]) -> str:
    """Return the SHA-256 (hex) of a manifest: its head, then each entry, as JSON with sorted keys on a line of its own.

    Parameters
    ----------
    head : mapping
        Everything in the manifest but ``batches`` and ``hash``.
    entries : iterable
        The entries of ``batches``, in their order.

    Examples
    --------
    >>> manifest_hash({"masksynth_pack": 1, "max_length": 8}, [])[:12]
    '31c641557ee6'
    """
    digest = hashlib.sha256()
    for part in chain([head], entries):
        digest.update(msgspec.json.encode(part, order="sorted") + b"\n")
    return digest.hexdigest()


@dataclass(frozen=True)
class PackedFolder:
    """A packed folder of ``len(folder)`` batches; ``folder[i]`` reads one and checks its hash, and keeps nothing."""

    path: Path
    manifest: Manifest

    def __len__(self) -> int:
        return len(self.manifest.batches)

    @property
    def layout(self) -> LabelLayout:
        """The layout of the batches; folders of older versions have loss edges."""
        return "loss-edges" if self.manifest.options is None else self.manifest.options.layout

    def __getitem__(self, number: int) -> PackedBatch:
        entry = self.manifest.batches[number]
        path = self.path / entry.file
        batch = read_batch(path, entry.samples, entry.hash)
        if batch.positions != entry.positions:
            fact = f"has {batch.positions} positions, {MANIFEST} states {entry.positions}"
            raise InvalidInstance(fact, "", "pack the samples again", str(path))
        return batch


def open_packed(folder: str | Path) -> PackedFolder:
    """Open the packed folder at a path.

    Raises
    ------
    InvalidInstance
        If its manifest is missing (an unfinished run has none), malformed, of another schema, or was changed.

    Warns
    -----
    MasksynthWarning
        If the folder was written before there were hashes, so that changes cannot be detected.
    """
    path = Path(folder)
    source = str(path / MANIFEST)
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        remedy = "name a folder written by masksynth pack, or finish it with --resume"
        raise InvalidInstance(f"{MANIFEST} cannot be read: {error.strerror}", "", remedy, str(path)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInstance(str(error), "", "pack the samples again", source) from None
    if manifest.masksynth_pack != 1:
        raise InvalidInstance(
            f"schema {manifest.masksynth_pack} is not known", "", "this version reads schema 1", source
        )
    for entry in manifest.batches:
        if Path(entry.file).name != entry.file:
            raise InvalidInstance(f"{entry.file!r} is not a file name", "", "pack the samples again", source)
        for name, given in (("groups", entry.groups), ("segments", entry.segments)):
            if given is not None and len(given) != len(entry.samples):
                fact = f"{entry.file} has {len(given)} {name} for {len(entry.samples)} samples"
                raise InvalidInstance(fact, "", "pack the samples again", source)
    _check_manifest(manifest, path)
    return PackedFolder(path, manifest)


def _check_manifest(manifest: Manifest, path: Path) -> None:
    """Refuse a manifest that was changed after it was written; warn if it has no hashes."""
    source = str(path / MANIFEST)
    if manifest.hash is None:
        if manifest.options is not None or any(entry.hash for entry in manifest.batches):
            raise InvalidInstance("the hash of the manifest is missing", "", CHANGED, source)
        fact = "was packed before folders had hashes, so a later change cannot be detected"
        warnings.warn(f"{path}: {fact}; pack the samples again to have them", MasksynthWarning, stacklevel=3)
        return
    digest = manifest_hash(manifest.head(), manifest.batches)
    if digest != manifest.hash:
        fact = f"the entries have the hash {digest[:12]}..., the manifest has {manifest.hash[:12]}...: it was changed"
        raise InvalidInstance(fact, "", CHANGED, source)
    if missing := [entry.file for entry in manifest.batches if entry.hash is None]:
        raise InvalidInstance(f"{missing[0]} has no hash", "", CHANGED, source)
