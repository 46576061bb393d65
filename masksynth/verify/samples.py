"""``verify_packed``: check a packed folder against the samples that it should train, both in any order.

The folder is read once, batch by batch: the samples of a batch are rebuilt from its arrays, compared with its mask,
positions and loss edges by ``check_packed``, and kept as a digest for each sample. Then the samples are read once, and
each must have the digest of one sample of the folder with its id, none used twice, none left. A batch is read again
only where two digests differ, to name the token.

Memory: one batch, one block of samples, and for each sample its id, about 150 bytes, and 4 bytes for each dead token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array
from masksynth.verify.packed_samples import samples_of
from masksynth.verify.packs import WrongSample, check_packed
from masksynth.verify.position_labels import check_labels
from masksynth.verify.read_packed import (
    Entry,
    Manifest,
    check_files,
    read_batch,
    read_manifest,
    wrong_hash,
)
from masksynth.verify.sample_digests import FURTHER, Content, content_of, difference, digest, is_unnamed

TOKEN_FIELDS = ("weights", "advantages", "old_logprobs", "ref_logprobs")
"""Token fields that every packing looks for."""
KEY_FIELDS = ("position_ids", "kinds")
"""Keys that every packing looks for."""
Ids = dict[str | int | Content, list[tuple[int, int]]]
Read = Callable[[Sequence[str], Sequence[str]], Iterable[Any]]


@dataclass(frozen=True)
class PackedReport:
    """Result of a successful check.

    Parameters
    ----------
    samples, batches, positions, loss_edges : int
        Counts over the folder.
    skipped : int
        Samples that were left out since they are longer than a batch.
    checks : tuple of str
        What was compared; without ``hashes`` if the folder has none.
    """

    samples: int
    batches: int
    positions: int
    loss_edges: int
    skipped: int
    checks: tuple[str, ...]


@dataclass
class _Batch:
    """The data of a batch that the comparison with the given samples needs.

    Parameters
    ----------
    digests : list of bytes
        One for each sample.
    contents : dict
        Lookup digests of the samples without an id, by index.
    length : (S,) int64
        Tokens of each sample.
    dead_offset, dead_index : (S + 1,), (dead tokens,)
        Dead tokens of each sample, counted within it.
    used : bytearray
        1 for samples that a given sample was matched with.
    """

    digests: list[bytes]
    contents: dict[int, Content]
    length: Int64Array
    dead_offset: Int64Array
    dead_index: Int32Array
    used: bytearray = field(default_factory=bytearray)

    def live(self, sample: int) -> BoolArray:
        """Return which tokens of a sample are live."""
        live = np.ones(int(self.length[sample]), bool)
        live[self.dead_index[self.dead_offset[sample] : self.dead_offset[sample + 1]]] = False
        return live


def verify_packed(folder: str | Path, read: Read) -> PackedReport:
    """Check that a packed folder trains exactly the given samples, each once.

    Parameters
    ----------
    folder : path
        Written by ``masksynth pack``.
    read : callable
        ``read(token_fields, key_fields)`` yields the samples as tables, in any order; the names are those with which
        the folder was packed.

    Returns
    -------
    PackedReport

    Raises
    ------
    InvalidInstance
        If a file is missing or malformed.
    WrongAnswer
        If a sample is missing, added, repeated or changed, a batch does not train its samples, files disagree, or a
        hash is wrong. A `WrongSample` names the sample and the token.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    ids: Ids = {}
    kept: list[_Batch] = []
    names = {
        "fields": list(manifest.option("token_fields", TOKEN_FIELDS)),
        "keys": list(manifest.option("key_fields", KEY_FIELDS)),
    }
    wrong, positions, edges = [wrong_hash(manifest)], 0, 0
    for number, entry in enumerate(manifest.batches):
        batch, faulty = read_batch(folder, entry)
        wrong.append(faulty)
        kept.append(_check_batch(batch, entry, manifest))
        positions, edges = positions + len(batch.input_ids), edges + len(batch.loss_label)
        if manifest.options is None:  # a folder of an older version does not state what it was packed with
            for kind, stored in (("fields", batch.fields), ("keys", batch.keys)):
                names[kind] += [name for name in stored if name not in names[kind] and not name.startswith(FURTHER)]
        for index, name in enumerate(entry.samples):
            ids.setdefault(name, []).append((number, index))
            if is_unnamed(name):
                ids.setdefault(kept[-1].contents[index], []).append((number, index))
    samples, skipped = _compare(folder, manifest, ids, kept, read(tuple(names["fields"]), tuple(names["keys"])))
    if fact := next(filter(None, wrong), ""):
        raise WrongAnswer("hashes", f"{fact}, though the samples are right; pack them again")
    checks = ("files", "identity", "rows", "loss edges", "samples", *(("hashes",) if manifest.hash else ()))
    return PackedReport(samples, len(manifest.batches), positions, edges, skipped, checks)


