"""Options of `tokenize_chats`, and their record in the manifest of a packed folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from masksynth.errors import InvalidInstance
from masksynth.pack.packing import LENGTH
from masksynth.tasks.canonical import shown

CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "train": (None, "assistant", "last", "completion", "all"),
    "per": ("call", "row"),
    "long": ("refuse", "skip", "keep-start", "keep-end"),
}
"""Values of the options that are one of a few words."""
RESERVED = (
    *("messages", "conversation", "tools", "chat_template", "add_generation_prompt", "continue_final_message"),
    *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict", "tokenizer_kwargs", "self"),
    "return_assistant_tokens_mask",
)
"""Names that no variable of a template has: arguments of ``apply_chat_template``, and what it gives to templates."""
NO_VARIABLE = "is an argument of apply_chat_template, not a variable of the template"


@dataclass(frozen=True)
class ChatOptions:
    """What is trained in a chat, and what is done with chats that are too long or unusual.

    Parameters
    ----------
    train : "assistant", "last", "completion", "all", optional
        Which tokens are trained: each turn of the assistant, its last turn, all tokens after the prompt, or all tokens.
        Default: assistant for rows of ``messages``, completion for rows with a ``prompt``.
    per : "call" or "row"
        Whether ``messages`` of which assistant turns are trained become one sample for each call of the model (each
        turn after what the template shows the model of the messages before it), or one sample for each row.
    max_tokens : int
        Maximum number of tokens of a sample.
    long : "refuse", "skip", "keep-start" or "keep-end"
        What happens to longer samples: an error, left out, or cut.
    diverging : bool
        Whether an answer may begin where its tokens and those of its prompt diverge, as in TRL, instead of an error.
    any_order : bool
        Whether roles may follow one another in any order.
    drop_nulls : bool
        Whether keys of objects that are null are removed, as those that Parquet and ``datasets.Dataset`` add are.
    chat_template : str, optional
        Jinja text used instead of the template of the tokenizer.
    template_args : mapping
        Additional variables of the template; ``chat_template_kwargs`` of a row come before them.

    Examples
    --------
    >>> ChatOptions(long="drop")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: long: expected 'refuse', 'skip', 'keep-start' or 'keep-end', got 'drop'
    """

    train: str | None = None
    per: str = "call"
    max_tokens: int = LENGTH
    long: str = "refuse"
    diverging: bool = False
    any_order: bool = False
    drop_nulls: bool = False
    chat_template: str | None = None
    template_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                *words, last = [repr(choice) for choice in choices if choice is not None]
                fact = f"{name}: expected {', '.join(words)} or {last}, got {shown(getattr(self, name))}"
                raise InvalidInstance(fact, "")
        if type(self.max_tokens) is not int or self.max_tokens < 1:
            fact = f"max_tokens: expected a positive integer, got {shown(self.max_tokens)}"
            raise InvalidInstance(fact, "")
        if reserved := next((name for name in self.template_args if name in RESERVED), None):
            raise InvalidInstance(f"template_args: {reserved!r} {NO_VARIABLE}", "", "leave it out")


def options_of(values: Mapping[str, Any]) -> ChatOptions:
    """Return the options with these values, or name the one that does not exist.

    Examples
    --------
    >>> options_of({"per": "row"}).per
    'row'
    """
    names = [option.name for option in fields(ChatOptions)]
    if unknown := sorted(values.keys() - set(names)):
        raise InvalidInstance(f"there is no option {unknown[0]!r}", "", f"choose from {', '.join(names)}")
    return ChatOptions(**values)


def record_options(options: ChatOptions, name: str, template: Any) -> dict[str, Any]:
    """Return what the manifest of a packed folder states about its chats.

    Parameters
    ----------
    options : ChatOptions
    name : str
        Folder or name of the tokenizer; not part of the hash.
    template : str, mapping of str to str, or None
        The chat template that is used.

    Examples
    --------
    >>> sorted(record_options(ChatOptions(), "tokenizer", "{{ messages }}"))[:4]
    ['any_order', 'chat_template', 'diverging', 'drop_nulls']
    """
    values = {option.name: getattr(options, option.name) for option in fields(ChatOptions)}
    record = {**values, "template_args": dict(options.template_args)}
    record["chat_template"] = options.chat_template or template
    return {"tokenizer": name, **record, "hash": hash_record(record)}


def hash_record(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a record as JSON with sorted keys, without spaces."""
    return hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()
