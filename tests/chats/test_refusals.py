"""Rows that are not chats: one line each, with file, line, field and remedy."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import masksynth as ms
from masksynth.chats import load_tokenizer
from masksynth.chats.check_messages import ROLES
from masksynth.errors import MasksynthWarning
from tests.chats.test_tokenize import CONVERSATION, folder, write
from tests.chats.tokenizers import tokenizer_with
from tests.cli.command import here, masksynth, refused

__all__ = ["folder"]  # the fixture


def user(content="two?"):
    return {"role": "user", "content": content}


def assistant(content="five", **more):
    return {"role": "assistant", "content": content, **more}


SYSTEM, TOOL = {"role": "system", "content": "be kind"}, {"role": "tool", "content": "sunny"}
ORDER = "; correct the order, or give --any-order (any_order=True) if the template takes it"
IMAGE = [{"type": "image"}, {"type": "text", "text": "what is this?"}]
PAIR = {"prompt": [user()], "chosen": [assistant("a")], "rejected": [assistant("b")]}
FORMS = (
    "messages; conversations; prompt and completion; prompt, completion and label; prompt, chosen and rejected; "
    "chosen and rejected; prompt, completions and rewards"
)
CHATML_ROLES = ", ".join(ROLES)
SPLIT = [user(), assistant("a")]
REFUSED = {
    "not an object": ([1], "$: a row is an object, not list; give {\"messages\": [...]}"),
    "another row": ({"text": "two"}, f"$: the row is not a chat, it has text; give {FORMS}"),
    "nothing": ({}, f"$: the row is not a chat; give {FORMS}"),
    "prompt alone": ({"prompt": "two"}, f"$: prompt is not a chat; give one of: {FORMS}"),
    "no rejected": ({"prompt": "2", "chosen": "3"}, "$: rejected is missing; give prompt, chosen and rejected"),
    "no prompt": (
        {"chosen": "2", "rejected": "3"},
        "$: there is no prompt, and the first character of chosen is not that of rejected; "
        "give prompt, chosen and rejected",
    ),
    "no prompt in messages": (
        {"chosen": [user("a"), assistant()], "rejected": [user("b"), assistant()]},
        "$: there is no prompt, and the first message of chosen is not that of rejected; "
        "give prompt, chosen and rejected",
    ),
    "order in a pair without prompt": (
        {"chosen": [*SPLIT, user("b"), assistant("c")], "rejected": [*SPLIT, user("b"), user("d"), assistant("c")]},
        f"$.rejected[3].role: 'user' follows 'user'{ORDER}",
    ),
    "order in what a pair without prompt begins with": (
        {"chosen": [user(), user(), assistant("c")], "rejected": [user(), user(), assistant("d")]},
        f"$.chosen[1].role: 'user' follows 'user'{ORDER}",
    ),
    "role in a pair without prompt": (
        {"chosen": [*SPLIT, user("b"), assistant("c")], "rejected": [*SPLIT, user("b"), {"role": "x", "content": "d"}]},
        f"$.rejected[3].role: unknown role 'x'; choose from {CHATML_ROLES}",
    ),
    "text and messages without prompt": (
        {"chosen": "two three", "rejected": [user(), assistant()]},
        "$.rejected: chosen is text, this a list of messages; both need one form; give text twice, or messages twice",
    ),
    "empty answer without prompt": (
        {"chosen": "2 + 3 = ", "rejected": "2 + 3 = 6"},
        "$.chosen: the answer is empty; give the answer, or leave the row out",
    ),
    "messages and conversations": (
        {"messages": CONVERSATION, "conversations": [{"from": "human", "value": "a"}]},
        f"$: messages and conversations are not a chat; give one of: {FORMS}",
    ),
    "role of conversations": (
        {"conversations": [{"from": "humans", "value": "two"}]},
        f"$.conversations[0].from: unknown role 'humans'; choose from human, gpt, {CHATML_ROLES}",
    ),
    "role that is a list": (
        {"conversations": [{"from": ["human"], "value": "two"}]},
        f"$.conversations[0].from: unknown role of type list; choose from human, gpt, {CHATML_ROLES}",
    ),
    "no value": (
        {"conversations": [{"from": "human"}]},
        "$.conversations[0]: value is missing; give the text of the message",
    ),
    "empty value": (
        {"conversations": [{"from": "human", "value": "two"}, {"from": "gpt", "value": " "}]},
        "$.conversations[1].value: the assistant's turn is empty; give the answer, or leave the message out",
    ),
    "order in conversations": (
        {"conversations": [{"from": "gpt", "value": "two"}, {"from": "human", "value": "two"}]},
        f"$.conversations[0].from: 'assistant' is the first message{ORDER}",
    ),
    "label": (
        {"prompt": "two", "completion": " three", "label": 1},
        "$.label: expected true or false, whether the completion is desirable, got 1; "
        "give one of them, or give the field another name",
    ),
    "label without prompt": (
        {"completion": " three", "label": True},
        "$: prompt is missing; give prompt and completion",
    ),
    "reward beyond floats": (
        {"prompt": "two", "completions": ["a"], "rewards": [10**400]},
        "$.rewards[0]: expected a finite number, got ",
    ),
    "chosen alone": ({"chosen": "2"}, "$: prompt and rejected are missing; give prompt, chosen and rejected"),
    "no rewards": (
        {"prompt": "2", "completions": ["3"], "rewards": None},
        "$: rewards is missing; give prompt, completions and rewards",
    ),
    "mixture": (
        {"messages": CONVERSATION, "prompt": "2", "completion": "3"},
        f"$: messages, prompt and completion are not a chat; give one of: {FORMS}",
    ),
    "images": ({"messages": CONVERSATION, "images": ["a.png"]}, "$.images: only text is packed; leave such rows out"),
    "no messages": (
        {"messages": []},
        "$.messages: there is no message; give at least one, or leave the row out",
    ),
    "messages as text": (
        {"messages": "two"},
        "$.messages: expected a list of messages, got 'two'; give [{\"role\": \"user\", \"content\": \"...\"}, ...]",
    ),
    "message as text": (
        {"messages": ["two"]},
        "$.messages[0]: a message is an object, not str; give {\"role\": \"user\", \"content\": \"...\"}",
    ),
    "no role": (
        {"messages": [{"from": "human", "value": "two"}]},
        "$.messages[0]: role is missing; give {\"role\": \"user\", \"content\": \"...\"}",
    ),
    "unknown role": (
        {"messages": [{"role": "human", "content": "two"}]},
        f"$.messages[0].role: unknown role 'human'; choose from {', '.join(ROLES)}",
    ),
    "no content": ({"messages": [{"role": "user"}]}, "$.messages[0]: content is missing; give the text of the message"),
    "number": (
        {"messages": [user(5)]},
        "$.messages[0].content: expected a string, got 5; give the text of the message",
    ),
    "parts": (
        {"messages": [user(IMAGE), assistant()]},
        "$.messages[0].content: the content is a list of parts, such as text and images; only text is packed; give the "
        "text as a string, and leave images out",
    ),
    "empty turn": (
        {"messages": [user(), assistant(" \n")]},
        "$.messages[1].content: the assistant's turn is empty; give the answer, or leave the message out",
    ),
    "empty completion": (
        {"prompt": "two", "completion": " "},
        "$.completion: the answer is empty; give the answer, or leave the row out",
    ),
    "no turn": (
        {"messages": [user()]},
        "$.messages: there is no turn of the assistant; leave the row out",
    ),
    "two users": ({"messages": [user(), user(), assistant()]}, f"$.messages[1].role: 'user' follows 'user'{ORDER}"),
    "two answers": (
        {"messages": [user(), assistant(), assistant()]},
        f"$.messages[2].role: 'assistant' follows 'assistant'{ORDER}",
    ),
    "assistant first": (
        {"messages": [assistant(), user()]},
        f"$.messages[0].role: 'assistant' is the first message{ORDER}",
    ),
    "late system": (
        {"messages": [user(), SYSTEM, assistant()]},
        f"$.messages[1].role: 'system' follows 'user'{ORDER}",
    ),
    "tool first": ({"messages": [user(), TOOL, assistant()]}, f"$.messages[1].role: 'tool' follows 'user'{ORDER}"),
    "order in a completion": (
        {"prompt": [user()], "completion": [user(), assistant()]},
        f"$.completion[0].role: 'user' follows 'user'{ORDER}",
    ),
    "equal pair": (
        {**PAIR, "rejected": PAIR["chosen"]},
        "$.rejected: chosen and rejected are the same; leave the row out",
    ),
    "pair of equal tokens": (
        {**PAIR, "rejected": [assistant("a", name="x")]},
        "$.rejected: chosen and rejected have the same tokens; leave the row out",
    ),
    "two forms": (
        {"prompt": "two", "completion": [assistant()]},
        "$.completion: the prompt is text, this a list of messages; both need one form; "
        "give text twice, or messages twice",
    ),
    "rewards": (
        {"prompt": "two", "completions": ["a", "b"], "rewards": [1]},
        "$.rewards: 1 rewards for 2 completions; give one reward for each completion",
    ),
    "reward": (
        {"prompt": "two", "completions": ["a", "b"], "rewards": [1, "2"]},
        "$.rewards[1]: expected a finite number, got '2'; give the reward of the completion",
    ),
    "no completions": (
        {"prompt": "two", "completions": [], "rewards": []},
        "$.completions: expected a list with an entry for each answer, got an empty one; "
        "give completions and rewards, as many",
    ),
    "tools": ({"messages": CONVERSATION, "tools": "[{"}, "$.tools: is not JSON; give a list of JSON schemas"),
    "tools of text": (
        {"messages": CONVERSATION, "tools": ["f"]},
        "$.tools: expected a list of JSON schemas; give one object for each tool",
    ),
    "id": (
        {"messages": CONVERSATION, "id": 0.5},
        "$.id: float is not a string or an integer; give a string or an integer",
    ),
    "arguments": (
        {"messages": CONVERSATION, "chat_template_kwargs": 3},
        "$.chat_template_kwargs: expected an object; give variables of the template",
    ),
    **{
        f"argument {name}": (
            {"messages": CONVERSATION, "chat_template_kwargs": {"enable_thinking": True, name: value}},
            f"$.chat_template_kwargs.{name}: is an argument of apply_chat_template, not a variable of the template; "
            "leave it out",
        )
        for name, value in (("tokenize", False), ("add_generation_prompt", True), ("return_tensors", "pt"))
    },
}  # fmt: skip


OPEN = ("reward beyond floats",)
"""Of these, only the beginning is compared."""


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    row, message = REFUSED[name]
    path = write(tmp_path / "chats.jsonl", [row])
    with pytest.raises(ms.InvalidInstance) as error:
        list(ms.tokenize_chats(path, tokenizer_with("chatml")))
    assert str(error.value) == f"{path}:1: {message}" or (name in OPEN and message in str(error.value))


LINES = {
    "not JSON": ('{"messages": [}', "not JSON: column 15: Expecting value"),
    "NaN": ('{"messages": NaN}', "$.messages: NaN is not a JSON number; use a finite number"),
    "half": (r'{"messages": "\ud83d"}', r"a string has \ud83d, which is half of a character"),
    "repeated key": ('{"id": 1, "id": 2}', "$: key 'id' is repeated in one object"),
    "bytes": (b'{"id": "\xff"}', "is not UTF-8 text"),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_that_are_not_json(name, tmp_path):
    line, message = LINES[name]
    path = tmp_path / "chats.jsonl"
    first = json.dumps({"messages": CONVERSATION}).encode()
    path.write_bytes(first + b"\n\n" + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    with pytest.raises(ms.InvalidInstance) as error:
        list(ms.tokenize_chats(path, tokenizer_with("chatml")))
    assert str(error.value).startswith(f"{path}:3: {message}")


def test_files_without_rows_and_damaged_ones(tmp_path, folder):
    empty, zipped, parquet = tmp_path / "empty.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "a.parquet"
    empty.write_text("\n")
    zipped.write_bytes(b"\x1f\x8b\x08broken")
    parquet.write_bytes(b"PAR1broken")
    for path, words in ((empty, "contains no row"), (zipped, "gzip stream is damaged"), (parquet, "as Parquet")):
        assert words in refused(here("tokenize", path, "--tokenizer", folder))
    assert "No such file" in refused(here("tokenize", tmp_path / "missing.jsonl", "--tokenizer", folder))
    with pytest.raises(ms.InvalidInstance, match="there is no row"):
        list(ms.tokenize_chats([], folder))


def test_one_form_and_each_id_once(tmp_path):
    tokenizer = tokenizer_with("chatml")
    rows = [{"messages": CONVERSATION}, {"prompt": "two", "completion": " three"}]
    path = write(tmp_path / "chats.jsonl", rows)
    with pytest.raises(ms.InvalidInstance, match=r"chats.jsonl:2: \$: the row has another form than those before"):
        list(ms.tokenize_chats(path, tokenizer))
    path = write(tmp_path / "again.jsonl", [{"id": "a", "messages": CONVERSATION}] * 2)
    with pytest.raises(ms.InvalidInstance, match=r"again.jsonl:2: \$\.id: 'a' is the id of an earlier row"):
        list(ms.tokenize_chats(path, tokenizer))


def test_prefixes_that_disagree():
    tokenizer = tokenizer_with("deepseek_r1_distill")
    with pytest.raises(ms.InvalidInstance) as error:
        list(ms.tokenize_chats([{"messages": CONVERSATION[:2]}], tokenizer))
    assert str(error.value).startswith("rows:1: $.messages[1]: the answer does not continue its prompt: they agree in ")
    assert "which goes on with '<think>" in str(error.value)
    (sample,) = ms.tokenize_chats([{"messages": CONVERSATION[:2]}], tokenizer, diverging=True)
    assert sample["labels"][-1] != -100


def test_templates_that_refuse_or_mark_nothing():
    rows = [{"messages": [SYSTEM, *CONVERSATION]}]
    with pytest.raises(
        ms.InvalidInstance, match=r"rows:1: \$: the chat template refuses the messages: System role not"
    ):
        list(ms.tokenize_chats(rows, tokenizer_with("gemma")))
    marked = "{% if not messages %}{% generation %}x{% endgeneration %}{% endif %}{{ messages[0].content }}"
    marked += "{% for m in messages[1:] %}{{ m.content }}{% endfor %}"
    with pytest.raises(
        ms.InvalidInstance, match="no token is trained that the generation markers of the template mark"
    ):
        list(ms.tokenize_chats(rows, tokenizer_with("chatml"), chat_template=marked))
    with pytest.raises(ms.InvalidInstance, match=r"the chat template refuses the messages: .*unknown tag"):
        list(ms.tokenize_chats(rows, tokenizer_with("chatml"), chat_template="{% nonsense %}"))


def test_marks_that_end_between_tokens():
    """A tokenizer of words makes no token of a space, so a mark cannot end there."""
    words = Tokenizer(models.WordLevel({"<unk>": 0, "two?": 1, "five": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }} {% else %}{% generation %}\
{{ m.content }}{% if space %} {% endif %}{% endgeneration %}{% endif %}{% endfor %}"
    rows = [{"messages": [user(), assistant()]}]
    (sample,) = ms.tokenize_chats(rows, tokenizer, chat_template=template)
    assert sample["labels"] == [-100, 2]
    with pytest.raises(ms.InvalidInstance, match="no token contains the character ' ' at an end of what the template"):
        list(ms.tokenize_chats(rows, tokenizer, chat_template=template, template_args={"space": True}))


@pytest.mark.parametrize("name", ["llama3_2", "gptoss"])
def test_a_template_with_the_date_of_today_is_a_warning(name):
    rows = [{"messages": [CONVERSATION[0], assistant()]}]
    with pytest.warns(MasksynthWarning, match="the chat template writes the date of today"):
        list(ms.tokenize_chats(rows * 2, tokenizer_with(name)))
    asks = name == "gptoss"  # which reads no variable with a date
    with pytest.warns(MasksynthWarning) if asks else nullcontext():
        list(ms.tokenize_chats(rows, tokenizer_with(name), template_args={"date_string": "26 Jul 2024"}))
    if name == "llama3_2":
        without = {"chat_template_kwargs": {"date_string": "26 Jul 2024"}, **rows[0]}
        with pytest.warns(MasksynthWarning):  # the second row has no date
            list(ms.tokenize_chats([without, *rows], tokenizer_with(name)))


def test_any_order_is_left_to_the_template():
    tokenizer = tokenizer_with("chatml")
    greeting = [assistant("hello"), user("a"), user("b"), assistant("c"), SYSTEM, user("d"), assistant("e")]
    made = list(ms.tokenize_chats([{"messages": greeting}], tokenizer, any_order=True))
    assert [sample["id"] for sample in made] == ["#1/3", "#1/6"]  # nothing is before the greeting


def test_options(folder, tmp_path):
    path = write(tmp_path / "chats.jsonl", [{"messages": CONVERSATION}])
    with pytest.raises(ms.InvalidInstance, match="there is no option 'trains'; choose from train, per,"):
        ms.tokenize_chats(path, folder, trains="all")
    for name, value in (("train", "users"), ("per", "chat"), ("long", "cut"), ("max_tokens", 0), ("max_tokens", True)):
        with pytest.raises(ms.InvalidInstance, match=f"^{name}: expected .*, got "):
            ms.tokenize_chats(path, folder, **{name: value})
    with pytest.raises(
        ms.InvalidInstance, match=r"of which 'completion' cannot be trained; choose from assistant, last"
    ):
        list(ms.tokenize_chats(path, folder, train="completion"))
    with pytest.raises(ms.InvalidInstance, match="plain text has no turns, so 'last' cannot be trained"):
        list(ms.tokenize_chats([{"prompt": "a", "completion": "b"}], folder, train="last"))
    text = "Error: --per is an option of chats, which need --tokenizer\n"
    assert here("pack", path, "--per", "row").stderr.endswith(text)
    both = here("pack", path, "--tokenizer", folder, "--skip-long", "--truncate", "keep-end")
    assert both.stderr.endswith("Error: --skip-long leaves long samples out, --truncate cuts them; give one of them\n")
    assert "expected a JSON object" in here("tokenize", path, "--tokenizer", folder, "--template-args", "3").stderr
    assert "name a file with -o" in here("tokenize", path, "--tokenizer", folder, "--json").stderr
    assert refused(here("pack", path)) == f"{path}:1: $: input_ids is missing; chats need --tokenizer"


def test_tokenizers_that_are_not_there(tmp_path):
    path = write(tmp_path / "chats.jsonl", [{"messages": CONVERSATION}])
    remedy = "give a folder with tokenizer.json, or a name in the local cache; nothing is downloaded"
    assert refused(here("tokenize", path, "--tokenizer", "someone/model")) == (
        f"someone/model: no tokenizer found; {remedy}"
    )
    done = here("pack", path, "--tokenizer", tmp_path)
    assert refused(done).startswith(f"{tmp_path}: no tokenizer can be read: ")
    with pytest.raises(ms.InvalidInstance, match="expected a tokenizer, got int"):
        ms.tokenize_chats(path, 3)


def test_an_extra_that_is_not_installed_is_named(monkeypatch, folder):
    for missing in ("transformers", "jinja2"):
        monkeypatch.setattr(
            load_tokenizer, "find_spec", lambda name, missing=missing: None if name == missing else name
        )
        with pytest.raises(ms.Unsupported, match=rf"^chats need {missing}: pip install 'masksynth\[hf\]'$"):
            ms.tokenize_chats([{"messages": CONVERSATION}], folder)


def test_the_target_is_kept(tmp_path, folder):
    path = write(tmp_path / "chats.jsonl", [{"messages": CONVERSATION}])
    target = write(tmp_path / "samples.jsonl", [])
    done = here("tokenize", path, "--tokenizer", folder, "-o", target)
    assert refused(done).startswith(f"{target}: already exists")
    assert "never replaced" in refused(here("tokenize", path, "--tokenizer", folder, "-o", path, "--force"))


def test_the_real_command_prints_one_line(tmp_path, folder):
    path = write(tmp_path / "chats.jsonl", [{"messages": []}])
    done = masksynth("tokenize", path, "--tokenizer", folder)
    assert refused(done) == f"{path}:1: $.messages: there is no message; give at least one, or leave the row out"
