"""Find the trained tokens of samples, and build the samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from masksynth.chats.chat_options import ChatOptions
from masksynth.chats.check_chats import Chat
from masksynth.chats.encode import Tokens
from masksynth.chats.model_calls import Draft
from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import SHOWN, printable, shown
from masksynth.tasks.value_text import count

Sample = dict[str, Any]
IGNORED = -100
NAMES = 5
"""Maximum number of ids that are listed in text."""
LONG = "give --skip-long, --truncate keep-start or keep-end, or a larger --max-tokens"


@dataclass
class Counts:
    """What a run has read and made so far; ``skipped`` are ids, ``cut`` is the number of samples that were cut."""

    rows: int = 0
    samples: int = 0
    tokens: int = 0
    trained: int = 0
    cut: int = 0
    skipped: list[str | int] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {name: getattr(self, name) for name in ("rows", "samples", "tokens", "trained", "cut", "skipped")}

    def notes(self, limit: int) -> Iterator[str]:
        """Yield a line for each thing that a user may not expect; ``limit`` is that of tokens."""
        if self.cut:
            yield f"  {count(self.cut, 'sample')} cut to {limit:,} tokens"
        if self.skipped:
            names = ", ".join(printable(str(name))[:SHOWN] for name in self.skipped[:NAMES])
            names += ", ..." if len(self.skipped) > NAMES else ""
            yield f"  {count(len(self.skipped), 'sample')} with more than {limit:,} tokens left out: {names}"


def label_chat(
    chat: Chat, drafts: Sequence[Draft], tokens: Tokens, options: ChatOptions, counts: Counts
) -> Iterator[Sample]:
    """Yield the samples of a chat; those of a pair are left out together."""
    cuts = [_find_cuts(chat, draft, tokens, options) for draft in drafts]
    if chat.kind == "pair" and chat.train == "completion":
        first = min(cut[0] for cut in cuts)  # differs only if answers may diverge from their prompt
        cuts = [[first, *cut[1:]] for cut in cuts]
    rows = [_labelled(chat, draft, tokens, starts) for draft, starts in zip(drafts, cuts, strict=True)]
    if chat.kind == "pair" and rows[0][0] == rows[1][0]:
        fact = "chosen and rejected have the same tokens"
        raise InvalidInstance(fact, "$.rejected", "leave the row out", chat.place)
    fitted = [_fit(chat, draft, *row, options) for draft, row in zip(drafts, rows, strict=True)]
    together = chat.kind == "pair" and None in fitted
    for draft, row, fit in zip(drafts, rows, fitted, strict=True):
        name = f"{chat.id}{draft.suffix}" if draft.suffix else chat.id
        if fit is None or together:
            counts.skipped.append(name)
            continue
        ids, labels = fit
        counts.samples += 1
        counts.tokens += len(ids)
        counts.trained += len(labels) - labels.count(IGNORED)
        counts.cut += len(ids) < len(row[0])
        yield _sample(chat, draft, name, ids, labels)


def _sample(chat: Chat, draft: Draft, name: str | int, ids: list[int], labels: list[int]) -> Sample:
    group = chat.group if chat.group is not None else chat.id if draft.suffix else None
    return {
        "id": name,
        **({} if group is None else {"group": group}),
        "input_ids": ids,
        "labels": labels,
        **({} if chat.weight is None else {"weight": chat.weight}),
        **draft.numbers,
    }


def _find_cuts(chat: Chat, draft: Draft, tokens: Tokens, options: ChatOptions) -> list[int]:
    """Return the index of the first token after each text with which a sample must begin."""
    whole = tokens.ids(draft.text)
    cuts = []
    for text in draft.begins:
        ids = tokens.ids(text)
        if whole[: len(ids)] != ids:
            pairs = enumerate(zip(ids, whole, strict=False))
            shared = next((i for i, (a, b) in pairs if a != b), min(len(ids), len(whole)))
            if not options.diverging:
                _refuse_divergence(chat, draft, text, shared, len(ids))
            cuts.append(shared)
        else:
            cuts.append(len(ids))
    return cuts


def _refuse_divergence(chat: Chat, draft: Draft, text: str, shared: int, length: int) -> None:
    chars = next((i for i, (a, b) in enumerate(zip(text, draft.text, strict=False)) if a != b), len(text))
    fact = f"the answer does not continue its prompt: they agree in {shared} of {length} tokens of the prompt"
    if chars < len(text):
        fact += f", which goes on with {shown(text[chars : chars + 30])}, the answer with"
        fact += f" {shown(draft.text[chars : chars + 30])}"
    else:
        fact += ", since a token goes across the end of the prompt"
    remedy = "end the prompt between two tokens, use a template that renders both alike, or give --diverging"
    if len(draft.begins) > 1:
        remedy = "give --per call, so that each turn is trained after what the template shows the model"
    raise InvalidInstance(fact, draft.path, remedy, chat.place)


def _labelled(chat: Chat, draft: Draft, tokens: Tokens, cuts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the token ids and the labels of a sample."""
    ids = tokens.ids(draft.text)
    starts = [*cuts] or [0]
    ends = [*starts[1::2], len(ids)]
    ranges = list(zip(starts[::2], ends, strict=False))
    if draft.spans is not None:
        marked = _marked_ranges(chat, draft, tokens)
        ranges = [(max(a, c), min(b, d)) for a, b in marked for c, d in ranges if max(a, c) < min(b, d)]
    labels = [IGNORED] * len(ids)
    for start, end in ranges:
        labels[start:end] = ids[start:end]
    if not any(start < end for start, end in ranges):
        marks = " that the generation markers of the template mark" if draft.spans is not None else ""
        raise InvalidInstance(f"no token is trained{marks}", draft.path, "leave the row out", chat.place)
    return ids, labels


def _marked_ranges(chat: Chat, draft: Draft, tokens: Tokens) -> list[tuple[int, int]]:
    """Return the ranges of tokens that the generation markers of the template mark, as transformers finds them."""
    spans = [(start, end) for start, end in draft.spans or () if start < end]
    ends = [char for start, end in spans for char in (start, end - 1)]
    found = tokens.tokens_at(draft.text, ends)
    ranges = []
    for number, (first, last) in enumerate(zip(found[::2], found[1::2], strict=True)):
        if first is None or last is None:
            char = draft.text[ends[2 * number + (first is not None)]]
            fact = f"no token contains the character {shown(char)} at an end of what the template marks"
            remedy = "put the generation markers of the template next to other characters"
            raise InvalidInstance(fact, draft.path, remedy, chat.place)
        ranges.append((first, last + 1))
    return ranges


def _fit(
    chat: Chat, draft: Draft, ids: list[int], labels: list[int], options: ChatOptions
) -> tuple[list[int], list[int]] | None:
    """Return a sample with at most ``max_tokens`` tokens; None if it is left out."""
    limit = options.max_tokens
    if len(ids) <= limit:
        return ids, labels
    if options.long == "refuse":
        raise InvalidInstance(f"{len(ids):,} tokens, more than {limit:,}", draft.path, LONG, chat.place)
    if options.long == "skip":
        return None
    part = slice(limit) if options.long == "keep-start" else slice(-limit, None)
    return (ids[part], labels[part]) if any(label != IGNORED for label in labels[part]) else None
