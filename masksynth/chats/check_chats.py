"""Check a row and convert it to a chat: what the model is shown, and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from masksynth.chats.chat_options import NO_VARIABLE, RESERVED, ChatOptions
from masksynth.chats.check_messages import ASSISTANT, check_order
from masksynth.chats.read_answers import Answer, Answers, Text, as_messages, read_answers
from masksynth.chats.read_rows import Row, remove_nones
from masksynth.chats.row_forms import FORMS, TRAIN, form_of, listed
from masksynth.errors import InvalidInstance
from masksynth.pack.sample_values import check_scalars


@dataclass(frozen=True)
class Chat:
    """A checked row.

    Parameters
    ----------
    place : str
        Where it was read.
    kind : str
        A value of `masksynth.chats.row_forms.FORMS`.
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


def check_chat(row: Row, options: ChatOptions) -> Chat:
    """Return the chat of a row.

    Raises
    ------
    InvalidInstance
        Naming file, line and field.
    """
    given = remove_nones(row.fields) if options.drop_nulls else row.fields
    fields = {name: value for name, value in given.items() if value is not None}
    check_scalars(row.place, {name: fields.get(name) for name in ("id", "group", "weight")})
    form = form_of(fields, row.place)
    kind = FORMS[form]
    train = options.train or TRAIN[kind][0]
    if train not in TRAIN[kind]:
        fact = f"the row has {listed(form)}, of which {train!r} cannot be trained"
        raise InvalidInstance(fact, "$", f"choose from {', '.join(TRAIN[kind])}", row.place)
    texts = read_answers(fields, form, row.place)
    if isinstance(texts.prompt, str) and train not in ("completion", "all"):
        raise InvalidInstance(
            f"plain text has no turns, so {train!r} cannot be trained", "$", "give messages", row.place
        )
    if kind == "pair" and texts.answers[0].text == texts.answers[1].text:
        raise InvalidInstance("chosen and rejected are the same", "$.rejected", "leave the row out", row.place)
    if not isinstance(texts.prompt, str):
        _check_turns(texts, options, row.place)
    return Chat(
        row.place,
        kind,
        train,
        fields.get("id", row.name),
        fields.get("group"),
        fields.get("weight"),
        texts.prompt,
        texts.answers,
        _read_tools(fields.get("tools"), row.place),
        {**options.template_args, **_read_args(fields.get("chat_template_kwargs", {}), row.place)},
    )


def _check_turns(texts: Answers, options: ChatOptions, place: str) -> None:
    """Check the order of roles, and that there is a turn of the assistant."""
    prompt = as_messages(texts.prompt)
    for answer in texts.answers:
        turns = as_messages(answer.text)
        role = "from" if texts.path == "$.conversations" else "role"
        paths = [f"{texts.path}[{i}].{role}" for i in range(len(prompt))]
        paths += [f"{answer.path}[{answer.first + i}].{role}" for i in range(len(turns))]
        if not options.any_order:
            check_order([*prompt, *turns], paths, place)
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
    if reserved := next((name for name in value if name in RESERVED), None):
        raise InvalidInstance(NO_VARIABLE, f"$.chat_template_kwargs.{reserved}", "leave it out", place)
    return value
