"""What passes through a fold, what it refuses, and what it leaves on the model."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    CTRLConfig,
    CTRLLMHeadModel,
    DynamicCache,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaForCausalLM,
    XGLMConfig,
    XGLMForCausalLM,
)

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.torch import fold
from masksynth.torch.folding.quiet_runs import keep_embeddings
from tests.torch.folding.rows import apart, flatten, pad, step, texts
from tests.torch.model_zoo import EXACT, make_model

ROWS = pad(texts())
SHAPE = ROWS.input_ids.shape


def llama(dtype=torch.float32):
    return make_model(EXACT["Llama"], "sdpa", dtype)


def embeddings(model):
    return {"inputs_embeds": model.get_input_embeddings()(ROWS.input_ids)}


PASSED = {
    "cache": lambda model: {"input_ids": ROWS.input_ids, "past_key_values": DynamicCache(config=model.config)},
    "use_cache": lambda model: {"input_ids": ROWS.input_ids, "use_cache": True},
    "embeddings": embeddings,
    "mask": lambda model: {
        "input_ids": ROWS.input_ids,
        "attention_mask": torch.ones(SHAPE[1], SHAPE[1], dtype=torch.bool)
        .tril()[None, None]
        .expand(SHAPE[0], 1, -1, -1),
    },
    "ratio": lambda model: {"input_ids": torch.arange(3, 15).reshape(2, 6)},
    "argument token_type_ids": lambda model: {"input_ids": ROWS.input_ids, "token_type_ids": ROWS.input_ids},
}


@pytest.mark.parametrize("reason", PASSED)
def test_calls_that_pass_through_are_counted_by_reason(reason):
    model = llama()
    plain = model.base_model(**PASSED[reason](model))
    with fold(model) as folded:
        output = model.base_model(**PASSED[reason](model))
    report = folded.report()
    assert output.last_hidden_state.equal(plain.last_hidden_state)
    assert (report.calls, report.folded, dict(report.passed), report.ratio) == (1, 0, {reason: 1}, 1)
    with fold(model, strict=True), pytest.raises(Unsupported, match=rf"strict fold: .* not merged \({reason}\)"):
        model.base_model(**PASSED[reason](model))


def test_a_loss_that_reads_pads_is_the_models_own():
    model, rows = llama(), pad(texts(), left=True)
    labels = rows.input_ids.masked_fill(rows.attention_mask == 0, -100)
    plain = model(**rows._asdict(), labels=labels).loss
    with fold(model) as folded:
        assert model(**rows._asdict(), labels=labels).loss == plain
        labels[:, 1:][(rows.attention_mask == 0)[:, :-1]] = -100
        loss = model(**rows._asdict(), labels=labels).loss
    assert (dict(folded.report().passed), folded.report().folded) == ({"labels": 1}, 1)
    assert torch.allclose(loss, model(**rows._asdict(), labels=labels).loss)


def test_validation_without_gradients_may_come_first():
    model = llama()
    with fold(model, strict=True):
        with torch.inference_mode():
            model(input_ids=ROWS.input_ids)
        merged = step(model, ROWS)
    assert apart(merged, step(model, ROWS)) < 1e-3


def test_embeddings_that_are_scaled_in_place():
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, "dff": 24}
    model = CTRLLMHeadModel(CTRLConfig(**sizes, resid_pdrop=0.0, embd_pdrop=0.0))
    plain = step(model, ROWS)
    with fold(model, strict=True):
        assert apart(step(model, ROWS), plain) < 1e-4


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft, about names in transformers
@pytest.mark.parametrize("options", [{"target_modules": ["embed_tokens"]}, {"trainable_token_indices": [9, 12]}])
def test_adapters_of_embeddings(options):
    torch.manual_seed(0)
    options = {"target_modules": ["q_proj"], **options}
    model = get_peft_model(llama(torch.float64), LoraConfig(r=2, init_lora_weights=False, **options))
    plain = step(model, ROWS)
    with fold(model, strict=True):
        assert apart(step(model, ROWS), plain) < 1e-6
    backbone = model.get_base_model().base_model
    with keep_embeddings(backbone, ROWS.input_ids) as leaves:  # by which the check derives
        output = backbone(input_ids=ROWS.input_ids).last_hidden_state
    [gradient] = torch.autograd.grad(output.square().sum(), leaves[-1:])
    assert gradient.abs().max() > 0
    model = get_peft_model(llama(torch.float64), LoraConfig(r=2, init_lora_weights=False, **options))  # not yet checked
    layer = model.get_base_model().model.layers[1].mlp  # the check derives by what the adapter returns
    layer.register_forward_hook(lambda module, args, output: output + 1e-6 * output.roll(1, 1))
    with pytest.raises((Unsupported, WrongAnswer)), fold(model, strict=True):
        step(model, ROWS)


def test_many_groups_are_rows_of_one_call_if_one_sequence_would_cost_more():
    model, rows = llama(torch.float64), pad(texts(groups=3, answers=2, prompt=500))
    shapes = []
    plain = step(model, rows)
    with fold(model, strict=True) as folded:
        model.model.embed_tokens.register_forward_hook(lambda module, args, output: shapes.append(args[0].shape))
        assert apart(step(model, rows), plain) < 1e-6
    assert shapes[-1][0] == 3
    assert folded.report().positions <= shapes[-1].numel() < 1.05 * folded.report().positions


def test_labels_of_a_loss_that_takes_them_shifted_do_not_keep_rows_from_merging():
    model, rows = llama(torch.float64), pad(texts())
    mask = rows.attention_mask
    labels = rows.input_ids.masked_fill(mask == 0, -100)
    shifted = torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], -100)], 1)
    arguments = {"input_ids": rows.input_ids, "attention_mask": mask, "labels": labels, "shift_labels": shifted}
    plain = model(**arguments).loss
    with fold(model, strict=True) as folded:
        assert torch.allclose(model(**arguments).loss, plain, rtol=1e-9)
    assert folded.report().folded == 1


def test_rows_of_pads_only_pass_through():
    model = llama()
    mask = torch.zeros_like(ROWS.attention_mask)
    with fold(model) as folded:
        model(input_ids=ROWS.input_ids, attention_mask=mask)
        mask[1:] = ROWS.attention_mask[1:]
        model(input_ids=ROWS.input_ids, attention_mask=mask)
    assert (dict(folded.report().passed), folded.report().folded) == ({"ratio": 1}, 1)


def test_use_cache_that_only_the_config_asks_for_is_off():
    model = llama()
    assert model.config.use_cache
    with fold(model, strict=True):
        assert model(input_ids=ROWS.input_ids).past_key_values is None


def test_use_cache_that_the_head_fills_in_from_its_config_is_off():
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "d_model": 16, "num_layers": 2, "attention_heads": 4, "ffn_dim": 24, "layerdrop": 0.0}
    sizes |= {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    model = XGLMForCausalLM(XGLMConfig(**sizes))
    assert model.config.use_cache
    plain = step(model, ROWS)
    with fold(model) as folded:
        assert apart(step(model, ROWS), plain) < 1e-5
        model(input_ids=ROWS.input_ids, use_cache=True)
        model.model(input_ids=ROWS.input_ids, use_cache=True)
    assert (folded.report().folded, dict(folded.report().passed)) == (1, {"use_cache": 2})


def test_one_number_beside_the_rows_does_not_keep_them_from_merging():
    model = llama()
    labels = ROWS.input_ids.masked_fill(ROWS.attention_mask == 0, -100)
    inputs = {**ROWS._asdict(), "labels": labels, "num_items_in_batch": torch.tensor([100])}
    plain = model(**inputs).loss
    with fold(model, strict=True):
        assert torch.allclose(model(**inputs).loss, plain)


def gemma_of_images():
    """Return Gemma 3 with images as it is loaded for text, too: its head hands labels on to its backbone."""
    text = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "head_dim": 4}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 5}
    text |= {"layer_types": ["sliding_attention", "full_attention"]}
    images = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    images |= {"image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    config = Gemma3Config(text_config=text, vision_config=images, mm_tokens_per_image=1, image_token_id=59)
    return Gemma3ForConditionalGeneration(config).train()


def test_types_that_all_tokens_have_and_labels_that_a_head_hands_on():
    model = gemma_of_images()
    labels = ROWS.input_ids.masked_fill(ROWS.attention_mask == 0, -100)
    types = torch.zeros_like(ROWS.input_ids)
    inputs = {**ROWS._asdict(), "labels": labels, "token_type_ids": types}
    plain = model(**inputs).loss
    with fold(model) as folded:
        assert torch.allclose(model(**inputs).loss, plain, rtol=1e-5)
        assert (folded.report().folded, folded.report().positions) == (1, 71)
        types[:, 3] = 1  # an image, which attends to itself both ways
        expected = model(**inputs).loss
    assert folded.report().passed == {"argument token_type_ids": 1}
    assert model(**inputs).loss == expected
    small = make_model(EXACT["GPT-2"], "sdpa", torch.float32)
    plain = step(small, ROWS, token_type_ids=torch.full_like(types, 7))  # types have embeddings there
    with fold(small, strict=True):
        assert apart(step(small, ROWS, token_type_ids=torch.full_like(types, 7)), plain) < 1e-5
    assert apart(step(small, ROWS), plain) > 1e-2


def test_attention_weights_are_refused():
    model = make_model(EXACT["Llama"], "eager")
    with fold(model), pytest.raises(Unsupported, match="output_attentions"):
        model(input_ids=ROWS.input_ids, output_attentions=True)
    model.config.output_attentions = True
    with fold(model), pytest.raises(Unsupported, match="output_attentions"):
        model(input_ids=ROWS.input_ids)


def test_arguments_by_place():
    model = llama()
    with fold(model, strict=True):
        by_place = model.base_model(ROWS.input_ids, ROWS.attention_mask)
    by_name = model.base_model(input_ids=ROWS.input_ids, attention_mask=ROWS.attention_mask)
    real = ROWS.attention_mask.bool()
    assert torch.allclose(by_place.last_hidden_state[real], by_name.last_hidden_state[real], atol=1e-5)


@pytest.mark.parametrize("repeated", [False, True])
def test_packed_rows_are_as_many_rows_where_the_model_keeps_them_apart(repeated):
    model, rows = make_model(EXACT["Gemma 3, windows"], "sdpa"), texts()
    inputs = flatten(rows)
    del inputs["use_cache"]
    with fold(model), pytest.raises(Unsupported, match=r"with a cache Gemma3TextModel lets .* pass use_cache=False"):
        model(**inputs)
    if repeated:
        inputs = {name: torch.cat([value, value]) for name, value in inputs.items()}
    model.config.use_cache = False
    plain = model(**inputs).logits
    with fold(model, strict=True) as folded:
        merged = model(**inputs).logits
        assert torch.allclose(merged, plain, rtol=1e-5, atol=1e-5)
        assert folded.report().positions == 71
        masked = {**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])}
        with pytest.raises(Unsupported, match=r"position_ids restart within a row .* pass attention_mask=None"):
            model(**masked)
        lengths = torch.tensor([0, *torch.tensor([len(row) for row in rows]).cumsum(0).tolist()])
        first, numbers = inputs["input_ids"][:1], torch.repeat_interleave(torch.arange(6), lengths.diff())[None]
        one = {name: value[:1] for name, value in inputs.items() if name != "use_cache"}
        assert model(**one, seq_idx=numbers, cu_seq_lens_q=lengths, max_length_q=24).logits.shape[1] == 119
        assert not folded.report().passed
        with pytest.raises(
            Unsupported, match="cu_seq_lens_q describes 6 packed rows, position_ids restart at 1 places"
        ):
            model(input_ids=first, cu_seq_lens_q=lengths)
        with pytest.raises(Unsupported, match="seq_idx describes 4 packed rows, position_ids restart at 6 places"):
            model(**one, seq_idx=numbers // 2 + (numbers > 4))


def test_position_ids_as_given_decide_what_merges():
    model, rows = make_model(EXACT["GPT-2"], "sdpa"), pad(texts(), left=True)
    counted = (rows.attention_mask.cumsum(1) - 1).masked_fill(rows.attention_mask == 0, 1)  # as some trainers have it
    plain = step(model, rows, position_ids=counted)
    with fold(model, strict=True, min_ratio=1) as folded:
        assert apart(step(model, rows, position_ids=counted), plain) < 1e-6
        assert folded.report().positions == 71
        step(model, rows)
        assert folded.report().positions == 71 + 91  # pads count, so rows of other lengths share nothing


def test_a_second_fold_is_refused_until_the_first_is_closed():
    model = llama()
    with fold(model), pytest.raises(Unsupported, match="LlamaModel is folded already"):
        fold(model)
    with fold(model.base_model, strict=True) as folded:
        step(model, ROWS)
    assert folded.report().folded == 1
    step(model, ROWS)
    assert folded.report().folded == 1


def test_nothing_is_left_on_the_model():
    model = llama()
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    with fold(model):
        step(model, ROWS)
    model.zero_grad(set_to_none=True)
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys()
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_an_exception_leaves_no_state(monkeypatch):
    model = llama()
    plain = step(model, ROWS)
    with fold(model, strict=True):
        with monkeypatch.context() as patch:
            patch.setattr(model.model.norm, "forward", lambda hidden: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                model(input_ids=ROWS.input_ids)
        assert apart(step(model, ROWS), plain) < 1e-5


def test_copies_and_files_are_not_folded(tmp_path):
    model = llama()
    with fold(model) as folded:
        other = copy.deepcopy(model)
        torch.save(model, tmp_path / "model.pt")
        model.save_pretrained(tmp_path / "saved")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        read = LlamaForCausalLM.from_pretrained(tmp_path / "saved")
        for copied in (other, loaded, read, other.model):
            copied(input_ids=ROWS.input_ids)
        assert folded.report().calls == 0
        for module in (*other.modules(), *loaded.modules()):
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
        with fold(other, strict=True) as second:
            step(other, ROWS)
        assert (second.report().folded, folded.report().calls) == (1, 0)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_a_first_call_without_gradients(mode):
    model = llama()
    with mode(), fold(model, strict=True) as folded:
        rows = ROWS.input_ids.clone()
        merged = model(
            input_ids=rows,
            attention_mask=ROWS.attention_mask.clone(),
            position_ids=rows.new_zeros(rows.shape) + torch.arange(rows.shape[1]),
        )
        assert merged.logits.shape[:2] == SHAPE
    assert (folded.report().checks, folded.report().folded) == (1, 1)


def test_same_rows_same_merged_order():
    model, orders = llama(), []
    with fold(model) as folded:
        folded.backbone.register_forward_pre_hook(
            lambda module, args, kwargs: orders.append(kwargs["input_ids"]), with_kwargs=True
        )
        for _ in range(3):
            step(model, ROWS)
    assert orders[-1].equal(orders[-2])
    assert orders[-1].shape == (1, 71)


@pytest.mark.parametrize("sample", [False, True])
def test_generation_without_a_cache_gives_the_same_tokens(sample):
    model, rows = llama(), pad([row[:11] for row in texts()] + texts()[:1], left=True)
    arguments = {"max_new_tokens": 6, "do_sample": sample, "use_cache": False, "pad_token_id": 0}
    inputs = {"input_ids": rows.input_ids, "attention_mask": rows.attention_mask}
    torch.manual_seed(0)
    plain = model.generate(**inputs, **arguments)
    with fold(model) as folded:
        torch.manual_seed(0)
        assert model.generate(**inputs, **arguments).equal(plain)
        assert folded.report().folded == 6
        model.generate(**inputs, **{**arguments, "use_cache": True, "do_sample": False})
        assert folded.report().passed == {"cache": 6}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft, about names in transformers
def test_adapters_are_unwrapped_and_can_be_merged():
    torch.manual_seed(0)
    model = get_peft_model(
        llama(torch.float64), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    plain = step(model, ROWS)
    with fold(model, strict=True) as folded:
        assert apart(step(model, ROWS), plain) < 1e-6
        assert folded.report().folded == 1
        merged = model.merge_and_unload()
        assert merged(input_ids=ROWS.input_ids).logits.shape == (*SHAPE, 60)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_learned_prompts_pass_through(config):
    model = get_peft_model(llama(), config(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with fold(model) as folded:
        model(input_ids=ROWS.input_ids, attention_mask=ROWS.attention_mask)
    assert list(folded.report().passed) == ["embeddings" if config is PromptTuningConfig else "cache"]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # of torch's compiler, at any graph break
@pytest.mark.parametrize("after", [False, True])
def test_a_compiled_model_breaks_its_graph_at_the_hooks(after):
    model = llama()
    plain = step(model, ROWS)
    if after:
        folded = fold(model, strict=True)
        compiled = torch.compile(model, backend="eager")
    else:
        compiled = torch.compile(model, backend="eager")
        folded = fold(compiled, strict=True)
    with folded:
        assert apart(step(compiled, ROWS), plain) < 1e-5
        assert folded.report().folded == 1
    torch._dynamo.reset()


def test_fullgraph_is_refused():
    model = llama()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with pytest.raises(Unsupported, match="compile the layers"):
        fold(compiled)
    with fold(model), pytest.raises(torch._dynamo.exc.Unsupported, match="compile the layers"):
        compiled(input_ids=ROWS.input_ids)
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("checkpointing", [None, True, False])
def test_gradient_checkpointing(checkpointing):
    model = llama(torch.float64).train()
    plain = step(model, ROWS)
    if checkpointing is not None:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing})
    if checkpointing:
        model.enable_input_require_grads()
    with fold(model, strict=True):
        assert apart(step(model, ROWS), plain) < 1e-6


def test_heads_of_all_kinds_are_above_the_fold():
    config = llama().config
    config.num_labels, config.pad_token_id = 1, 0
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    plain = model(input_ids=ROWS.input_ids, attention_mask=ROWS.attention_mask).logits
    with fold(model, strict=True):
        assert torch.allclose(
            model(input_ids=ROWS.input_ids, attention_mask=ROWS.attention_mask).logits, plain, atol=1e-5
        )


class ValueHead(torch.nn.Module):
    """A head beside the logits, as reinforcement learning has it."""

    def __init__(self, model):
        super().__init__()
        self.pretrained_model = model
        self.value = torch.nn.Linear(model.config.hidden_size, 1)

    def forward(self, **inputs):
        output = self.pretrained_model(**inputs, output_hidden_states=True)
        return output.logits, self.value(output.hidden_states[-1])[..., 0]


def test_a_module_with_a_model_inside():
    model = ValueHead(llama())
    inputs = {"input_ids": ROWS.input_ids, "attention_mask": ROWS.attention_mask}
    real = ROWS.attention_mask.bool()
    plain = model(**inputs)
    with fold(model, strict=True) as folded:
        merged = model(**inputs)
    assert folded.report().folded == 1
    assert all(torch.allclose(a[real], b[real], atol=1e-5) for a, b in zip(plain, merged, strict=True))
    model.reference = llama()
    with pytest.raises(InvalidInstance, match="several models, pretrained_model and reference; fold one of them"):
        fold(model)


class OwnBackbone(torch.nn.Module):
    """Attention of one's own, over embeddings of tokens and positions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.places = torch.nn.Embedding(60, 8), torch.nn.Embedding(64, 8)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(2))

    def forward(self, input_ids, attention_mask=None, position_ids=None):
        size = input_ids.shape[1]
        if position_ids is None:
            position_ids = torch.arange(size)[None]
        if attention_mask is None or attention_mask.ndim == 2:
            allowed = torch.ones(size, size, dtype=torch.bool).tril()
            attention_mask = allowed if attention_mask is None else allowed & (attention_mask[:, None] != 0)
            attention_mask = attention_mask | torch.eye(size, dtype=torch.bool)
        hidden = self.tokens(input_ids) + self.places(position_ids)
        for layer in self.layers:
            scores = (hidden @ layer(hidden).mT).masked_fill(~attention_mask, float("-inf"))
            hidden = hidden + scores.softmax(-1) @ hidden
        return hidden


class OwnModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = torch.nn.Sequential(OwnBackbone()), torch.nn.Linear(8, 60)

    def forward(self, input_ids, attention_mask=None):
        return self.head(self.inner[0](input_ids, attention_mask))


def ancestors(ids, positions, parents):
    """A mask from parents, one position after another."""
    mask = torch.zeros(*ids.shape, ids.shape[1], dtype=torch.bool)
    for row in range(len(ids)):
        for q, parent in enumerate(parents[row].tolist()):
            mask[row, q] = mask[row, parent] if parent >= 0 else False
            mask[row, q, q] = True
    return mask


def test_a_module_that_is_not_of_transformers():
    model, real = OwnModel(), ROWS.attention_mask.bool()
    plain = model(*ROWS)
    for backbone in ("inner.0", model.inner[0]):
        with fold(model, backbone=backbone, masks=ancestors, strict=True) as folded:
            assert torch.allclose(model(*ROWS)[real], plain[real], atol=1e-5)
        assert folded.report().positions == 71
    with pytest.raises(InvalidInstance, match="OwnModel has no transformers model in it; pass backbone= and masks="):
        fold(model)
    with pytest.raises(InvalidInstance, match=r"OwnBackbone has no config of transformers; pass masks="):
        fold(model, backbone="inner.0")
    with pytest.raises(InvalidInstance, match=r"has no module 'base'; its modules are inner, head"):
        fold(model, backbone="base", masks=ancestors)


def test_options_are_checked():
    model = llama()
    with pytest.raises(InvalidInstance, match=r"min_ratio: expected a number of at least 1, got 0.5"):
        fold(model, min_ratio=0.5)
    with pytest.raises(InvalidInstance, match="max_length: expected a positive integer, got 0"):
        fold(model, max_length=0)
    with pytest.raises(InvalidInstance, match="not a module of LlamaForCausalLM"):
        fold(model, backbone=torch.nn.Linear(2, 2))
    with pytest.raises(InvalidInstance, match=r"expected a torch.nn.Module, got str"):
        fold("gpt2")
    assert list(inspect.signature(fold).parameters) == [
        "model",
        "backbone",
        "max_length",
        "min_ratio",
        "strict",
        "masks",
    ]
