"""Find the calls of the model in a chat: for each sample its text, and the texts with which it must begin.

The tokens of a sample that are trained lie between the ends of such beginnings: ``begins[0]`` to ``begins[1]``,
``begins[2]`` to ``begins[3]``, and so on, the last one to the end; without beginnings all are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from masksynth.chats.chat_options import ChatOptions
from masksynth.chats.check_chats import Chat
from masksynth.chats.check_messages import ASSISTANT, Message
from masksynth.chats.read_answers import Answer, as_messages
from masksynth.chats.render import Render
from masksynth.errors import InvalidInstance


class Draft(NamedTuple):
    """A sample as text.

    Parameters
    ----------
    suffix : str
        Added to the id of the row.
    path : str
        JSON path of the answer, for messages.
    text : str
        All of the sample.
    begins : tuple of str
        Texts of which the tokens must begin it; the module says what they mean.
    spans : tuple of (int, int), optional
        Ranges of characters that the generation markers of the template mark: nothing else is trained.
    numbers : mapping of str to number
        Fields of the sample.
    """

    suffix: str
    path: str
    text: str
    begins: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] | None = None
    numbers: Mapping[str, float] = MappingProxyType({})


def drafts_of(chat: Chat, options: ChatOptions, render: Render, eos: str | None) -> Iterator[Draft]:
    """Yield the samples of a chat as text.

    Parameters
    ----------
    chat : Chat
    options : ChatOptions
    render : callable
        As `make_render` returns it.
    eos : str, optional
        Text of the token that ends plain text.
    """
    if chat.kind == "messages" and chat.train in ("assistant", "last") and options.per == "call":
        yield from _calls(chat, render)
        return
    for answer in chat.answers:
        if isinstance(chat.prompt, str):
            yield _plain(chat, chat.prompt, answer, eos)
        else:
            yield _row(chat, chat.prompt, answer, render)


def _calls(chat: Chat, render: Render) -> Iterator[Draft]:
    """Yield a sample for each turn of the assistant, or for the last one: what the model was shown, and the turn."""
    messages = as_messages(chat.answers[0].text)
    turns = [k for k, message in enumerate(messages) if k and message["role"] == ASSISTANT]
    for k in turns if chat.train == "assistant" else turns[-1:]:
        whole = render(chat, messages[: k + 1], False)
        prompt = render(chat, messages[:k], True)
        suffix = f"/{k}" if chat.train == "assistant" else ""
        yield Draft(suffix, f"{chat.answers[0].path}[{k}]", whole.text, (prompt.text,), whole.spans)


def _plain(chat: Chat, prompt: str, answer: Answer, eos: str | None) -> Draft:
    """Return the sample of plain text, which the end-of-sequence token ends, as in TRL."""
    if not eos:
        remedy = "give messages, or a tokenizer that has one"
        raise InvalidInstance("the tokenizer has no EOS token to end plain text", answer.path, remedy, chat.place)
    text = str(answer.text)
    ended = text if text.endswith(eos) else text + eos
    begins = () if chat.train == "all" else (prompt,)
    return Draft(answer.suffix, answer.path, prompt + ended, begins, None, answer.numbers)


def _row(chat: Chat, prompt: list[Message], answer: Answer, render: Render) -> Draft:
    """Return the sample of all messages of a row."""
    messages = [*prompt, *as_messages(answer.text)]
    whole = render(chat, messages, False)
    begins: tuple[str, ...] = ()
    if prompt and chat.train != "all":
        begins = (render(chat, prompt, True).text,)
    spans = whole.spans if chat.train in ("assistant", "last") else None
    if chat.train == "last" or (chat.train == "assistant" and spans is None):
        begins = _turns(chat, messages, len(prompt), render)
    return Draft(answer.suffix, answer.path, whole.text, begins, spans, answer.numbers)


def _turns(chat: Chat, messages: list[Message], first: int, render: Render) -> tuple[str, ...]:
    """Return the texts before and after each turn of the assistant from message ``first`` on, or around the last."""
    turns = [k for k, message in enumerate(messages) if k >= max(first, 1) and message["role"] == ASSISTANT]
    texts: list[str] = []
    for k in turns if chat.train == "assistant" else turns[-1:]:
        texts.append(render(chat, messages[:k], True).text)
        if k + 1 < len(messages):  # the last turn ends with the sample
            texts.append(render(chat, messages[: k + 1], False).text)
    return tuple(texts)
