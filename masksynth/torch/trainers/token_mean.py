"""The mean over all labels of an optimizer step, under accumulation and on several ranks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


class TokenMean:
    """Make the gradient of an optimizer step that of the mean over all its labels.

    Let micro-batch m of rank r have the loss sum S_mr over n_mr labels. The mean is ``sum S_mr / sum n_mr``. Loops that
    divide each S_mr by its own n_mr and average, as is usual, give short micro-batches more weight. Here the loss of a
    micro-batch is the *sum* S_mr, and before the optimizer step all gradients are multiplied by ``k W / sum n_mr``,
    where k undoes the division by the accumulation steps that accelerate and Lightning make, and W the average that
    DistributedDataParallel and FSDP take over ranks.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Those that are trained.
    accumulated : int
        k, by which the loop divides each loss: ``accelerator.gradient_accumulation_steps``; 1 in a loop of one's own.
    group : ProcessGroup, optional
        The ranks that share the step; by default all.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(()))
    >>> mean = TokenMean([weight])
    >>> for terms, labels in ([2.0], [[-100, 5]]), ([4.0, 6.0, 8.0], [[-100, 5, 6, 7]]):
    ...     (weight * torch.tensor(terms).sum()).backward()
    ...     mean.add(torch.tensor(labels))
    >>> mean.scale_gradients(), weight.grad  # 20 / 4; the mean of the means is 4
    (4.0, tensor(5.))
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], accumulated: int = 1, group: object = None) -> None:
        self._parameters = list(parameters)
        self._accumulated, self._group = accumulated, group
        self._count: Tensor | None = None

    def add(self, labels: Tensor | float) -> None:
        """Count the labels of a micro-batch.

        Parameters
        ----------
        labels : (B, T) Tensor or number
            As the model takes them, not shifted: -100 where nothing is trained, and the first of a row is no label. Or
            the sum of their weights: ``batch.weight`` of a packed batch.
        """
        if isinstance(labels, Tensor) and labels.ndim:
            count = (labels[..., 1:] != -100).sum().double()
        else:
            count = torch.as_tensor(labels, dtype=torch.float64)
        self._count = count if self._count is None else self._count + count.to(self._count.device)

    def scale_gradients(self) -> float:
        """Scale the gradients, before they are clipped and the optimizer steps; return the labels of the step.

        All ranks call it together.
        """
        total, ranks = self._take_total()
        gradients = [part.grad for part in self._parameters if part.grad is not None]
        # without labels each sum is 0, and so is each gradient
        factor = self._accumulated * ranks / total if total else 0.0
        with torch.no_grad():
            for gradient in gradients:
                gradient.mul_(factor)
        return total

    def _take_total(self) -> tuple[float, int]:
        """Return the labels that were counted on all ranks, and the number of ranks; begin anew."""
        count, self._count = self._count, None
        if not (dist.is_available() and dist.is_initialized()):
            return (0.0 if count is None else float(count)), 1
        on_gpu = "nccl" in dist.get_backend(self._group)  # type: ignore[arg-type]
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        summed = torch.zeros((), dtype=torch.float64, device=device) if count is None else count.detach().to(device)
        dist.all_reduce(summed, group=self._group)
        return float(summed), dist.get_world_size(self._group)  # type: ignore[arg-type]
