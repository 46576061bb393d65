"""Tokenize texts that share long parts: cut them before special tokens, and tokenize each different piece once.

The calls of a conversation repeat what was said before, and prompts begin their answers; tokenized as a whole, each
token would be computed as often as it occurs. A tokenizer of the library ``tokenizers`` finds its added tokens in the
text first and normalizes, splits and merges what lies between them piece by piece, so a piece that begins with such a
token has the same tokens alone and within a text. Excepted are tokens that look at the text before them (``lstrip``,
``single_word``) or are found after normalization; no text is cut before those.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

Cut = Callable[[str], list[str]]
"""Cuts a text into pieces."""
CHECKED = 16
"""Texts of a run that are tokenized as a whole too, to see that cutting changes nothing."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of some texts.

    Parameters
    ----------
    cut : callable
    numbers : dict
        Number of each piece of the texts.
    encoded : BatchEncoding
        The encodings of all pieces, as transformers returns them.
    """

    cut: Cut
    numbers: dict[str, int]
    encoded: Any

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        ids, numbers = self.encoded["input_ids"], self.numbers
        return list(chain.from_iterable(ids[numbers[piece]] for piece in self.cut(text)))

    def tokens_at(self, text: str, chars: Iterable[int]) -> list[int | None]:
        """Return the index of the first token that contains each of some characters, None where there is none."""
        numbers = [self.numbers[piece] for piece in self.cut(text)]
        chars_before = list(accumulate(map(len, self.cut(text)), initial=0))
        tokens_before = list(accumulate((len(self.encoded["input_ids"][number]) for number in numbers), initial=0))
        tokens: list[int | None] = []
        for char in chars:
            piece = bisect_right(chars_before, char) - 1
            token = self.encoded.char_to_token(numbers[piece], char - chars_before[piece])
            tokens.append(None if token is None else tokens_before[piece] + token)
        return tokens


def encode(tokenizer: Any, texts: Iterable[str], cut: Cut, special: bool) -> Tokens:
    """Return the tokens of some texts.

    Parameters
    ----------
    tokenizer : tokenizer of transformers
    texts : iterable of str
    cut : callable
    special : bool
        Whether the tokenizer adds special tokens, as to plain text; such texts must not be cut.
    """
    pieces = dict.fromkeys(chain.from_iterable(map(cut, texts)))
    numbers = {piece: number for number, piece in enumerate(pieces)}
    return Tokens(cut, numbers, _encode_pieces(tokenizer, list(pieces), special) if pieces else None)


def _encode_pieces(tokenizer: Any, pieces: list[str], special: bool) -> Any:
    return tokenizer(
        pieces,
        add_special_tokens=special,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )


def keep_whole(text: str) -> list[str]:
    """Return a text as its only piece."""
    return [text]


def choose_cut(tokenizer: Any, texts: Sequence[str]) -> Cut:
    """Return the function that cuts texts before special tokens; `keep_whole` if that changes the tokens of a text.

    Parameters
    ----------
    tokenizer : tokenizer of transformers
    texts : sequence of str
        The first of them are tokenized in both ways.
    """
    cut = _cut_before(tokenizer) if getattr(tokenizer, "is_fast", False) else keep_whole
    checked = list(texts[:CHECKED])
    if not checked or cut is keep_whole:
        return cut
    tokens = encode(tokenizer, checked, cut, False)
    whole = _encode_pieces(tokenizer, checked, False)["input_ids"]
    return cut if all(tokens.ids(text) == ids for text, ids in zip(checked, whole, strict=True)) else keep_whole


def _cut_before(tokenizer: Any) -> Cut:
    """Return the function that cuts texts before each special token."""
    found = {t.content: t for t in tokenizer.added_tokens_decoder.values() if not t.normalized}
    if not found or tokenizer.split_special_tokens:
        return keep_whole
    # the longest first: of the tokens that begin at a character, the tokenizer takes the longest
    pattern = re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True))))
    cutting = {text for text, token in found.items() if not (token.lstrip or token.single_word)}

    def cut(text: str) -> list[str]:
        starts = [match.start() for match in pattern.finditer(text) if match[0] in cutting]
        edges = [0, *(start for start in starts if start), len(text)]
        return [text[start:end] for start, end in pairwise(edges)]

    return cut
