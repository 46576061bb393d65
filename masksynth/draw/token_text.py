"""Text instead of token ids: inputs and labels decoded by a tokenizer that lies on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from masksynth.chats.load_tokenizer import REMEDY, find_tokenizer
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.subject.subject import Subject

SPACE = "␣"
"""Shown for the space that a token begins or ends with."""
INSTALL = "a tokenizer needs transformers; pip install 'masksynth[hf]'"
FILE = "tokenizer.json"


def decode_tokens(subject: Subject, tokenizer: str | Path) -> Subject:
    """Return a subject whose token ids, in inputs and labels, are replaced by their text.

    Parameters
    ----------
    subject : Subject
    tokenizer : str or path
        A folder that a tokenizer was saved to, its tokenizer.json, or a name in the local cache of Hugging Face.
        Nothing is downloaded.

    Returns
    -------
    Subject
        Integers that are not ids of the vocabulary, and everything that is not an integer, stay as they are.

    Raises
    ------
    InvalidInstance
        If no tokenizer is found there.
    Unsupported
        If neither ``tokenizers`` nor ``transformers`` is installed.
    """
    text_of_id = cache(load_tokenizer(tokenizer))
    inputs = None if subject.inputs is None else tuple(_decode(value, text_of_id) for value in subject.inputs)
    labels = subject.labels
    if labels is not None:
        labels = replace(labels, value=tuple(_decode(value, text_of_id) for value in labels.value))
    return replace(subject, inputs=inputs, labels=labels)


def _decode(value: Any, text_of_id: Callable[[int], str | None]) -> Any:
    """Replace token ids in a value, also in those of an aggregate such as ``("mean", 17, 42)``."""
    if type(value) is int:
        text = text_of_id(value)
        return value if text is None else text
    return tuple(_decode(part, text_of_id) for part in value) if isinstance(value, (list, tuple)) else value


def load_tokenizer(name: str | Path) -> Callable[[int], str | None]:
    """Return the function that maps a token id to its text, or to None where the vocabulary has no such id.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``decode_tokens``.
    """
    if find_spec("tokenizers") is None and find_spec("transformers") is None:
        raise Unsupported(INSTALL)
    folder = find_tokenizer(name)
    file = folder if folder.is_file() else folder / FILE
    try:
        if file.is_file() and find_spec("tokenizers") is not None:
            return _read_file(file)
        if find_spec("transformers") is None:
            raise Unsupported(INSTALL)
        return _read_folder(folder)
    except (MemoryError, Unsupported):
        raise
    except Exception as error:  # both libraries raise plain Exception and several kinds of their own
        fact = f"no tokenizer can be read: {' '.join(str(error).split())[:200]}"
        raise InvalidInstance(fact, "", REMEDY, str(name)) from None


def _read_file(file: Path) -> Callable[[int], str | None]:
    """Read a tokenizer.json, which needs no import of transformers."""
    from tokenizers import Tokenizer

    fast: Any = Tokenizer.from_file(str(file))

    def decode(ids: list[int]) -> str:
        return str(fast.decode(ids, skip_special_tokens=False))

    return lambda number: _text(number, fast.id_to_token, decode)


def _read_folder(folder: Path) -> Callable[[int], str | None]:
    """Read a tokenizer that has no tokenizer.json."""
    from transformers import AutoTokenizer

    slow: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    size = len(slow)

    def token_of(number: int) -> str | None:
        return slow.convert_ids_to_tokens(number) if number < size else None

    return lambda number: _text(number, token_of, slow.decode)


def _text(number: int, token_of: Callable[[int], str | None], decode: Callable[[list[int]], str]) -> str | None:
    """Return the text of a token; a space at its ends is made visible."""
    if not 0 <= number < 2**31:
        return None
    token = token_of(number)
    if token is None:
        return None
    text = decode([number])
    if not text or "\ufffd" in text:  # a partial character: use the vocabulary's own name
        return token
    if token.startswith(("▁", "Ġ")) and not text.startswith(" "):  # decoders drop the space before the first token
        text = f" {text}"
    left, right = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))
    return SPACE * left + text.strip(" ") + SPACE * (right if text.strip(" ") else 0)
