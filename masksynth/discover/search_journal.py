"""The journal of a search: its question, its progress, and the best structure, or all trade-offs, so far."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from masksynth.contracts import Contracts, dump_contracts
from masksynth.discover.structure import Reads, Structure
from masksynth.errors import InvalidInstance
from masksynth.files import write_file

JOURNAL = "journal.json"
FRONT = "pareto"
AGAIN = "give the same contracts and objective, or --force to begin again"


class _Kept(msgspec.Struct):
    """A structure, and the number of layers for which it was found."""

    element: list[int]
    target: list[int]
    reads: list[tuple[list[int], list[int]]]
    found_by: str
    layers: int | None = None


class _Record(_Kept, kw_only=True):
    """Content of the file: the best structure, if any, and for trade-offs all of them."""

    question: str
    rounds: int
    front: list[_Kept] = []


class Keeper(Protocol):
    """What keeps the best structure of a search."""

    def read(self, contracts: Contracts, objective: str) -> tuple[Structure | None, int]:
        """Return the best structure so far and the number of rounds that were run."""

    def write(self, contracts: Contracts, objective: str, structure: Structure, rounds: int) -> None:
        """Keep a structure."""


class Journal:
    """Keep the best structure of a search on disk, so that it can be continued.

    Parameters
    ----------
    folder : Path
        The file is ``journal.json`` in it.
    resume : bool
        Whether to continue the search that the file describes, if there is one.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        self.path, self.resume = folder / JOURNAL, resume

    def read(self, contracts: Contracts, objective: str) -> tuple[Structure | None, int]:
        """Return the best structure of an earlier run and the number of rounds that it has run.

        Raises
        ------
        InvalidInstance
            If the file is damaged, or belongs to other contracts or another objective.
        """
        record = self._read(contracts, objective)
        return (None, 0) if record is None else (_structure(record), record.rounds)

    def read_front(self, contracts: Contracts) -> tuple[list[tuple[Structure, int | None]], int]:
        """Return the trade-offs of an earlier run, each with its number of layers, and how many steps it finished.

        Raises
        ------
        InvalidInstance
            If the file is damaged, or belongs to other contracts or another objective.
        """
        record = self._read(contracts, FRONT)
        return (
            ([], 0) if record is None else ([(_structure(kept), kept.layers) for kept in record.front], record.rounds)
        )

    def _read(self, contracts: Contracts, objective: str) -> _Record | None:
        """Return the content of the file; None if there is none, or it shall not be continued."""
        if not self.resume or not self.path.exists():
            return None
        try:
            record = msgspec.json.decode(self.path.read_bytes(), type=_Record)
        except (msgspec.DecodeError, OSError) as error:
            raise InvalidInstance(f"cannot be read: {error}", "", AGAIN, str(self.path)) from None
        if record.question != question_hash(contracts, objective):
            raise InvalidInstance("the search was begun with another question", "", AGAIN, str(self.path))
        return record

    def write(self, contracts: Contracts, objective: str, structure: Structure, rounds: int) -> None:
        """Replace the file, completely or not at all."""
        kept = msgspec.structs.asdict(_keep(structure, contracts.layers))
        self._write(_Record(question=question_hash(contracts, objective), rounds=rounds, **kept))

    def write_front(self, contracts: Contracts, front: Sequence[tuple[Structure, int | None]], steps: int) -> None:
        """Replace the file by trade-offs, each with its number of layers, after so many finished steps."""
        kept = [_keep(structure, layers) for structure, layers in front]
        question = question_hash(contracts, FRONT)
        self._write(_Record([], [], [], "", question=question, rounds=steps, front=kept))

    def _write(self, record: _Record) -> None:
        write_file(self.path, msgspec.json.encode(record), force=True, what="the journal")


def _keep(structure: Structure, layers: int | None) -> _Kept:
    """Return a structure as it is stored."""
    pairs = [(reads.query.tolist(), reads.key.tolist()) for reads in structure.reads]
    return _Kept(structure.element.tolist(), structure.target.tolist(), pairs, structure.found_by, layers)


def _structure(kept: _Kept) -> Structure:
    """Return a structure that was stored."""
    size = len(kept.element)
    reads = tuple(Reads.of_pairs(np.array(query), np.array(key), size) for query, key in kept.reads)
    return Structure(np.array(kept.element, np.int64), reads, np.array(kept.target, np.int64), kept.found_by)


def question_hash(contracts: Contracts, objective: str) -> str:
    """Return the SHA-256 of what a search is asked."""
    text: list[Any] = [dump_contracts(contracts), objective]
    return sha256(json.dumps(text).encode("ascii")).hexdigest()
