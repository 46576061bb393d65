"""Fold the models of a trainer, keep groups together, and log tokens and positions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch

from masksynth.errors import InvalidInstance, MasksynthWarning, Unsupported
from masksynth.torch.folding.fold import Fold, fold
from masksynth.torch.folding.fold_report import FoldReport
from masksynth.torch.trainers.data_order import check_prefix_order, has_one_micro_batch, prefix_loader, step_loader
from masksynth.torch.trainers.group_order import regrouped_inputs, why_rows_stay_shuffled

TOKENS, POSITIONS = "merged/tokens", "merged/positions"
"""Names in the trainer's log."""


class TrainerFold:
    """The folded models of a trainer, until it is closed; ``fold_trainer`` makes it.

    Parameters
    ----------
    folds : dict of str to Fold
        ``policy``, and ``reference`` if the trainer holds a reference model.
    """

    def __init__(self, folds: dict[str, Fold]) -> None:
        self.folds = folds
        self.shuffled: str | None = None
        """Why rows of one group stay in different micro-batches; None if they are together, or never apart."""
        self._undo = list[Callable[[], None]]()
        self._logged = self.counts()
        self._training = (0, 0)  # counted since the last log of training, and set aside by an evaluation

    def report(self) -> dict[str, FoldReport]:
        """Return what has been folded so far, by model."""
        return {name: folded.report() for name, folded in self.folds.items()}

    def counts(self) -> tuple[int, int]:
        """Return the tokens and positions of all folded calls so far."""
        reports = self.report().values()
        return sum(report.tokens for report in reports), sum(report.positions for report in reports)

    def close(self) -> None:
        """Let trainer and models run as before; the reports stay."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> TrainerFold:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TrainerFold({', '.join(f'{name}: {report}' for name, report in self.report().items())})"

    def take_counts(self, evaluated: bool) -> dict[str, int]:
        """Return tokens and positions since the last log, of training or of an evaluation, by their names in the log.

        Parameters
        ----------
        evaluated : bool
            Whether the log is that of an evaluation.
        """
        tokens, positions = self._since()
        if evaluated:
            return {f"eval_{TOKENS}": tokens, f"eval_{POSITIONS}": positions}
        earlier, self._training = self._training, (0, 0)
        return {TOKENS: earlier[0] + tokens, POSITIONS: earlier[1] + positions}

    def set_training_aside(self) -> None:
        """Keep what has been counted since the last log for the next log of training."""
        tokens, positions = self._since()
        self._training = self._training[0] + tokens, self._training[1] + positions

    def _since(self) -> tuple[int, int]:
        before, self._logged = self._logged, self.counts()
        return self._logged[0] - before[0], self._logged[1] - before[1]

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute of an instance until this fold is closed."""
        vars(owner)[name] = value
        self._undo.append(lambda: vars(owner).pop(name, None))


def fold_trainer(
    trainer: Any,
    *,
    keep_groups: bool | None = None,
    order: Literal["prefix"] | None = None,
    max_length: int | None = None,
    min_ratio: float = 1.1,
    strict: bool = False,
) -> TrainerFold:
    """Run each micro-batch of a trainer merged: fold its model and its reference model.

    Losses, gradients and metrics are those of the rows (``masksynth.torch.fold``). The log gets ``merged/tokens`` and
    ``merged/positions``: real tokens of the folded calls of all processes since the last log, and the positions that
    were run for them. Reports are of this process.

    Rows merge if they are in one micro-batch. The rows of an optimizer step, those of accumulation steps and processes
    together, are put into its micro-batches so that these share much, where the gradient is that of any distribution
    (`why_rows_stay_shuffled`): in GRPO and RLOO the answers to a prompt, which TRL shuffles; in SFT, DPO, Reward and
    ``transformers.Trainer`` rows with common prefixes. Which rows make a step is not changed by this. Metrics that are
    averaged over micro-batches (entropy, clip ratios, accuracies) depend on the distribution as much as on a shuffle.

    With ``order="prefix"`` the micro-batches of an epoch are made of rows that share prefixes, and shuffled by
    ``data_seed``, else ``seed``, and epoch (with ``train_sampling_strategy="sequential"`` they are in the order of
    their first rows). An epoch has the same rows, but optimizer steps have others than with the trainer's own order,
    and are less mixed.

    Parameters
    ----------
    trainer : transformers.Trainer
        Also those of TRL: SFT, DPO, KTO, Reward, RLOO, GRPO. Before ``train()``.
    keep_groups : bool, optional
        Whether the rows of an optimizer step are put together. By default where it is exact, otherwise with a warning
        that says why not; True: else an error; False: never.
    order : "prefix", optional
        Order of the data set; by default the trainer's own.
    max_length, min_ratio, strict
        As for ``masksynth.torch.fold``.

    Returns
    -------
    TrainerFold
        A context manager; ``close()`` ends it, ``report()`` counts.

    Raises
    ------
    Unsupported
        If a model of the trainer cannot be folded; if ``keep_groups`` and it is not exact; if something else orders the
        data set.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> rows = [{"input_ids": [5, 6, 7, 8, last], "labels": [5, 6, 7, 8, last]} for last in range(8)]
    >>> setting = dict(per_device_train_batch_size=4, report_to="none", use_cpu=True, logging_steps=1)
    >>> arguments = TrainingArguments(max_steps=2, save_strategy="no", disable_tqdm=True, **setting)
    >>> trainer = Trainer(LlamaForCausalLM(LlamaConfig(**shape)), arguments, train_dataset=rows)
    >>> with fold_trainer(trainer) as folded:
    ...     _ = trainer.train()  # doctest: +ELLIPSIS
    {...'merged/tokens': 20, 'merged/positions': 8...
    >>> folded.report()["policy"].ratio
    2.5
    """
    if getattr(trainer, "model_init", None) is not None:
        raise Unsupported("model_init makes another model at each train(), which is not folded; pass model=")
    if getattr(trainer.args, "neftune_noise_alpha", None) is not None:
        raise Unsupported("neftune_noise_alpha: the noise depends on the length of the sequence; set it to None")
    options: dict[str, Any] = {"max_length": max_length, "min_ratio": min_ratio, "strict": strict}
    replaced, reason = _order_rows(trainer, keep_groups, order)
    models = {"policy": trainer.model, "reference": getattr(trainer, "ref_model", None)}
    folded = TrainerFold({})
    try:
        for name, model in models.items():
            if model is not None:
                folded.folds[name] = fold(model, **options)
                folded._undo.append(folded.folds[name].close)
    except BaseException:
        folded.close()
        raise
    folded.shuffled = reason
    for name, method in replaced.items():
        folded.replace(trainer, name, method)
    _log_counts(trainer, folded)
    return folded


