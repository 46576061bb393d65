"""Token ids and trained labels are those of the data sets that TRL's trainers make from the same rows."""

from __future__ import annotations

import pytest

import masksynth as ms
from tests.chats.rows import (
    TOOLS,
    completion_rows,
    conversation_rows,
    judged_rows,
    messages_rows,
    pair_rows,
    prompt_rows,
    text_pairs,
    text_rows,
)
from tests.chats.tokenizers import TEMPLATES_OF_OURS, tokenizer_with
from tests.chats.trainers import dpo, grpo_prompts, kto, sft

pytestmark = pytest.mark.filterwarnings("ignore")
PLAIN = ("chatml", "llama3")
"""Templates without tools."""
WITH_TOOLS = ("qwen2_5", "qwen3", "qwen3_training", "qwen2_5_training", "glm4moe", "lfm2_v2")


def samples(rows, tokenizer, **options):
    return [(row["input_ids"], row["labels"]) for row in ms.tokenize_chats(rows, tokenizer, **options)]


@pytest.mark.parametrize("name", [*PLAIN, *WITH_TOOLS])
def test_sft_on_messages(name):
    tokenizer, rows = tokenizer_with(name), messages_rows(1, tools=name in WITH_TOOLS)
    assert samples(rows, tokenizer, train="all") == sft(rows, tokenizer)


@pytest.mark.parametrize("name", ["qwen3_training", "qwen2_5_training", "llama3_training", "glm4moe_training"])
def test_sft_on_turns_of_the_assistant(name):
    tokenizer, rows = tokenizer_with(name), messages_rows(2, tools=name != "llama3_training")
    expected = sft(rows, tokenizer, assistant_only_loss=True)
    assert samples(rows, tokenizer, per="row") == expected
    assert any(-100 in labels and labels[-2] != -100 for _, labels in expected)


@pytest.mark.parametrize("name", [*PLAIN, *WITH_TOOLS])
def test_sft_on_completions(name):
    tokenizer, rows = tokenizer_with(name), completion_rows(3, tools=name in WITH_TOOLS)
    assert samples(rows, tokenizer) == sft(rows, tokenizer)
    assert samples(rows, tokenizer, train="all") == sft(rows, tokenizer, completion_only_loss=False)


def test_sft_on_turns_of_the_assistant_in_completions():
    tokenizer, rows = tokenizer_with("qwen3_training"), completion_rows(4)
    assert samples(rows, tokenizer, train="assistant") == sft(rows, tokenizer, assistant_only_loss=True)


@pytest.mark.parametrize("name", [*PLAIN, *WITH_TOOLS])
def test_dpo(name):
    tokenizer, rows = tokenizer_with(name), pair_rows(5, tools=name in WITH_TOOLS)
    assert samples(rows, tokenizer) == dpo(rows, tokenizer)


@pytest.mark.parametrize("name", ["chatml", "qwen3"])
def test_sft_on_conversations(name):
    """TRL renames keys and keeps the names of roles; ours are its own where it has none."""
    tokenizer, rows = tokenizer_with(name), conversation_rows(12, tools=name == "qwen3")
    assert samples(rows, tokenizer, train="all") == sft(rows, tokenizer)
    others = conversation_rows(12, tools=name == "qwen3", names={"user": "human", "assistant": "gpt"})
    assert samples(others, tokenizer) == samples(rows, tokenizer)
    assert {message["from"] for row in others for message in row["conversations"]} >= {"human", "gpt", "system"}


@pytest.mark.parametrize("name", ["chatml", "qwen3"])
def test_kto(name):
    tokenizer = tokenizer_with(name)
    texts = [{**row, "label": bool(number % 2)} for number, row in enumerate(text_rows(13))]
    for rows in (judged_rows(12, tools=name == "qwen3"), texts):
        made = [(row["input_ids"], row["labels"], row["label"]) for row in ms.tokenize_chats(rows, tokenizer)]
        assert made == kto(rows, tokenizer)
        assert {label for _, _, label in made} == {0, 1}


