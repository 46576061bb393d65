"""``verify_packed``: a packed folder against the samples that it should train, whatever the order of either.

The folder is read once, batch by batch: what each says it trains is rebuilt from its arrays, compared with its mask,
positions and loss edges by ``check_packed``, and kept as a digest for each sample. Then the samples are read once, and
each must have the digest of one sample of the folder with its id, none used twice, none left. Only where two digests
differ is a batch read again, to name the token.

Memory: one batch, one block of samples, and for each sample its id, about 150 bytes, and 4 bytes for each dead token.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.packs import WrongSample, check_packed
from masksynth.verify.read_packed import (
    IGNORED,
    Entry,
    Manifest,
    check_files,
    read_batch,
    read_manifest,
    samples_of,
    wrong_hash,
)

TOKEN_FIELDS = ("weights", "advantages", "old_logprobs", "ref_logprobs")
"""Token fields that every packing looks for."""
KEY_FIELDS = ("position_ids", "kinds")
"""Keys that every packing looks for."""
FURTHER = "position_ids_"
"""Before the number of a further dimension of position ids, as a key; of text it equals the first."""
UNNAMED = re.compile(r"#[0-9]+")
"""Ids of samples without one, named after their line: in another order another sample has the name."""
Content = tuple[bytes]
"""A digest of the tokens and labels of a sample without an id, in place of one; as a tuple it is no id."""
Ids = dict[str | int | Content, list[tuple[int, int]]]
Read = Callable[[Sequence[str], Sequence[str]], Iterable[Any]]


@dataclass(frozen=True)
class PackedReport:
    """What was found right.

    Parameters
    ----------
    samples, batches, positions, loss_edges : int
    skipped : int
        Samples that were left out since they are longer than a batch.
    checks : tuple of str
        What was compared; ``hashes`` is missing where the folder has none.
    """

    samples: int
    batches: int
    positions: int
    loss_edges: int
    skipped: int
    checks: tuple[str, ...]


@dataclass
class _Batch:
    """What is kept of a batch: a digest of each sample, and which of its tokens are dead."""

    digests: list[bytes]
    contents: dict[int, Content]
    length: NDArray[np.int64]
    dead_offset: NDArray[np.int64]
    dead_index: NDArray[np.int32]
    used: bytearray = field(default_factory=bytearray)

    def live(self, sample: int) -> NDArray[np.bool_]:
        """Which tokens of a sample are live."""
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
        ``read(token_fields, key_fields)`` gives the samples as tables, in any order; the names are those that the
        folder was packed with.

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
    known: list[_Batch] = []
    names = {
        "fields": list(manifest.option("token_fields", TOKEN_FIELDS)),
        "keys": list(manifest.option("key_fields", KEY_FIELDS)),
    }
    wrong, positions, edges = [wrong_hash(manifest)], 0, 0
    for number, entry in enumerate(manifest.batches):
        batch, faulty = read_batch(folder, entry)
        wrong.append(faulty)
        known.append(_checked(batch, entry, manifest))
        positions, edges = positions + len(batch.input_ids), edges + len(batch.loss_label)
        if manifest.options is None:  # a folder from before does not say what it was packed with
            for kind, found in (("fields", batch.fields), ("keys", batch.keys)):
                names[kind] += [name for name in found if name not in names[kind] and not name.startswith(FURTHER)]
        for place, name in enumerate(entry.samples):
            ids.setdefault(name, []).append((number, place))
            if is_unnamed(name):
                ids.setdefault(known[-1].contents[place], []).append((number, place))
    samples, skipped = _compare(folder, manifest, ids, known, read(tuple(names["fields"]), tuple(names["keys"])))
    if fact := next(filter(None, wrong), ""):
        raise WrongAnswer("hashes", f"{fact}, though the samples are right; pack them again")
    checks = ("files", "identity", "rows", "loss edges", "samples", *(("hashes",) if manifest.hash else ()))
    return PackedReport(samples, len(manifest.batches), positions, edges, skipped, checks)


def _checked(batch: Any, entry: Entry, manifest: Manifest) -> _Batch:
    """Check a batch against what it says it trains, and keep what the comparison with the samples needs."""
    if len(batch.input_ids) != entry.positions or entry.positions > manifest.max_length:
        expected = f"expected {entry.positions} and at most {manifest.max_length}"
        raise WrongAnswer("files", f"{entry.file} has {len(batch.input_ids)} positions, {expected}")
    try:
        table, live = samples_of(batch, entry)
        check_packed(batch, table, np.arange(len(entry.samples)))
    except WrongSample as error:
        raise WrongSample(error.requirement, error.said, error.sample, error.token, entry.file) from None
    except WrongAnswer as error:
        raise WrongSample(error.requirement, error.fact, file=entry.file) from None
    cuts = list(pairwise(table.offset.tolist()))
    digests = [digest(table, sample, live[begin:end]) for sample, (begin, end) in enumerate(cuts)]
    dead = batch.dead_index.astype(np.int32)
    contents = {place: content_of(table, place) for place, name in enumerate(entry.samples) if is_unnamed(name)}
    return _Batch(digests, contents, np.diff(table.offset), batch.dead_offset, dead, bytearray(len(digests)))


def parts_of(table: Any, sample: int, live: NDArray[np.bool_]) -> Iterator[tuple[str, str, Any]]:
    """Everything of a sample that a folder keeps, as (requirement, name, value): arrays, or what JSON holds.

    Token fields count at trained labels only, keys at live tokens only; a field of NaN and a key of 0 alone are as if
    not given, and so is a further dimension of position ids that equals the first.
    """
    own = slice(int(table.offset[sample]), int(table.offset[sample + 1]))
    labels = table.labels[own]
    trained = labels != IGNORED
    yield "identity", "input_ids", table.tokens[own]
    place = table.keys.get("position_ids")
    positions = np.arange(own.stop - own.start) if place is None else place[own]
    yield "identity", "position_ids", np.where(live, positions, 0)
    for name in sorted(table.keys.keys() - {"position_ids"}):
        default = np.where(live, positions, 0) if name.startswith(FURTHER) else np.zeros(len(live), np.int64)
        values = np.where(live, table.keys[name][own], 0)
        if not np.array_equal(values, default):
            yield "identity", name, values
    yield "loss edges", "labels", labels
    yield "loss edges", "weight", np.array([table.weight[sample]]) + 0.0  # -0.0 is 0.0
    for name in sorted(table.fields):
        reals = np.where(trained, table.fields[name][own], np.nan) + 0.0
        if not np.isnan(reals).all():
            yield "loss edges", name, np.where(np.isnan(reals), np.nan, reals)  # one NaN for all
    segments = table.segments[sample] if table.segments else None
    yield "rows", "segments", None if segments is None else [tuple(part) for part in segments]
    yield "groups", "group", table.groups[sample]


def is_unnamed(name: str | int) -> bool:
    """Return whether a sample was given this id since it had none."""
    return isinstance(name, str) and UNNAMED.fullmatch(name) is not None


def content_of(table: Any, sample: int) -> Content:
    """Return what a sample without an id is looked up by: a digest of its tokens and labels."""
    own = slice(int(table.offset[sample]), int(table.offset[sample + 1]))
    found = hashlib.blake2b(table.tokens[own].tobytes(), digest_size=16)
    found.update(table.labels[own].tobytes())
    return (found.digest(),)


def digest(table: Any, sample: int, live: NDArray[np.bool_]) -> bytes:
    """Return 16 bytes that tell samples apart by everything a folder keeps of them."""
    found = hashlib.blake2b(digest_size=16)
    for _, name, value in parts_of(table, sample, live):
        is_array = isinstance(value, np.ndarray)
        content = value.tobytes() if is_array else msgspec.json.encode([type(value).__name__, value])
        found.update(f"{name}:{len(content)}\n".encode())
        found.update(content)
    return found.digest()


def _compare(folder: Path, manifest: Manifest, ids: Ids, known: list[_Batch], tables: Iterable[Any]) -> tuple[int, int]:
    """Match the samples with those of the folder; returns how many there are, and how many were left out."""
    skipped = dict.fromkeys(name for name in manifest.skipped or () if not is_unnamed(name))
    unnamed = [name for name in manifest.skipped or () if is_unnamed(name)]  # which is which, nobody can tell
    samples, left_out = 0, 0
    for table in tables:
        samples += len(table.ids)
        for sample, name in enumerate(table.ids):
            slots = ids.get(name, [])
            if is_unnamed(name):
                slots = [*ids.get(content_of(table, sample), []), *slots]
            if not _matched(table, sample, slots, known):
                is_long = int(table.offset[sample + 1] - table.offset[sample]) > manifest.max_length
                if is_long and name in skipped and name not in ids:
                    del skipped[name]
                elif is_long and is_unnamed(name) and unnamed:
                    del unnamed[-1]
                else:
                    _refuse(folder, manifest, table, sample, slots, known)
                left_out += 1
    for entry, batch in zip(manifest.batches, known, strict=True):
        if (place := batch.used.find(0)) >= 0:
            name = entry.samples[place]
            is_repeated = any(known[number].used[slot] for number, slot in ids[name])
            word = "is repeated in the folder" if is_repeated else "is not among the samples"
            raise WrongSample("samples", word, name, None, entry.file)
    for name in (*skipped, *unnamed):
        fact = "is listed as left out, and the samples have none that is longer than a batch"
        raise WrongSample("samples", fact, name)
    return samples, left_out


def _matched(table: Any, sample: int, slots: Sequence[tuple[int, int]], known: list[_Batch]) -> bool:
    """Whether a slot of the folder that is still free holds the sample; it is then taken."""
    length = int(table.offset[sample + 1] - table.offset[sample])
    for number, place in slots:
        batch = known[number]
        is_free = not batch.used[place] and batch.length[place] == length
        if is_free and digest(table, sample, batch.live(place)) == batch.digests[place]:
            batch.used[place] = 1
            return True
    return False


def _refuse(
    folder: Path, manifest: Manifest, table: Any, sample: int, slots: Sequence[tuple[int, int]], known: list[_Batch]
) -> None:
    """Say what is wrong with a sample that no free slot of the folder holds."""
    name, where = table.ids[sample], table.place[sample]
    free = [(number, place) for number, place in slots if not known[number].used[place]]
    if not free:
        word = f"is there again at {where}, the folder has it {len(slots)} times"
        raise WrongSample("samples", word if slots else f"is missing in the folder ({where})", name)
    number, place = free[0]
    entry = manifest.batches[number]
    batch, _ = read_batch(folder, entry)
    packed, live = samples_of(batch, entry)
    own = live[packed.offset[place] : packed.offset[place + 1]]
    requirement, token, fact = difference(packed, place, table, sample, own)
    raise WrongSample(requirement, f"{fact} ({where})", name, token, entry.file)


def difference(
    packed: Any, place: int, table: Any, sample: int, live: NDArray[np.bool_]
) -> tuple[str, int | None, str]:
    """Return requirement, token and fact of the first difference between a sample of a folder and a given one."""
    length = int(table.offset[sample + 1] - table.offset[sample])
    if len(live) != length:
        return "identity", None, f"has {length} tokens, the folder {len(live)}"
    given = {name: (requirement, value) for requirement, name, value in parts_of(table, sample, live)}
    stored = {name: (requirement, value) for requirement, name, value in parts_of(packed, place, live)}
    for name in [*given, *(stored.keys() - given.keys())]:
        requirement, mine = given.get(name, (stored.get(name, ("", None))[0], None))
        theirs = stored.get(name, ("", None))[1]
        if mine is None or theirs is None or not isinstance(mine, np.ndarray):
            if type(mine) is not type(theirs) or mine != theirs:
                return requirement, None, f"{name} of the sample and of the folder differ"
        elif mine.tobytes() != theirs.tobytes():
            token = int(np.argmax(~np.isclose(mine, theirs, rtol=0, atol=0, equal_nan=True)))
            where = "" if len(mine) != length or name == "weight" else f" of token {token}"
            return (
                requirement,
                None if name == "weight" else token,
                f"{name}{where} is {mine[token]}, the folder has {theirs[token]}",
            )
    raise InvalidInstance("the folder was changed while it was read", "", "run the check again")
