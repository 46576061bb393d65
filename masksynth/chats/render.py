"""Render messages by the chat template of a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from masksynth.chats.check_chats import Chat
from masksynth.chats.check_messages import Message
from masksynth.chats.read_answers import as_messages
from masksynth.errors import InvalidInstance

MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""Beginning of what the model generates, in a chat template."""
CLOCK = "strftime_now"
"""Function that templates call for the date."""
DATE = (
    "the chat template writes the date of today, so that the same chats have other tokens tomorrow; "
    "give the date as a variable of the template by --template-args, such as date_string, if it reads one, "
    "or a template without it by --chat-template"
)


class Rendered(NamedTuple):
    """A rendered chat, and the ranges of characters between generation markers; None if the template has none."""

    text: str
    spans: tuple[tuple[int, int], ...] | None


Render = Callable[[Chat, Sequence[Message], bool], Rendered]


def make_render(tokenizer: Any, template: str | None) -> Render:
    """Return the function that renders messages of a chat, with a generation prompt or without.

    Parameters
    ----------
    tokenizer : tokenizer of transformers
    template : str, optional
        Used instead of the template of the tokenizer.
    """
    from transformers.utils import chat_template_utils

    render_template: Any = chat_template_utils.render_jinja_template  # its annotations are narrower than its use
    special = tokenizer.special_tokens_map

    def render(chat: Chat, messages: Sequence[Message], prompt: bool) -> Rendered:
        text = choose_template(tokenizer, template, chat)
        marked = MARKER.search(text) is not None and not prompt
        try:
            rendered, spans = render_template(
                [list(messages)],
                tools=chat.tools,
                chat_template=text,
                return_assistant_tokens_mask=marked,
                add_generation_prompt=prompt,
                **{**special, **chat.template_args},
            )
        except MemoryError:
            raise
        except Exception as error:  # a template is a program, and fails with all kinds of exceptions
            words = " ".join(str(error).split())[:200] or type(error).__name__
            fact = f"the chat template refuses the messages: {words}"
            raise InvalidInstance(fact, "$", "correct the row, or give another --chat-template", chat.place) from None
        return Rendered(rendered[0], tuple(map(tuple, spans[0])) if marked else None)

    return render


def asks_for_date(tokenizer: Any, template: str | None, chat: Chat, render: Render) -> bool:
    """Return whether the template asks for the date of today while it renders a chat.

    The chat is rendered once more, with text in place of the function that gives the date: calling it is an error.
    """
    if isinstance(chat.prompt, str) or CLOCK not in choose_template(tokenizer, template, chat):
        return False
    broken = replace(chat, template_args={**chat.template_args, CLOCK: ""})
    try:
        render(broken, [*chat.prompt, *as_messages(chat.answers[0].text)], False)
    except InvalidInstance:
        return True
    return False


def choose_template(tokenizer: Any, template: str | None, chat: Chat) -> str:
    """Return the template for a chat: that with tools, if the tokenizer has several and the chat has tools."""
    if template is not None:
        return template
    try:
        return str(tokenizer.get_chat_template(None, chat.tools))
    except ValueError:
        fact = "the tokenizer has no chat template"
        raise InvalidInstance(fact, "$", "give one by --chat-template FILE", chat.place) from None
