"""`check_model` finds masks that a stack drops, replaces or reads in another way, says which.

And is silent where all is right.
"""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth import catalog
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.torch import Collator, WrongModel, attention_mask, batch_of, block_mask, check_model
from masksynth.torch.model_check.known_failures import FAILURES, Evidence, diagnose, failures
from masksynth.torch.model_check.mask_flow import reachable_inputs, reachable_outputs, shortest_path
from masksynth.torch.model_check.position_ids import find_interchangeable
from tests.torch import trie
from tests.torch.compare import tables_of
from tests.torch.models import gpt2, rotary
from tests.torch.transformer import Transformer
from tests.verify.hubs import hub_mask

ALL = 999
MODELS = {"gpt2": gpt2, "llama": lambda kind="sdpa": rotary("llama", kind)}
TREE = batch_of(merge(catalog.shared_prefix_group(P=12, R=7, G=2)))
DOCUMENTS = batch_of(merge(catalog.packed_docs(lengths=(5, 6, 4))))
PACKED = trie.packed(trie.rollouts())


def model_of(name, kind="sdpa"):
    return MODELS[name](kind).eval()


def call(batch, **others):
    """How the tests call a Hugging Face model; an argument of None stays an argument."""
    ids = torch.randint(0, 40, (1, batch.rows.size), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "position_ids": batch.position_ids[None], "use_cache": False, **others}


def without(inputs, *names):
    return {name: value for name, value in inputs.items() if name not in names}


def additive(batch, name):
    return attention_mask(batch, "eager", torch.float64 if name == "gpt2" else torch.float32)


def wrong(model, batch, inputs=None, **others):
    with pytest.raises(WrongModel) as caught:
        check_model(model, batch, inputs=inputs, **others)
    assert "\n" not in str(caught.value)
    return caught.value.report


def kinds(report):
    return {finding.kind for finding in report.findings}


def ones(batch):
    return torch.ones(1, batch.rows.size, dtype=torch.int64)


def shifted(mask, by):
    """Keys moved by some places; every position still sees itself."""
    moved = torch.zeros_like(mask)
    moved[..., max(by, 0) : mask.shape[-1] + min(by, 0)] = mask[..., max(-by, 0) : mask.shape[-1] - max(by, 0)]
    return moved


# What users do, each silently wrong in transformers: model kind, batch, what is passed -> kinds of findings, diagnosis,
# cause.
CASES = {
    "bool mask to eager": (
        "eager",
        TREE,
        lambda b, n: call(b, attention_mask=attention_mask(b)),
        "leak",
        "no mask",
        "torch.bool, and 0 and 1",
    ),
    "float 0 and 1 to sdpa": (
        "sdpa",
        TREE,
        lambda b, n: call(b, attention_mask=(additive(b, n) == 0).to(additive(b, n).dtype)),
        "leak",
        "no mask",
        "0 and 1 are added",
    ),
    "no mask, branching position ids": (
        "sdpa",
        TREE,
        lambda b, n: call(b, attention_mask=None),
        "missing context",
        "documents",
        "has no attention_mask",
    ),
    "all ones, branching position ids": (
        "sdpa",
        TREE,
        lambda b, n: call(b, attention_mask=ones(b)),
        "leak",
        "causal",
        "read as a padding mask",
    ),
    "packing, use_cache left on": (
        "sdpa",
        DOCUMENTS,
        lambda b, n: call(b, use_cache=True),
        "leak",
        "causal",
        "use_cache",
    ),
    "packing, use_cache left out": (
        "sdpa",
        DOCUMENTS,
        lambda b, n: without(call(b), "use_cache"),
        "leak",
        "causal",
        "use_cache",
    ),
    "packing, all ones": (
        "sdpa",
        DOCUMENTS,
        lambda b, n: call(b, attention_mask=ones(b)),
        "leak",
        "causal",
        "read as a padding mask",
    ),
    "inverted": ("sdpa", TREE, lambda b, n: call(b, attention_mask=~attention_mask(b)), "leak", "inverted", ""),
    "transposed": ("sdpa", TREE, lambda b, n: call(b, attention_mask=attention_mask(b).mT), "leak", "transposed", ""),
    "keys one late": (
        "sdpa",
        TREE,
        lambda b, n: call(b, attention_mask=shifted(attention_mask(b), 1)),
        "leak",
        "keys late",
        "",
    ),
}


