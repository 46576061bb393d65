"""The journal of a search: its question, its progress, and the best structure so far."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from masksynth.contracts import Contracts, dump_contracts
from masksynth.discover.structure import Reads, Structure
from masksynth.errors import InvalidInstance
from masksynth.files import write_file

JOURNAL = "journal.json"
AGAIN = "give the same contracts and objective, or --force to begin again"


class _Record(msgspec.Struct):
    """Content of the file."""

    question: str
    rounds: int
    element: list[int]
    target: list[int]
    reads: list[tuple[list[int], list[int]]]
    found_by: str


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
        if not self.resume or not self.path.exists():
            return None, 0
        try:
            record = msgspec.json.decode(self.path.read_bytes(), type=_Record)
        except (msgspec.DecodeError, OSError) as error:
            raise InvalidInstance(f"cannot be read: {error}", "", AGAIN, str(self.path)) from None
        if record.question != question_hash(contracts, objective):
            raise InvalidInstance("the search was begun with another question", "", AGAIN, str(self.path))
        size = len(record.element)
        reads = tuple(Reads.of_pairs(np.array(query), np.array(key), size) for query, key in record.reads)
        element, target = np.array(record.element, np.int64), np.array(record.target, np.int64)
        return Structure(element, reads, target, record.found_by), record.rounds

    def write(self, contracts: Contracts, objective: str, structure: Structure, rounds: int) -> None:
        """Replace the file, completely or not at all."""
        record = _Record(
            question_hash(contracts, objective),
            rounds,
            structure.element.tolist(),
            structure.target.tolist(),
            [(reads.query.tolist(), reads.key.tolist()) for reads in structure.reads],
            structure.found_by,
        )
        write_file(self.path, msgspec.json.encode(record), force=True, what="the journal")


def question_hash(contracts: Contracts, objective: str) -> str:
    """Return the SHA-256 of what a search is asked."""
    text: list[Any] = [dump_contracts(contracts), objective]
    return sha256(json.dumps(text).encode("ascii")).hexdigest()
