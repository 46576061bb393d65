"""Fold the rows that a trainer passes to its model into one merged sequence, and unfold what the backbone returns."""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.folding.backbone import Found, find_backbone, is_transformers, not_called
from masksynth.torch.folding.call_arguments import Call, name_arguments, read_call, reads_pads
from masksynth.torch.folding.compare_rows import compare_rows
from masksynth.torch.folding.fold_check import check_call
from masksynth.torch.folding.fold_report import FoldReport
from masksynth.torch.folding.merge_call import Limits, Masks, Merged, check_limit, merge_rows, read_call_rows
from masksynth.torch.folding.model_facts import ModelFacts
from masksynth.torch.folding.module_hooks import attach, holder_of, is_attached
from masksynth.torch.folding.sharded_modules import has_flat_parameters
from masksynth.torch.folding.token_rows import TokenRows
from masksynth.torch.folding.unfold_outputs import Unfolding, unfold

PLAN = "masksynth_unfolding"
"""Attribute of the merged token ids: how to unfold the output of the call that they are passed to."""


class Fold:
    """A folded model, until it is closed; ``fold`` makes it."""

    def __init__(self, found: Found, root: torch.nn.Module, facts: ModelFacts | Masks, limits: Limits, strict: bool):
        self.backbone, self.outer = found
        self._root = root
        self._limits, self._strict = limits, strict
        self._facts = facts if isinstance(facts, ModelFacts) else None
        self._masks = None if isinstance(facts, ModelFacts) else facts
        self._signature = inspect.signature(self.backbone.forward)
        self._thread = threading.local()  # replicas of one model may run in several threads
        self._lock = threading.Lock()
        self._counts = Counter[str]()
        self._passed = Counter[str]()
        self._seconds = 0.0
        advice = "compile the layers, or the model without fullgraph=True"
        before, after, begin, end = (
            torch.compiler.disable(function, reason=f"fold merges rows on the host: {advice}")  # type: ignore[no-untyped-call]
            for function in (self._before, self._after, self._before_outer, self._after_outer)
        )
        self._detach = [attach(self.backbone, before, after, self)]
        if self.outer is not None:
            self._detach.append(attach(self.outer, begin, end))

    @property
    def facts(self) -> ModelFacts | None:
        """What is known of the backbone, if it is of transformers."""
        return self._facts

    def report(self) -> FoldReport:
        """Return what has been folded so far."""
        with self._lock:
            return FoldReport(passed=dict(self._passed), seconds=self._seconds, **self._counts)

    def close(self) -> None:
        """Let the model run as before; the report stays."""
        while self._detach:
            self._detach.pop()()

    def __enter__(self) -> Fold:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Fold({type(self.backbone).__name__}: {self.report()})"

    @contextmanager
    def _bypass(self) -> Iterator[None]:
        """Let calls of this thread run as they are, uncounted."""
        self._thread.bypassed = True
        try:
            yield
        finally:
            self._thread.bypassed = False

    @property
    def _is_bypassed(self) -> bool:
        return getattr(self._thread, "bypassed", False)

    def _before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace the arguments of a call by those of the merged call."""
        if self._is_bypassed:
            return None
        merged = self._count(args, kwargs)
        if isinstance(merged, str):
            return None
        setattr(merged.arguments["input_ids"], PLAN, merged.unfolding)
        return (), merged.arguments

    def _count(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Merged | str:
        """Return the merged call, or the reason why there is none, and count it."""
        began = time.perf_counter()
        self._thread.reached = True
        merged = self._merge(args, kwargs)
        with self._lock:
            self._counts["calls"] += 1
            if isinstance(merged, str):
                self._passed[merged] += 1
            else:
                self._counts.update(folded=1, tokens=merged.tokens, positions=merged.positions)
            self._seconds += time.perf_counter() - began
        if self._strict and isinstance(merged, str):
            raise Unsupported(f"strict fold: a call of {type(self.backbone).__name__} is not merged ({merged})")
        return merged

    def merge(self, arguments: dict[str, Any]) -> Merged | str:
        """Return the merged call of a call, checked and counted, or the reason why it is not merged.

        Parameters
        ----------
        arguments : dict
            Of the backbone, by name.
        """
        return self._count((), arguments)

    def run(self, arguments: dict[str, Any]) -> Any:
        """Return the backbone's output for arguments as they are."""
        with self._bypass():
            return self.backbone(**arguments)

    def _merge(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Merged | str:
        if getattr(getattr(self.backbone, "config", None), "output_attentions", False):
            kwargs = {"output_attentions": True, **kwargs}
        named = name_arguments(self._signature, args, kwargs)
        if vars(self._thread).pop("cache_by_default", False):
            named.pop("use_cache", None)  # some models with a head pass on their config's
        if self.outer is not None:
            named.pop("labels", None)  # and some their labels (Gemma 3); the loss is computed above
        call = read_call(named)
        if isinstance(call, str):
            return call
        # facts are read, and rows compared, by running the backbone; inference tensors have no derivative
        with self._bypass(), torch.inference_mode(False):
            rows = read_call_rows(call, self._facts)
            if isinstance(rows, str):
                return rows
            if vars(self._thread).pop("reads_pads", False):
                merged: Merged | str = "labels"  # other ranks may merge, and check together with this one
            else:
                merged = merge_rows(call, rows, self._facts, self._masks, self._limits)
            compare = partial(self._compare, call)
            checks = check_call(self.backbone, call, rows, merged, self._facts, compare)
        with self._lock:
            self._counts["checks"] += checks
        return merged

    def _compare(self, call: Call, rows: TokenRows) -> str | None:
        return compare_rows(self._root, self.backbone, call, rows, self._facts, self._masks, self._limits)

    def _after(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Return the output of a merged call in the shape of its rows."""
        plan: Unfolding | None = getattr(kwargs.get("input_ids"), PLAN, None)
        if plan is None or self._is_bypassed:
            return None
        began = time.perf_counter()
        result = unfold(output, plan)
        with self._lock:
            self._seconds += time.perf_counter() - began
        return result

    def _before_outer(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note whether the loss reads pads, which a merged call does not have, and whether no cache is asked for."""
        if not self._is_bypassed:
            named = name_arguments(inspect.signature(module.forward), args, kwargs)
            self._thread.reads_pads = reads_pads(named)
            self._thread.cache_by_default = named.get("use_cache") is None

    def _after_outer(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Raise if a forward of the model did not call the backbone, so that it ran unmerged without a word."""
        if self._is_bypassed:
            return
        if not getattr(self._thread, "reached", False):
            raise Unsupported(not_called(module, self.backbone))
        self._thread.reached = False


def fold_of(backbone: torch.nn.Module) -> Fold | None:
    """Return the fold of a backbone, if it is folded."""
    holder = holder_of(backbone)
    return holder if isinstance(holder, Fold) else None


def fold(
    model: Any,
    *,
    backbone: torch.nn.Module | str | None = None,
    max_length: int | None = None,
    min_ratio: float = 1.1,
    strict: bool = False,
    masks: Masks | None = None,
) -> Fold:
    """Run each batch of rows that share prefixes as one merged sequence, in the model that a trainer calls.

    Let row b of a call have the real tokens x_b[0..n_b). Tokens of two rows are one position iff they end equal
    prefixes of (token id, position id), as the model would number them. The backbone runs on these positions, each of
    which attends to its own prefix under the model's windows; then everything per token is gathered back to ``[B, T]``,
    differentiably. A causal model computes from equal prefixes equal hidden states, so losses, gradients and metrics
    are those of the rows (``docs/fold.md``).

    Parameters
    ----------
    model : torch.nn.Module
        A causal model of transformers, or a wrapper of one: compiled, DistributedDataParallel,
        FullyShardedDataParallel, PEFT, a value head.
    backbone : torch.nn.Module or str, optional
        The module below the heads, or its dotted name; by default the model's ``base_model``.
    max_length : int, optional
        Most positions of one merged row; more become several rows of one call. By default the one of 8,192, 4,096,
        2,048 and 1,024 by which dense masks cost least, and no limit for FlexAttention.
    min_ratio : float
        Batches with fewer tokens per merged position run as they are.
    strict : bool
        Whether a call that is not merged is an error; otherwise ``report().passed`` counts it by reason.
    masks : callable, optional
        For a backbone that is not of transformers: ``(token ids, position ids, parents)``, each ``[k, N]`` int64 ->
        the ``attention_mask`` that it takes. ``parents`` is the position before each one, -1 at roots.

    Returns
    -------
    Fold
        A context manager; ``close()`` ends the fold, ``report()`` counts calls, tokens and positions.

    Raises
    ------
    InvalidInstance
        If the model has no single transformers model in it, or a limit is out of range.
    Unsupported
        Naming the layer, if merged rows cannot be exact in the model; if it is folded already.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> model = LlamaForCausalLM(LlamaConfig(**shape))
    >>> rows = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, 1], [5, 6, 7, 2, 3]])
    >>> plain = model(input_ids=rows, labels=rows).loss
    >>> with fold(model) as folded:
    ...     loss = model(input_ids=rows, labels=rows).loss
    >>> torch.allclose(loss, plain), folded.report().tokens, folded.report().positions
    (True, 15, 8)
    """
    if not min_ratio >= 1:
        raise InvalidInstance(f"min_ratio: expected a number of at least 1, got {min_ratio!r}", "")
    check_limit(max_length)
    if getattr(getattr(model, "dynamo_ctx", None), "fullgraph", False):
        remedy = "compile the layers, or the model without fullgraph=True"
        raise Unsupported(
            f"a model compiled with fullgraph=True cannot merge rows, which is done on the host; {remedy}"
        )
    found = find_backbone(model, backbone, masks is not None)
    if has_flat_parameters(model):
        raise Unsupported("a model inside FullyShardedDataParallel cannot be read; fold it before it is wrapped")
    if is_attached(found.backbone):
        fact = f"{type(found.backbone).__name__} is folded already"
        raise Unsupported(f"{fact}; close the first handle before folding again")
    if masks is None and not is_transformers(found.backbone):
        fact = f"{type(found.backbone).__name__} has no config of transformers"
        raise InvalidInstance(fact, "", "pass masks=, a function (token ids, position ids, parents) -> mask")
    facts = ModelFacts(found.backbone, found.outer or found.backbone) if masks is None else masks
    return Fold(found, model, facts, Limits(max_length, min_ratio), strict)