def use_cache_on(model):
    """Left out, the argument is the configuration's; the models of these tests have it off."""
    model.config.use_cache = True
    return model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("case", CASES)
def test_silent_mistakes_with_transformers(case, name):
    kind, batch, make, finding, diagnosis, why = CASES[case]
    report = wrong(use_cache_on(model_of(name, kind)), batch, make(batch, name))
    assert finding in kinds(report)
    assert report.diagnosis.name == diagnosis
    assert report.diagnosis.fit == 1
    assert why in (report.cause.words if report.cause else "")
    assert report.remedy
    assert str(report.findings[0].position) in str(report)


def test_a_2d_mask_is_read_as_padding():
    """Llama only: GPT-2 fails on the shape."""
    report = wrong(model_of("llama"), TREE, call(TREE, attention_mask=attention_mask(TREE)[0, 0]))
    assert report.diagnosis.name == "padding"
    assert "[24, 24], and a 2-D mask is read as a padding mask" in report.cause.words


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_rows_of_the_least_finite_number(name, kind):
    """A padding position without keys gets the mean of all values, and leaks."""
    dense = TREE.rows.dense()
    dense[-1] = False
    batch, dtype = replace(TREE, rows=Mask.from_dense(dense)), additive(TREE, name).dtype
    mask = torch.zeros(1, 1, *dense.shape, dtype=dtype).masked_fill(~torch.from_numpy(dense), torch.finfo(dtype).min)
    report = wrong(model_of(name, kind), batch, call(batch, attention_mask=mask))
    assert (report.diagnosis.name, report.findings[0].position) == ("empty rows", len(dense) - 1)
    assert "softmax over equal numbers" in report.cause.words


@pytest.mark.parametrize("name", MODELS)
def test_wrappers(name):
    """What a wrapper drops, or holds in its closure, shows all the same."""
    model, mask = model_of(name), attention_mask(TREE)
    inputs = call(TREE, attention_mask=mask)
    dropped = wrong(lambda attention_mask, **others: model(**others), TREE, inputs)
    assert dropped.diagnosis.name == "documents"
    assert dropped.cause.words.startswith("attention_mask has no effect")
    assert "wrapper" in dropped.remedy
    alone = wrong(lambda attention_mask, position_ids, **others: model(**others), TREE, inputs)
    assert alone.diagnosis.name == "causal"
    full = wrong(lambda attention_mask, **others: model(attention_mask=attention_mask | True, **others), TREE, inputs)
    assert full.diagnosis.name == "no mask"
    eager, fixed = model_of(name, "eager"), without(call(TREE, attention_mask=mask), "input_ids")
    hidden = wrong(lambda input_ids: eager(input_ids, **fixed), TREE, {"input_ids": inputs["input_ids"]})
    assert hidden.diagnosis.name == "no mask"
    assert hidden.cause.words == "a mask of torch.bool is added to the scores, +1 where true"


