"""Tokenize chats for the checker: each sample as a whole, by the tokenizer's own methods."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

COMPARED = 16
"""Prompts of a run that are tokenized as a whole too, to see that the end of a prompt can be tokenized alone."""
Row = Mapping[str, Any]


class Whole(NamedTuple):
    """A sample as text and tokens.

    Parameters
    ----------
    text : str
    ids : list of int
    marks : list of bool, optional
        Which tokens are between generation markers, if the template has any.
    anchors : dict of str to int
        Added tokens that it contains, and before which it may be cut, with their ids.
    encoding : BatchEncoding
        Tells which character is in which token.
    """

    text: str
    ids: list[int]
    marks: list[bool] | None
    anchors: dict[str, int]
    encoding: Any


class ChatTokens:
    """The token ids of chats, by the record of a packed folder.

    Parameters
    ----------
    record : mapping
    tokenizer : tokenizer of transformers

    Notes
    -----
    A tokenizer of the library ``tokenizers`` looks for its added tokens in the text before it does anything else, and
    treats what lies between them piece by piece. Let an added token begin at character s of a text, and let another
    text agree with the first up to s and, from s on, for as many characters as the longest added token has: then the
    other text has the same tokens before s, since no match that begins before s can end where the texts differ. So of
    a prompt with which a text begins, only what follows the last such token is tokenized (`start`). Tokens that eat
    the spaces before them, look at the letters beside them, or are found after normalization are not used.
    """

    def __init__(self, record: Row, tokenizer: Any) -> None:
        self.record, self.tokenizer, self.compared = record, tokenizer, 0
        added = list(tokenizer.added_tokens_decoder.items())
        self.reach = max((len(token.content) for _, token in added), default=0)
        found_first = [(number, t) for number, t in added if not (t.normalized or t.lstrip or t.single_word)]
        usable = getattr(tokenizer, "is_fast", False) and not tokenizer.split_special_tokens
        self.anchors = {token.content: number for number, token in found_first} if usable else {}

    def text(self, row: Row, messages: Sequence[Any], prompt: bool) -> str:
        """Return some messages as text, with a generation prompt or without."""
        return str(self._apply(row, messages, prompt, tokenize=False))

    def whole(self, row: Row, messages: Sequence[Any]) -> Whole:
        """Return some messages as text and tokens."""
        text = self.text(row, messages, False)
        if re.search(r"\{%-?\s*generation\s*-?%\}", self._template(row)) is None:
            marks, encoded = None, self.tokenizer(text, add_special_tokens=False)
        else:
            encoded = self._apply(row, messages, False, return_dict=True, return_assistant_tokens_mask=True)
            marks = list(map(bool, encoded["assistant_masks"]))
        ids = list(encoded["input_ids"])
        used = set(ids)
        anchors = {name: number for name, number in self.anchors.items() if number in used}
        return Whole(text, ids, marks, anchors, encoded)

    def plain(self, prompt: str, answer: str) -> tuple[list[int], Callable[[], int]]:
        """Return the tokens of plain text that EOS ends, and a function that finds where the answer begins."""
        eos = self.tokenizer.eos_token
        ids = self.tokenizer(prompt + answer + ("" if answer.endswith(eos) else eos))["input_ids"]
        return ids, lambda: self._agree(self.tokenizer(prompt)["input_ids"], ids)

    def start(self, whole: Whole, prompt: str) -> int:
        """Return the index of the first token after a prompt."""
        char, token = self._anchor(whole, prompt)
        if token and self.compared < COMPARED:
            self.compared += 1
            ids = self._ids(prompt)
            if ids != [*whole.ids[:token], *self._ids(prompt[char:])]:  # an unusual tokenizer
                self.anchors, char, token = {}, 0, 0
        return self._agree(self._ids(prompt[char:]), whole.ids, token)

    def _anchor(self, whole: Whole, prompt: str) -> tuple[int, int]:
        """Return character and index of the last added token before which a prompt has the tokens of a whole."""
        shared = len(prompt) if whole.text.startswith(prompt) else _shared(prompt, whole.text)
        latest = shared - self.reach
        places = ((whole.text.rfind(name, 0, latest + len(name)), name) for name in whole.anchors)
        char, name = max(places, default=(-1, ""))
        token = whole.encoding.char_to_token(char) if 0 <= char <= latest else None
        if token is None or whole.ids[token] != whole.anchors[name]:
            return 0, 0
        return (char, token) if whole.encoding.token_to_chars(token).start == char else (0, 0)

    def _agree(self, prompt: Sequence[int], ids: Sequence[int], start: int = 0) -> int:
        """Return where a text goes on after the tokens of a prompt, which begin at index ``start``."""
        count = _shared(prompt, ids[start : start + len(prompt)])
        if count < len(prompt) and not self.record["diverging"]:
            raise ValueError(f"the answer diverges from its prompt at token {start + count}")
        return start + count

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _template(self, row: Row) -> str:
        template = self.record["chat_template"]
        if isinstance(template, Mapping):
            return str(template["tool_use" if _tools(row) is not None and "tool_use" in template else "default"])
        return str(template)

    def _apply(self, row: Row, messages: Sequence[Any], prompt: bool, **options: Any) -> Any:
        return self.tokenizer.apply_chat_template(
            messages,
            tools=_tools(row),
            chat_template=self._template(row),
            add_generation_prompt=prompt,
            **options,
            **{**self.record["template_args"], **(row.get("chat_template_kwargs") or {})},
        )


def _shared(left: Sequence[Any], right: Sequence[Any]) -> int:
    """Return how many entries two sequences have in common at the beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _tools(row: Row) -> Any:
    tools = row.get("tools")
    return json.loads(tools) if isinstance(tools, str) else tools
