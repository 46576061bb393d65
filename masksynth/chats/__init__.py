"""Tokenize chats: messages to token samples, by the chat template of a model's tokenizer."""

from masksynth.chats.tokenize import tokenize_chats

__all__ = ["tokenize_chats"]
