"""What two processes of the trainers do; each writes what it found."""

from __future__ import annotations

import faulthandler
import os
import warnings
from contextlib import nullcontext

import torch
import torch.distributed as dist
import torch.multiprocessing
from accelerate import FullyShardedDataParallelPlugin
from accelerate.utils import DistributedType
from torch.distributed.fsdp import fully_shard
from transformers import TrainingArguments

from masksynth.errors import MasksynthWarning
from masksynth.torch import fold
from masksynth.torch.trainers import PackedTrainer, TokenMean, fold_trainer
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
    found = {"plain": trained(False), "folded": trained(True), **packed(folder, out), "sharded": sharded(rank)}
    found |= {"ordered": ordered(f"{out}/ordered"), "refilled": refilled(), "evaluated first": evaluated_first()}
    found |= {"fsdp": [sharded_by_the_trainer(folded) for folded in (False, True)]}
    torch.save(found, f"{out}/{rank}.pt")
    dist.barrier()  # a rank that leaves first may end the other's connections
    # Trainers in cycles hold the group until the interpreter ends, where torch (2.13) may abort while it ends threads.
    os._exit(0)


def replicated(rows=32, **more):
    """transformers' Trainer in DistributedDataParallel."""
    setting = {"max_steps": 6, "gradient_accumulation_steps": 2, "ddp_backend": "gloo", **more}
    trainer = stacks.transformers_trainer(stacks.gpt2(), **setting)
    trainer.train_dataset = trainer.train_dataset[:rows]
    return trainer


def trained(folded):
    """Its curve, with evaluations."""
    curve = train(replicated(eval_dataset=True, eval_strategy="steps", eval_steps=3), folded)
    names = ("loss", "eval_loss", "merged/positions", "eval_merged/positions")
    return {**{name: curve.values(name) for name in names}, "parameters": curve.parameters, "counts": curve[2:5]}


def ordered(path):
    """Micro-batches in the order of prefixes, and the parameters of a run and of one that is resumed in mid-epoch."""
    trainer, orders = replicated(), []
    with fold_trainer(trainer, order="prefix"):
        loader = trainer.get_train_dataloader()
        for epoch in range(2):
            loader.set_epoch(epoch)
            orders.append(list(loader.batch_sampler))
    whole = train(replicated(output_dir=path, save_strategy="steps", save_steps=3), True, order="prefix")
    rest = train(replicated(output_dir=path), True, order="prefix", resume=f"{path}/checkpoint-3")
    return {"orders": orders, "parameters": (whole.parameters, rest.parameters)}


def refilled():
    """Parameters after 30 rows in micro-batches of 4: accelerate repeats the first ones to fill the last round."""
    curves = [train(replicated(30, max_steps=8), folded, **more) for folded, more in REFILLED]
    return [(curve.parameters, curve.trie) for curve in curves]


REFILLED = ((False, {}), (True, {"keep_groups": False}), (True, {"keep_groups": True}))


def evaluated_first():
    """The warnings of an evaluation before training, and the class that transformers trains after it."""
    trainer = replicated(eval_dataset=True, max_steps=1)
    with fold_trainer(trainer), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MasksynthWarning)
        trainer.evaluate()
    trainer.train()
    kept = [str(warning.message) for warning in caught if warning.category is MasksynthWarning]
    return kept, type(trainer.model_wrapped).__name__


def sharded_by_the_trainer(folded):
    """The curve in FSDP2, by the Trainer's own ``fsdp`` setting."""
    fsdp = {"fsdp": True, "fsdp_config": {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}}
    setting = {"max_steps": 3, "gradient_accumulation_steps": 2, **fsdp}
    trainer = stacks.transformers_trainer(stacks.llama(), **setting)
    # accelerate ignores the setting on CPUs, and replicates the model: here is what it sets elsewhere
    state, trainer.is_fsdp_enabled = trainer.accelerator.state, True
    state.fsdp_plugin = FullyShardedDataParallelPlugin(**trainer.args.fsdp_plugin_args)
    state.distributed_type = DistributedType.FSDP
    with fold_trainer(trainer, min_ratio=1.0) if folded else nullcontext() as handle:
        trainer.train()
    report = handle.report()["policy"] if folded else None
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    parameters = torch.cat([part.full_tensor().detach().flatten() for part in trainer.model.parameters()])
    return {"losses": losses, "parameters": parameters, "folded": report and (report.calls, report.folded)}


def packed(folder, out):
    """Orders, parameters and evaluation of PackedTrainer."""
    more = {"num_train_epochs": 2, "max_steps": -1, "gradient_accumulation_steps": 2, "ddp_backend": "gloo"}
    more |= {"output_dir": f"{out}/packed", "save_strategy": "steps", "save_steps": 1}
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
