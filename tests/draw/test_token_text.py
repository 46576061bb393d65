"""Text instead of token ids, with tokenizers that are trained here and saved to folders."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth.cli import main
from masksynth.draw import draw
from masksynth.draw.token_text import decode_tokens, load_tokenizer
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.pack import pack_samples
from masksynth.report import report_html
from masksynth.subject import Labels, Subject

tokenizers = pytest.importorskip("tokenizers")
CORPUS = ["the cat sat on the mat", "the dog sat on the cat", "a cät\nand a dog 語"] * 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A byte-level BPE tokenizer as tokenizer.json alone, and a word tokenizer as transformers saves it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("tokenizers")
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer, fast.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(CORPUS, trainer)
    (place / "bpe").mkdir()
    fast.save(str(place / "bpe" / "tokenizer.json"))
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "cat": 2, "▁sat": 3}, unk_token="[UNK]"))
    words.decoder = decoders.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(place / "words")
    return place


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def encode(folders, text):
    return tokenizers.Tokenizer.from_file(str(folders / "bpe" / "tokenizer.json")).encode(text).ids


def causal(ids, labels):
    size = len(ids)
    place = np.arange(len(labels))
    told = Labels(place, tuple(labels), np.ones(size), place * 0, (), ((),) * size, place * 0 - 1)
    return Subject(Mask.from_dense(np.tri(size, dtype=bool)), "text", inputs=tuple(ids), positions=place, labels=told)


def test_ids_become_text_and_spaces_are_seen(folders):
    ids = encode(folders, "the cat sat")
    subject = decode_tokens(causal(ids, [*ids[1:], 0]), folders / "bpe")
    assert subject.inputs == ("the", "␣cat", "␣sat")
    assert subject.labels.value == ("␣cat", "␣sat", "<eos>")


def test_parts_of_letters_and_ids_outside_the_vocabulary(folders):
    text = load_tokenizer(folders / "bpe")
    assert [text(number) for number in (10**6, -1, 2**40, 10**30)] == [None] * 4
    first, *_ = encode(folders, "語")
    assert "\ufffd" not in text(first)
    assert text(first)
    mixed = causal([("mean", *encode(folders, "cat")), "word", 10**6, 1.5, True], [1] * 5)
    inputs = decode_tokens(mixed, folders / "bpe").inputs
    assert inputs[0][0] == "mean"
    assert all(isinstance(part, str) for part in inputs[0])
    assert inputs[1:] == ("word", 10**6, 1.5, True)


def test_a_folder_of_transformers_and_a_slow_tokenizer(folders, monkeypatch):
    assert load_tokenizer(folders / "words")(1) == "the"
    assert load_tokenizer(folders / "words")(3) == "␣sat"
    monkeypatch.setattr("masksynth.draw.token_text.FILE", "none.json")  # read by transformers instead
    text = load_tokenizer(str(folders / "words"))
    assert [text(number) for number in (1, 3, 4)] == ["the", "␣sat", None]


def test_pictures_and_reports_show_text(folders):
    ids = encode(folders, "the cat sat")
    subject = causal(ids, [*ids[1:], 0])
    for what in ("mask", "hasse"):
        assert "␣cat@1" in draw(subject, what, tokenizer=folders / "bpe")
        assert "␣cat@1" in draw(subject, what, "svg", tokenizer=folders / "bpe")
        assert "␣cat" not in draw(subject, what)
    assert json.dumps("␣cat")[1:-1] in report_html(subject, tokenizer=folders / "bpe")
    assert json.dumps("␣cat")[1:-1] not in report_html(subject)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_commands_take_a_tokenizer(folders, tmp_path):
    ids = encode(folders, "the cat sat")
    pack_samples([{"id": "a", "input_ids": ids, "labels": ids}], tmp_path / "packed")
    done = run("draw", tmp_path / "packed", "--what", "hasse", "--tokenizer", folders / "bpe")
    assert done.exit_code == 0
    assert "the@0 ⇒ ␣cat" in done.output
    done = run("audit", tmp_path / "packed", "--report", tmp_path / "a.html", "--tokenizer", folders / "bpe")
    assert done.exit_code in (0, 3), done.output
    assert json.dumps("␣cat")[1:-1] in (tmp_path / "a.html").read_text()
    (tmp_path / "instance.json").write_text(run("new", "causal_lm").output)
    done = run("solve", tmp_path / "instance.json", "--report", tmp_path / "b.html", "--tokenizer", folders / "words")
    assert done.exit_code == 0, done.output


def test_what_cannot_be_read_is_one_line(folders, tmp_path, monkeypatch):
    (tmp_path / "tokenizer.json").write_text("{}")
    for name in (
        tmp_path,
        tmp_path / "tokenizer.json",
        tmp_path / "nothing",
        "some-owner/some-model-not-cached",
        "a b",
    ):
        done = run("draw", "attn_gym.masks:causal_mask", "--length", 4, "--tokenizer", name)
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert "nothing is downloaded" in done.output
    done = run("audit", "attn_gym.masks:causal_mask", "--length", 4, "--tokenizer", folders / "bpe")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "--tokenizer without --report" in done.output
    with pytest.raises(InvalidInstance, match="no tokenizer found"):
        load_tokenizer("not-there")
    monkeypatch.setattr("masksynth.draw.token_text.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"needs transformers; pip install 'masksynth\[hf\]'"):
        load_tokenizer(folders / "bpe")


def test_a_name_is_looked_up_in_the_local_cache(folders, tmp_path):
    snapshot = tmp_path / "hub" / "models--someone--words" / "snapshots" / ("0" * 40)
    shutil.copytree(folders / "words", snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    program = "from masksynth.draw.token_text import load_tokenizer; print(load_tokenizer('someone/words')(1))"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    assert done.stdout == "the\n"


def test_nothing_is_loaded_without_a_tokenizer():
    program = (
        "import sys, masksynth.draw.token_text, masksynth.cli;"
        "print(sorted({'tokenizers', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
