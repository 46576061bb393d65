"""Chats become one sample for each call of the model; files of every kind, ids, groups, rewards, limits."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

import masksynth as ms
from tests.chats.rows import TOOLS, messages_rows, pair_rows, text_rows
from tests.chats.tokenizers import tokenizer_with
from tests.cli.command import here, refused

CONVERSATION = [
    {"role": "user", "content": "two plus three?"},
    {"role": "assistant", "reasoning_content": "three after two", "content": "five"},
    {"role": "user", "content": "plus one?"},
    {"role": "assistant", "reasoning_content": "one after five", "content": "six"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a saved tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer_with("qwen3").save_pretrained(folder)
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def trained(tokenizer, sample):
    return tokenizer.decode([label for label in sample["labels"] if label != -100])


def test_each_call_is_trained_after_what_the_model_was_shown():
    """Qwen 3 drops the thinking of earlier turns, so the second call sees the first answer without it."""
    tokenizer = tokenizer_with("qwen3")
    first, second = ms.tokenize_chats([{"id": "chat", "messages": CONVERSATION}], tokenizer)
    assert (first["id"], second["id"], first["group"], second["group"]) == ("chat/1", "chat/3", "chat", "chat")
    assert trained(tokenizer, first) == "<think>\nthree after two\n</think>\n\nfive<|im_end|>\n"
    assert trained(tokenizer, second) == "<think>\none after five\n</think>\n\nsix<|im_end|>\n"
    for sample, k in ((first, 1), (second, 3)):
        prompt = tokenizer.apply_chat_template(CONVERSATION[:k], add_generation_prompt=True)["input_ids"]
        whole = tokenizer.apply_chat_template(CONVERSATION[: k + 1])["input_ids"]
        assert sample["input_ids"] == whole
        assert sample["labels"] == [-100] * len(prompt) + whole[len(prompt) :]
    assert "three after two" not in tokenizer.decode(second["input_ids"])
    (batch,) = ms.pack_batches([first, second])
    assert batch.positions < len(first["input_ids"]) + len(second["input_ids"]) - 2


def test_what_is_trained():
    tokenizer = tokenizer_with("chatml")
    rows = [{"messages": CONVERSATION}]
    texts = {
        ("assistant", "call"): ["five<|im_end|>\n", "six<|im_end|>\n"],
        ("assistant", "row"): ["five<|im_end|>\nsix<|im_end|>\n"],
        ("last", "call"): ["six<|im_end|>\n"],
        ("last", "row"): ["six<|im_end|>\n"],
    }
    for (train, per), expected in texts.items():
        made = list(ms.tokenize_chats(rows, tokenizer, train=train, per=per))
        assert [trained(tokenizer, sample) for sample in made] == expected
    (sample,) = ms.tokenize_chats(rows, tokenizer, train="all")
    assert sample["labels"] == sample["input_ids"]
    assert sample["id"] == "#1"
    assert "group" not in sample


def test_generation_markers_say_what_is_trained():
    tokenizer = tokenizer_with("glm4moe_training")
    first, second = ms.tokenize_chats([{"messages": CONVERSATION}], tokenizer)
    (row,) = ms.tokenize_chats([{"messages": CONVERSATION}], tokenizer, per="row")
    marks = tokenizer.apply_chat_template(CONVERSATION, return_dict=True, return_assistant_tokens_mask=True)
    assert [label != -100 for label in row["labels"]] == [bool(bit) for bit in marks["assistant_masks"]]
    assert trained(tokenizer, first) + trained(tokenizer, second) != ""
    last = next(iter(ms.tokenize_chats([{"messages": CONVERSATION}], tokenizer, per="row", train="last")))
    assert trained(tokenizer, last) == trained(tokenizer, second)


def test_a_row_of_a_template_that_drops_thinking_is_refused():
    with pytest.raises(ms.InvalidInstance, match=r"rows:1: \$\.messages: the answer does not continue .* --per call"):
        list(ms.tokenize_chats([{"messages": CONVERSATION}], tokenizer_with("qwen3"), per="row"))


def test_files_of_every_kind_give_the_same_samples(tmp_path, folder):
    rows = messages_rows(1, 6)
    lines = write(tmp_path / "chats.jsonl", rows)
    (tmp_path / "chats.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "chats.parquet")
    expected = list(ms.tokenize_chats(rows, folder))
    for source in (lines, tmp_path / "chats.jsonl.gz", tmp_path / "chats.parquet", Dataset.from_list(rows)):
        assert list(ms.tokenize_chats(source, folder)) == expected, source
    several = list(ms.tokenize_chats([lines, tmp_path / "chats.parquet"], folder))
    assert [sample["input_ids"] for sample in several] == [sample["input_ids"] for sample in expected * 2]
    assert several[0]["id"] == f"{lines}#1/{expected[0]['id'].rpartition('/')[2]}"


def test_the_none_that_parquet_adds_is_removed(tmp_path):
    """Two tools with different arguments become one type in Parquet, and each gets the other's as None."""
    calls = [{"city": "Rome"}, {"lines": 3}]
    rows = [
        {
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": call}}]},
            ],
            "tools": TOOLS,
        }
        for call in calls
    ]
    tokenizer = tokenizer_with("qwen3")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "chats.parquet")
    assert (
        None
        in pq.read_table(tmp_path / "chats.parquet")
        .to_pylist()[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]
        .values()
    )
    expected = list(ms.tokenize_chats(rows, tokenizer))
    assert list(ms.tokenize_chats(tmp_path / "chats.parquet", tokenizer)) == expected
    assert list(ms.tokenize_chats(Dataset.from_list(rows), tokenizer)) == expected
    assert "null" not in tokenizer.decode(expected[0]["input_ids"])


