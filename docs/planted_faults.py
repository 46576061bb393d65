"""Write the table of planted faults in ``check-model.md``.

What ``check_model`` and ``self_test`` say of each fault in real models.

python docs/planted_faults.py            writes it
python docs/planted_faults.py --check    exits 1 if it is stale

Models are tiny and random, of the classes of transformers; nothing is downloaded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.mask import Mask
from masksynth.pack import PackedBatch
from masksynth.torch import (
    Collator,
    ModelFinding,
    WrongModel,
    check_model,
    read_architecture,
    self_test,
    use_registered_attention,
)
from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.reach import Reach
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.window_rows import cut_mask, token_index

PAGE = Path(__file__).with_name("check-model.md")
BEGIN, END = "<!-- planted faults -->", "<!-- end of planted faults -->"
WINDOW, VOCABULARY, WIDTH = 5, 40, 118
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT = {"vocab_size": VOCABULARY, "n_positions": 256, "n_embd": 32, "n_layer": 3, "n_head": 4, "initializer_range": 0.3}
GPT |= {"bos_token_id": None, "eos_token_id": None}
SLIDING, FULL, CHUNKED = "sliding_attention", "full_attention", "chunked_attention"
EXPERTS = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaForCausalLM", SHAPE),
    "GPT-2": ("GPT2LMHeadModel", GPT),
    "Mistral": ("MistralForCausalLM", {**SHAPE, "sliding_window": WINDOW}),
    "Qwen2": (
        "Qwen2ForCausalLM",
        {**SHAPE, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "Gemma 3": (
        "Gemma3ForCausalLM",
        {**SHAPE, "head_dim": 8, "sliding_window": WINDOW, "layer_types": [SLIDING, FULL, SLIDING]},
    ),
    "Llama 4": (
        "Llama4ForCausalLM",
        {
            **SHAPE,
            "head_dim": 8,
            "attention_chunk_size": WINDOW,
            "layer_types": [CHUNKED, FULL, CHUNKED],
            "no_rope_layers": [1, 0, 1],
            "num_local_experts": 2,
            "intermediate_size_mlp": 48,
        },
    ),
    "ModernBERT": (
        "ModernBertForMaskedLM",
        {
            **SHAPE,
            **TOKENS,
            "local_attention": 2 * (WINDOW - 1),
            "global_attn_every_n_layers": 2,
            "initializer_cutoff_factor": 2.0,
        },
    ),
    "Qwen2-VL": (
        "Qwen2VLTextModel",
        {**SHAPE, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}},
    ),
    "GPT-OSS": (
        "GptOssForCausalLM",
        {
            **SHAPE,
            "head_dim": 8,
            "sliding_window": WINDOW,
            "layer_types": [SLIDING, FULL, SLIDING],
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "LFM2": ("Lfm2ForCausalLM", {**SHAPE, "layer_types": ["conv", FULL, "conv"]}),
    "Qwen3-Next": (
        "Qwen3NextForCausalLM",
        {**SHAPE, **EXPERTS, **LINEAR, "head_dim": 8, "layer_types": ["linear_attention", FULL, FULL]},
    ),
    "MPT": (
        "MptForCausalLM",
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 3,
            "vocab_size": VOCABULARY,
            "max_seq_len": 256,
            "initializer_range": 0.3,
        },
    ),
    "RWKV": (
        "RwkvForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "attention_hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
        },
    ),
}
PLAIN, WINDOWED, TYPED = (
    ("Llama", "GPT-2"),
    ("Mistral", "Qwen2", "Gemma 3", "Llama 4", "GPT-OSS", "ModernBERT"),
    ("Qwen2", "Gemma 3", "Llama 4", "GPT-OSS"),
)
TWO_KINDS = (*TYPED, "ModernBERT")
MERGED = (*PLAIN, *WINDOWED, "Qwen2-VL")
EAGER = ("GPT-OSS", "MPT", "RWKV")
UNMASKED = ("LFM2", "Qwen3-Next", "MPT", "RWKV")


def build(name: str, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> Any:
    """Return the model of a name, with sdpa attention where the class has it."""
    kind, settings = MODELS[name]
    torch.manual_seed(0)
    model_class = getattr(transformers, kind)
    config = model_class.config_class(**settings)
    for key in ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "embedding_dropout", "mlp_dropout"):
        if hasattr(config, key):
            setattr(config, key, dropout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attention = "eager" if name in EAGER else "sdpa"
        model = model_class._from_config(config, attn_implementation=attention)
        for parameter in model.parameters():  # some classes draw next to nothing
            if parameter.dim() > 1 and float(parameter.detach().std()) < 0.05:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.to(dtype).eval()


def source_of(
    causal: bool = True, prompt: int = 9, answers: tuple[int, ...] = (7, 4, 6), keys: bool = False
) -> PackedBatch:
    """Return a merged batch of samples that share a prompt, or (not causal) of samples side by side.

    Adjacent documents see themselves completely.
    """
    random = np.random.default_rng(0)
    shared = prompt if causal else 0
    sizes = answers if causal else tuple(prompt + size for size in answers)
    begin = shared + np.cumsum([0, *sizes])
    rows: list[list[tuple[int, int]]] = [[(0, end + 1)] for end in range(shared)]
    position_ids, samples = list(range(shared)), []
    for first, last in pairwise(begin):
        for end in range(first, last):
            before = [(0, shared)] if shared else []
            own = (int(first), int(end) + 1) if causal else (int(first), int(last))
            rows.append([(0, own[1])] if before and own[0] == shared else [*before, own])
        position_ids += range(shared, shared + int(last - first))
        samples.append(np.append(np.arange(shared), np.arange(first, last)))
    size, count = len(position_ids), len(samples)
    ids = random.integers(4, VOCABULARY, size)
    places = np.array(position_ids)
    further = {"position_ids_1": places // 3, "position_ids_2": places % 3} if keys else {}
    return PackedBatch(
        samples=tuple(f"answer {number}" for number in range(count)),
        input_ids=ids,
        position_ids=places,
        mask=Mask.from_intervals([[tuple(row) for row in rows]]),
        loss_position=np.array([sample[-1] for sample in samples]),
        loss_label=random.integers(4, VOCABULARY, count),
        loss_sample=np.arange(count),
        loss_weight=np.ones(count),
        sample_offset=np.cumsum([0, *(len(sample) for sample in samples)]),
        sample_position=np.concatenate(samples),
        sample_weight=np.ones(count),
        loss_index=np.array([len(sample) for sample in samples]),
        dead_offset=np.arange(count + 1),
        dead_index=np.array([len(sample) for sample in samples]),
        dead_token=random.integers(4, VOCABULARY, count),
        keys=further,
    )


@dataclass
class Case:
    """A model with a fault: what is called, with which batch."""

    model: Any
    batch: TrainingBatch
    visible: str = "causal"


@dataclass
class Setting:
    """A model and the right batch for it."""

    name: str
    model: Any
    batch: TrainingBatch
    record: Architecture | None

    @property
    def visible(self) -> str:
        """What a sample sees alone."""
        return "mask" if self.name == "ModernBERT" else "causal"

    def case(self, model: Any = None, batch: TrainingBatch | None = None) -> Case:
        """Return the case with another callable or batch."""
        return Case(model or self.model, batch or self.batch, self.visible)

    def with_masks(self, change: Callable[[int, Reach], Mask]) -> Case:
        """Return the case in which layer l has the mask ``change(l, reach)``, layer by layer.

        By a mapping where the class takes one, else by registered masks.
        """
        assert self.record is not None
        masks = [
            self.as_taken(dense_mask(change(layer, reach))[None, None])
            for layer, reach in enumerate(self.record.layers)
        ]
        named = dict(zip(self.record.tables, masks, strict=True))
        by_name = all(torch.equal(mask, named[name]) for name, mask in zip(self.record.tables, masks, strict=True))
        if self.record.mask_argument == "mapping" and by_name:
            return self.case(batch=given(self.batch, attention_mask=named))
        if all(torch.equal(mask, masks[0]) for mask in masks):
            return self.case(batch=given(self.batch, attention_mask=masks[0]))
        use_registered_attention(self.model)
        return self.case(batch=given(self.batch, attention_mask=torch.cat(masks, 1)))

    def as_taken(self, mask: Tensor) -> Tensor:
        """Return a bool mask as the model's attention takes it."""
        if self.batch.attention == "sdpa":
            return mask
        return torch.zeros(mask.shape, dtype=self.batch.dtype).masked_fill(~mask, float("-inf"))

    def cut(self, reach: Reach) -> Mask:
        """Return the stored rows, cut to a window or chunk."""
        return cut_mask(self.batch.source.mask, token_index(self.batch.source), reach)


