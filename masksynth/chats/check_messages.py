"""Check the messages of a chat: their shape, their order, and that each turn of the assistant says something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import shown

Message = Mapping[str, Any]
ASSISTANT = "assistant"
INSTRUCTIONS = ("system", "developer")
RESULTS = ("tool", "function", "ipython", "observation")
"""Roles of the results of tools."""
ROLES = (*INSTRUCTIONS, "user", ASSISTANT, *RESULTS)


class Keys(NamedTuple):
    """Keys of a message that contain its role and its text, and roles of other names."""

    role: str
    content: str
    names: Mapping[str, str]


CHATML = Keys("role", "content", {})
SHAREGPT = Keys("from", "value", {"human": "user", "gpt": ASSISTANT})
ANY_ORDER = "correct the order, or give --any-order (any_order=True) if the template takes it"


def check_messages(messages: Any, path: str, place: str, keys: Keys = CHATML) -> list[Message]:
    """Return the messages of a field, without the keys that are None, which chat templates do not get either.

    Parameters
    ----------
    messages : list of mappings
        Each with a ``role`` and ``content``, or other keys that the template uses (``tool_calls``).
    path : str
        JSON path of the field.
    place : str
        Where the row was read.
    keys : Keys
        Renamed to ``role`` and ``content`` where a message has the first.

    Raises
    ------
    InvalidInstance
        Naming the message.

    Examples
    --------
    >>> check_messages([{"from": "human", "value": "hi"}], "$.conversations", "a:1", SHAREGPT)
    [{'role': 'user', 'content': 'hi'}]
    >>> check_messages([{"role": "user", "content": "hi", "name": None}], "$.messages", "a:1")
    [{'role': 'user', 'content': 'hi'}]
    """
    if not isinstance(messages, list):
        fact = f"expected a list of messages, got {shown(messages)}"
        raise InvalidInstance(fact, path, 'give [{"role": "user", "content": "..."}, ...]', place)
    if not messages:
        raise InvalidInstance("there is no message", path, "give at least one, or leave the row out", place)
    return [_check_message(message, f"{path}[{index}]", place, keys) for index, message in enumerate(messages)]


def _check_message(message: Any, path: str, place: str, keys: Keys) -> Message:
    if not isinstance(message, Mapping):
        fact = f"a message is an object, not {type(message).__name__}"
        raise InvalidInstance(fact, path, 'give {"role": "user", "content": "..."}', place)
    given: Message = {key: value for key, value in message.items() if value is not None}
    keys = keys if keys.role in given else CHATML
    given = given if keys is CHATML else _rename(given, keys)
    role, content = given.get("role"), given.get("content")
    if role is None:
        raise InvalidInstance("role is missing", path, 'give {"role": "user", "content": "..."}', place)
    if role not in ROLES:
        remedy = f"choose from {', '.join((*keys.names, *ROLES))}"
        raise InvalidInstance(f"unknown role {shown(role)}", f"{path}.{keys.role}", remedy, place)
    if isinstance(content, list):
        fact = "the content is a list of parts, such as text and images; only text is packed"
        raise InvalidInstance(fact, f"{path}.{keys.content}", "give the text as a string, and leave images out", place)
    if content is not None and not isinstance(content, str):
        fact = f"expected a string, got {shown(content)}"
        raise InvalidInstance(fact, f"{path}.{keys.content}", "give the text of the message", place)
    if role == ASSISTANT and not any(_says_something(given[key]) for key in given if key not in ("role", "name")):
        remedy = "give the answer, or leave the message out"
        raise InvalidInstance("the assistant's turn is empty", f"{path}.{keys.content}", remedy, place)
    if role != ASSISTANT and content is None:
        raise InvalidInstance(f"{keys.content} is missing", path, "give the text of the message", place)
    return given


def _rename(message: Message, keys: Keys) -> Message:
    """Return a message with the keys and roles of ChatML, in the order that TRL gives them."""
    others = {key: value for key, value in message.items() if key not in keys[:2]}
    role = message[keys.role]
    renamed = {"role": keys.names.get(role, role) if isinstance(role, str) else role}
    return {**others, **renamed, **({"content": message[keys.content]} if keys.content in message else {})}


def _says_something(value: Any) -> bool:
    return bool(value.strip() if isinstance(value, str) else value)


def check_order(messages: Sequence[Message], paths: Sequence[str], place: str) -> None:
    """Refuse roles that are out of order.

    Instructions come first; a turn of the assistant answers a user or tools; a user does not follow a user, and results
    of tools follow a turn of the assistant or other results.

    Parameters
    ----------
    messages : sequence of mappings
    paths : sequence of str
        JSON path of the role of each.
    place : str

    Examples
    --------
    >>> check_order([{"role": "user"}, {"role": "user"}], ["$[0].role", "$[1].role"], "a:1")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: a:1: $[1].role: 'user' follows 'user'; correct the order, or give --any-order
    (any_order=True) if the template takes it
    """
    before = ""
    for message, path in zip(messages, paths, strict=True):
        role = str(message["role"])
        if not _may_follow(role, before):
            fact = f"{role!r} follows {before!r}" if before else f"{role!r} is the first message"
            raise InvalidInstance(fact, path, ANY_ORDER, place)
        before = role


def _may_follow(role: str, before: str) -> bool:
    if role in INSTRUCTIONS:
        return before == "" or before in INSTRUCTIONS
    if role == "user":
        return before != "user"
    if role == ASSISTANT:
        return before == "user" or before in RESULTS
    return before == ASSISTANT or before in RESULTS