@pytest.mark.parametrize("name", MODELS)
def test_position_ids(name):
    model, mask = model_of(name), attention_mask(TREE)
    left_out = wrong(model, TREE, without(call(TREE, attention_mask=mask), "position_ids"))
    assert kinds(left_out) == {"positions"}
    assert "the call has no position_ids" in left_out.findings[0].message
    other = wrong(model, TREE, call(TREE, attention_mask=mask, position_ids=torch.arange(TREE.rows.size)[None]))
    assert "position_ids[18] is 18, the batch has 12" in other.findings[0].message
    hidden = wrong(
        lambda input_ids: model(input_ids, attention_mask=mask, use_cache=False),
        TREE,
        {"input_ids": call(TREE)["input_ids"]},
    )
    (found,) = hidden.findings
    assert (found.kind, found.key, found.position) == ("positions", 12, 18)
    assert "as if position ids were not passed" in found.message


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_right_calls_are_silent(name, kind):
    model = model_of(name, kind)
    mask = attention_mask(TREE) if kind == "sdpa" else additive(TREE, name)
    for probes in (4, ALL):
        report = check_model(model, TREE, inputs=call(TREE, attention_mask=mask), probes=probes)
        assert (report.layers, report.keys, report.no_gradients, report.findings) == (3, min(probes, 24), "", ())
    assert not check_model(lambda **inputs: model(**inputs), TREE, inputs=call(TREE, attention_mask=mask)).findings
    finite = additive(TREE, name).clamp(min=torch.finfo(additive(TREE, name).dtype).min)
    assert not check_model(model, TREE, inputs=call(TREE, attention_mask=finite), probes=ALL).findings
    assert not check_model(model, DOCUMENTS, inputs=call(DOCUMENTS), probes=ALL).findings
    assert str(report).endswith("the model uses the mask")


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("data", [trie.rollouts(), trie.calls(), trie.pairs()], ids=["rollouts", "calls", "pairs"])
def test_packed_batches(data, kind):
    source = trie.packed(data)
    for model in (gpt2(kind), rotary("qwen", kind), rotary("llama", kind).bfloat16()):
        batch = Collator(kind, next(model.parameters()).dtype)(source)
        assert model.train() is model
        assert not check_model(model, batch).findings
        assert model.training
        report = wrong(lambda attention_mask, **others: model(**others), batch)  # noqa: B023
        assert report.diagnosis.name != "unknown"
        assert "sample" in report.findings[0].message


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_flex_on_the_cpu():
    """Compiled, forward only; a wrong block mask is found without gradients."""
    torch._dynamo.reset()
    model = rotary("llama", "flex_attention")
    report = check_model(model, TREE, inputs=call(TREE, attention_mask=block_mask(TREE)), probes=4)
    assert "backward" in report.no_gradients
    other = batch_of(merge(catalog.causal_lm(TREE.rows.size + 1)))
    report = wrong(model, TREE, call(TREE, attention_mask=block_mask(other)), probes=4)
    assert report.diagnosis.name == "causal"


@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_plain_transformers_are_silent(name):
    """Every family, as embeddings of (input, position, kind), through one, two and three layers.

    With and without the number of layers.
    """
    family = catalog.FAMILIES[name]()
    batch = batch_of(merge(family))
    for layers in (1, 2, 3):
        model = Transformer(family.family, layers, sink=False)
        inputs, run = plain(model, batch)
        for told in (layers, None):
            assert not check_model(run, batch, inputs=inputs, layers=told, probes=ALL).findings
        assert not check_model(run, batch, inputs=inputs, layers=layers, probes=ALL, gradients=False).findings


def plain(model, batch, tables=None):
    tables = tables_of(batch) if tables is None else tables
    identities = list(zip(batch.inputs, batch.position_ids.tolist(), batch.kinds, strict=True))
    kind = [model.kinds[each] for each in batch.kinds]
    return {
        "inputs_embeds": model.embed(identities)[None]
    }, lambda inputs_embeds: model.through(inputs_embeds[0], kind, tables)[-1] @ model.head.T


ONE_TABLE = [name for name, make in catalog.FAMILIES.items() if make().family.tables == 1]


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ONE_TABLE)
def test_answers_with_nothing_said(name, kind):
    """Token ids, position ids and the mask are made from the answer."""
    report = check_model(gpt2(kind), batch_of(merge(catalog.FAMILIES[name]())), probes=ALL)
    assert (report.layers, report.no_gradients) == (3, "")


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", ["prefix_lm", "butterfly", "local_global", "agent_trie"])
def test_single_wrong_entries(name, layers, gradients):
    """An entry more or less in one table of the mask is found wherever it changes what can flow."""
    family = catalog.FAMILIES[name]()
    batch, random = batch_of(merge(family)), np.random.default_rng(layers)
    model = Transformer(family.family, layers, sink=False)
    right = tables_of(batch)
    for _ in range(6):
        table, query, key = (int(random.integers(limit)) for limit in (min(layers, batch.tables), *right.shape[1:]))
        flipped = right.clone()
        flipped[table, query, key] ^= True
        inputs, run = plain(model, batch, flipped)
        before, after = (flow_of(each.numpy(), layers) for each in (right, flipped))
        if not np.array_equal(before, after):
            first = wrong(run, batch, inputs, layers=layers, probes=ALL, gradients=gradients).findings[0]
            assert after[first.position, first.key] != before[first.position, first.key]


