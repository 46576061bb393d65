"""Starts that are given: ``--start`` and several ``--text``, through the command; what is refused with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from masksynth.cli import main
from masksynth.diagnostics.clustering import causal_mask, expected_strong_of_law, starts, token_states, trajectories

TIME = ("--time", 5, "--beta", 16)


def run(*arguments):
    done = CliRunner().invoke(main, ["diagnose", "clustering", *map(str, arguments)])
    return done.exit_code, done.output


def record(*arguments):
    code, text = run(*arguments, "--json")
    assert code == 0, text
    return json.loads(text)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of 16 positions whose tokenizer takes 12 tokens of two words."""
    folder = tmp_path_factory.mktemp("model")
    words = Tokenizer(WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=12).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=3, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    transformers.GPT2Model(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_points_of_a_file_are_the_start(tmp_path, scale):
    """Of any length, one start or several; without a mask each sees those before it."""
    points = starts(3, 7, 4, seed=5)
    lengths = np.random.default_rng(0).uniform(0.5, 2, (3, 7, 1))
    np.save(tmp_path / "several.npy", scale * lengths * points)
    np.save(tmp_path / "one.npy", scale * (lengths * points)[1])
    several, one = (record("--start", tmp_path / f"{name}.npy", *TIME) for name in ("several", "one"))
    assert [(each["seeds"], each["positions"], each["dim"]) for each in (several, one)] == [(3, 7, 4), (1, 7, 4)]
    x = trajectories(causal_mask(7), points, several["times"], beta=16.0)
    pairs = np.einsum("stnd,stmd->stnm", x, x)[:, :, ~np.eye(7, dtype=bool)].mean(axis=-1)
    assert np.abs(several["similarity"]["mean"] - pairs.mean(axis=0)).max() < 2e-6
    assert np.abs(one["similarity"]["mean"] - pairs[1]).max() < 2e-6
    assert one["lasting"] == several["lasting"][1:2]
    assert several["start_given"]
    assert several["setting"] == f"7 points of {tmp_path / 'several.npy'}"


def test_centres_of_given_points_are_compared_with_those_in_random_order(tmp_path):
    points = starts(2, 9, 3, seed=1)
    np.save(tmp_path / "x.npy", points)
    found = record("--start", tmp_path / "x.npy", *TIME)
    assert found["expected_strong"] == pytest.approx(np.mean([expected_strong_of_law(each, 1.0) for each in points]))
    assert found["expected_of_law"] == pytest.approx(expected_strong_of_law(points.reshape(-1, 3), 1.0))
    assert found["expected_renyi"] is None
    text = run("--start", tmp_path / "x.npy", *TIME)[1]
    assert f"expected of these points in random order: {found['expected_strong']:.1f} strong" in text
    assert f"{found['expected_of_law']:.1f} among endlessly many draws" in text
    other = record("--causal", 9, *TIME)
    assert (other["start_given"], other["expected_of_law"]) == (False, None)


def test_a_mask_of_a_file_moves_given_points(tmp_path):
    np.save(tmp_path / "mask.npy", np.eye(5, dtype=bool))
    np.save(tmp_path / "x.npy", starts(1, 5, 3)[0])
    found = record(tmp_path / "mask.npy", "--start", tmp_path / "x.npy", "--value", "3,2,1", *TIME)
    assert (found["positions"], found["pairs"], found["seeds"]) == (5, 5, 1)
    assert found["to_leading"][-1] < found["to_leading"][0]
    assert found["reached"] is None  # the configurations are those of the causal mask


POINTS = {
    "flat": (np.ones(3), "is not an array (n, d) or (starts, n, d) of real numbers"),
    "words": (np.array([["a", "b"]]), "is not an array (n, d) or (starts, n, d) of real numbers"),
    "complex": (np.ones((2, 3)) * 1j, "is not an array (n, d) or (starts, n, d) of real numbers"),
    "empty": (np.ones((0, 3)), "holds no points: shape (0, 3)"),
    "zero": (np.array([[1.0, 0], [0, 0]]), "point 1 is 0 or not finite"),
    "infinite": (np.array([[[1.0, 0]], [[np.inf, 0]]]), "point 0 of start 1 is 0 or not finite"),
    "line": (np.ones((4, 1)), "expected a dimension of at least 2, got 1"),
}


@pytest.mark.parametrize("name", POINTS)
def test_files_that_hold_no_points_are_one_line(tmp_path, name):
    array, fact = POINTS[name]
    np.save(tmp_path / "x.npy", array)
    code, text = run("--start", tmp_path / "x.npy", *TIME)
    assert code == 2, text
    assert fact in text
    assert "--start" in text
    assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--seeds", 3), "--start says where positions start, so --seeds has no effect"),
        (("--seed", 3), "--start says where positions start, so --seed has no effect"),
        (("--causal", 4), "has 4 positions, and --start 5"),
        (("--dim", 4), "different dimensions"),
        (("--value", "1,2"), "different dimensions"),
    ],
)
def test_what_does_not_go_with_given_points(tmp_path, arguments, fact):
    np.save(tmp_path / "x.npy", starts(1, 5, 3)[0])
    code, text = run("--start", tmp_path / "x.npy", *arguments)
    assert code == 2, text
    assert fact in text
    assert len(text.strip().splitlines()) == 1


