"""Check a row and convert it to a chat: what the model is shown, and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from masksynth.chats.chat_options import ChatOptions
from masksynth.chats.check_messages import ASSISTANT, Message, check_messages, check_order
from masksynth.chats.read_rows import Row, remove_nones
from masksynth.errors import InvalidInstance
from masksynth.pack.sample_values import check_scalars
from masksynth.tasks.canonical import shown

KINDS = {
    "messages": ("messages",),
    "completion": ("prompt", "completion"),
    "pair": ("prompt", "chosen", "rejected"),
    "rollouts": ("prompt", "completions", "rewards"),
}
"""Kind of row -> its fields, all of them required."""
FIELDS = tuple(dict.fromkeys(name for names in KINDS.values() for name in names))
IMAGES = ("image", "images", "video", "videos", "audio", "audios")
TRAIN = {
    "messages": ("assistant", "last", "all"),
    "completion": ("completion", "assistant", "last", "all"),
    "pair": ("completion", "assistant", "last"),
    "rollouts": ("completion", "assistant", "last"),
}
"""Kind of row -> which tokens can be trained; the first is the default."""
Text = str | list[Message]
"""Plain text, or messages that a chat template renders."""


@dataclass(frozen=True)
class Answer:
    """One answer to a prompt: the suffix of its id, its text or messages, their JSON path, and its reward."""

    suffix: str
    text: Text
    path: str
    reward: float | None = None


@dataclass(frozen=True)
class Chat:
    """A checked row.

    Parameters
    ----------
    place : str
        Where it was read.
    kind : str
        One of `KINDS`.
    train : str
        Which tokens are trained.
    id, group, weight
        As for a sample; the id of a row without one is the number of its line.
    prompt : str or list of messages
        Empty for ``messages``.
    answers : list of Answer
        One, two for a pair; the ``messages`` themselves are one.
    tools : list of mappings, optional
    template_args : mapping
        Variables of the template.
    """

    place: str
    kind: str
    train: str
    id: str | int
    group: str | int | None
    weight: float | None
    prompt: Text
    answers: list[Answer]
    tools: list[Any] | None = None
    template_args: Mapping[str, Any] = field(default_factory=dict)


def as_messages(text: Text) -> list[Message]:
    """Return a text that is known to be messages."""
    if isinstance(text, str):
        raise TypeError("expected messages, got text")
    return text


def check_chat(row: Row, options: ChatOptions) -> Chat:
    """Return the chat of a row.

    Raises
    ------
    InvalidInstance
        Naming file, line and field.
    """
    given = remove_nones(row.fields) if options.drop_nulls else row.fields
    fields = split_pair({name: value for name, value in given.items() if value is not None}, row.place)
    check_scalars(row.place, {name: fields.get(name) for name in ("id", "group", "weight")})
    kind = kind_of(fields, row.place)
    train = options.train or TRAIN[kind][0]
    if train not in TRAIN[kind]:
        fact = f"the row has {_listed(KINDS[kind])}, of which {train!r} cannot be trained"
        raise InvalidInstance(fact, "$", f"choose from {', '.join(TRAIN[kind])}", row.place)
    prompt, answers = _read_texts(fields, kind, row.place)
    if isinstance(prompt, str) and train not in ("completion", "all"):
        raise InvalidInstance(
            f"plain text has no turns, so {train!r} cannot be trained", "$", "give messages", row.place
        )
    if kind == "pair" and answers[0].text == answers[1].text:
        raise InvalidInstance("chosen and rejected are the same", "$.rejected", "leave the row out", row.place)
    if not isinstance(prompt, str):
        _check_turns(prompt, answers, options, row.place)
    return Chat(
        row.place,
        kind,
        train,
        fields.get("id", row.name),
        fields.get("group"),
        fields.get("weight"),
        prompt,
        answers,
        _read_tools(fields.get("tools"), row.place),
        {**options.template_args, **_read_args(fields.get("chat_template_kwargs", {}), row.place)},
    )


def split_pair(fields: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the fields of a pair without a prompt with what both answers begin with as the prompt, as in TRL.

    Examples
    --------
    >>> split_pair({"chosen": "2 + 3 = 5", "rejected": "2 + 3 = 6"}, "a:1")
    {'chosen': ' 5', 'rejected': ' 6', 'prompt': '2 + 3 ='}
    """
    chosen, rejected = fields.get("chosen"), fields.get("rejected")
    if "prompt" in fields or type(chosen) is not type(rejected) or not isinstance(chosen, (str, list)) or not rejected:
        return fields
    pairs = enumerate(zip(chosen, rejected, strict=False))
    shared = next((i for i, (a, b) in pairs if a != b), None)
    if shared is None:  # one begins the other, so the answers begin with the last that both have
        shared = min(len(chosen), len(rejected)) - 1
    elif isinstance(chosen, str) and chosen[:shared].endswith(" "):
        shared -= 1  # the space belongs to the answers
    if shared < 1:
        fact = "there is no prompt, and chosen and rejected do not begin alike"
        raise InvalidInstance(fact, "$", "give prompt, chosen and rejected", place)
    prompt, answers = chosen[:shared], {"chosen": chosen[shared:], "rejected": rejected[shared:]}
    return {**fields, "prompt": prompt, **answers}


