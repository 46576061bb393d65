"""What two processes of the trainers do; each writes what it found."""

from __future__ import annotations

import faulthandler
import os

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch.distributed.fsdp import fully_shard
from transformers import TrainingArguments

from masksynth.torch import fold
from masksynth.torch.trainers import PackedTrainer, TokenMean
from tests.torch.trainers import stacks
from tests.torch.trainers.record import train

RANKS, SIZE, STEPS = 2, 4, 3


def run_ranks(folder, out):
    """Return what each rank found."""
    out.mkdir()
    torch.multiprocessing.spawn(work, (str(folder), str(out)), RANKS)
    return [torch.load(out / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


def work(rank, folder, out):
    faulthandler.dump_traceback_later(300, exit=True)  # a rank that waits forever fails the test and says where
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_WORLD_SIZE=str(RANKS))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")  # read, not used: the group exists already
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=RANKS)
    found = {"plain": trained(False), "folded": trained(True), **packed(folder), "sharded": sharded(rank)}
    torch.save(found, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def trained(folded):
    """The curve of transformers' Trainer, in DistributedDataParallel."""
    setting = {"max_steps": 6, "gradient_accumulation_steps": 2, "ddp_backend": "gloo"}
    curve = train(stacks.transformers_trainer(stacks.gpt2(), **setting), folded)
    return {"losses": curve.values("loss"), "parameters": curve.parameters, "counts": curve[2:5]}


def packed(folder):
    """Orders, parameters and evaluation of PackedTrainer."""
    more = {"num_train_epochs": 2, "max_steps": -1, "gradient_accumulation_steps": 2, "ddp_backend": "gloo"}
    setting = stacks.settings(TrainingArguments, per_device_train_batch_size=1, learning_rate=0.1, **more)
    made = PackedTrainer(stacks.gpt2(), setting, train_dataset=folder, eval_dataset=folder)
    before, loader, orders = made.evaluate()["eval_loss"], made.get_train_dataloader(), []
    for epoch in range(2):
        loader.set_epoch(epoch)
        orders.append([(int(number), type(number).__name__) for batch in loader.batch_sampler for number in batch])
    made.train()
    losses = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    parameters = torch.cat([part.detach().flatten() for part in made.model.parameters()])
    return {"orders": orders, "packed": parameters, "packed losses": losses, "evaluated": before}


def rows_of(rank):
    """Micro-batches of a rank; some rows train their prompts."""
    rows = stacks.token_rows()
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["labels"] = list(row["input_ids"])
    mine = rows[rank * len(rows) // RANKS : (rank + 1) * len(rows) // RANKS]
    return [stacks.pad_labels(mine[begin : begin + SIZE]) for begin in range(0, STEPS * SIZE, SIZE)]


def sharded(rank):
    """Parameters after a step over accumulated batches, in FSDP2, folded."""
    model = stacks.gpt2()
    for block in model.transformer.h:
        fully_shard(block)
    fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    mean = TokenMean(model.parameters())
    with fold(model, min_ratio=1.0) as folded:
        for batch in rows_of(rank):
            model(**batch, num_items_in_batch=1).loss.backward()
            mean.add(batch["labels"])
    labels = mean.scale_gradients()
    optimizer.step()
    report = folded.report()
    return {
        "parameters": torch.cat([part.full_tensor().detach().flatten() for part in model.parameters()]),
        "labels": labels,
        "folded": (report.calls, report.folded),
    }
