"""PackedTrainer on folders: the parameters are those of a loop over the separate samples."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import TrainingArguments

import masksynth as ms
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch import PackedDataset, packed_loss, sample_logprobs
from masksynth.torch.trainers import PackedTrainer
from tests.torch.trainers import stacks

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, accelerate and torch


def samples():
    """Samples whose batches have different numbers of labels, and weights."""
    made = []
    for number, row in enumerate(stacks.token_rows()[:24]):
        labels = row["input_ids"] if number % 5 == 0 else row["labels"]
        weight = 1.0 + number % 3
        made.append({"id": f"s{number}", "input_ids": row["input_ids"], "labels": labels, "weight": weight})
    return made


def write_folder(path):
    """Pack the samples to an odd number of batches, so that the last step and the last round have fewer."""
    for length in range(30, 40):
        folder = path / str(length)
        ms.pack_samples(samples(), folder, max_length=length)
        if len(PackedDataset(folder)) % 2 and len(PackedDataset(folder)) > 4:
            return folder
    raise AssertionError("no odd number of batches")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("packed") / "folder")


def settings(**more):
    return stacks.settings(TrainingArguments, **{"per_device_train_batch_size": 1, "learning_rate": 0.1, **more})


def trainer(folder, **more):
    data = {"train_dataset": folder, "eval_dataset": more.pop("eval_dataset", None)}
    model = more.pop("model", None) or stacks.gpt2()
    compute = {name: more.pop(name) for name in ("compute_loss_func",) if name in more}
    return PackedTrainer(model, settings(**more), **data, **compute)


def parameters(model):
    return torch.cat([part.detach().flatten() for part in model.parameters()])


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def sample_sums(model, ids):
    """(weighted loss sum, weight) of separate samples."""
    total, weight = 0, 0
    for sample in samples():
        if sample["id"] in ids:
            logits = model(input_ids=torch.tensor([sample["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(sample["labels"][1:])
            total = total + sample["weight"] * cross_entropy(logits, labels, reduction="sum")
            weight += sample["weight"] * int((labels != -100).sum())
    return total, weight


def loop(orders, accumulated, data, size=1):
    """Parameters after SGD over the separate samples of the batches, in the order of each epoch."""
    model = stacks.gpt2()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for order in orders:
        step = accumulated * size
        for begin in range(0, len(order), step):
            ids = {name for number in order[begin : begin + step] for name in data[number].samples}
            total, weight = sample_sums(model, ids)
            losses.append(float(total / weight))
            (total / weight).backward()
            optimizer.step()
            optimizer.zero_grad()
    return parameters(model), losses


def orders_of(made, epochs):
    """The batches that the trainer's loader has in each epoch."""
    loader, orders = made.get_train_dataloader(), []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        orders.append([number for batch in loader.batch_sampler for number in batch])
    return orders


@pytest.mark.parametrize(("accumulated", "size"), [(1, 1), (3, 1), (2, 2)])
def test_steps_are_those_of_the_separate_samples(folder, accumulated, size):
    """The last step of an epoch has fewer batches; the logged loss is the mean over the labels of the step."""
    more = {"gradient_accumulation_steps": accumulated, "per_device_train_batch_size": size}
    made = trainer(folder, num_train_epochs=2, max_steps=-1, **more)
    orders = orders_of(made, 2)
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == list(range(len(PackedDataset(folder))))
    right, losses = loop(orders, accumulated, PackedDataset(folder), size)
    made.train()
    assert relative(parameters(made.model), right) < 1e-12
    logged = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    assert logged == pytest.approx(losses, rel=1e-6)


def test_a_run_that_is_resumed_in_mid_epoch_has_the_batches_that_are_left(folder, tmp_path):
    whole = trainer(folder, num_train_epochs=3, max_steps=-1, gradient_accumulation_steps=2)
    whole.train()
    saving = {"save_strategy": "steps", "save_steps": 1, "output_dir": str(tmp_path)}
    first = trainer(folder, num_train_epochs=3, max_steps=-1, gradient_accumulation_steps=2, **saving)
    first.train()
    steps = whole.state.global_step
    middle = steps // 3 + 2  # within the second epoch
    assert middle % (steps // 3)
    rest = trainer(
        folder,
        model=stacks.gpt2(seed=9),
        num_train_epochs=3,
        max_steps=-1,
        gradient_accumulation_steps=2,
        output_dir=str(tmp_path),
    )
    rest.train(resume_from_checkpoint=f"{tmp_path}/checkpoint-{middle}")
    assert relative(parameters(rest.model), parameters(whole.model)) < 1e-12
    assert rest.state.global_step == steps


def test_evaluation_is_the_mean_over_all_labels(folder):
    made = trainer(folder, eval_dataset={"all": folder, "again": PackedDataset(folder)})
    total, weight = sample_sums(made.model, {sample["id"] for sample in samples()})
    found = made.evaluate()
    assert found["eval_all_loss"] == pytest.approx(float(total / weight), rel=1e-6)
    assert found["eval_again_loss"] == found["eval_all_loss"]
    alone = trainer(folder, eval_dataset=folder, eval_strategy="steps", eval_steps=2, max_steps=4)
    alone.train()
    logged = [entry["eval_loss"] for entry in alone.state.log_history if "eval_loss" in entry]
    assert len(logged) == 2
    assert alone.evaluate()["eval_loss"] == logged[-1] < found["eval_all_loss"]


def test_a_loss_of_the_users_own_gets_batch_and_divisor(folder):
    def loss(outputs, batch, num_items_in_batch):
        logprobs = sample_logprobs(outputs.logits, batch).token
        return -(batch.loss_weight.to(logprobs) * logprobs).sum() / num_items_in_batch

    plain, own = trainer(folder, max_steps=5), trainer(folder, max_steps=5, compute_loss_func=loss, eval_dataset=folder)
    plain.train()
    own.train()
    assert relative(parameters(own.model), parameters(plain.model)) < 1e-6
    assert own.evaluate()["eval_loss"] == pytest.approx(plain.evaluate(folder)["eval_loss"], rel=1e-6)


def test_lora_and_routers(folder):
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    made = trainer(folder, model=get_peft_model(stacks.llama(), lora), max_steps=4, gradient_accumulation_steps=2)
    before = parameters(made.model)
    made.train()
    assert not parameters(made.model).equal(before)
    routed = trainer(folder, model=stacks.mixtral(), max_steps=1)
    [[first, *_]] = orders_of(routed, 1)
    batch = routed.data_collator([PackedDataset(folder)[first]])
    outputs = routed.model(**batch.model_inputs)
    routed.train()
    expected = packed_loss(outputs.logits, batch, "mean") + 0.1 * outputs.aux_loss
    assert routed.state.log_history[0]["loss"] == pytest.approx(float(expected), rel=1e-6)


def test_what_is_refused(folder):
    with pytest.raises(Unsupported, match="label_smoothing_factor"):
        trainer(folder, label_smoothing_factor=0.1)
    with pytest.raises(InvalidInstance, match="got list"):
        trainer(stacks.token_rows())
    with pytest.raises(Unsupported, match="compute_metrics"):
        PackedTrainer(stacks.llama(), settings(), folder, compute_metrics=print)
    made = trainer(folder)
    with pytest.raises(Unsupported, match="predict"):
        made.predict(folder)
    with pytest.raises(InvalidInstance, match="without eval_dataset"):
        made.evaluate()
    with pytest.raises(InvalidInstance, match="without train_dataset"):
        trainer(None).train()