def kind_of(fields: Mapping[str, Any], place: str) -> str:
    """Return the kind of a row, or name what is missing or too much.

    Examples
    --------
    >>> kind_of({"prompt": "2 + 3 =", "completion": " 5", "id": 1}, "a:1")
    'completion'
    >>> kind_of({"prompt": "2 + 3 =", "chosen": " 5"}, "a:1")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: a:1: $: rejected is missing; give prompt, chosen and rejected
    """
    if image := next((name for name in IMAGES if fields.get(name)), None):
        raise InvalidInstance("only text is packed", f"$.{image}", "leave such rows out", place)
    given = [name for name in FIELDS if name in fields]
    for kind, names in KINDS.items():
        if given == list(names):
            return kind
    all_kinds = "; ".join(_listed(names) for names in KINDS.values())
    if not given:
        found = f", it has {_listed(sorted(map(str, fields))[:8])}" if fields else ""
        raise InvalidInstance(f"the row is not a chat{found}", "$", f"give {all_kinds}", place)
    for names in KINDS.values():
        missing = [name for name in names if name not in given]
        if set(given) <= set(names) and given != ["prompt"]:
            raise InvalidInstance(f"{_listed(missing)} {_is(missing)} missing", "$", f"give {_listed(names)}", place)
    remedy = f"give one of: {all_kinds}"
    raise InvalidInstance(f"{_listed(given)} {_is(given)} not a chat", "$", remedy, place)


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _read_texts(fields: Mapping[str, Any], kind: str, place: str) -> tuple[Text, list[Answer]]:
    """Return the prompt and the answers of a row."""
    if kind == "messages":
        return [], [Answer("", check_messages(fields["messages"], "$.messages", place), "$.messages")]
    prompt = _read_text(fields["prompt"], "$.prompt", place)
    if kind == "rollouts":
        return prompt, _read_rollouts(fields, prompt, place)
    names = KINDS[kind][1:]
    answers = [(f"/{name}" if kind == "pair" else "", name) for name in names]
    return prompt, [
        Answer(suffix, _read_answer(fields[name], prompt, f"$.{name}", place), f"$.{name}") for suffix, name in answers
    ]


def _read_rollouts(fields: Mapping[str, Any], prompt: Text, place: str) -> list[Answer]:
    completions, rewards = fields["completions"], fields["rewards"]
    for name, values in (("completions", completions), ("rewards", rewards)):
        if not isinstance(values, list) or not values:
            fact = f"expected a list with an entry for each answer, got {shown(values) if values else 'an empty one'}"
            raise InvalidInstance(fact, f"$.{name}", "give completions and rewards, as many", place)
    if len(completions) != len(rewards):
        fact = f"{len(rewards)} rewards for {len(completions)} completions"
        raise InvalidInstance(fact, "$.rewards", "give one reward for each completion", place)
    for index, reward in enumerate(rewards):
        if isinstance(reward, bool) or not isinstance(reward, (int, float)) or not abs(reward) < float("inf"):
            fact = f"expected a finite number, got {shown(reward)}"
            raise InvalidInstance(fact, f"$.rewards[{index}]", "give the reward of the completion", place)
    texts = [_read_answer(each, prompt, f"$.completions[{i}]", place) for i, each in enumerate(completions)]
    pairs = enumerate(zip(texts, rewards, strict=True))
    return [Answer(f"/{i}", text, f"$.completions[{i}]", float(reward)) for i, (text, reward) in pairs]


def _read_answer(value: Any, prompt: Text, path: str, place: str) -> Text:
    """Return an answer, which has the form of its prompt."""
    text = _read_text(value, path, place)
    if isinstance(text, str) is not isinstance(prompt, str):
        fact = "the prompt is text, this a list of messages" if isinstance(prompt, str) else "the prompt has messages"
        raise InvalidInstance(f"{fact}; both need one form", path, "give text twice, or messages twice", place)
    if isinstance(text, str) and not text.strip():
        raise InvalidInstance("the answer is empty", path, "give the answer, or leave the row out", place)
    return text


def _read_text(value: Any, path: str, place: str) -> Text:
    return value if isinstance(value, str) else check_messages(value, path, place)


def _check_turns(prompt: list[Message], answers: list[Answer], options: ChatOptions, place: str) -> None:
    """Check the order of roles, and that there is a turn of the assistant."""
    for answer in answers:
        turns = as_messages(answer.text)
        messages = [*prompt, *turns]
        paths = [f"$.prompt[{i}]" for i in range(len(prompt))]
        paths += [f"{answer.path}[{i}]" for i in range(len(turns))]
        if not options.any_order:
            check_order(messages, paths, place)
        if options.train != "all" and not any(message["role"] == ASSISTANT for message in turns):
            raise InvalidInstance("there is no turn of the assistant", answer.path, "leave the row out", place)


def _read_tools(value: Any, place: str) -> list[Any] | None:
    """Return the tools of a row, which may be JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InvalidInstance("is not JSON", "$.tools", "give a list of JSON schemas", place) from None
    if value is None or (isinstance(value, list) and all(isinstance(tool, Mapping) for tool in value)):
        return value
    raise InvalidInstance("expected a list of JSON schemas", "$.tools", "give one object for each tool", place)


def _read_args(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInstance("expected an object", "$.chat_template_kwargs", "give variables of the template", place)
    return value
