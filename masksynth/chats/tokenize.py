"""Tokenize chats: rows to samples, in blocks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from masksynth.chats.chat_options import ChatOptions, options_of
from masksynth.chats.check_chats import Chat, check_chat
from masksynth.chats.encode import Cut, choose_cut, encode, keep_whole
from masksynth.chats.load_tokenizer import load_tokenizer
from masksynth.chats.mark_trained import Counts, Sample, label_chat
from masksynth.chats.model_calls import Draft, drafts_of
from masksynth.chats.read_rows import Row, read_rows
from masksynth.chats.render import DATE, asks_for_date, make_render
from masksynth.errors import InvalidInstance, MasksynthWarning
from masksynth.pack.name_hashes import SeenNames
from masksynth.tasks.canonical import shown

BLOCK = 1 << 21
"""Characters that are tokenized together, about."""
Placed = tuple[str, Sample]
Drafted = tuple[Chat, list[Draft]]


def tokenize_chats(rows: Any, tokenizer: Any, **options: Any) -> Iterator[Sample]:
    """Yield the samples of some chats: token ids and labels, as `pack_samples` takes them.

    Token ids and labels are those of TRL's trainers for the same rows. ``messages`` become one sample for each turn of
    the assistant, after what the template shows the model of the messages before it, so that templates that drop
    earlier thinking are trained as they are used.

    Parameters
    ----------
    rows : path, glob, "-", binary stream, list of these, datasets.Dataset, or iterable of mappings
        JSON lines, gzip or Parquet, or mappings, with ``messages``, ``conversations`` (``from``, ``value``), ``prompt``
        and ``completion``, these and ``label``, ``prompt``, ``chosen`` and ``rejected``, or ``prompt``, ``completions``
        and ``rewards``; optional ``tools``, ``chat_template_kwargs``, ``id``, ``group``, ``weight``.
    tokenizer : path, str or tokenizer
        A folder, a name in the local cache of Hugging Face, or a tokenizer of transformers. Nothing is downloaded.
    **options
        Fields of `ChatOptions`: ``train``, ``per``, ``max_tokens``, ``long``, ``diverging``, ``any_order``,
        ``drop_nulls``, ``chat_template``, ``template_args``.

    Yields
    ------
    dict
        ``id``, ``input_ids``, ``labels``, and ``group``, ``weight``, ``reward`` and ``label`` (1 or 0) if there is one.

    Raises
    ------
    InvalidInstance
        Naming file, line and field of a malformed row, or of a sample with more than ``max_tokens`` tokens.
    """
    loaded, chosen = load_tokenizer(tokenizer), options_of(options)
    return (sample for _, sample in tokenize_rows(read_rows(rows), loaded, chosen, Counts()))


def tokenize_rows(rows: Iterable[Row], tokenizer: Any, options: ChatOptions, counts: Counts) -> Iterator[Placed]:
    """Yield where each sample comes from, and the samples of some rows; memory is that of a block of rows.

    Parameters
    ----------
    rows : iterable of Row
    tokenizer : tokenizer of transformers
    options : ChatOptions
    counts : Counts
        Is added to.
    """
    cut: Cut | None = None
    for block in _blocks(_draft_rows(rows, tokenizer, options)):
        texts: dict[bool, list[str]] = {True: [], False: []}  # plain text, and what a template rendered
        for chat, drafts in block:
            texts[isinstance(chat.prompt, str)] += [text for draft in drafts for text in (draft.text, *draft.begins)]
        cut = cut or choose_cut(tokenizer, texts[False])
        tokens = {
            True: encode(tokenizer, texts[True], keep_whole, special=True),
            False: encode(tokenizer, texts[False], cut, special=False),
        }
        for chat, drafts in block:
            counts.rows += 1
            for sample in label_chat(chat, drafts, tokens[isinstance(chat.prompt, str)], options, counts):
                yield chat.place, sample


def _draft_rows(rows: Iterable[Row], tokenizer: Any, options: ChatOptions) -> Iterator[Drafted]:
    """Yield the chat of each row and its samples as text; 8 bytes are kept for each id."""
    render, seen, kind = make_render(tokenizer, options.chat_template), SeenNames(), ""
    warned = False
    for row in rows:
        chat = check_chat(row, options)
        if chat.kind != (kind := kind or chat.kind):
            fact = f"the row has another form than those before, {kind}"
            raise InvalidInstance(fact, "$", "tokenize each form on its own", chat.place)
        if seen.add([chat.id])[0]:
            fact = f"{shown(chat.id)} is the id of an earlier row"
            raise InvalidInstance(fact, "$.id", "give each its own, or none", chat.place)
        drafts = list(drafts_of(chat, options, render, tokenizer.eos_token))
        if not warned and (warned := asks_for_date(tokenizer, options.chat_template, chat, render)):
            warnings.warn(DATE, MasksynthWarning, stacklevel=2)
        yield chat, drafts


def _blocks(drafted: Iterable[Drafted]) -> Iterator[list[Drafted]]:
    """Yield the chats in blocks of about ``BLOCK`` characters; those before an invalid row come before its error."""
    block: list[Drafted] = []
    size = 0
    try:
        for chat, drafts in drafted:
            block.append((chat, drafts))
            size += sum(len(text) for draft in drafts for text in (draft.text, *draft.begins))
            if size >= BLOCK:
                yield block
                block, size = [], 0
    except InvalidInstance:
        yield block
        raise
    yield block
