"""A batch of `solve` is called like a packed one: a vocabulary gives its inputs, and it has the packed losses."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from masksynth import catalog
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.merge import merge
from masksynth.torch import (
    Collator,
    attention_mask,
    batch_of,
    block_mask,
    check_model,
    load,
    loss_divisor,
    merged_loss,
    packed_loss,
    sample_logprobs,
    total_weight,
)
from masksynth.torch.join_batches import example_batch
from tests.export.samples import merged_task, random_mask
from tests.torch.reference import rows_of, text
from tests.torch.test_huggingface import model_of

NAMES = ("prefix_lm", "agent_trie", "butterfly")


def tokens_of(family):
    """Token ids of all inputs and labels, the same for equal JSON values."""
    inputs = {text(node.input): node.input for task in family.tasks for node in task.nodes}
    labels = {text(edge.label): edge.label for task in family.tasks for edge in task.predict}
    return {value: number for number, value in enumerate({**labels, **inputs}.values())}


def separate_losses(model, family, tokens):
    """The weighted loss of each task, run alone with its own literal rows."""
    losses = []
    for task in family.tasks:
        logits = model(
            input_ids=torch.tensor([[tokens[node.input] for node in task.nodes]]),
            position_ids=torch.tensor([[node.position for node in task.nodes]]),
            attention_mask=rows_of(task)[0][None, None],
            use_cache=False,
        ).logits[0]
        names = [node.name for node in task.nodes]
        terms = [
            edge.weight * cross_entropy(logits[names.index(edge.node)], torch.tensor(tokens[edge.label]))
            for edge in task.predict
        ]
        losses.append(sum(terms, torch.zeros((), dtype=torch.float64)))
    return torch.stack(losses)


@pytest.fixture(scope="module", params=NAMES)
def trained(request):
    """(family, token ids, batch, model) of one family of the catalogue."""
    instance = catalog.FAMILIES[request.param]()
    tokens = tokens_of(instance.family)
    model = model_of(instance.family, "sdpa")
    model.resize_token_embeddings(max(len(tokens), model.config.vocab_size))
    return instance.family, tokens, batch_of(merge(instance), tokens), model.double().eval()


def test_losses_equal_those_of_separate_tasks(trained):
    family, tokens, batch, model = trained
    logits, expected = model(**batch.model_inputs).logits, separate_losses(model, family, tokens)
    assert torch.allclose(packed_loss(logits, batch), expected.sum(), atol=1e-10)
    assert torch.allclose(packed_loss(logits, batch, "mean"), expected.sum() / total_weight([batch]), atol=1e-10)
    divided = packed_loss(logits, batch, "mean", loss_divisor([batch, batch]))
    assert torch.allclose(divided, expected.sum() / (2 * batch.weight), atol=1e-10)
    token, sample, offset = sample_logprobs(logits, batch)
    weighted = torch.stack([(batch.loss_weight * token)[offset[i] : offset[i + 1]].sum() for i in range(len(expected))])
    assert torch.allclose(-weighted, expected, atol=1e-10)
    assert sample.shape == (len(batch.samples),) == (len(batch.tasks),)
    assert batch.loss_sample is batch.loss_task


def test_logits_at_labelled_positions_suffice(trained):
    _, _, batch, model = trained
    rows = model(**batch.model_inputs, logits_to_keep=batch.loss_place).logits
    assert torch.allclose(packed_loss(rows, batch), packed_loss(model(**batch.model_inputs).logits, batch), atol=1e-10)


def test_embeddings_are_inputs_too(trained):
    family, tokens, batch, model = trained
    table = model.get_input_embeddings().weight
    by_input = batch_of_same(batch, {value: table[number] for value, number in tokens.items()}, tokens)
    assert by_input.model_inputs["inputs_embeds"].shape == (1, len(batch.inputs), table.shape[1])
    loss = packed_loss(model(**by_input.model_inputs).logits, by_input)
    assert torch.allclose(loss, separate_losses(model, family, tokens).sum(), atol=1e-10)
    loss.backward()
    assert table.grad is not None  # gradients flow to the embeddings
    model.zero_grad()


def batch_of_same(batch, vocabulary, label_ids):
    from dataclasses import replace

    return replace(batch, vocabulary=vocabulary, label_ids=label_ids)


def test_the_model_is_checked_with_the_vocabulary(trained):
    _, _, batch, model = trained
    assert not check_model(model, batch).findings


def merged_of(*inputs):
    """A merged task of positions with these inputs, each of which sees those before it."""
    from dataclasses import replace

    merged = merged_task(random_mask(len(inputs)))
    positions = tuple(position._replace(input=value) for position, value in zip(merged.positions, inputs, strict=True))
    return replace(merged, positions=positions)


def test_values_that_python_takes_for_equal_are_not():
    merged = merged_of(1, True, 1.0, "1", ("mean", "a", "b"))
    vocabulary = {1: 5, "1": 8, ("mean", "a", "b"): 9}
    with pytest.raises(InvalidInstance, match="input true at position 1 has no entry in the vocabulary"):
        _ = batch_of(merged, vocabulary).model_inputs
    assert batch_of(merged_of(1, "1", ("mean", "a", "b")), vocabulary).model_inputs["input_ids"].tolist() == [[5, 8, 9]]


def test_an_aggregate_without_an_entry_is_named():
    batch = batch_of(merged_of("w1", ("mean", "w1", "w3")), {"w1": 0, "w3": 1})
    with pytest.raises(InvalidInstance, match=r'aggregate \["mean","w1","w3"\] at position 1 has no entry'):
        _ = batch.model_inputs


def test_a_tensor_has_a_row_for_each_input():
    table = torch.randn(4, 3)
    batch = batch_of(merged_of(2, 0), table)
    assert batch.model_inputs["inputs_embeds"].equal(table[[2, 0]][None])
    for inputs, words in (((4,), "input 4"), (("a",), 'input "a"'), ((("mean", 0, 1),), r'aggregate \["mean",0,1\]')):
        with pytest.raises(InvalidInstance, match=f"the {words} at position 0 is not a row of the 4 embeddings"):
            _ = batch_of(merged_of(*inputs), table).model_inputs
    with pytest.raises(InvalidInstance, match=r"expected floating-point embeddings \(V, H\), got int64 \[4\]"):
        _ = batch_of(merged_of(1), torch.arange(4)).model_inputs


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        (None, "the batch has no vocabulary"),
        ([1, 2], "expected a mapping or a Tensor, got list"),
        ({"a": 1, "b": -1}, "entry of 'b': expected a token id, got -1"),
        ({"a": True}, "entry of 'a': expected a token id, got True"),
        ({"a": 1.0}, "entry of 'a': expected a token id, got float"),
        ({"a": 1, "b": torch.ones(2)}, "entry of 'b': expected a token id, got Tensor"),
        ({"a": torch.ones(2), "b": 1}, "entry of 'b': expected embeddings of shape"),
        ({"a": torch.ones(2), "b": torch.ones(3)}, "entry of 'b': expected embeddings of shape"),
    ],
)
def test_vocabularies_are_checked(vocabulary, words):
    with pytest.raises(InvalidInstance, match=words):
        _ = batch_of(merged_of("a"), vocabulary).model_inputs


def test_the_mask_has_the_type_of_the_attention():
    merged = merged_of("a", "b")
    allowed = batch_of(merged, {"a": 0, "b": 1}).model_inputs["attention_mask"]
    added = batch_of(merged, {"a": 0, "b": 1}, attention="eager", dtype=torch.float64).model_inputs["attention_mask"]
    assert (allowed.dtype, added.dtype) == (torch.bool, torch.float64)
    assert added.isneginf().equal(~allowed)
    blocks = batch_of(merged, {"a": 0, "b": 1}, attention="flex").model_inputs["attention_mask"]
    assert blocks.seq_lengths == (2, 2)
    with pytest.raises(InvalidInstance, match="unknown attention 'flash'"):
        batch_of(merged, attention="flash")
    with pytest.raises(Unsupported, match="the mask has 3 tables, and attention_mask holds one"):
        _ = batch_of(merged_task(random_mask(3, 3)), torch.zeros(9, 2)).model_inputs


def test_labels_go_through_the_vocabulary():
    merged = merged_task(random_mask(4))
    tokens = {label: 7 + number for number, label in enumerate(merged.labels)}
    logits = torch.randn(4, 20)
    expected = merged_loss(logits, batch_of(merged), list(tokens.values()))
    assert packed_loss(logits, batch_of(merged, tokens)) == expected
    assert packed_loss(logits, batch_of(merged, label_ids=tokens)) == expected
    assert packed_loss(logits, batch_of(merged, label_ids=torch.tensor(list(tokens.values())))) == expected
    with pytest.raises(InvalidInstance, match="has no entry in the vocabulary; pass label_ids"):
        packed_loss(logits, batch_of(merged, {"unknown": 0}))


PACKED = Collator()([example_batch()])
LOGITS = torch.zeros(3, 10)


@pytest.mark.parametrize(
    "call",
    [
        lambda: packed_loss(LOGITS, example_batch()),
        lambda: sample_logprobs(LOGITS, merged_of("a")),
        lambda: total_weight([example_batch()]),
        lambda: loss_divisor([None]),
        lambda: merged_loss(LOGITS, PACKED),
        lambda: merged_loss(LOGITS, merged_of("a")),
        lambda: attention_mask(PACKED),
        lambda: block_mask(PACKED),
        lambda: batch_of(PACKED),
        lambda: batch_of(None),
        lambda: Collator()([PACKED]),
        lambda: Collator()([batch_of(merged_of("a"))]),
        lambda: Collator()(PACKED),
        lambda: check_model(print, merged_of("a")),
    ],
)
def test_another_kind_of_batch_is_named(call):
    with pytest.raises(InvalidInstance, match=r"expected an? (TrainingBatch|Batch|PackedBatch|MergedTask).*, got \w+"):
        call()


def test_one_batch_counts_as_a_step():
    assert total_weight(PACKED) == PACKED.weight


def test_load_takes_a_vocabulary(tmp_path):
    from masksynth.export import solution_record, write_answer

    merged = merged_of("a", "b")
    folder = write_answer(tmp_path / "out", solution_record(merged), merged)
    batch = load(folder, {"a": 3, "b": 4})
    assert batch.model_inputs["input_ids"].tolist() == [[3, 4]]
    assert repr(batch) == f"Batch(2 positions, {len(merged.tasks)} tasks, {len(merged.loss_edges)} loss edges, 'cpu')"


@pytest.mark.parametrize("logits", [None, 3, [1.0], "x"])
def test_logits_that_are_no_tensor_are_named(logits):
    batch = batch_of(merge(catalog.prefix_lm()), vocabulary={f"w{number}": number for number in range(8)})
    for loss in (packed_loss, sample_logprobs):
        with pytest.raises(InvalidInstance, match=f"^expected Tensor, got {type(logits).__name__}; pass the logits of"):
            loss(logits, batch)


def test_a_token_id_beyond_64_bits_is_named():
    words = {f"w{number}": number for number in range(8)} | {"w0": 1 << 63}
    with pytest.raises(InvalidInstance, match=f"entry of 'w0': expected a token id, got {1 << 63}$"):
        batch_of(merge(catalog.prefix_lm()), vocabulary=words).model_inputs["input_ids"]
