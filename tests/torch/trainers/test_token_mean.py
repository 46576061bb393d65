"""The mean over labels in loops of accelerate and Lightning, and Lightning's folded model."""

from __future__ import annotations

import lightning
import pytest
import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from masksynth.torch.trainers import FoldCallback, TokenMean, TokenMeanCallback
from tests.torch.trainers import stacks
from tests.torch.trainers.record import trie_size

pytestmark = pytest.mark.filterwarnings("ignore")  # of lightning, accelerate and torch
SIZE, STEPS = 4, 3


def loader():
    """7 batches: the last optimizer step of 3 has one."""
    rows = stacks.token_rows()[: 7 * SIZE]
    for number, row in enumerate(rows):  # some rows train their prompts: label counts differ from batch to batch
        if number % 3 == 0:
            row["labels"] = list(row["input_ids"])
    return DataLoader(rows, batch_size=SIZE, collate_fn=stacks.pad_labels)


def expected():
    """Return the parameters after SGD on the mean over all labels of each step, computed over their rows together."""
    model, batches = stacks.gpt2(), list(loader())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for begin in range(0, len(batches), STEPS):
        total, count = 0, 0
        for batch in batches[begin : begin + STEPS]:
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
            labels = batch["labels"][:, 1:].flatten()
            total = total + cross_entropy(logits.flatten(0, 1), labels, reduction="sum")
            count += int((labels != -100).sum())
        (total / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    return parameters(model)


def parameters(model):
    return torch.cat([part.detach().flatten() for part in model.parameters()])


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def run_accelerate(exact, clip=None):
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=STEPS)
    plain = stacks.gpt2()
    model, optimizer, batches = accelerator.prepare(plain, torch.optim.SGD(plain.parameters(), lr=0.1), loader())
    mean, counts = TokenMean(model.parameters(), accelerator.gradient_accumulation_steps), []
    for batch in batches:
        with accelerator.accumulate(model):
            loss = model(**batch, **({"num_items_in_batch": 1} if exact else {})).loss
            accelerator.backward(loss)
            mean.add(batch["labels"])
            if accelerator.sync_gradients and exact:
                counts.append(mean.scale_gradients())
            optimizer.step()
            optimizer.zero_grad()
    return parameters(plain), counts


class Module(lightning.LightningModule):
    def __init__(self, exact):
        super().__init__()
        self.model, self.exact = stacks.gpt2(), exact
        self.trie, self.tokens = [], []

    def training_step(self, batch, number):
        tokens, nodes = trie_size(batch)
        self.trie.append(nodes)
        self.tokens.append(tokens)
        return self.model(**batch, **({"num_items_in_batch": 1} if self.exact else {})).loss

    def validation_step(self, batch, number):
        self.log("val_loss", self.model(**batch).loss)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run_lightning(exact, *callbacks, path, **more):
    module = Module(exact)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "max_epochs": 1}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu", "accumulate_grad_batches": STEPS}
    trainer = lightning.Trainer(**quiet, callbacks=list(callbacks), default_root_dir=path, **more)
    trainer.fit(module, loader(), loader())
    return module, trainer


def test_accelerate_with_the_mean_over_labels():
    right = expected()
    found, counts = run_accelerate(exact=True)
    assert relative(found, right) < 1e-7
    assert sum(counts) == sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in loader())
    assert relative(run_accelerate(exact=False)[0], right) > 1e-3  # the mean of means is another step


def test_lightning_with_the_mean_over_labels(tmp_path):
    right = expected()
    found, _ = run_lightning(True, TokenMeanCallback(), path=tmp_path)
    assert relative(parameters(found.model), right) < 1e-7
    usual, _ = run_lightning(False, path=tmp_path)
    assert relative(parameters(usual.model), right) > 1e-3


def test_lightning_folded(tmp_path):
    right = expected()
    folding = FoldCallback(min_ratio=1.0)
    module, trainer = run_lightning(True, folding, TokenMeanCallback(lambda batch: batch["labels"]), path=tmp_path)
    assert relative(parameters(module.model), right) < 1e-7
    _, other = run_lightning(True, TokenMeanCallback(), path=tmp_path)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["val_loss"] == pytest.approx(float(other.callback_metrics["val_loss"]), rel=1e-6)
    assert (metrics["merged/tokens"], metrics["merged/positions"]) == (module.tokens[-1], module.trie[-1])
    assert metrics["val_merged/positions"] == sum(module.trie)
    assert folding.report().positions > 2 * sum(module.trie)  # training, validation, and two batches before both
    before = folding.report().calls
    module.model(**next(iter(loader())))  # closed
    assert folding.report().calls == before


def test_lightning_validation_alone_is_folded(tmp_path):
    folding, module = FoldCallback(model="model", min_ratio=1.0), Module(True)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(**quiet, callbacks=[folding], default_root_dir=tmp_path)
    trainer.validate(module, loader(), verbose=False)
    assert folding.report().positions == float(trainer.callback_metrics["val_merged/positions"]) > 0


def test_a_step_without_labels_leaves_no_gradient_and_no_nan():
    weight = torch.nn.Parameter(torch.ones(3))
    mean = TokenMean([weight])
    (weight * 0).sum().backward()
    mean.add(torch.full((2, 5), -100))
    assert mean.scale_gradients() == 0
    assert weight.grad.equal(torch.zeros(3))
