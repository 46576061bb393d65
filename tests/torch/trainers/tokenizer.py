"""A tokenizer whose words are numbers, made here; nothing is downloaded."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

WORDS, SPECIAL = 40, ("<pad>", "<eos>", "<unk>")


def number_tokenizer():
    """Words ``0 .. 39`` are the tokens 3 .. 42."""
    words = {word: index for index, word in enumerate([*SPECIAL, *map(str, range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
