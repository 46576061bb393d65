"""Read the rows of files of chats for the checker, and bring each to the fields that it knows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import IO, Any, cast

from masksynth.errors import InvalidInstance

Row = Mapping[str, Any]
Named = tuple[str, str, Row]
"""Where a row was read, its id if it has none, and its fields."""
SPEAKERS = {"human": "user", "gpt": "assistant"}


def plain_row(row: Row, drop_nulls: bool) -> dict[str, Any]:
    """Return the fields that a row has: conversations as messages, and a pair with its prompt.

    Parameters
    ----------
    row : mapping
    drop_nulls : bool
        Whether keys of objects that are None are removed, at any depth.

    Examples
    --------
    >>> plain_row({"conversations": [{"from": "human", "value": "hi"}], "id": None}, False)
    {'messages': [{'role': 'user', 'content': 'hi'}]}
    """
    given = {key: value for key, value in (_without_none(row) if drop_nulls else row).items() if value is not None}
    if "conversations" in given:
        given["messages"] = [_message(message) for message in given.pop("conversations")]
    return _with_prompt(given) if "chosen" in given and "prompt" not in given else given


def _message(message: Row) -> Row:
    """Return a message of ShareGPT with the keys of ChatML, which come last, as TRL's conversion puts them."""
    if message.get("from") is None:
        return message
    text = {"content": message["value"]} if "value" in message else {}
    others = {key: item for key, item in message.items() if key not in ("from", "value", "role", *text)}
    return {**others, "role": SPEAKERS.get(message["from"], message["from"]), **text}


def _with_prompt(row: Row) -> dict[str, Any]:
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
