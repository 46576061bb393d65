"""The Trainer of transformers for packed folders: exact means, several processes, evaluation, resume in mid-epoch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import EvalLoopOutput

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.collator import Collator
from masksynth.torch.loss_edges import packed_loss, total_weight
from masksynth.torch.models.unwrap import inner_model
from masksynth.torch.packed_dataset import PackedDataset
from masksynth.torch.sampling import PackedSampler
from masksynth.torch.trainers.prefix_order import EpochBatches
from masksynth.torch.training_batch import TrainingBatch

Packed = PackedDataset | str | Path


class PackedLoader(DataLoader[TrainingBatch]):
    """A loader whose epoch the Trainer sets."""

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch."""
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)


class ProcessCount(TrainerCallback, ExportableState):
    """Store the number of processes in checkpoints, and refuse those of another number.

    The Trainer counts optimizer steps; how many batches they had depends on the number of processes.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores."""
        return {"args": {"processes": self.processes}, "attributes": {}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Raise if the state is of a checkpoint of another number of processes."""
        callbacks: Any = state.stateful_callbacks or {}
        stored = callbacks.get(type(self).__name__)  # checkpoints of before have none
        processes = args.world_size if stored is None else stored["args"]["processes"]
        if processes != args.world_size:
            fact = f"the checkpoint is of {processes} processes, this run has {args.world_size}"
            remedy = f"resume with {processes}, or start a new run from its model (without resume_from_checkpoint)"
            raise Unsupported(f"{fact}: its steps are other batches; {remedy}")


class PackedTrainer(Trainer):
    """Train on folders that ``masksynth pack`` wrote, with the arguments of ``transformers.Trainer``.

    The loss of an optimizer step is ``sum_e w_e l_e / sum_e w_e`` over the loss edges e of all its batches, of all
    accumulation steps and processes: the gradient is that of the separate samples, however unevenly batches are
    distributed. Evaluation is the same mean over the whole folder. Each batch is trained once in an epoch, and the last
    round of several processes is filled with batches without labels. A checkpoint within an epoch is resumed with the
    batches that are left; on another number of processes it is refused.

    ``per_device_train_batch_size`` batches of the folder are concatenated to one sequence: usually 1. Batches are
    shuffled by ``data_seed``, else ``seed``, and the epoch.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Or a PEFT model.
    args : transformers.TrainingArguments
    train_dataset, eval_dataset : PackedDataset, str or Path, optional
        Folders; ``eval_dataset`` may be a dict of them.
    data_collator : Collator, optional
        By default ``Collator(model=model)``, which makes the masks of this model.
    compute_loss_func : callable, optional
        ``(outputs, batch, num_items_in_batch) -> loss`` instead of the cross entropy. Divide the sum over
        ``batch``'s edges by ``num_items_in_batch``, which undoes the average over processes too. The rows of
        ``outputs.logits`` are those of ``batch.loss_place`` if the model can omit the others.
    options
        As for ``transformers.Trainer``.

    Raises
    ------
    Unsupported
        For label smoothing, ``compute_metrics`` (there are no rows of samples), ``predict``, DataParallel, or a
        checkpoint of another number of processes.

    Examples
    --------
    >>> import tempfile
    >>> import masksynth as ms
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> samples = [{"id": a, "input_ids": [5, 6, 7, a], "labels": [-100, -100, 7, a]} for a in range(8)]
    >>> folder = tempfile.mkdtemp() + "/packed"
    >>> _ = ms.pack_samples(samples, folder, max_length=16)
    >>> setting = dict(per_device_train_batch_size=1, report_to="none", use_cpu=True, disable_tqdm=True)
    >>> arguments = TrainingArguments(max_steps=2, save_strategy="no", logging_strategy="no", **setting)
    >>> trainer = PackedTrainer(LlamaForCausalLM(LlamaConfig(**shape)), arguments, train_dataset=folder)
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {'train_runtime': ...
    2
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        train_dataset: Packed | None = None,
        eval_dataset: Packed | Mapping[str, Packed] | None = None,
        data_collator: Collator | None = None,
        **options: Any,
    ) -> None:
        _refuse(args, options)
        named: Any = _open(eval_dataset) if not isinstance(eval_dataset, Mapping) else None
        if isinstance(eval_dataset, Mapping):
            named = {name: _open(part) for name, part in eval_dataset.items()}
        collator = Collator(model=model) if data_collator is None else data_collator
        data = {"train_dataset": _open(train_dataset), "eval_dataset": named, "data_collator": collator}
        super().__init__(model=model, args=args, **data, **options)
        self.add_callback(ProcessCount(args.world_size))
        self._omits_logits = "logits_to_keep" in inspect.signature(inner_model(model).forward).parameters

    def get_train_dataloader(self) -> PackedLoader:
        """Return the batches of this process, in the order of the epoch."""
        if self.train_dataset is None:
            raise InvalidInstance("PackedTrainer without train_dataset", "", "pass a folder of masksynth pack")
        return self._loader(self.train_dataset, self.args.train_batch_size, True)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> PackedLoader:
        """Return the batches of this process, in the folder's order."""
        stored: Any = self.eval_dataset
        data = stored if eval_dataset is None else eval_dataset
        if isinstance(stored, dict) and isinstance(data, str) and data in stored:
            data = stored[data]
        if data is None:
            raise InvalidInstance("evaluation without eval_dataset", "", "pass a folder of masksynth pack")
        return self._loader(_open(data), self.args.eval_batch_size, False)

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """Raise: a merged batch has no rows of samples."""
        raise Unsupported("predict() returns rows of samples, which merged batches do not have; use evaluate()")

    def _loader(self, data: Any, size: int, shuffle: bool) -> PackedLoader:
        args = self.args
        seed = args.seed if args.data_seed is None else args.data_seed
        ranks = {"rank": args.process_index, "ranks": args.world_size}
        costs = data.positions if args.world_size > 1 and shuffle else None
        sampler = PackedSampler(data, seed=seed, shuffle=shuffle, costs=costs, **ranks)
        workers: dict[str, Any] = {"num_workers": args.dataloader_num_workers, "pin_memory": False}
        if args.device.type == "cuda":
            workers["pin_memory"] = args.dataloader_pin_memory
        batches = EpochBatches(sampler, size, drop_last=False)
        return PackedLoader(data, batch_sampler=batches, collate_fn=self.data_collator, **workers)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Return the sum of the weights of all loss edges of an optimizer step, over all processes."""
        return torch.tensor(total_weight(batch_samples), dtype=torch.float64)

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.to(self.args.device)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return this batch's part of the mean over the optimizer step, times the number of processes."""
        outputs = self._run(model, inputs)
        weight = inputs.weight if num_items_in_batch is None else float(num_items_in_batch) / self.args.world_size
        divisor = weight or 1.0  # without labels each sum is 0
        if self.compute_loss_func is not None:
            loss = self.compute_loss_func(outputs, inputs, num_items_in_batch=divisor)
        else:
            loss = packed_loss(outputs.logits, inputs, "mean", divisor)
        loss = loss + self._router_loss(outputs)
        return (loss, outputs) if return_outputs else loss

    def _run(self, model: Any, batch: TrainingBatch) -> Any:
        keep = {"logits_to_keep": batch.loss_place} if self._omits_logits else {}
        return model(**batch.model_inputs, **keep)

    def _router_loss(self, outputs: Any) -> Any:
        """Return the auxiliary loss of routers as the models add it, averaged over the accumulated batches."""
        auxiliary = getattr(outputs, "aux_loss", None)
        if auxiliary is None:
            return 0.0
        config = inner_model(self.model).config.get_text_config()
        return config.router_aux_loss_coef * auxiliary / self.current_gradient_accumulation_steps

    @torch.no_grad()
    def evaluation_loop(
        self, dataloader: Any, description: str, *args: Any, metric_key_prefix: str = "eval", **options: Any
    ) -> EvalLoopOutput:
        """Return the mean loss over all loss edges of a folder."""
        # not prepared by accelerate before a training: what it has prepared for evaluation, it would not wrap again
        whole: Any = self.model
        model = self._wrap_model(whole, training=False)
        model.eval()
        self.callback_handler.eval_dataloader = dataloader
        total, weight, samples = torch.zeros((), dtype=torch.float64), 0.0, 0
        for batch in dataloader:
            moved = self._prepare_inputs(batch)
            with self.compute_loss_context_manager(), self.accelerator.autocast():
                total = total + self._sum(model, moved).double().cpu()
            weight, samples = weight + moved.weight, samples + len(moved.samples)
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        sums = torch.tensor([[float(total), weight, samples]], dtype=torch.float64, device=self.args.device)
        loss, weight, samples = self.accelerator.gather(sums).sum(0).tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / weight if weight else float("nan")}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=int(samples))  # type: ignore[arg-type]

    def _sum(self, model: Any, batch: TrainingBatch) -> Tensor:
        outputs = self._run(model, batch)
        if self.compute_loss_func is not None:
            loss: Tensor = self.compute_loss_func(outputs, batch, num_items_in_batch=1.0)
            return loss
        return packed_loss(outputs.logits, batch)

    def floating_point_ops(self, inputs: Any) -> int:
        """Return the operations of a step of merged positions, as the Trainer counts them."""
        return int(super().floating_point_ops({"input_ids": inputs.input_ids}))

    def _track_num_input_tokens(self, inputs: Any) -> None:
        counted = {"input_ids": inputs.input_ids, "attention_mask": inputs.input_ids >= 0}
        super()._track_num_input_tokens(counted)  # type: ignore[no-untyped-call]


def _open(data: Any) -> Any:
    """Return a folder as a data set; a data set, or None, as it is."""
    if data is None or isinstance(data, PackedDataset):
        return data
    if isinstance(data, (str, Path)):
        return PackedDataset(data)
    fact = f"expected a PackedDataset or a folder of masksynth pack, got {type(data).__name__}"
    raise InvalidInstance(fact, "", "for rows of a data set use transformers.Trainer with fold_trainer")


def _refuse(args: TrainingArguments, options: Mapping[str, Any]) -> None:
    if args.label_smoothing_factor:
        raise Unsupported("label_smoothing_factor: the loss edges of packed folders have one label each")
    if options.get("compute_metrics") is not None:
        raise Unsupported("compute_metrics reads rows of samples, which merged batches do not have")
    if args.n_gpu > 1:
        raise Unsupported("DataParallel cannot split a merged batch; start one process for each GPU (torchrun)")
