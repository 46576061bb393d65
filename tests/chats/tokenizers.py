"""Small tokenizers with the chat templates of real models, made here; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import trl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES_OF_OURS = {
    "chatml": CHATML,
    "BOS and trimmed text": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "no EOS and no generation prompt": (
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]{% else %}"
        " {{ m.content | trim }} {% endif %}{% endfor %}"
    ),
    "thinking of the last turn": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if loop.last and m.reasoning_content is defined %}"
        "<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "markers that strip": (
        "{%- for m in messages -%}<|im_start|>{{ m.role }} {%- if m.role == 'assistant' -%}{%- generation -%}"
        "{{ m.content }}<|im_end|>{%- endgeneration -%}{%- else -%}{{ m.content }}<|im_end|>{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}<|im_start|>assistant{%- endif -%}"
    ),
    "the number of messages": (
        "{% for m in messages %}{{ loop.index }}/{{ messages | length }}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
}
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<think>", "</think>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<|user|>", "<|assistant|>"),
    "<|end|>",
)
TEXTS = (
    "You are a helpful assistant. What is two plus three? The answer is five. user system tool assistant",
    'thinking about the weather {"name": "get_weather", "arguments": {"city": "Rome"}} sunny and warm in spring',
)


@cache
def byte_level(adds_bos=False):
    """A byte-level BPE tokenizer with a few hundred merges, as GPT-2, Llama 3 and Qwen have them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    if adds_bos:
        bos = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
        tokenizer.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[bos])
    return tokenizer.to_str()


def template_of(name):
    """The chat template of a name: ours, or that which TRL ships."""
    ours = TEMPLATES_OF_OURS.get(name)
    return ours if ours is not None else (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def tokenizer_with(name="chatml", eos="<|im_end|>", adds_bos=False):
    """A tokenizer with a chat template."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(byte_level(adds_bos)),
        eos_token=eos,
        bos_token="<|begin_of_text|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = template_of(name)
    return tokenizer
