"""Callbacks for Lightning: fold the model that a module contains, and the mean over labels under accumulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from masksynth.torch.folding.fold import Fold, fold
from masksynth.torch.folding.fold_report import FoldReport
from masksynth.torch.trainers.token_mean import TokenMean
from masksynth.torch.trainers.trainer_fold import POSITIONS, TOKENS


class FoldCallback(Callback):
    """Run each batch of a LightningModule's model merged, and log tokens and positions.

    ``merged/tokens`` and ``merged/positions`` are logged for each training batch, and their sums over a validation as
    ``val_merged/tokens`` and ``val_merged/positions``.

    Parameters
    ----------
    model : str, optional
        Name of the attribute of the module that holds the model; by default the one transformers model in it.
    options
        As for ``masksynth.torch.fold``.

    Examples
    --------
    >>> callback = FoldCallback(min_ratio=1.2)  # lightning.Trainer(callbacks=[callback])
    >>> callback.report().calls
    0
    """

    def __init__(self, model: str | None = None, **options: Any) -> None:
        self._name, self._options = model, options
        self._fold: Fold | None = None
        self._closed = FoldReport()
        self._logged = (0, 0)

    def report(self) -> FoldReport:
        """Return what has been folded so far, in the last run of the trainer."""
        return self._closed if self._fold is None else self._fold.report()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fold the model."""
        self._start(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fold the model, in a validation of its own."""
        self._start(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fold the model, in a test."""
        self._start(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the model run as before."""
        if self._fold is not None:
            self._fold.close()
            self._closed, self._fold = self._fold.report(), None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Log tokens and positions of the batch."""
        tokens, positions = self._since()
        pl_module.log_dict({TOKENS: tokens, POSITIONS: positions}, on_step=True, on_epoch=False)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Log tokens and positions of the validation."""
        tokens, positions = self._since()
        counts = {f"val_{TOKENS}": tokens, f"val_{POSITIONS}": positions}
        pl_module.log_dict(counts, on_step=False, on_epoch=True, reduce_fx="sum")

    def _start(self, module: LightningModule) -> None:
        model = module if self._name is None else module.get_submodule(self._name)
        if self._fold is None:
            self._fold, self._logged = fold(model, **self._options), (0, 0)

    def _since(self) -> tuple[float, float]:
        report, before = self.report(), self._logged
        self._logged = report.tokens, report.positions
        return float(report.tokens - before[0]), float(report.positions - before[1])


class TokenMeanCallback(Callback):
    """Make the gradient of each optimizer step that of the mean over all its labels, with ``accumulate_grad_batches``.

    The module's ``training_step`` returns the *sum* over its labels, for a model of transformers
    ``self.model(**batch, num_items_in_batch=1).loss``; Lightning's own average over batches would give short batches
    more weight.

    Parameters
    ----------
    labels : callable, optional
        Batch -> its labels as for `TokenMean.add`; by default ``batch["labels"]``.
    """

    def __init__(self, labels: Callable[[Any], Tensor | float] | None = None) -> None:
        self._labels = labels
        self._mean: TokenMean | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the parameters, which no strategy replaces from now on."""
        self._mean = TokenMean(pl_module.parameters(), trainer.accumulate_grad_batches)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the labels of the batch."""
        if self._mean is not None:
            self._mean.add(batch["labels"] if self._labels is None else self._labels(batch))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Scale the gradients, before Lightning clips them."""
        if self._mean is not None:
            self._mean.scale_gradients()
