"""Open chats for packing: their samples, what the manifest states about them, and counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from masksynth.chats.chat_options import ChatOptions, record_options
from masksynth.chats.load_tokenizer import load_tokenizer
from masksynth.chats.mark_trained import Counts
from masksynth.chats.read_rows import read_rows
from masksynth.chats.tokenize import Placed, tokenize_rows
from masksynth.errors import InvalidInstance

NUMBERS = ("reward", "label")
"""Fields of samples that `pack` carries with their labels."""


class OpenChats(NamedTuple):
    """Chats that are being tokenized.

    Parameters
    ----------
    samples : iterator of (str, dict)
        Where each sample comes from, and the sample.
    record : dict
        What the manifest of a packed folder states about them.
    token_fields : tuple of str
        Names of the token fields that the samples have: ``reward``, ``label``, or none.
    counts : Counts
        Of the samples that have been yielded.
    """

    samples: Iterator[Placed]
    record: dict[str, Any]
    token_fields: tuple[str, ...]
    counts: Counts


def open_chats(rows: Any, tokenizer: str, options: ChatOptions) -> OpenChats:
    """Begin to tokenize chats.

    Parameters
    ----------
    rows
        As for `tokenize_chats`.
    tokenizer : str
        A folder, or a name in the local cache.
    options : ChatOptions
    """
    loaded, counts = load_tokenizer(tokenizer), Counts()
    record = record_options(options, tokenizer, loaded.chat_template)
    samples = tokenize_rows(read_rows(rows), loaded, options, counts)
    first = next(samples, None)
    if first is None:
        fact = f"no sample is left: all {len(counts.skipped):,} have more than {options.max_tokens:,} tokens"
        if options.long == "skip":
            raise InvalidInstance(fact, "", "give a larger --max-tokens, or --truncate")
        raise InvalidInstance(f"{fact}, and none of those that are kept is trained", "", "give a larger --max-tokens")
    names = tuple(name for name in NUMBERS if name in first[1])
    return OpenChats(chain([first], samples), record, names, counts)
