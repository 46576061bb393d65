"""Texts that are cut before special tokens have the tokens of the whole, for tokenizers of every kind."""

from __future__ import annotations

import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from masksynth.chats.encode import choose_cut, encode, keep_whole
from tests.chats.tokenizers import TEXTS, tokenizer_with

WORDS = ["two", "three", " ", "  ", "\n", "weather", "Rome", "é", "東京", "<|im_start|>", "<|im_end|>", "<s>", "<s><s>"]
WORDS += ["<|im", "<|im_end|>!", "word", "words", "<mask>", " <mask> ", "naïve", "x1"]
ADDED = {
    "plain": [AddedToken(name, special=True, normalized=False) for name in ("<s>", "<|im_start|>", "<|im_end|>")],
    "eats spaces": [AddedToken("<mask>", lstrip=True, special=True, normalized=False), AddedToken("<s>", rstrip=True)],
    "right": [AddedToken("<s>", rstrip=True, special=True, normalized=False)],
    "overlapping": [
        AddedToken(name, special=True, normalized=False) for name in ("<s>", "<s", ">", "<|im", "<|im_end|>")
    ],
    "words": [AddedToken("word", single_word=True, normalized=False), AddedToken("<s>", normalized=False)],
    "normalized": [AddedToken("two", normalized=True), AddedToken("<s>", special=True, normalized=False)],
    "none": [],
}


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return tokenizer


def unigram(scheme):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>"))
    return tokenizer


def llama_2():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"]))
    return tokenizer


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=["<unk>"]))
    return tokenizer


KINDS = {
    "byte level": byte_level,
    "metaspace first": lambda: unigram("first"),
    "metaspace always": lambda: unigram("always"),
    "Llama 2": llama_2,
    "WordPiece": word_piece,
}


@pytest.mark.parametrize("kind", KINDS)
def test_cut_texts_have_the_tokens_of_the_whole(kind):
    text = KINDS[kind]().to_str()
    rng = random.Random(kind)
    for added in ADDED.values():
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), unk_token="<unk>")
        tokenizer.add_tokens(added)
        texts = ["".join(rng.choices(WORDS, k=rng.randint(0, 12))) for _ in range(60)]
        cut = choose_cut(tokenizer, [])  # without a look at the texts
        tokens, whole = encode(tokenizer, texts, cut, False), encode(tokenizer, texts, keep_whole, False)
        for each in texts:
            assert "".join(cut(each)) == each
            assert tokens.ids(each) == whole.ids(each), (each, added)
            assert tokens.tokens_at(each, range(len(each))) == whole.tokens_at(each, range(len(each)))


def test_what_is_shared_is_one_piece():
    tokenizer = tokenizer_with("chatml")
    texts = ["<|im_start|>user\ntwo<|im_end|>\n", "<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n"]
    tokens = encode(tokenizer, texts, choose_cut(tokenizer, texts), False)
    assert list(tokens.numbers) == ["<|im_start|>user\ntwo", "<|im_end|>\n", "<|im_start|>assistant\n"]


def test_a_tokenizer_that_looks_across_pieces_is_not_cut():
    """A tokenizer whose tokens depend on the text before a special token, which no flag tells."""
    tokenizer = tokenizer_with("chatml")

    class Reverse(type(tokenizer)):
        def __call__(self, text, **options):
            encoded = super().__call__(text, **options)
            encoded["input_ids"] = [ids[::-1] for ids in encoded["input_ids"]]
            return encoded

    tokenizer.__class__ = Reverse
    assert choose_cut(tokenizer, ["<|im_start|>user\ntwo<|im_end|>\n"]) is keep_whole
    tokenizer = tokenizer_with("chatml")
    tokenizer.split_special_tokens = True
    assert choose_cut(tokenizer, []) is keep_whole
