"""From conversations to token samples: a tokenizer's chat template, one sample for each answer of the assistant.

    python -m examples.chat_to_samples > samples.jsonl && masksynth pack samples.jsonl -o packed

An answer is trained on exactly what the model sees when it gives it: the template applied to the messages before, with
the generation prompt. Templates that drop earlier thinking give each call its own history, so one sample per call is
right where one sample per conversation is not; what calls share is merged away again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = """{% for message in messages %}<|{{ message.role }}|> {% if message.role == 'assistant' %}\
{% if loop.last and message.thinking %}<think> {{ message.thinking }} </think> {% endif %}\
{{ message.content }} <|end|> \
{% else %}{{ message.content }} {% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"""
"""A template like those of reasoning models: the thinking of earlier turns is not repeated."""

CONVERSATION = [
    {"role": "user", "content": "two plus three ?"},
    {"role": "assistant", "thinking": "three after two", "content": "five"},
    {"role": "user", "content": "plus one ?"},
    {"role": "assistant", "thinking": "one after five", "content": "six"},
]


def samples_of(tokenizer: Any, messages: Sequence[Mapping[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    """One sample for each answer: the prompt untrained, the answer trained, all in the group of their conversation."""
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt = tokens_of(tokenizer, messages[:number], add_generation_prompt=True)
            whole = tokens_of(tokenizer, messages[: number + 1])
            if whole[: len(prompt)] != prompt:
                raise ValueError(f"{name}, message {number}: the template does not continue its own generation prompt")
            labels = [-100] * len(prompt) + whole[len(prompt) :]
            yield {"id": f"{name}/{number}", "group": name, "input_ids": whole, "labels": labels, "weight": 1.0}


def tokens_of(tokenizer: Any, messages: Sequence[Mapping[str, Any]], **options: Any) -> list[int]:
    """The token ids of messages under the chat template."""
    found: list[int] = tokenizer.apply_chat_template(list(messages), tokenize=True, return_dict=True, **options)[
        "input_ids"
    ]
    return found


def small_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """A tokenizer with a word for each word of a text; yours comes from ``AutoTokenizer.from_pretrained``."""
    model = models.WordLevel(
        {word: number for number, word in enumerate(["<unk>", *sorted(set(text.split()))])}, unk_token="<unk>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    wrapped.chat_template = TEMPLATE
    return wrapped


def main() -> None:
    """Print the samples of the conversation as JSON lines."""
    words = " ".join(text for message in CONVERSATION for text in message.values())
    tokenizer = small_tokenizer(f"{words} <|user|> <|assistant|> <think> </think> <|end|>")
    for one in samples_of(tokenizer, CONVERSATION, "chat-0"):
        print(json.dumps(one))


if __name__ == "__main__":
    main()
