"""Read the prompt and the answers of a row."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from masksynth.chats.check_messages import CHATML, SHAREGPT, Message, check_messages
from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import shown

Text = str | list[Message]
"""Plain text, or messages that a chat template renders."""


@dataclass(frozen=True)
class Answer:
    """One answer to a prompt.

    Parameters
    ----------
    suffix : str
        Added to the id of the row.
    text : str or list of messages
    path : str
        JSON path of the field.
    first : int
        Index of the first message in the field, which may begin with the prompt.
    numbers : mapping of str to number
        Fields of the sample: its ``reward`` or ``label``.
    """

    suffix: str
    text: Text
    path: str
    first: int = 0
    numbers: Mapping[str, float] = field(default_factory=dict)


class Answers(NamedTuple):
    """The prompt of a row, the JSON path of its messages, and the answers."""

    prompt: Text
    path: str
    answers: list[Answer]


def as_messages(text: Text) -> list[Message]:
    """Return a text that is known to be messages."""
    if isinstance(text, str):
        raise TypeError("expected messages, got text")
    return text


def read_answers(fields: Mapping[str, Any], form: Sequence[str], place: str) -> Answers:
    """Return the prompt and the answers of a row.

    Parameters
    ----------
    fields : mapping
    form : sequence of str
        One of `masksynth.chats.row_forms.FORMS`.
    place : str
    """
    if form[0] in ("messages", "conversations"):
        path, keys = f"$.{form[0]}", SHAREGPT if form[0] == "conversations" else CHATML
        messages = check_messages(fields[form[0]], path, place, keys)
        return Answers([], path, [Answer("", messages, path)])
    if "prompt" not in form:
        return _split_pair(fields, place)
    prompt = _read_text(fields["prompt"], "$.prompt", place)
    if "rewards" in form:
        return Answers(prompt, "$.prompt", list(_read_rollouts(fields, prompt, place)))
    names = ("chosen", "rejected") if "chosen" in form else ("completion",)
    numbers = _read_label(fields["label"], place) if "label" in form else {}
    answers = [
        Answer(
            f"/{name}" if len(names) > 1 else "",
            _read_answer(fields[name], f"$.{name}", place, prompt),
            f"$.{name}",
            numbers=numbers,
        )
        for name in names
    ]
    return Answers(prompt, "$.prompt", answers)


def _split_pair(fields: Mapping[str, Any], place: str) -> Answers:
    """Return what both answers of a pair begin with as the prompt, as in TRL."""
    chosen = _not_empty(_read_text(fields["chosen"], "$.chosen", place), "$.chosen", place)
    rejected = _read_answer(fields["rejected"], "$.rejected", place, chosen, "chosen")
    shared = count_shared(chosen, rejected)
    if shared < 1:
        part = "character" if isinstance(chosen, str) else "message"
        fact = f"there is no prompt, and the first {part} of chosen is not that of rejected"
        raise InvalidInstance(fact, "$", "give prompt, chosen and rejected", place)
    answers = [
        Answer(f"/{name}", _not_empty(text[shared:], f"$.{name}", place), f"$.{name}", shared)
        for name, text in (("chosen", chosen), ("rejected", rejected))
    ]
    return Answers(chosen[:shared], "$.chosen", answers)


def count_shared(chosen: Text, rejected: Text) -> int:
    """Return how many characters or messages at the beginning of two answers are their prompt.

    Examples
    --------
    >>> count_shared("2 + 3 = 5", "2 + 3 = 6")  # the space before the numbers belongs to the answers
    7
    >>> count_shared("2 + 3", "2 + 3 = 6")  # the answers begin with the last that both have
    4
    """
    pairs = enumerate(zip(chosen, rejected, strict=False))
    shared = next((i for i, (a, b) in pairs if a != b), None)
    if shared is None:  # one begins the other
        return min(len(chosen), len(rejected)) - 1
    return shared - 1 if isinstance(chosen, str) and chosen[:shared].endswith(" ") else shared


def _read_label(label: Any, place: str) -> dict[str, float]:
    """Return whether a completion is desirable, as in KTO, as 1 or 0."""
    if not isinstance(label, bool):
        fact = f"expected true or false, whether the completion is desirable, got {shown(label)}"
        raise InvalidInstance(fact, "$.label", "give one of them, or give the field another name", place)
    return {"label": int(label)}


def _read_rollouts(fields: Mapping[str, Any], prompt: Text, place: str) -> Iterator[Answer]:
    completions, rewards = fields["completions"], fields["rewards"]
    for name, values in (("completions", completions), ("rewards", rewards)):
        if not isinstance(values, list) or not values:
            fact = f"expected a list with an entry for each answer, got {shown(values) if values else 'an empty one'}"
            raise InvalidInstance(fact, f"$.{name}", "give completions and rewards, as many", place)
    if len(completions) != len(rewards):
        fact = f"{len(rewards)} rewards for {len(completions)} completions"
        raise InvalidInstance(fact, "$.rewards", "give one reward for each completion", place)
    for index, reward in enumerate(rewards):
        if isinstance(reward, bool) or not isinstance(reward, (int, float)) or not abs(reward) <= sys.float_info.max:
            fact = f"expected a finite number, got {shown(reward)}"
            raise InvalidInstance(fact, f"$.rewards[{index}]", "give the reward of the completion", place)
    for index, (completion, reward) in enumerate(zip(completions, rewards, strict=True)):
        path = f"$.completions[{index}]"
        text = _read_answer(completion, path, place, prompt)
        yield Answer(f"/{index}", text, path, numbers={"reward": float(reward)})


def _read_answer(value: Any, path: str, place: str, prompt: Text, name: str = "the prompt") -> Text:
    """Return an answer, which has the form of its prompt."""
    text = _read_text(value, path, place)
    if isinstance(text, str) is not isinstance(prompt, str):
        fact = f"{name} is text, this a list of messages" if isinstance(prompt, str) else f"{name} has messages"
        raise InvalidInstance(f"{fact}; both need one form", path, "give text twice, or messages twice", place)
    return _not_empty(text, path, place)


def _not_empty(text: Text, path: str, place: str) -> Text:
    if isinstance(text, str) and not text.strip():
        raise InvalidInstance("the answer is empty", path, "give the answer, or leave the row out", place)
    return text


def _read_text(value: Any, path: str, place: str) -> Text:
    return value if isinstance(value, str) else check_messages(value, path, place)
