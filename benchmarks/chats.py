"""Tokenize chats: masksynth, a loop over `apply_chat_template`, and the tokenizer alone, in CPU seconds.

The loop renders and tokenizes the prompt and the whole of each call of the model, as TRL's preparation does for rows of
``prompt`` and ``completion`` (without the time of ``datasets.map``); all samples must be equal. The limit is the time
that the tokenizer needs for the text of each conversation once: each token of it must be computed at least once, unless
conversations repeat one another. Tokenizer: byte-level BPE with 16,000 tokens, trained on the pages of docs/, with the
template of ChatML. Each cell is measured in a process of its own, the cells of a kind in turn for ``ROUNDS`` rounds;
the least CPU time of each counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import alone, metered_here
from benchmarks.results import Result, table

PAGES = Path(__file__).parents[1] / "docs"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROUNDS = 3
ROWS = 1000
"""Rows of one call each; the longer the conversations, the fewer there are."""
KINDS = {"1 call": 1, "4 calls": 4, "20 calls": 20}
"""Name -> calls of the model in a conversation."""
HEAD = (
    "conversations of",
    "rows",
    "samples",
    "tokens",
    "limit s",
    "masksynth s",
    "loop s",
    "loop / masksynth",
    "masksynth / limit",
    "tokens / s",
)
Rows = list[dict[str, Any]]


def measure_chats(max_size: int) -> Result:
    """Measure conversations of one call and of several, with about ``max_size`` tokens at most."""
    text = alone(train_tokenizer)
    return Result((table(HEAD, [_row(name, text, calls, max_size) for name, calls in KINDS.items()]),))


def _row(name: str, text: str, calls: int, max_size: int) -> list[str]:
    rows = max(2, min(ROWS, max_size // 1000) // calls)
    rounds = [[alone(time_method, method, text, rows, calls) for method in METHODS] for _ in range(ROUNDS)]
    limit, ours, loop = (min(cells[method][0] for cells in rounds) for method in range(len(METHODS)))
    _, made, other = (cell[1] for cell in rounds[0])
    if made != other:
        raise AssertionError(f"{name}: masksynth and the loop make different samples")
    samples, tokens, _ = made
    numbers = [f"{rows:,}", f"{samples:,}", f"{tokens:,}", *(f"{value:.3f}" for value in (limit, ours, loop))]
    return [name, *numbers, f"{loop / ours:.2f}", f"{ours / limit:.2f}", f"{tokens / ours:,.0f}"]


def time_method(method: str, text: str, rows: int, calls: int) -> tuple[float, tuple[int, int, int]]:
    """Return the CPU seconds of a method, and the number of samples, their tokens, and a hash of both."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text), eos_token="<|im_end|>", chat_template=TEMPLATE
    )
    data = list(conversations(rows, calls))
    METHODS[method](tokenizer, data[:1])  # imports and the compilation of the template are not measured
    made, seconds = metered_here(partial(METHODS[method], tokenizer, data))
    content = hash(tuple(tuple(part) for sample in made for part in sample))
    return seconds, (len(made), sum(len(ids) for ids, _ in made), content)


def train_tokenizer() -> str:
    """Return a tokenizer trained on the pages of the documentation, as JSON."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer: Any = trainers.BpeTrainer(
        vocab_size=16_000,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(page) for page in sorted(PAGES.glob("*.md"))], trainer)
    return str(tokenizer.to_str())


def conversations(rows: int, calls: int) -> Iterator[dict[str, Any]]:
    """Yield conversations in passages of the documentation: questions of about 50 words, answers of about 150."""
    rng = random.Random(0)
    words = " ".join(page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md"))).split()

    def passage(mean: int) -> str:
        start = rng.randrange(len(words) - 2 * mean)
        return " ".join(words[start : start + rng.randint(mean // 2, mean * 3 // 2)])

    for _ in range(rows):
        messages = [{"role": "system", "content": passage(100)}]
        for _ in range(calls):
            messages.append({"role": "user", "content": passage(50)})
            messages.append({"role": "assistant", "content": passage(150)})
        yield {"messages": messages}


def _limit(tokenizer: Any, rows: Rows) -> list[tuple[list[int], list[int]]]:
    """Tokenize the text of each conversation once; it was rendered before, in memory of the template's own form."""
    texts = ["".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row["messages"]) for row in rows]
    return [(encoding.ids, []) for encoding in tokenizer.backend_tokenizer.encode_batch_fast(texts)]


def _masksynth(tokenizer: Any, rows: Rows) -> list[tuple[list[int], list[int]]]:
    import masksynth as ms

    return [(sample["input_ids"], sample["labels"]) for sample in ms.tokenize_chats(rows, tokenizer)]


def _loop(tokenizer: Any, rows: Rows) -> list[tuple[list[int], list[int]]]:
    made = []
    for row in rows:
        messages = row["messages"]
        for k in [k for k, message in enumerate(messages) if message["role"] == "assistant"]:
            prompt = tokenizer.apply_chat_template(messages[:k], add_generation_prompt=True)["input_ids"]
            ids = tokenizer.apply_chat_template(messages[: k + 1])["input_ids"]
            made.append((ids, [-100] * len(prompt) + ids[len(prompt) :]))
    return made


METHODS: dict[str, Callable[[Any, Rows], list[tuple[list[int], list[int]]]]] = {
    "limit": _limit,
    "masksynth": _masksynth,
    "loop": _loop,
}
"""Name -> function that tokenizes rows, to token ids and labels."""