def flow_of(tables, layers):
    found = own = np.eye(tables.shape[-1], dtype=bool)
    for layer in range(layers):
        found = ((own | tables[layer % len(tables)]).astype(int) @ found.astype(int)) > 0
    return found


def test_layers_of_a_pattern():
    family = catalog.local_global()
    batch = batch_of(merge(family))
    tables, model = tables_of(batch), Transformer(family.family, 2, sink=False)
    for wrongly, name in (
        (tables[:1], "first table"),
        (tables[-1:], "last table"),
        (tables.flip(0), "reversed tables"),
    ):
        inputs, run = plain(model, batch, wrongly)
        report = wrong(run, batch, inputs, layers=2, probes=ALL)
        assert name in (report.diagnosis.name, *report.diagnosis.also)
    inputs, run = plain(Transformer(family.family, 3, sink=False), batch)
    report = wrong(run, batch, inputs, layers=2, probes=ALL)
    assert report.diagnosis.name == "layers"
    assert "takes 3 layers, the model has 2" in report.findings[0].message


def test_missing_context_names_the_path():
    family = catalog.prefix_lm()
    batch = batch_of(merge(family))
    inputs, run = plain(Transformer(family.family, 2, sink=False), batch, tables_of(batch).tril())
    report = wrong(run, batch, inputs, layers=2, probes=ALL)
    (found,) = report.findings
    assert (found.kind, found.path, report.diagnosis.name) == ("missing context", (2, 0), "causal")
    assert "mask and causal" in report.diagnosis.also
    assert found.record()["path"] == [2, 0]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_sparse_masks(layers):
    """A chain served by hubs in two layers: right at any depth; a model with fewer layers than given lacks context."""
    family = catalog.causal_lm(n=17)
    batch = replace(batch_of(merge(family)), rows=hub_mask(16))
    inputs, run = plain(Transformer(family.family, layers, sink=False), batch)
    for told in (layers, None):
        assert not check_model(run, batch, inputs=inputs, layers=told, probes=ALL).findings
    if layers == 1:
        (found,) = wrong(run, batch, inputs, layers=2, probes=ALL).findings
        assert (found.kind, len(found.path)) == ("missing context", 3)
        assert " -> ".join(map(str, found.path)) in found.message


@pytest.mark.parametrize("name", ["prefix_lm", "shared_prefix_group", "butterfly", "sliding_window"])
def test_bounds_off_by_one(name):
    """< in place of <=, and the other way round."""
    family = catalog.FAMILIES[name]()
    batch = batch_of(merge(family))
    right, model = tables_of(batch), Transformer(family.family, 1, sink=False)
    for table, named in ((right | shifted(right, 1), "one key more"), (right & shifted(right, -1), "one key less")):
        inputs, run = plain(model, batch, table | torch.eye(len(table[0]), dtype=torch.bool))
        if torch.equal(table | torch.eye(len(table[0])).bool(), right | torch.eye(len(table[0])).bool()):
            continue  # lost keys are the positions themselves, which their states keep
        report = wrong(run, batch, inputs, layers=1, probes=ALL)
        assert named in (report.diagnosis.name, *report.diagnosis.also)


