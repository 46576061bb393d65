"""Random rows of chats of every form."""

from __future__ import annotations

import random

PLAIN = "two three plus weather Rome sunny the of and 17 3.14 é naïve 東京 😀 x=1; <b> { } don't ... — <|im_end|> user"
WORDS = [*PLAIN.split(), "\n\n", "\t", ""]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def text(rng, least=1):
    words = [rng.choice(WORDS) for _ in range(rng.randint(least, 9))]
    return (" ".join(words)).strip() or "x"


def turns(rng, tools, last="assistant", turns=None):
    """Messages: questions and answers, some by way of a tool; ends with a turn of the given role."""
    messages = [{"role": "system", "content": text(rng)}] if rng.random() < 0.5 else []
    for _ in range(turns or rng.randint(1, 3)):
        messages.append({"role": "user", "content": text(rng)})
        messages += answer(rng, tools)
    while messages[-1]["role"] != last:
        messages.pop()
    return messages


def answer(rng, tools, thinking=True):
    """The turns that answer a question."""
    messages = []
    if tools and rng.random() < 0.6:
        call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": text(rng)}}}
        messages.append({"role": "assistant", "content": rng.choice(["", text(rng)]), "tool_calls": [call]})
        messages.append({"role": "tool", "name": "get_weather", "content": text(rng)})
    last = {"role": "assistant", "content": text(rng)}
    if thinking and rng.random() < 0.5:
        last["reasoning_content"] = text(rng)
    return [*messages, last]


def messages_rows(seed, count=12, tools=True):
    rng = random.Random(seed)
    return [{"messages": turns(rng, tools), **({"tools": TOOLS} if tools else {})} for _ in range(count)]


def prompt_rows(seed, count=12, tools=True):
    """Rows with messages as prompt and a function that makes an answer to it."""
    rng = random.Random(seed)
    more = {"tools": TOOLS} if tools else {}
    return [({"prompt": turns(rng, tools, "user"), **more}, lambda: answer(rng, tools)) for _ in range(count)]


def completion_rows(seed, count=12, tools=True):
    return [{**row, "completion": make()} for row, make in prompt_rows(seed, count, tools)]


def pair_rows(seed, count=12, tools=True):
    rows = [{**row, "chosen": make(), "rejected": make()} for row, make in prompt_rows(seed, count, tools)]
    return [row for row in rows if row["chosen"] != row["rejected"]]


def text_rows(seed, count=12):
    rng = random.Random(seed)
    return [{"prompt": text(rng), "completion": " " + text(rng)} for _ in range(count)]


def text_pairs(seed, count=12):
    rng = random.Random(seed)
    rows = [{"prompt": text(rng), "chosen": " " + text(rng), "rejected": " " + text(rng)} for _ in range(count)]
    return [row for row in rows if row["chosen"] != row["rejected"]]


def judged_rows(seed, count=12, tools=True):
    """Rows of KTO."""
    return [{**row, "label": bool(number % 3)} for number, row in enumerate(completion_rows(seed, count, tools))]


def conversation_rows(seed, count=12, tools=True, names=None):
    """Rows of `messages_rows` as ShareGPT has them; ``names`` are other names of roles."""
    names = names or {}
    keys = {"role": "from", "content": "value"}

    def shared(message):
        renamed = {keys.get(key, key): value for key, value in message.items()}
        return {**renamed, "from": names.get(message["role"], message["role"])}

    rows = messages_rows(seed, count, tools)
    return [{"conversations": [shared(each) for each in row.pop("messages")], **row} for row in rows]
