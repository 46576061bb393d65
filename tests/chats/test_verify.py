"""`verify CHATS PACKED --tokenizer` recomputes the samples of the chats, and says what is wrong."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import masksynth as ms
from masksynth.chats.chat_options import options_of, record_options
from masksynth.verify.chat_samples import ChatChecker
from tests.chats.rows import (
    completion_rows,
    conversation_rows,
    judged_rows,
    messages_rows,
    pair_rows,
    text_pairs,
    text_rows,
)
from tests.chats.test_tokenize import folder, write
from tests.chats.tokenizers import TEMPLATES, tokenizer_with
from tests.cli.command import here, refused

__all__ = ["folder"]  # the fixture
ROLLOUTS = [
    {"prompt": row["prompt"], "completions": [row["chosen"], row["rejected"]], "rewards": [0.5, number]}
    for number, row in enumerate(pair_rows(1, 6))
]
CUT = [
    {"prompt": "What is the wea", "chosen": "ther", "rejected": " x"},
    {"prompt": "thr", "chosen": "ee", "rejected": "."},
]
CASES = {
    "calls": (messages_rows(1), []),
    "row": (messages_rows(2), ["--per", "row", "--chat-template", TEMPLATES / "qwen3_training.jinja"]),
    "last": (messages_rows(3), ["--train", "last"]),
    "all": (messages_rows(4), ["--train", "all", "--max-tokens", 90, "--truncate", "keep-end"]),
    "marked calls": (messages_rows(5), ["--chat-template", TEMPLATES / "glm4moe_training.jinja"]),
    "last marked": (messages_rows(6), ["--train", "last", "--chat-template", TEMPLATES / "qwen3_training.jinja"]),
    "completion": (completion_rows(7, tools=False), ["--max-tokens", 90, "--skip-long"]),
    "turns of a completion": (
        completion_rows(8),
        ["--train", "assistant", "--chat-template", TEMPLATES / "qwen3_instruct_2507.jinja"],
    ),
    "last of a completion": (completion_rows(9), ["--train", "last"]),
    "pairs": (pair_rows(10), ["--template-args", '{"enable_thinking": true}']),
    "long pairs": (pair_rows(11, tools=False), ["--max-tokens", 60, "--truncate", "keep-start"]),
    "text": (text_rows(12), []),
    "text pairs": (text_pairs(13), ["--max-tokens", 40, "--skip-long"]),
    "rollouts": (ROLLOUTS, []),
    "judged": (judged_rows(17), []),
    "judged text": ([{**row, "label": number < 5} for number, row in enumerate(text_rows(18))], []),
    "conversations": (conversation_rows(19, names={"user": "human", "assistant": "gpt"}), []),
    "conversations by row": (
        conversation_rows(20),
        ["--per", "row", "--chat-template", TEMPLATES / "qwen3_instruct_2507.jinja"],
    ),
    "turns of a row": (
        messages_rows(21, tools=False),
        ["--per", "row", "--chat-template", TEMPLATES / "qwen3_instruct_2507.jinja"],
    ),
    "diverging": (CUT, ["--diverging"]),
    "last of pairs": (pair_rows(15), ["--train", "last"]),
    "turns of pairs": (pair_rows(16), ["--train", "assistant", "--chat-template", TEMPLATES / "qwen3_training.jinja"]),
    "pairs without prompts": (
        [{key: row["prompt"] + row[key] for key in ("chosen", "rejected")} for row in pair_rows(14)],
        [],
    ),
    "text without prompts": (
        [{"chosen": "2 + 3 = 5", "rejected": "2 + 3 = 6"}, {"chosen": "two three", "rejected": "two thr"}],
        ["--diverging"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_pack_wrote_is_right(name, tmp_path, folder):
    rows, options = CASES[name]
    path = write(tmp_path / "chats.jsonl", rows)
    packed = here("pack", path, "--tokenizer", folder, "-o", tmp_path / "packed", *options, "--json")
    assert packed.returncode == 0, packed.stderr
    done = here("verify", path, tmp_path / "packed", "--tokenizer", folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(packed.stdout)["chats"]["samples"] == json.loads(packed.stdout)["samples"] > 0
    assert f"right. {json.loads(packed.stdout)['samples']} sample" in done.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory, folder):
    """A file of chats and the folder that pack made of it."""
    place = tmp_path_factory.mktemp("packed")
    write(place / "chats.jsonl", messages_rows(20, 8))
    assert here("pack", place / "chats.jsonl", "--tokenizer", folder, "-o", place / "packed").returncode == 0
    return place


def test_files_of_other_kinds(packed, folder, tmp_path):
    rows = list(map(json.loads, (packed / "chats.jsonl").read_text().splitlines()))
    (tmp_path / "chats.jsonl.gz").write_bytes(gzip.compress((packed / "chats.jsonl").read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "chats.parquet")
    for name in ("chats.jsonl.gz", "chats.parquet"):
        assert here("verify", tmp_path / name, packed / "packed", "--tokenizer", folder).returncode == 0


def test_other_chats_are_wrong(packed, folder, tmp_path):
    rows = list(map(json.loads, (packed / "chats.jsonl").read_text().splitlines()))
    rows[3]["messages"][-1]["content"] += "!"
    changed = write(tmp_path / "changed.jsonl", rows)
    words = refused(here("verify", changed, packed / "packed", "--tokenizer", folder), code=1)
    assert f"({changed}:4)" in words
    assert "sample '#4/" in words
    missing = write(tmp_path / "missing.jsonl", rows[:3])
    assert "is not among the samples" in refused(
        here("verify", missing, packed / "packed", "--tokenizer", folder), code=1
    )
    names = write(tmp_path / "names.jsonl", [{**row, "id": f"x{i}"} for i, row in enumerate(rows)])
    assert "is missing in the folder" in refused(
        here("verify", names, packed / "packed", "--tokenizer", folder), code=1
    )


def test_another_tokenizer_is_wrong(packed, folder, tmp_path):
    tokenizer = tokenizer_with("qwen3")
    tokenizer.add_tokens(["assistant"])
    tokenizer.save_pretrained(tmp_path)
    done = here("verify", packed / "chats.jsonl", packed / "packed", "--tokenizer", tmp_path)
    assert "the folder" in refused(done, code=1)


def test_a_fault_of_tokenize_is_found(packed, folder, tmp_path):
    """Samples with one label more, one token changed or a row left out: the folder is consistent, and wrong."""
    record = json.loads((packed / "packed" / "manifest.json").read_bytes())["options"]["chats"]
    right = [{**sample, "labels": list(sample["labels"])} for sample in ms.unpack_samples(packed / "packed")]
    places = np.random.default_rng(0).permutation(len(right))[:3].tolist()
    faults = {
        "label": lambda sample: sample["labels"].__setitem__(1, sample["input_ids"][1]),
        "token": lambda sample: sample["input_ids"].__setitem__(0, sample["input_ids"][0] + 1),
        "group": lambda sample: sample.__setitem__("group", "other"),
        "weight": lambda sample: sample.__setitem__("weight", 2.0),
    }
    for name, fault in faults.items():
        samples = [{**each, "labels": each["labels"][:], "input_ids": list(each["input_ids"])} for each in right]
        for place in places:
            fault(samples[place])
        ms.pack_samples(samples, tmp_path / name, chats=record)
        done = here("verify", packed / "chats.jsonl", tmp_path / name, "--tokenizer", folder)
        assert any(f"sample {right[place]['id']!r}" in refused(done, code=1) for place in places), name
    ms.pack_samples(right, tmp_path / "right", chats=record)
    assert here("verify", packed / "chats.jsonl", tmp_path / "right", "--tokenizer", folder).returncode == 0


def test_another_label_is_found(folder, tmp_path):
    rows = [{**row, "label": number < 2} for number, row in enumerate(text_rows(22, 4))]
    path = write(tmp_path / "chats.jsonl", rows)
    assert here("pack", path, "--tokenizer", folder, "-o", tmp_path / "packed").returncode == 0
    rows[2]["label"] = True
    changed = write(tmp_path / "changed.jsonl", rows)
    assert "sample '#3'" in refused(here("verify", changed, tmp_path / "packed", "--tokenizer", folder), code=1)
    assert [sample["label"][-1] for sample in ms.unpack_samples(tmp_path / "packed")] == [1, 1, 0, 0]


def test_a_folder_without_labels_or_rewards_is_wrong(folder, tmp_path):
    for name, rows in (("label", judged_rows(24, 3)), ("reward", ROLLOUTS[:2])):
        path = write(tmp_path / f"{name}.jsonl", rows)
        assert here("pack", path, "--tokenizer", folder, "-o", tmp_path / name).returncode == 0
        record = json.loads((tmp_path / name / "manifest.json").read_bytes())["options"]["chats"]
        ms.pack_samples(list(ms.unpack_samples(tmp_path / name)), tmp_path / "without" / name, chats=record)
        done = here("verify", path, tmp_path / "without" / name, "--tokenizer", folder)
        assert refused(done, code=1) == f"chats: the row has a {name}, the folder none ({path}:1)"


def counting(tokenizer):
    """The tokenizer, which counts the characters that it is given."""

    class Counting(type(tokenizer)):
        characters = 0

        def __call__(self, text, **options):
            Counting.characters += len(text)
            return super().__call__(text, **options)

    tokenizer.__class__ = Counting
    return tokenizer


@pytest.mark.parametrize(("template", "per"), [("chatml", "row"), ("chatml", "call"), ("qwen3_training", "call")])
def test_the_checker_tokenizes_about_what_it_returns(template, per, tmp_path):
    """Each sample once, and the ends of prompts: not the prompt of each turn from the beginning."""
    words = [
        {"role": role, "content": f"{number} plus three"} for number in range(100) for role in ("user", "assistant")
    ]
    path, tokenizer = write(tmp_path / "chats.jsonl", [{"messages": words}]), counting(tokenizer_with(template))
    record = record_options(options_of({"per": per, "max_tokens": 10**6}), "", tokenizer.chat_template)
    made = [sample for _, sample in ChatChecker(record, tokenizer).samples([str(path)])]
    least = sum(len(tokenizer.decode(sample["input_ids"])) for sample in made)
    assert least < tokenizer.characters < 2 * least + 10_000
    expected = list(ms.tokenize_chats(path, tokenizer_with(template), per=per, max_tokens=10**6))
    assert [(sample["input_ids"], sample["labels"]) for sample in made] == [
        (sample["input_ids"], sample["labels"]) for sample in expected
    ]


def test_the_checker_of_a_tokenizer_that_looks_across_special_tokens(tmp_path):
    """Such a tokenizer gets all texts whole, here and there."""
    tokenizer = tokenizer_with("chatml")

    class Spelling(type(tokenizer)):
        """Tokens depend on the length of the text, which no flag tells."""

        def __call__(self, text, **options):
            encoded = super().__call__(text, **options)
            if isinstance(text, str):
                encoded["input_ids"] = self.shifted(text, encoded["input_ids"])
            else:
                encoded["input_ids"] = [
                    self.shifted(each, ids) for each, ids in zip(text, encoded["input_ids"], strict=True)
                ]
            return encoded

        def shifted(self, text, ids):
            first = int(text.count("<|im_start|>") > 1)
            return [(ids[0] + first), *ids[1:]] if ids else ids

    tokenizer.__class__ = Spelling
    rows = messages_rows(23, 6, tools=False)
    path = write(tmp_path / "chats.jsonl", rows)
    record = record_options(options_of({"diverging": True}), "", tokenizer.chat_template)
    made = [sample for _, sample in ChatChecker(record, tokenizer).samples([str(path)])]
    expected = list(ms.tokenize_chats(path, tokenizer, diverging=True))
    assert [(sample["input_ids"], sample["labels"]) for sample in made] == [
        (sample["input_ids"], sample["labels"]) for sample in expected
    ]


def test_the_manifest_states_template_options_and_their_hash(packed, folder, tmp_path):
    record = json.loads((packed / "packed" / "manifest.json").read_bytes())["options"]["chats"]
    assert record["chat_template"] == tokenizer_with("qwen3").chat_template
    assert record["tokenizer"] == str(folder)
    assert (record["train"], record["per"], record["max_tokens"], record["long"]) == (None, "call", 32768, "refuse")
    right = list(ms.unpack_samples(packed / "packed"))
    ms.pack_samples(right, tmp_path / "changed", chats={**record, "per": "row"})
    done = here("verify", packed / "chats.jsonl", tmp_path / "changed", "--tokenizer", folder)
    assert refused(done, code=1).startswith("chats: the chat options have the hash ")
    ms.pack_samples(right, tmp_path / "samples")
    done = here("verify", packed / "chats.jsonl", tmp_path / "samples", "--tokenizer", folder)
    assert refused(done) == (
        f"{tmp_path / 'samples'}: manifest.json names no chat template: the folder was packed from samples; "
        "name the samples, without --tokenizer"
    )
    assert "chats need --tokenizer" in refused(here("verify", packed / "chats.jsonl", packed / "packed"))


def test_a_run_continues_with_the_same_options_only(tmp_path, folder):
    rows = [{"prompt": "two", "completion": f" {number}"} for number in range(1200)]
    path = write(tmp_path / "chats.jsonl", [*rows, {"prompt": "two", "completion": ""}])
    arguments = ("pack", path, "--tokenizer", folder, "-o", tmp_path / "packed", "--window", 400)
    assert f"{path}:1201: $.completion: the answer is empty" in refused(here(*arguments))
    write(path, rows)
    assert "--resume" in refused(here(*arguments))
    assert "give the same options" in refused(here(*arguments, "--resume", "--train", "all"))
    assert here(*arguments, "--resume", "--quiet").returncode == 0
    assert here("verify", path, tmp_path / "packed", "--tokenizer", folder).returncode == 0


def test_rows_that_cannot_be_tokenized_are_named(packed, folder, tmp_path):
    path = write(tmp_path / "chats.jsonl", [{"nonsense": 1}])
    done = here("verify", path, packed / "packed", "--tokenizer", folder)
    assert refused(done).startswith(f"{path}:1: $: the row cannot be tokenized: ")
    (tmp_path / "text.jsonl").write_text("{\n")
    done = here("verify", tmp_path / "text.jsonl", packed / "packed", "--tokenizer", folder)
    assert "text.jsonl:1: not JSON" in refused(done)
