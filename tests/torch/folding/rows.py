"""Rows that share prefixes, padded as trainers pad them, and a training step over them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tests.torch.model_zoo import RESERVED, VOCABULARY


def flatten(rows: list[list[int]]) -> dict[str, Tensor]:
    """Return rows packed into one, ``[1, U]``, with position ids that restart, as a call without a cache has them."""
    ids = torch.tensor([[token for row in rows for token in row]])
    positions = torch.tensor([[i for row in rows for i in range(len(row))]])
    return {"input_ids": ids, "position_ids": positions, "use_cache": False}


class Rows(NamedTuple):
    """Token ids and 2-D mask, ``[B, T]`` each."""

    input_ids: Tensor
    attention_mask: Tensor


def texts(seed: int = 0, groups: int = 2, answers: int = 3, prompt: int = 9) -> list[list[int]]:
    """Return answers to prompts; two answers of each prompt begin with the same four tokens."""
    random = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        question = random.integers(RESERVED, VOCABULARY, prompt + 2 * group).tolist()
        begun = random.integers(RESERVED, VOCABULARY, 4).tolist()
        for number in range(answers):
            tail = random.integers(RESERVED, VOCABULARY, int(random.integers(5, 9))).tolist()
            rows.append(question + (begun if number else []) + tail)
    return rows


def pad(rows: list[list[int]], left: bool | list[bool] = False, holes: bool = False, token: int = 0) -> Rows:
    """Return rows padded on the left or on the right, and holes behind the prompts if asked for."""
    width = max(map(len, rows))
    ids, mask = np.full((len(rows), width), token), np.zeros((len(rows), width), np.int64)
    sides = [left] * len(rows) if isinstance(left, bool) else left
    for number, (row, side) in enumerate(zip(rows, sides, strict=True)):
        part = slice(width - len(row), width) if side else slice(0, len(row))
        ids[number, part], mask[number, part] = row, 1
    if holes:
        mask[1, 12] = mask[-1, 7] = 0
    return Rows(torch.tensor(ids), torch.tensor(mask))


def step(model: Any, rows: Rows, **arguments: Any) -> tuple[Tensor, list[Tensor]]:
    """Return the log-probability of each label, 0 where there is none, and the gradients of a weighted sum of them."""
    logits = model(input_ids=rows.input_ids, attention_mask=rows.attention_mask, **arguments).logits
    wide = torch.promote_types(logits.dtype, torch.float32)
    chosen = torch.log_softmax(logits[:, :-1].to(wide), -1).gather(-1, rows.input_ids[:, 1:, None])[..., 0]
    terms = chosen * (rows.attention_mask[:, 1:] * rows.attention_mask[:, :-1])
    model.zero_grad(set_to_none=True)
    (terms * torch.arange(1, len(terms) + 1)[:, None]).sum().backward()
    return terms.detach(), [part.grad for part in model.parameters() if part.grad is not None]


def apart(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> float:
    """Return the largest difference of terms or gradients, each relative to the largest value of ``theirs``."""
    terms = (ours[0] - theirs[0]).abs().max() / theirs[0].abs().max().clamp_min(1e-9)
    scale = max(part.abs().max() for part in theirs[1])
    gradients = max((a - b).abs().max() for a, b in zip(ours[1], theirs[1], strict=True)) / scale
    return max(terms.item(), gradients.item())