def test_nulls_of_json_lines(tmp_path, folder):
    """A null is a value, unless it is said that the program that wrote the lines added it."""
    call = {"function": {"name": "f", "arguments": {"city": "Rome", "unit": None}}}
    row = {"messages": [CONVERSATION[0], {"role": "assistant", "content": "", "tool_calls": [call]}]}
    path, tokenizer = write(tmp_path / "chats.jsonl", [row]), tokenizer_with("qwen3")
    (kept,), (dropped,) = (ms.tokenize_chats(path, tokenizer, drop_nulls=drop) for drop in (False, True))
    assert '"unit": null' in tokenizer.decode(kept["input_ids"])
    del call["function"]["arguments"]["unit"]
    assert [dropped] == list(ms.tokenize_chats([row], tokenizer))
    arguments = ("pack", path, "--tokenizer", folder, "--drop-nulls", "-o", tmp_path / "packed", "--quiet")
    assert here(*arguments).returncode == 0
    assert next(iter(ms.unpack_samples(tmp_path / "packed")))["input_ids"] == dropped["input_ids"]
    assert here("verify", path, tmp_path / "packed", "--tokenizer", folder).returncode == 0


def test_ids_groups_weights_and_rewards_travel():
    tokenizer = tokenizer_with("chatml")
    answers = [[{"role": "assistant", "content": word}] for word in ("five", "six")]
    row = {"prompt": CONVERSATION[:1], "completions": answers, "rewards": [1, -0.5], "weight": 2.0}
    first, second = ms.tokenize_chats([{**row, "id": 7, "group": "g"}], tokenizer)
    assert [first[key] for key in ("id", "group", "weight", "reward")] == ["7/0", "g", 2.0, 1.0]
    assert [second[key] for key in ("id", "group", "weight", "reward")] == ["7/1", "g", 2.0, -0.5]
    (batch,) = ms.pack_batches([first, second], token_fields=["reward"])
    assert sorted(set(batch.fields["reward"].tolist())) == [-0.5, 1.0]
    assert {"advantages", "reward"} & set(first) == {"reward"}
    chosen, rejected = ms.tokenize_chats(pair_rows(3, 1, tools=False), tokenizer)
    assert (chosen["id"], rejected["id"], rejected["group"]) == ("#1/chosen", "#1/rejected", "#1")