@pytest.mark.parametrize("name", TEMPLATES_OF_OURS)
def test_unusual_templates(name):
    """Answers begin where TRL lets them begin, also where a template renders the prompt in another way."""
    tokenizer, some = tokenizer_with(name), {"count": 5, "tools": False}
    completions, pairs = completion_rows(14, **some), pair_rows(15, **some)
    assert samples(completions, tokenizer, diverging=True) == sft(completions, tokenizer)
    assert samples(pairs, tokenizer, diverging=True) == dpo(pairs, tokenizer)
    if "generation -%}" in tokenizer.chat_template:
        rows = messages_rows(16, **some)
        assert samples(rows, tokenizer, per="row") == sft(rows, tokenizer, assistant_only_loss=True)


@pytest.mark.parametrize("name", ["chatml", "qwen3"])
def test_dpo_without_prompts(name):
    """What both answers begin with is the prompt."""
    tokenizer, rows = tokenizer_with(name), pair_rows(11, tools=name == "qwen3")
    for row in rows:
        prompt = row.pop("prompt")
        row["chosen"], row["rejected"] = prompt + row["chosen"], prompt + row["rejected"]
    assert samples(rows, tokenizer) == dpo(rows, tokenizer)
    texts = [("2 + 3 = 5", "2 + 3 = 6"), ("two three", "two thr"), ("say five", "say fifty"), ("a b", "a bc")]
    pairs = [{"chosen": chosen, "rejected": rejected} for chosen, rejected in texts]
    assert samples(pairs, tokenizer, diverging=True) == dpo(pairs, tokenizer)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_plain_text_ends_with_eos(adds_bos):
    tokenizer = tokenizer_with("chatml", adds_bos=adds_bos)
    rows = [*text_rows(6), {"prompt": "two", "completion": " three<|im_end|>"}]
    assert samples(rows, tokenizer) == sft(rows, tokenizer)
    pairs = text_pairs(7)
    assert samples(pairs, tokenizer) == dpo(pairs, tokenizer)
    assert samples(rows, tokenizer)[0][0][-1] == tokenizer.eos_token_id


def test_tokens_across_the_end_of_the_prompt():
    """TRL begins the completion where tokens diverge and warns; here that is asked for."""
    tokenizer = tokenizer_with("chatml")
    rows = [{"prompt": "What is the ", "completion": "answer"}, {"prompt": "thr", "completion": "ee"}]
    pairs = [{"prompt": "What is the wea", "chosen": "ther", "rejected": " x"}]
    with pytest.raises(ms.InvalidInstance, match="a token goes across the end of the prompt"):
        samples(rows, tokenizer)
    assert samples(rows, tokenizer, diverging=True) == sft(rows, tokenizer)
    assert samples(pairs, tokenizer, diverging=True) == dpo(pairs, tokenizer)


@pytest.mark.parametrize(("mode", "limit"), [("keep-start", 40), ("keep-end", 40), ("keep-start", 25)])
def test_truncation(mode, limit):
    tokenizer, rows = tokenizer_with("qwen3"), completion_rows(8, tools=False)
    options = {"max_length": limit, "truncation_mode": mode.replace("-", "_")}
    expected = sft(rows, tokenizer, **options)
    assert samples(rows, tokenizer, long=mode, max_tokens=limit) == expected
    assert any(len(ids) == limit for ids, _ in expected)
    pairs = pair_rows(9, tools=False)
    assert samples(pairs, tokenizer, long=mode, max_tokens=limit) == dpo(pairs, tokenizer, **options)


@pytest.mark.parametrize("name", ["chatml", "qwen3", "llama3"])
def test_prompts_of_grpo(name):
    tools = TOOLS if name == "qwen3" else None
    tokenizer, rows = tokenizer_with(name), [(row, make) for row, make in prompt_rows(10, 6, tools is not None)]
    groups = [{**row, "completions": [[make()[-1]] for _ in range(2)], "rewards": [1.0, 0.5]} for row, make in rows]
    made = list(ms.tokenize_chats(groups, tokenizer))
    prompts = grpo_prompts([row["prompt"] for row, _ in rows], tokenizer, tools)
    for number, prompt in enumerate(prompts):
        for sample in made[2 * number : 2 * number + 2]:
            assert [label == -100 for label in sample["labels"]] == [
                i < len(prompt) for i in range(len(sample["labels"]))
            ]
            assert sample["input_ids"][: len(prompt)] == prompt
    assert [sample["reward"] for sample in made] == [1.0, 0.5] * 6
