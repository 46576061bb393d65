"""One optimizer step of a packed folder on two processes."""

from __future__ import annotations

import faulthandler
from contextlib import nullcontext

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from masksynth.torch import Collator, PackedDataset, PackedSampler, loss_divisor, packed_loss
from tests.torch.models import gpt2

RANKS = 2


def gradients_of_ranks(folder, out):
    """(gradients of all parameters, the divisor) after the step, the same on both ranks."""
    out.mkdir()
    torch.multiprocessing.spawn(step, (str(folder), str(out)), RANKS)
    (found, divisor), (other, same) = (torch.load(out / f"{rank}.pt") for rank in range(RANKS))
    assert divisor == same
    assert all(a.equal(b) for a, b in zip(found, other, strict=True))
    return found, divisor


def step(rank, folder, out):
    faulthandler.dump_traceback_later(300, exit=True)  # a rank that waits forever fails the test and says where
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=RANKS)
    torch.save(gradients_and_divisor(folder), f"{out}/{rank}.pt")
    # The model is gone by now. Were it the last to hold the process group, torch (2.13) would end the group's threads
    # while it holds the interpreter lock, for which one of them may still be waiting: neither goes on.
    dist.destroy_process_group()


def gradients_and_divisor(folder):
    """Train for one step on the share of this rank."""
    data = PackedDataset(folder)
    sampler = PackedSampler(data, seed=1)
    batches = list(DataLoader(data, batch_size=1, sampler=sampler, collate_fn=Collator()))
    model = DistributedDataParallel(gpt2())
    divisor = loss_divisor(batches)
    for number, batch in enumerate(batches):
        with nullcontext() if number == len(batches) - 1 else model.no_sync():
            packed_loss(model(**batch.model_inputs).logits, batch, "mean", divisor).backward()
    return [parameter.grad for parameter in model.parameters()], divisor