def test_tools_and_arguments_of_the_template(folder):
    row = {"messages": CONVERSATION[:2], "tools": TOOLS}
    (sample,) = ms.tokenize_chats([row], folder)
    (as_text,) = ms.tokenize_chats([{**row, "tools": json.dumps(TOOLS)}], folder)
    (without,) = ms.tokenize_chats([{"messages": CONVERSATION[:2], "tools": None}], folder)
    assert sample == as_text
    assert len(sample["input_ids"]) > len(without["input_ids"]) + 50
    prompt = {"messages": [CONVERSATION[0], {"role": "assistant", "content": "five"}]}
    plain, closed, by_row = (
        next(iter(ms.tokenize_chats([row], folder, **options)))
        for row, options in (
            (prompt, {}),
            (prompt, {"template_args": {"enable_thinking": False}}),
            ({**prompt, "chat_template_kwargs": {"enable_thinking": False}}, {}),
        )
    )
    assert closed == by_row
    assert plain["input_ids"] == closed["input_ids"]
    assert plain["labels"].count(-100) < closed["labels"].count(-100)  # the empty thinking is in the prompt


def test_limits(tmp_path, folder):
    rows = [{"id": name, "messages": CONVERSATION[:2]} for name in "ab"]
    rows[1] = {"id": "b", "messages": [CONVERSATION[0], {"role": "assistant", "content": "five " * 40}]}
    path = write(tmp_path / "chats.jsonl", rows)
    length = len(list(ms.tokenize_chats(rows, folder))[1]["input_ids"])
    done = here("tokenize", path, "--tokenizer", folder, "--max-tokens", length - 1, "-o", tmp_path / "s.jsonl")
    assert refused(done) == (
        f"{path}:2: $.messages[1]: {length} tokens, more than {length - 1}; "
        "give --skip-long, --truncate keep-start or keep-end, or a larger --max-tokens"
    )
    assert not (tmp_path / "s.jsonl").exists()
    for option, count in ((["--skip-long"], 1), (["--truncate", "keep-end"], 2), ([], 2)):
        limit = length if not option else length - 1
        arguments = ("tokenize", path, "--tokenizer", folder, "--max-tokens", limit, *option)
        done = here(*arguments, "-o", tmp_path / "s.jsonl", "--force", "--json")
        report = json.loads(done.stdout)
        assert list(report) == ["rows", "samples", "tokens", "trained", "cut", "skipped"]
        assert (report["samples"], report["skipped"]) == (count, ["b/1"] if option == ["--skip-long"] else [])
    packed = here("pack", path, "--tokenizer", folder, "--max-length", length - 1)
    assert f"{length} tokens, more than {length - 1}" in refused(packed)
    packed = here("pack", path, "--tokenizer", folder, "--max-length", length - 1, "--skip-long")
    assert f"1 sample with more than {length - 1} tokens left out: b/1" in packed.stdout


def test_a_run_without_samples_says_why(tmp_path, folder):
    path = write(tmp_path / "chats.jsonl", [{"messages": CONVERSATION}])
    packed = ("pack", path, "--tokenizer", folder, "--max-tokens", 9)
    assert refused(here(*packed, "--skip-long")) == (
        "no sample is left: all 2 have more than 9 tokens; give a larger --max-tokens, or --truncate"
    )
    assert refused(here(*packed, "--truncate", "keep-start")) == (
        "no sample is left: all 2 have more than 9 tokens, and none of those that are kept is trained; "
        "give a larger --max-tokens"
    )
    samples = write(tmp_path / "samples.jsonl", [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}])
    done = here("pack", samples, "--max-length", 1, "--skip-long")
    assert "  no sample is left: all are longer than a batch; give a larger --max-length\n" in done.stdout
    assert "no label is trained" not in done.stdout