def _check_batch(batch: Any, entry: Entry, manifest: Manifest) -> _Batch:
    """Check that a batch trains the samples in its arrays; return what the comparison with the given samples needs."""
    if len(batch.input_ids) != entry.positions or entry.positions > manifest.max_length:
        expected = f"expected {entry.positions} and at most {manifest.max_length}"
        raise WrongAnswer("files", f"{entry.file} has {len(batch.input_ids)} positions, {expected}")
    try:
        table, live = samples_of(batch, entry)
        check_packed(batch, table, np.arange(len(entry.samples)))
        check_labels(batch, manifest.option("layout", "loss-edges"))
    except WrongSample as error:
        raise WrongSample(error.requirement, error.said, error.sample, error.token, entry.file) from None
    except WrongAnswer as error:
        raise WrongSample(error.requirement, error.fact, file=entry.file) from None
    cuts = list(pairwise(table.offset.tolist()))
    digests = [digest(table, sample, live[begin:end]) for sample, (begin, end) in enumerate(cuts)]
    dead = batch.dead_index.astype(np.int32)
    contents = {index: content_of(table, index) for index, name in enumerate(entry.samples) if is_unnamed(name)}
    return _Batch(digests, contents, np.diff(table.offset), batch.dead_offset, dead, bytearray(len(digests)))


def _compare(folder: Path, manifest: Manifest, ids: Ids, kept: list[_Batch], tables: Iterable[Any]) -> tuple[int, int]:
    """Match the samples with those of the folder; return how many there are, and how many were left out."""
    skipped = dict.fromkeys(name for name in manifest.skipped or () if not is_unnamed(name))
    unnamed = [name for name in manifest.skipped or () if is_unnamed(name)]  # interchangeable
    samples, left_out = 0, 0
    for table in tables:
        samples += len(table.ids)
        for sample, name in enumerate(table.ids):
            slots = ids.get(name, [])
            if is_unnamed(name):
                slots = [*ids.get(content_of(table, sample), []), *slots]
            if not _match(table, sample, slots, kept):
                is_long = int(table.offset[sample + 1] - table.offset[sample]) > manifest.max_length
                if is_long and name in skipped and name not in ids:
                    del skipped[name]
                elif is_long and is_unnamed(name) and unnamed:
                    del unnamed[-1]
                else:
                    _refuse(folder, manifest, table, sample, slots, kept)
                left_out += 1
    for entry, batch in zip(manifest.batches, kept, strict=True):
        if (index := batch.used.find(0)) >= 0:
            name = entry.samples[index]
            is_repeated = any(kept[number].used[slot] for number, slot in ids[name])
            word = "is repeated in the folder" if is_repeated else "is not among the samples"
            raise WrongSample("samples", word, name, None, entry.file)
    for name in (*skipped, *unnamed):
        fact = "is listed as left out, and the samples have none that is longer than a batch"
        raise WrongSample("samples", fact, name)
    return samples, left_out


def _match(table: Any, sample: int, slots: Sequence[tuple[int, int]], kept: list[_Batch]) -> bool:
    """Match a sample with the first free slot (batch, index) that has its digest; return whether there is one."""
    length = int(table.offset[sample + 1] - table.offset[sample])
    for number, index in slots:
        batch = kept[number]
        is_free = not batch.used[index] and batch.length[index] == length
        if is_free and digest(table, sample, batch.live(index)) == batch.digests[index]:
            batch.used[index] = 1
            return True
    return False


def _refuse(
    folder: Path, manifest: Manifest, table: Any, sample: int, slots: Sequence[tuple[int, int]], kept: list[_Batch]
) -> None:
    """Raise WrongSample with what is wrong with a sample that no free slot of the folder has."""
    name, where = table.ids[sample], table.place[sample]
    free = [(number, index) for number, index in slots if not kept[number].used[index]]
    if not free:
        word = f"is there again at {where}, the folder has it {len(slots)} times"
        raise WrongSample("samples", word if slots else f"is missing in the folder ({where})", name)
    number, index = free[0]
    entry = manifest.batches[number]
    batch, _ = read_batch(folder, entry)
    packed, live = samples_of(batch, entry)
    live = live[packed.offset[index] : packed.offset[index + 1]]
    requirement, token, fact = difference(packed, index, table, sample, live)
    raise WrongSample(requirement, f"{fact} ({where})", name, token, entry.file)