def setting_of(name: str, **options: Any) -> Setting:
    """Return a model with a batch made for it, or as good as it goes where the model is refused."""
    dtype, dropout = options.pop("dtype", torch.float32), options.pop("dropout", 0.0)
    model = build(name, dtype, dropout)
    source = source_of(causal=name != "ModernBERT", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            record = read_architecture(model)
        except Unsupported:
            return Setting(name, model, Collator("eager" if name in EAGER else "sdpa", dtype)(source), None)
        return Setting(name, model, Collator(architecture=record)(source), record)


def given(batch: TrainingBatch, **changed: Any) -> TrainingBatch:
    """Return the batch with other model inputs."""
    other = replace(batch)
    other.__dict__["model_inputs"] = {**batch.model_inputs, **changed}
    return other


def without(model: Any, *names: str) -> Callable[..., Any]:
    """Return a wrapper that forgets arguments."""
    return lambda **inputs: model(**{name: value for name, value in inputs.items() if name not in names})


def moved_window(step: int) -> Callable[[Setting], Case]:
    """Return how windows are made longer."""

    def plant(setting: Setting) -> Case:
        def change(layer: int, reach: Reach) -> Mask:
            if not reach.limited:
                return setting.batch.source.mask
            size = (reach.window or reach.chunk or 0) + step
            return setting.cut(Reach(reach.kind, size) if reach.window is not None else Reach(reach.kind, None, size))

        return setting.with_masks(change)

    return plant


def dropped_window(setting: Setting) -> Case:
    """Return the case in which every layer has the stored rows."""
    return setting.with_masks(lambda layer, reach: setting.batch.source.mask)


def plain_collator(setting: Setting) -> Case:
    """The batch of who does not know of the window."""
    return setting.case(batch=Collator(setting.batch.attention, setting.batch.dtype)(setting.batch.source))


def swapped_tables(setting: Setting) -> Case:
    """Return the case in which layers with a window have none, and the others have it."""
    assert setting.record is not None
    limit = next(reach for reach in setting.record.layers if reach.limited)
    return setting.with_masks(lambda layer, reach: setting.batch.source.mask if reach.limited else setting.cut(limit))


def wrong_layer(setting: Setting) -> Case:
    """Return the case in which layer 2 has the table of the other kind of layer."""
    assert setting.record is not None
    limit = next(reach for reach in setting.record.layers if reach.limited)

    def change(layer: int, reach: Reach) -> Mask:
        if layer == 2:
            return setting.batch.source.mask if reach.limited else setting.cut(limit)
        return setting.cut(reach)

    return setting.with_masks(change)


def causal_only(setting: Setting) -> Case:
    """Return the case with a 2-D mask of ones."""
    ones = torch.ones(1, setting.batch.source.positions, dtype=torch.int64)
    return setting.case(batch=given(setting.batch, attention_mask=ones))


def padding_attended(setting: Setting) -> Case:
    """Return the case in which every position sees the filling."""
    source = setting.batch.source
    assert setting.record is not None
    batch = Collator(architecture=setting.record, multiple=source.positions + 7)(source)
    opened = _open_columns(batch.attention_mask, source.positions)
    return setting.case(batch=given(batch, attention_mask=opened))


def _open_columns(mask: Any, first: int) -> Any:
    if isinstance(mask, Mapping):
        return {name: _open_columns(table, first) for name, table in mask.items()}
    opened: Tensor = mask.clone()
    opened[..., first:] = True if mask.dtype == torch.bool else 0
    return opened


def extra_pair(setting: Setting) -> Case:
    """One pair between two answers, which no sample has."""
    size = setting.batch.source.positions

    def opened(mask: Any) -> Any:
        if isinstance(mask, Mapping):
            return {name: opened(table) for name, table in mask.items()}
        other: Tensor = mask.clone()
        other[..., size - 2, size - 8] = True if mask.dtype == torch.bool else 0
        return other

    return setting.case(batch=given(setting.batch, attention_mask=opened(setting.batch.attention_mask)))


def dropout_on(setting: Setting) -> Case:
    """Return the case of a model in training mode within a function."""
    model = setting.model.train()
    return setting.case(model=lambda **inputs: model(**inputs))


def dropout_never_off(setting: Setting) -> Case:
    """Return the case of dropout that no mode switches off."""
    return setting.case(
        model=lambda **inputs: torch.nn.functional.dropout(setting.model(**inputs)[0], 0.1, training=True)
    )


def one_dimension(setting: Setting) -> Case:
    """Return the case in which only the first dimension of the position ids is passed."""
    return setting.case(batch=given(setting.batch, position_ids=setting.batch.position_ids[None]))


class Fault:
    """A fault, the models in which it is planted, and how."""

    def __init__(self, words: str, models: tuple[str, ...], plant: Callable[[Setting], Case], **options: Any) -> None:
        self.words, self.models, self.plant, self.options = words, models, plant, options


FAULTS = (
    Fault("none: right calls", MERGED, lambda setting: setting.case(model=lambda **inputs: setting.model(**inputs))),
    Fault("none, in bfloat16", MERGED, lambda setting: setting.case(), dtype=torch.bfloat16),
    Fault("window dropped", WINDOWED, dropped_window),
    Fault("window one token longer", WINDOWED, moved_window(1)),
    Fault("window one token shorter", WINDOWED, moved_window(-1)),
    Fault("tables swapped", TWO_KINDS, swapped_tables),
    Fault("wrong table in layer 2", TWO_KINDS, wrong_layer),
    Fault("a plain causal mask", MERGED, causal_only),
    Fault(
        "position ids missing",
        (*PLAIN, *WINDOWED[:-1], "Qwen2-VL"),
        lambda setting: setting.case(model=without(setting.model, "position_ids")),
    ),
    Fault("position-id dimensions dropped", ("Qwen2-VL",), one_dimension, keys=True),
    Fault("padding attended to", MERGED, padding_attended),
    Fault("window dropped, every sample shorter", WINDOWED[:-1], plain_collator, prompt=2, answers=(2, 1)),
    Fault(
        "window one token longer, in bfloat16",
        ("Mistral", "Gemma 3", "ModernBERT"),
        moved_window(1),
        dtype=torch.bfloat16,
    ),
    Fault("one pair too many, in bfloat16", MERGED, extra_pair, dtype=torch.bfloat16),
    Fault("dropout on", PLAIN, dropout_on, dropout=0.1),
    Fault("dropout that evaluation mode leaves on", PLAIN, dropout_never_off),
    Fault(
        "a wrapper drops attention_mask",
        MERGED,
        lambda setting: setting.case(model=without(setting.model, "attention_mask")),
    ),
    Fault("layers that mix without a mask", UNMASKED, lambda setting: setting.case()),
)


def say_check_model(case: Case) -> str:
    """Return what ``check_model`` names."""
    try:
        report = check_model(case.model, case.batch)
    except WrongModel as error:
        report = error.report
    except InvalidInstance as error:
        return f"refused: {error.remedy}"
    if not report.findings:
        untold = f"; not distinguished: {_kinds(report.not_told_apart)}" if report.not_told_apart else ""
        return ("right" if not report.no_values else "no finding") + untold
    first, named = report.findings[0], report.diagnosis is not None and report.diagnosis.name != "unknown"
    if report.cause is not None and (not named or "merge=False" in report.cause.remedy):
        return f"{first.kind}: {report.cause.words}"
    return f"{first.kind}: {report.diagnosis.likeness if report.diagnosis and named else _short(first)}"


def _kinds(untold: tuple[str, ...]) -> str:
    return ", ".join(each.split(":")[0] for each in untold)


def _short(finding: ModelFinding) -> str:
    """Return what a finding says without the numbers of this batch."""
    if "the model inside is called without position_ids" in finding.message:
        return "the model is called without position_ids"
    words = {
        "leak": "one output depends on an input too many",
        "values": "outputs are not those under the mask of each layer",
    }
    return words.get(finding.kind) or finding.message.split("; with the batch's")[0]


def say_self_test(case: Case) -> str:
    """Return what ``self_test`` says: caught, and in which part, or passed."""
    try:
        found = self_test(case.model, case.batch, visible=case.visible)
    except WrongAnswer as error:
        return f"caught: {error.requirement}"
    except InvalidInstance as error:
        return f"refused: {error.remedy}"
    return "passes" if found else "not compared"


def rows_of(fault: Fault) -> Iterator[tuple[str, str, str, str]]:
    """Yield (fault, models, what check_model says, what self_test says), models that say the same in one row."""
    said: dict[tuple[str, str], list[str]] = {}
    for name in fault.models:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case = fault.plant(setting_of(name, **fault.options))
            said.setdefault((say_check_model(case), say_self_test(case)), []).append(name)
    for (checked, tested), names in said.items():
        yield fault.words, ", ".join(names), checked, tested


def row_line(row: tuple[str, str, str, str]) -> str:
    """Return a row of the table."""
    return f"| {' | '.join(row)} |"


def table() -> str:
    """Return the table, between its marks."""
    lines = ["| planted fault | models | `check_model` names | `self_test` |", "|---|---|---|---|"]
    lines += [row_line(row) for fault in FAULTS for row in rows_of(fault)]
    return "\n".join([BEGIN, *lines, END])


def page() -> str:
    """Return the page with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


def main() -> None:
    """Write the table, or check it."""
    made = page()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != made:
            sys.exit(f"{PAGE} is stale: run python docs/planted_faults.py")
        return
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