def test_a_pair_is_left_out_together():
    tokenizer, row = tokenizer_with("chatml"), {"prompt": "two", "chosen": " a", "rejected": " b" * 50}
    assert list(ms.tokenize_chats([row], tokenizer, max_tokens=20, long="skip")) == []
    assert len(list(ms.tokenize_chats([row], tokenizer, max_tokens=20, long="keep-start"))) == 2
    row["prompt"] = "two" * 30
    assert list(ms.tokenize_chats([row], tokenizer, max_tokens=20, long="keep-start")) == []


def test_pack_is_tokenize_without_the_file(tmp_path, folder):
    rows = messages_rows(4, 10)
    path = write(tmp_path / "chats.jsonl", rows)
    assert here("tokenize", path, "--tokenizer", folder, "-o", tmp_path / "samples.jsonl.gz").returncode == 0
    for source, options in ((path, ["--tokenizer", folder]), (tmp_path / "samples.jsonl.gz", [])):
        name = "one" if options else "two"
        assert here("pack", source, *options, "-o", tmp_path / name, "--max-length", 2000, "--quiet").returncode == 0
    assert list(ms.unpack_samples(tmp_path / "one")) == list(ms.unpack_samples(tmp_path / "two"))


def test_streams(tmp_path, folder):
    path = write(tmp_path / "chats.jsonl", messages_rows(5, 3))
    done = here("tokenize", "-", "--tokenizer", folder, text=path.read_text())
    assert done.returncode == 0
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [
        sample["id"] for sample in ms.tokenize_chats(path, folder)
    ]
    assert done.stderr.startswith("-: 3 rows -> ")


def test_memory_is_that_of_a_block():
    """Four times the rows take about the same memory."""
    tokenizer = tokenizer_with("chatml")
    row = {"messages": [CONVERSATION[0], {"role": "assistant", "content": "w " * 9000}]}

    def measured(count):
        tracemalloc.start()
        for _ in ms.tokenize_chats((dict(row) for _ in range(count)), tokenizer, max_tokens=10**6):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    measured(1)
    assert measured(600) < 2 * measured(150)


def test_plain_text_needs_no_template():
    tokenizer = tokenizer_with("chatml")
    tokenizer.chat_template = None
    assert len(list(ms.tokenize_chats(text_rows(1), tokenizer))) == 12
    with pytest.raises(ms.InvalidInstance, match="rows:1: \\$: the tokenizer has no chat template; give one by"):
        list(ms.tokenize_chats([{"messages": CONVERSATION}], tokenizer))
    made = ms.tokenize_chats([{"messages": CONVERSATION}], tokenizer, chat_template=tokenizer_with().chat_template)
    assert len(list(made)) == 2


def test_rewards_reach_the_folder(tmp_path, folder):
    """One number for all labels of a sample, in the three kinds of files, is a list of it; with verification."""
    rows = [
        {"prompt": "two", "completions": [" a", " bb"], "rewards": [0.5, 2]},
        {"prompt": "x", "completions": [" c"], "rewards": [0]},
    ]
    path = write(tmp_path / "chats.jsonl", rows)
    samples = list(ms.tokenize_chats(path, folder))
    assert here("pack", path, "--tokenizer", folder, "-o", tmp_path / "one", "--quiet").returncode == 0
    write(tmp_path / "samples.jsonl", samples)
    pq.write_table(pa.Table.from_pylist(samples), tmp_path / "samples.parquet")
    lists = [{**sample, "reward": [sample["reward"]] * len(sample["input_ids"])} for sample in samples]
    write(tmp_path / "lists.jsonl", lists)
    expected = list(ms.unpack_samples(tmp_path / "one"))
    assert [sample["reward"][-1] for sample in expected] == [0.5, 2.0, 0.0]
    for name in ("samples.jsonl", "samples.parquet", "lists.jsonl"):
        target = tmp_path / name.partition(".")[2] / name.partition(".")[0]
        arguments = ("pack", tmp_path / name, "--token-field", "reward", "-o", target, "--quiet")
        assert here(*arguments).returncode == 0
        assert list(ms.unpack_samples(target)) == expected
        assert here("verify", tmp_path / name, tmp_path / "one", "--quiet").returncode == 0
