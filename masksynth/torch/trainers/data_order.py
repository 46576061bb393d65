"""Order a trainer's data set, so that rows which share prefixes are in one micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from masksynth.errors import Unsupported
from masksynth.torch.models.unwrap import inner_model
from masksynth.torch.trainers.dataset_tokens import is_stored, token_columns
from masksynth.torch.trainers.prefix_order import PrefixOrder, StepOrder, read_forest

PAIR_LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "apo_zero", "apo_down",
    "discopop", "sigmoid_norm",
)  # fmt: skip
"""Losses of DPO that are means over pairs, of numbers that depend on one pair each."""

OWN_METHODS = ("compute_loss", "_compute_loss", "training_step", "get_batch_samples", "_get_num_items_in_batch")
"""Methods that decide what an optimizer step's gradient is."""


def library_class(trainer: Any) -> Any:
    """Return the class of transformers or TRL that a trainer is, or is derived from."""
    libraries = ("transformers.", "trl.")
    return next((kind for kind in type(trainer).__mro__ if kind.__module__.startswith(libraries)), type(trainer))


def own_method(trainer: Any, kind: Any, names: tuple[str, ...]) -> str | None:
    """Return the first of some methods that a trainer does not have from its library's class, or None."""
    missing = object()
    own = (
        name
        for name in names
        if getattr(type(trainer), name, missing) is not getattr(kind, name, missing) or name in vars(trainer)
    )
    return next(own, None)


def has_one_micro_batch(trainer: Any) -> bool:
    """Return whether each optimizer step of a trainer has one micro-batch, of all processes and accumulation steps."""
    return bool(trainer.args.world_size * trainer.args.gradient_accumulation_steps == 1)


def why_data_stays(trainer: Any) -> str | None:
    """Return why rows must not change places within an optimizer step of a trainer with a data set, or None.

    Let the loss of micro-batch m be ``sum_{row in m} f(row) / c``, with one c for all micro-batches of the step. Then
    the gradient is the same for each distribution of the step's rows over its complete micro-batches.

    Parameters
    ----------
    trainer : transformers.Trainer
    """
    kind = library_class(trainer)
    if kind.__name__ not in _LOSSES:
        return f"the loss of {kind.__name__} is not known to be a sum over rows"
    name = own_method(trainer, kind, OWN_METHODS)
    if name is not None:
        return f"{type(trainer).__name__} has its own {name}"
    if trainer.args.n_gpu > 1:
        return "DataParallel splits the micro-batches once more"
    return _LOSSES[kind.__name__](trainer) or _why_fixed(trainer, kind) or _why_unread(trainer)


def _why_tokens(trainer: Any) -> str | None:
    if trainer.compute_loss_func is not None:
        return "compute_loss_func may depend on what else is in the micro-batch"
    if not trainer.model_accepts_loss_kwargs:
        return "the loss of a micro-batch is the mean over its own labels (the model takes no num_items_in_batch)"
    if trainer.args.world_size > 1 and not trainer.args.average_tokens_across_devices:
        return "average_tokens_across_devices=False divides by the labels of each process"
    return _why_routers(trainer)


def _why_model(trainer: Any) -> str | None:
    """Return why the loss that a model computes itself is not a sum over rows, or None."""
    causal = import_module("transformers.loss.loss_utils").ForCausalLMLoss
    if getattr(inner_model(trainer.model), "loss_function", None) is not causal:
        return "the model's loss is not the cross entropy of next tokens"
    return _why_tokens(trainer)


def _why_pairs(trainer: Any) -> str | None:
    other = [name for name in trainer.loss_types if name not in PAIR_LOSSES]
    return f"loss_type {other[0]!r} is not a mean over pairs" if other else _why_routers(trainer)


def _why_routers(trainer: Any) -> str | None:
    config = inner_model(trainer.model).config.get_text_config()
    if getattr(trainer, "aux_loss_enabled", False) or getattr(config, "output_router_logits", False):
        return "the routers' auxiliary loss is not a sum over rows"
    return None


def _why_kto(trainer: Any) -> str | None:
    return "KTO's loss has the mean divergence of the micro-batch"