def test_gradients_that_do_not_flow():
    table = torch.nn.Embedding(40, 8)

    def model(input_ids, position_ids, attention_mask, use_cache):
        x = table(input_ids)[0]
        return x + attention_mask[0, 0].float() @ x.detach()

    report = wrong(model, TREE)
    (found,) = report.findings
    assert found.kind == "no gradient"
    assert "detach" in report.remedy
    assert not check_model(lambda **inputs: model(**inputs).detach(), TREE).findings


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_sharp_attention(kind, dtype, monkeypatch):
    """Weights of allowed keys that round to 0 are not missing context; what the stack hides is."""
    model = rotary("llama", kind).to(dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "q_proj" in name:
                weight *= 300
    inputs = call(TREE, attention_mask=attention_mask(TREE, kind, dtype))
    assert not check_model(model, TREE, inputs=inputs, probes=ALL).findings
    report = wrong(model, TREE, call(TREE, attention_mask=None), probes=ALL)
    assert report.diagnosis.name == "documents"
    monkeypatch.setattr("masksynth.torch.model_check.uniform_attention.TEMPERATURE", 1.0)
    assert kinds(wrong(model, TREE, inputs, probes=ALL)) <= {"missing context", "no gradient"}


def test_other_refusals():
    model = gpt2()
    assert kinds(wrong(lambda input_ids, **_: torch.zeros(24, 3), TREE)) == {"no input"}
    report = wrong(lambda **inputs: model(**inputs).logits * torch.nan, TREE)
    assert kinds(report) == {"not a number"}
    with pytest.raises(InvalidInstance, match=r"the model returns \[2\] for 24 positions"):
        check_model(lambda **_: torch.zeros(2), TREE)
    with pytest.raises(InvalidInstance, match=r"expected one of the inputs input_ids, .*, got \['x'\]"):
        check_model(model, TREE, inputs={"x": 1})
    with pytest.raises(InvalidInstance, match=r"input_ids is \[1, 3\], the batch has 24 positions"):
        check_model(model, TREE, inputs={"input_ids": torch.zeros(1, 3, dtype=torch.int64)})
    with pytest.raises(InvalidInstance, match="layers: expected a positive number or None, got 0"):
        check_model(model, TREE, layers=0)
    with pytest.raises(InvalidInstance, match="3 tables, and attention_mask holds one"):
        check_model(model, batch_of(merge(catalog.local_global())))
    random = torch.Generator().manual_seed(0)
    with pytest.raises(InvalidInstance, match=r"two equal runs differ by .*; switch dropout off"):
        check_model(lambda **inputs: model(**inputs).logits + torch.randn(24, 40, generator=random), TREE)


def test_noise_is_measured():
    model, random = gpt2(), torch.Generator().manual_seed(0)

    def noisy(**inputs):
        logits = model.eval()(**inputs).logits
        return logits + 1e-13 * torch.randn(logits.shape, generator=random, dtype=torch.float64)

    assert 0 < check_model(noisy, TREE).noise < 1e-11


def test_the_error_travels():
    with pytest.raises(WrongAnswer) as caught:
        check_model(lambda attention_mask, **others: gpt2().eval()(**others), TREE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.report) == (str(caught.value), caught.value.report)


tables = st.integers(1, 6).flatmap(
    lambda size: st.integers(1, 3).flatmap(
        lambda count: st.lists(st.booleans(), min_size=count * size * size, max_size=count * size * size).map(
            lambda bits: np.array(bits).reshape(count, size, size)
        )
    )
)


@given(tables, st.one_of(st.none(), st.integers(1, 5)))
@settings(max_examples=60, deadline=None)
def test_flow_against_matrices(dense, layers):
    mask, size = Mask.from_dense(dense), dense.shape[-1]
    expected = flow_of(dense, layers or 3 * size * len(dense))
    for at in range(size):
        one = np.arange(size) == at
        assert np.array_equal(reachable_outputs(mask, one, layers), expected[:, at])
        assert np.array_equal(reachable_inputs(mask, one, layers), expected[at])
        for query in range(size):
            way = shortest_path(mask, query, at, layers)
            assert bool(way) == expected[query, at]
            assert not way or (way[0], way[-1]) == (at, query)


@given(tables, st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_failures_explain_themselves(dense, layers):
    """What a failure would show is diagnosed as that failure or one that shows the same."""
    mask, size = Mask.from_dense(dense), dense.shape[-1]
    ids, every = np.random.default_rng(size).integers(0, 3, size), np.arange(size)
    right = flow_of(dense, layers)
    for name, other in failures(mask, ids):
        shown = flow_of(other.dense().reshape(-1, size, size), layers)
        if name == "layers" or np.array_equal(shown, right):
            continue
        found = diagnose(mask, ids, Evidence(every, every, shown.T, shown, np.ones(size, bool)), layers)
        assert name in (found.name, *found.also)


def test_every_failure_is_described():
    random = np.random.default_rng(0)
    mask = Mask.from_dense(np.stack([random.random((300, 300)) < 0.02] * 2))
    assert {name for name, _ in failures(mask, np.arange(300), window=5)} == set(FAILURES)


def test_twins():
    mask = Mask.from_dense(np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], bool))
    assert [group.tolist() for group in find_interchangeable(mask, np.array([0, 1, 1, 1]))] == [[1, 2]]
    assert find_interchangeable(mask, np.array([0, 1, 2, 3])) == []