def test_no_file_of_points(tmp_path):
    code, text = run("--start", tmp_path / "none.npy")
    assert code == 2
    assert "none.npy" in text
    assert len(text.strip().splitlines()) == 1


def test_several_texts_are_several_starts(model):
    texts = ("a b b a", "b b a a")
    found = record("--model", model, "--layer", 1, "--text", texts[0], "--text", texts[1], "--time", 2)
    assert (found["seeds"], found["positions"], found["dim"]) == (2, 4, 8)
    assert found["setting"] == "4 tokens of each of 2 texts, as they enter layer 1"
    states = np.stack([token_states(model, text, 1)[0] for text in texts])
    assert np.abs(states[0] - states[1]).max() > 1e-3
    x = states / np.linalg.norm(states, axis=-1, keepdims=True)
    pairs = np.einsum("snd,smd->snm", x, x)[:, ~np.eye(4, dtype=bool)].mean(axis=-1)
    assert found["similarity"]["mean"][0] == pytest.approx(pairs.mean(), abs=2e-6)
    assert found["similarity"]["low"][0] == pytest.approx(np.percentile(pairs, 10), abs=2e-6)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--text", "a b", "--text", "a b a"), "texts of 2, 3 tokens"),
        (("--text", "a " * 13), "the text has 13 tokens, and the tokenizer takes at most 12"),
        (("--text", "a b", "--text", " "), "the text has no tokens"),
        (("--text", "a b", "--seeds", 3), "--text says where positions start, so --seeds has no effect"),
        (("--text", "a b", "--seed", 1), "--text says where positions start, so --seed has no effect"),
        (("--text", "a b", "--start", "x.npy"), "--text and --start are given"),
        (("--text", "a b", "--length", 3), "--length has no effect"),
    ],
)
def test_what_does_not_go_with_texts(model, arguments, fact):
    code, text = run("--model", model, "--layer", 0, *arguments)
    assert code == 2, text
    assert fact in text
    assert len(text.strip().splitlines()) == 1


def test_a_head_moves_given_points(model, tmp_path):
    """--start takes the place of --text beside a head."""
    states, _ = token_states(model, "a b a", 0)
    np.save(tmp_path / "x.npy", states)
    head = ("--model", model, "--layer", 0, "--head", 1, "--time", 2)
    by_text, by_file = record(*head, "--text", "a b a"), record(*head, "--start", tmp_path / "x.npy")
    assert by_file["beta"] == pytest.approx(by_text["beta"])
    assert by_file["similarity"] == by_text["similarity"]