_LOSSES: dict[str, Callable[[Any], str | None]] = {
    "Trainer": _why_model,
    "SFTTrainer": _why_tokens,
    "DPOTrainer": _why_pairs,
    "RewardTrainer": _why_routers,
    "KTOTrainer": _why_kto,
}
"""Trainer's class -> what in its loss depends on more than one row."""


def _why_fixed(trainer: Any, kind: Any) -> str | None:
    """Return what, apart from the loss, fixes the order of a trainer's rows, or None."""
    args, data = trainer.args, trainer.train_dataset
    if data is None or not hasattr(data, "__len__"):
        return "a data set without a length has no rows that could be put in order"
    if own_method(trainer, kind, ("get_train_dataloader",)):
        return f"{type(trainer).__name__} has its own get_train_dataloader"
    if args.train_sampling_strategy == "batch_rebalance":
        return "train_sampling_strategy='batch_rebalance' makes the micro-batches itself"
    if getattr(args, "packing", False):
        return "packing=True has put rows together already"
    if args.accelerator_config.dispatch_batches:
        return "dispatch_batches=True distributes rows after they are read"
    return None


def _why_unread(trainer: Any) -> str | None:
    data = trainer.train_dataset
    if not is_stored(data):
        return f"the rows of {type(data).__name__} may be computed when they are read"
    return None if len(data) and token_columns(data) else "the rows have no token ids yet"


def check_prefix_order(trainer: Any) -> None:
    """Raise if the rows of a trainer cannot be put in the order of their prefixes.

    Raises
    ------
    Unsupported
    """
    kind = library_class(trainer)
    reason = _why_fixed(trainer, kind)
    if hasattr(trainer, "_buffered_inputs"):
        reason = f"{kind.__name__} makes its rows itself, and keeps groups together (keep_groups)"
    elif reason is None and getattr(trainer, "calculate_KL", False):
        reason = "KTO has paired each prompt with an answer of its micro-batch; put the data set in order instead"
    elif reason is None and trainer.args.train_sampling_strategy not in ("random", "sequential"):
        reason = f"train_sampling_strategy={trainer.args.train_sampling_strategy!r} is another order"
    elif reason is None and own_method(trainer, kind, ("_get_train_sampler",)):
        reason = f"{type(trainer).__name__} has its own _get_train_sampler"
    elif reason is None and is_stored(trainer.train_dataset):
        reason = _why_unread(trainer)
    if reason is not None:
        raise Unsupported(f"order='prefix': {reason}")


def prefix_loader(trainer: Any) -> Callable[[], Any]:
    """Return a ``get_train_dataloader`` whose micro-batches share prefixes, shuffled by seed and epoch."""
    plain, args = trainer.get_train_dataloader, trainer.args

    def get_train_dataloader() -> Any:
        loader = plain()
        size, processes, drop_last = _micro_batches(loader)
        seed = args.seed if args.data_seed is None else args.data_seed
        drop = size * processes if drop_last else 1
        shuffle = args.train_sampling_strategy == "random"
        loader.set_sampler(PrefixOrder(read_forest(loader.dataset), size, seed, shuffle, drop))
        return loader

    return get_train_dataloader


def step_loader(trainer: Any) -> Callable[[], Any]:
    """Return a ``get_train_dataloader`` with the trainer's order, in which each step's rows are put together."""
    plain = trainer.get_train_dataloader

    def get_train_dataloader() -> Any:
        loader = plain()
        size, processes, drop_last = _micro_batches(loader)
        rows, wave = len(loader.get_sampler()), size * processes  # a wave is one micro-batch of each process
        step = wave * trainer.args.gradient_accumulation_steps
        # accelerate repeats the first rows where the last wave is short: these keep their places; so do rows to drop
        first = step if processes > 1 and rows % wave and not drop_last else 0
        places = range(first, rows // wave * wave if drop_last else rows)
        columns = token_columns(loader.dataset) or ()
        loader.set_sampler(StepOrder(loader.get_sampler(), loader.dataset, columns, size, step, places))
        return loader

    return get_train_dataloader


def _micro_batches(loader: Any) -> tuple[int, int, bool]:
    """Return the rows of a micro-batch of accelerate's loader, the processes that share it, and whether rows drop."""
    shard = loader.batch_sampler
    processes = getattr(shard, "num_processes", 1)
    size = shard.batch_size // processes if getattr(shard, "split_batches", False) else shard.batch_size
    return size, processes, bool(shard.drop_last)
