"""Recompute the samples of chats, to compare them with a packed folder: row by row, in the plainest way.

Nothing of ``masksynth.chats`` is used: rows are read, rendered and labelled here again, on purpose. The tokenizer
itself is the only thing in common.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import IO, Any, cast

import msgspec

from masksynth.errors import InvalidInstance, WrongAnswer

IGNORED = -100
Sample = dict[str, Any]
Named = tuple[str, str, Mapping[str, Any]]
"""Where a row was read, its id if it has none, and its fields."""


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
        self.record, self.tokenizer = record, tokenizer
        hashed = {key: value for key, value in record.items() if key not in ("tokenizer", "hash")}
        digest = hashlib.sha256(msgspec.json.encode(hashed, order="sorted")).hexdigest()
        if digest != record.get("hash"):
            fact = f"the chat options have the hash {digest[:12]}..., the manifest states {record.get('hash')!s:.12}..."
            raise WrongAnswer("chats", fact)

    def samples(self, files: Sequence[str | IO[bytes]]) -> Iterator[tuple[str, Sample]]:
        """Yield where each sample comes from, and the sample."""
        for place, name, fields in read_rows(files):
            try:
                made = self._row(name, fields)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                fact = f"the row cannot be tokenized: {' '.join(str(error).split())[:200]}"
                raise InvalidInstance(fact, "$", "give the chats that were packed", place) from None
            yield from ((place, sample) for sample in made)

    def _row(self, name: str, row: Mapping[str, Any]) -> list[Sample]:
        """Return the samples of a row."""
        row = _without_none(row) if self.record.get("drop_nulls") else row
        if row.get("chosen") is not None and row.get("prompt") is None:
            row = _with_prompt(row)
        own = name if row.get("id") is None else row["id"]
        made = []
        for suffix, ids, trained, reward in self._answers(row):
            fitted = self._fit(ids, [token if bit else IGNORED for token, bit in zip(ids, trained, strict=True)])
            if fitted is None and row.get("chosen") is not None:
                return []  # a pair is left out together
            if fitted is None:
                continue
            group = row.get("group") if row.get("group") is not None else own if suffix else None
            sample = {"id": f"{own}{suffix}" if suffix else own, "group": group, "weight": row.get("weight")}
            made.append({**sample, "input_ids": fitted[0], "labels": fitted[1], "reward": reward})
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

    def _answers(self, row: Mapping[str, Any]) -> Iterator[tuple[str, list[int], list[bool], float | None]]:
        """Yield suffix, token ids, whether each is trained, and reward, of each sample of a row."""
        if row.get("messages") is not None:
            yield from self._messages(row)
            return
        if row.get("completions") is not None:
            answers = [(f"/{i}", answer) for i, answer in enumerate(row["completions"])]
        else:
            names = ("completion",) if row.get("completion") is not None else ("chosen", "rejected")
            answers = [(f"/{name}" if len(names) == 2 else "", row[name]) for name in names]
        found = [(suffix, *self._completion(row, answer)) for suffix, answer in answers]
        if row.get("chosen") is not None and self.record["train"] in (None, "completion"):
            first = min(trained.index(True) for _, _, trained in found)
            found = [(suffix, ids, [i >= first for i in range(len(ids))]) for suffix, ids, _ in found]
        for number, (suffix, ids, trained) in enumerate(found):
            yield suffix, ids, trained, float(row["rewards"][number]) if "rewards" in row else None

    def _messages(self, row: Mapping[str, Any]) -> Iterator[tuple[str, list[int], list[bool], None]]:
        messages, train = row["messages"], self.record["train"] or "assistant"
        turns = [k for k in range(1, len(messages)) if messages[k]["role"] == "assistant"]
        if train == "last":
            turns = turns[-1:]
        if train == "all":
            ids, _ = self._tokens(row, messages)
            yield "", ids, [True] * len(ids), None
        elif self.record["per"] == "row":
            ids, marks = self._tokens(row, messages)
            yield "", ids, self._turns(row, messages, turns, ids, marks), None
        else:
            for k in turns:
                ids, marks = self._tokens(row, messages[: k + 1])
                start = self._start(self._tokens(row, messages[:k], True)[0], ids)
                trained = [i >= start and (marks is None or bool(marks[i])) for i in range(len(ids))]
                yield f"/{k}" if train == "assistant" else "", ids, trained, None

    def _turns(
        self, row: Mapping[str, Any], messages: list[Any], turns: list[int], ids: list[int], marks: list[int] | None
    ) -> list[bool]:
        """Return which tokens of a row belong to some turns."""
        if marks is not None and self.record["train"] != "last":
            return [bool(mark) for mark in marks]
        inside = [False] * len(ids)
        for k in turns:
            start = self._start(self._tokens(row, messages[:k], True)[0], ids)
            end = len(ids) if k == len(messages) - 1 else self._start(self._tokens(row, messages[: k + 1])[0], ids)
            for i in range(start, end):
                inside[i] = marks is None or bool(marks[i])
        return inside

    def _completion(self, row: Mapping[str, Any], answer: Any) -> tuple[list[int], list[bool]]:
        """Return the token ids of a prompt with an answer, and whether each is trained."""
        train = self.record["train"] or "completion"
        if isinstance(row["prompt"], str):
            eos = self.tokenizer.eos_token
            ids = self.tokenizer(row["prompt"] + answer + ("" if answer.endswith(eos) else eos))["input_ids"]
            prompt, marks = self.tokenizer(row["prompt"])["input_ids"], None
        else:
            messages = row["prompt"] + answer
            ids, marks = self._tokens(row, messages)
            if (train == "assistant" and marks is None) or train == "last":
                first = len(row["prompt"])
                turns = [k for k in range(first, len(messages)) if messages[k]["role"] == "assistant"]
                return ids, self._turns(row, messages, turns[-1:] if train == "last" else turns, ids, marks)
            prompt = self._tokens(row, row["prompt"], True)[0]
        start = 0 if train == "all" else self._start(prompt, ids)
        marked = marks if train == "assistant" else None
        return ids, [i >= start and (marked is None or bool(marked[i])) for i in range(len(ids))]

    def _tokens(
        self, row: Mapping[str, Any], messages: list[Any], prompt: bool = False
    ) -> tuple[list[int], list[int] | None]:
        """Return the token ids of some messages, and which are between generation markers, if the template has any."""
        tools = json.loads(row["tools"]) if isinstance(row.get("tools"), str) else row.get("tools")
        template = self.record["chat_template"]
        if isinstance(template, Mapping):
            template = template["tool_use" if tools is not None and "tool_use" in template else "default"]
        marked = re.search(r"\{%-?\s*generation\s*-?%\}", template) is not None
        encoded = self.tokenizer.apply_chat_template(
            messages,
            tools=tools,
            chat_template=template,
            add_generation_prompt=prompt,
            return_dict=True,
            return_assistant_tokens_mask=marked,
            **{**self.record["template_args"], **(row.get("chat_template_kwargs") or {})},
        )
        return list(encoded["input_ids"]), list(encoded["assistant_masks"]) if marked else None

    def _start(self, prompt: list[int], ids: list[int]) -> int:
        """Return the index of the first token after a prompt."""
        start = 0
        while start < min(len(prompt), len(ids)) and prompt[start] == ids[start]:
            start += 1
        if start < len(prompt) and not self.record["diverging"]:
            raise ValueError(f"the answer diverges from its prompt at token {start}")
        return start


def _with_prompt(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a pair whose prompt is the beginning of both answers: whole messages, or text without a last space."""
    chosen, rejected = row["chosen"], row["rejected"]
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    if isinstance(chosen, str) and chosen[shared] != rejected[shared] and chosen[:shared].endswith(" "):
        shared -= 1
    return {**row, "prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def read_rows(files: Sequence[str | IO[bytes]]) -> Iterator[Named]:
    """Yield the rows of some files: JSON lines, plain or gzipped, or Parquet.

    Parameters
    ----------
    files : sequence of paths or of buffered binary streams
    """
    for file in files:
        name = file if isinstance(file, str) else "<stdin>"
        prefix = "#" if len(files) == 1 else f"{name}#"
        with open(file, "rb") if isinstance(file, str) else nullcontext(file) as stream:
            head = cast(Any, stream).peek(4)
            rows = _parquet(stream) if head[:4] == b"PAR1" else _json(stream, head[:2] == b"\x1f\x8b", name)
            for number, fields in rows:
                yield f"{name}:{number}", f"{prefix}{number}", fields


def _json(stream: IO[bytes], zipped: bool, name: str) -> Iterator[tuple[int, Any]]:
    lines: Iterable[bytes] = cast(Any, gzip.GzipFile(fileobj=stream)) if zipped else stream
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line.decode("utf-8-sig"))
            except ValueError as error:
                raise InvalidInstance(f"not JSON: {error}", "", "give one object a line", f"{name}:{number}") from None


def _parquet(stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet as pq

    number = 0
    for batch in pq.ParquetFile(stream).iter_batches(64):
        for row in batch.to_pylist():
            number += 1
            yield number, _without_none(row)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
