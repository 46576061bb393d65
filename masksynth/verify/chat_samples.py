"""Recompute the samples of chats, to compare them with a packed folder: row by row, in the plainest way.

Nothing of ``masksynth.chats`` is used: rows are read, rendered and labelled here again, on purpose. The tokenizer
itself is the only thing in common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import msgspec

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.chat_rows import plain_row, read_rows
from masksynth.verify.chat_tokens import ChatTokens, Whole

IGNORED = -100
NUMBERS = ("reward", "label")
Sample = dict[str, Any]
Found = tuple[str, list[int], list[bool], Mapping[str, float]]
"""Suffix of the id, token ids, whether each is trained, and the numbers of a sample."""


class ChatChecker:
    """The samples that rows of chats should have become, by the record of a packed folder.

    Parameters
    ----------
    record : mapping
        ``options.chats`` of the manifest.
    tokenizer : tokenizer of transformers

    Raises
    ------
    WrongAnswer
        If the record was changed after it was written.
    """

    def __init__(self, record: Mapping[str, Any], tokenizer: Any) -> None:
        self.record, self.tokens = record, ChatTokens(record, tokenizer)
        hashed = {key: value for key, value in record.items() if key not in ("tokenizer", "hash")}
        digest = hashlib.sha256(msgspec.json.encode(hashed, order="sorted")).hexdigest()
        if digest != record.get("hash"):
            fact = f"the chat options have the hash {digest[:12]}..., the manifest states {record.get('hash')!s:.12}..."
            raise WrongAnswer("chats", fact)

    def samples(
        self, files: Sequence[str | IO[bytes]], carried: Sequence[str] = NUMBERS
    ) -> Iterator[tuple[str, Sample]]:
        """Yield where each sample comes from, and the sample.

        Parameters
        ----------
        files : sequence of paths or of buffered binary streams
        carried : sequence of str
            Names of the numbers that the folder has for each token; a reward or a label must be among them.
        """
        for place, name, fields in read_rows(files):
            try:
                made = self._row(name, fields)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                fact = f"the row cannot be tokenized: {' '.join(str(error).split())[:200]}"
                raise InvalidInstance(fact, "$", "give the chats that were packed", place) from None
            for sample in made:
                if missing := [name for name in NUMBERS if name in sample and name not in carried]:
                    raise WrongAnswer("chats", f"the row has a {missing[0]}, the folder none ({place})")
                yield place, sample

    def _row(self, name: str, given: Mapping[str, Any]) -> list[Sample]:
        """Return the samples of a row."""
        row = plain_row(given, self.record.get("drop_nulls", False))
        own = row.get("id", name)
        made = []
        for suffix, ids, trained, numbers in self._answers(row):
            fitted = self._fit(ids, [token if bit else IGNORED for token, bit in zip(ids, trained, strict=True)])
            if fitted is None and "chosen" in row:
                return []  # a pair is left out together
            if fitted is None:
                continue
            group = row.get("group", own if suffix else None)
            sample = {"id": f"{own}{suffix}" if suffix else own, "group": group, "weight": row.get("weight")}
            made.append({**sample, "input_ids": fitted[0], "labels": fitted[1], **numbers})
        return made

    def _fit(self, ids: list[int], labels: list[int]) -> tuple[list[int], list[int]] | None:
        limit, long = self.record["max_tokens"], self.record["long"]
        if len(ids) <= limit:
            return ids, labels
        if long == "refuse":
            raise ValueError(f"{len(ids):,} tokens, more than {limit:,}")
        if long == "keep-start":
            ids, labels = ids[:limit], labels[:limit]
        elif long == "keep-end":
            ids, labels = ids[len(ids) - limit :], labels[len(labels) - limit :]
        return None if long == "skip" or set(labels) == {IGNORED} else (ids, labels)

    def _answers(self, row: Mapping[str, Any]) -> Iterator[Found]:
        """Yield the samples of a row, before long ones are cut."""
        if "messages" in row:
            yield from self._messages(row)
            return
        if "completions" in row:
            answers = [(f"/{i}", answer) for i, answer in enumerate(row["completions"])]
        else:
            names = ("completion",) if "completion" in row else ("chosen", "rejected")
            answers = [(f"/{name}" if len(names) == 2 else "", row[name]) for name in names]
        found = [(suffix, *self._completion(row, answer)) for suffix, answer in answers]
        if "chosen" in row and self.record["train"] in (None, "completion"):
            first = min(trained.index(True) for _, _, trained in found)
            found = [(suffix, ids, [i >= first for i in range(len(ids))]) for suffix, ids, _ in found]
        for number, (suffix, ids, trained) in enumerate(found):
            numbers = {"reward": float(row["rewards"][number])} if "completions" in row else {}
            numbers |= {"label": 1.0 if row["label"] else 0.0} if "completion" in row and "label" in row else {}
            yield suffix, ids, trained, numbers

    def _messages(self, row: Mapping[str, Any]) -> Iterator[Found]:
        messages, train = row["messages"], self.record["train"] or "assistant"
        turns = [k for k in range(1, len(messages)) if messages[k]["role"] == "assistant"]
        if train == "last":
            turns = turns[-1:]
        if train == "all":
            whole = self.tokens.whole(row, messages)
            yield "", whole.ids, [True] * len(whole.ids), {}
        elif self.record["per"] == "row":
            whole = self.tokens.whole(row, messages)
            yield "", whole.ids, self._turns(row, messages, turns, whole), {}
        else:
            for k in turns:
                whole = self.tokens.whole(row, messages[: k + 1])
                start = self.tokens.start(whole, self.tokens.text(row, messages[:k], True))
                trained = _ranges(len(whole.ids), [(start, len(whole.ids))], whole.marks)
                yield f"/{k}" if train == "assistant" else "", whole.ids, trained, {}

    def _turns(self, row: Mapping[str, Any], messages: list[Any], turns: list[int], whole: Whole) -> list[bool]:
        """Return which tokens of a row belong to some turns."""
        if whole.marks is not None and self.record["train"] != "last":
            return whole.marks
        text, start = self.tokens.text, self.tokens.start
        edges = []
        for k in turns:
            first = start(whole, text(row, messages[:k], True))
            is_last = k == len(messages) - 1
            edges.append((first, len(whole.ids) if is_last else start(whole, text(row, messages[: k + 1], False))))
        return _ranges(len(whole.ids), edges, whole.marks)

    def _completion(self, row: Mapping[str, Any], answer: Any) -> tuple[list[int], list[bool]]:
        """Return the token ids of a prompt with an answer, and whether each is trained."""
        train = self.record["train"] or "completion"
        if isinstance(row["prompt"], str):
            ids, find_start = self.tokens.plain(row["prompt"], answer)
            return ids, _ranges(len(ids), [(0 if train == "all" else find_start(), len(ids))], None)
        messages = row["prompt"] + answer
        whole = self.tokens.whole(row, messages)
        if train == "all":
            return whole.ids, [True] * len(whole.ids)
        if (train == "assistant" and whole.marks is None) or train == "last":
            turns = [k for k in range(len(row["prompt"]), len(messages)) if messages[k]["role"] == "assistant"]
            return whole.ids, self._turns(row, messages, turns[-1:] if train == "last" else turns, whole)
        start = self.tokens.start(whole, self.tokens.text(row, row["prompt"], True))
        marks = whole.marks if train == "assistant" else None
        return whole.ids, _ranges(len(whole.ids), [(start, len(whole.ids))], marks)


def _ranges(length: int, edges: Sequence[tuple[int, int]], marks: Sequence[bool] | None) -> list[bool]:
    """Return which of some tokens are in one of the ranges, and marked, if there are marks."""
    inside = [False] * length
    for start, end in edges:
        inside[start:end] = [True] * (end - start) if marks is None else marks[start:end]
    return inside