def _order_rows(trainer: Any, wanted: bool | None, order: str | None) -> tuple[dict[str, Any], str | None]:
    """Return the methods that put rows together, by name, and otherwise why rows that share stay apart, if they do."""
    if order is not None:
        if order != "prefix":
            raise InvalidInstance(f"order: expected 'prefix' or None, got {order!r}", "")
        check_prefix_order(trainer)
        return {"get_train_dataloader": prefix_loader(trainer)}, None
    generates = hasattr(trainer, "_buffered_inputs")
    if trainer.args.steps_per_generation == 1 if generates else has_one_micro_batch(trainer):
        return {}, None  # all rows are in one micro-batch
    if wanted is False:
        return {}, "keep_groups=False"
    reason = why_rows_stay_shuffled(trainer)
    if reason is None and generates:
        return {"_prepare_inputs": regrouped_inputs(trainer)}, None
    if reason is None:
        return {"get_train_dataloader": step_loader(trainer)}, None
    if wanted:
        raise Unsupported(f"keep_groups=True would change the gradient: {reason}")
    text = f"rows stay shuffled over micro-batches, so fewer are merged: {reason} (keep_groups=False says so yourself)"
    warnings.warn(text, MasksynthWarning, stacklevel=4)
    return {}, reason


def _log_counts(trainer: Any, folded: TrainerFold) -> None:
    """Add tokens and positions to each log of training and of evaluation, apart."""
    log, evaluate = trainer.log, trainer.evaluate

    def log_counts(logs: dict[str, float], *args: Any, **kwargs: Any) -> Any:
        evaluated = any(name.startswith("eval_") and name.endswith("_runtime") for name in logs)
        # the trainer's own logs, which all processes make together; not what a user logs, perhaps in one process
        if evaluated or {"loss", "learning_rate"} <= logs.keys():
            logs.update(_sum_over_processes(trainer, folded.take_counts(evaluated)))
        return log(logs, *args, **kwargs)

    def evaluate_apart(*args: Any, **kwargs: Any) -> Any:
        _warn_of_evaluation_first(trainer)
        folded.set_training_aside()
        return evaluate(*args, **kwargs)

    folded.replace(trainer, "log", log_counts)
    folded.replace(trainer, "evaluate", evaluate_apart)


def _sum_over_processes(trainer: Any, counts: dict[str, int]) -> dict[str, int]:
    if trainer.args.world_size == 1:
        return counts
    summed = trainer.accelerator.reduce(torch.tensor([*counts.values()], device=trainer.args.device))
    return dict(zip(counts, summed.tolist(), strict=True))


def _warn_of_evaluation_first(trainer: Any) -> None:
    """Warn where an evaluation leaves the model outside DistributedDataParallel for good.

    accelerate 1.15 marks the model as prepared, and transformers 5.23 wraps it no more when training begins.
    """
    replicated = trainer.args.world_size > 1 and not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
    if replicated and not trainer.accelerator._models:
        fact = "evaluate() before train() leaves the model outside DistributedDataParallel in transformers"
        remedy = "processes would train apart; train first, or evaluate in another Trainer"
        warnings.warn(f"{fact}: {remedy}", MasksynthWarning, stacklevel=3)
