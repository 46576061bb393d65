"""A FlexAttention mask_mod as row intervals, on the CPU, some rows at a time."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.export.blocks import BlockLists
from masksynth.mask import Mask
from masksynth.mask.dense import mask_from_chunks, rows_per_chunk

NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""``package.module:name``."""


def imported(spec: str) -> Any:
    """The object that ``package.module:name`` names; modules in the current folder are found too.

    Raises
    ------
    InvalidInstance
        If it cannot be imported, whatever the module raises.
    """
    module, _, name = spec.partition(":")
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module may raise anything, and may exit
        text = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInstance(
            f"cannot be imported: {type(error).__name__}: {text}", "", "name it as package.module:mask_mod", spec
        ) from None
    finally:
        sys.path.remove(here)
    return found


def check_signature(mask_mod: Any, source: str) -> None:
    """Refuse what does not take (batch, head, query, key)."""
    if not callable(mask_mod):
        raise InvalidInstance(
            f"is of type {type(mask_mod).__name__}, not a function", "", "name a mask_mod or a BlockMask", source
        )
    try:
        inspect.signature(mask_mod).bind(0, 0, 0, 0)
    except ValueError:  # no signature to be had
        return
    except TypeError as error:
        remedy = "a mask_mod takes (b, h, q_idx, kv_idx); call a factory in a module of your own and name its result"
        raise InvalidInstance(f"does not take four arguments: {error}", "", remedy, source) from None


def mask_of_mod(mask_mod: Callable[..., Any], length: int, source: str = "mask_mod") -> Mask:
    """The mask of a mask_mod for batch 0 and head 0 over ``length`` positions.

    It is evaluated by ``torch.nn.attention.flex_attention.create_mask`` for as many rows at a time as hold 2^23 entries: O(N^2) time, and
    no (N, N) array.

    Raises
    ------
    InvalidInstance
        For another signature, a result that is not boolean, or whatever the mask_mod raises.

    Examples
    --------
    >>> print(mask_of_mod(lambda b, h, q, k: q >= k, 3))
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """
    check_signature(mask_mod, source)
    return mask_from_chunks([_stretches(mask_mod, length, source)], length)


def other_masks(mask_mod: Callable[..., Any], length: int, source: str) -> str:
    """What is left out where batch 0 and head 0 alone are read: whether another batch or head has another mask, on up to 256 rows.

    Examples
    --------
    >>> other_masks(lambda b, h, q, k: (q >= k) | (h == 1), 4, "mine")
    'another head has another mask; batch 0 and head 0 alone were read'
    >>> other_masks(lambda b, h, q, k: q >= k, 4, "mine")
    ''
    """
    rows, step = min(length, 256), max(length // 256, 1)
    for word, batch, head in (("head", 0, 1), ("batch", 1, 0)):

        def differs(b: Any, h: Any, q: Any, k: Any, batch: int = batch, head: int = head) -> Any:
            return mask_mod(b, h, q * step, k) != mask_mod(b + batch, h + head, q * step, k)

        try:
            if _rows(differs, 0, rows, length, source).any():
                return f"another {word} has another mask; batch 0 and head 0 alone were read"
        except InvalidInstance:  # it knows no other batch or head
            continue
    return ""


def _stretches(mask_mod: Callable[..., Any], length: int, source: str) -> Iterator[NDArray[np.bool_]]:
    step = rows_per_chunk(length)
    for first in range(0, length, step):
        yield _rows(mask_mod, first, min(step, length - first), length, source)


def _rows(mask_mod: Callable[..., Any], first: int, rows: int, length: int, source: str) -> NDArray[np.bool_]:
    import torch
    from torch.nn.attention.flex_attention import create_mask

    kinds = set()

    def moved(b: Any, h: Any, q: Any, k: Any) -> Any:
        found = mask_mod(b, h, q + first, k)
        kinds.add(getattr(found, "dtype", type(found)))
        return found

    try:
        with torch.no_grad():
            dense = create_mask(moved, 1, 1, rows, length, device="cpu")
    except (Exception, SystemExit) as error:  # a mask_mod may raise anything
        text = " ".join(str(error).split())[:200] or type(error).__name__
        fact = f"fails for rows {first} to {first + rows - 1} of {length}: {type(error).__name__}: {text}"
        if kinds and kinds != {torch.bool}:
            fact = f"gives {', '.join(sorted(map(str, kinds)))}, not torch.bool"
        remedy = "a mask_mod works on index tensors on the CPU, with & | ~ and torch.where in place of and, or, not, if"
        raise InvalidInstance(fact, "", remedy, source) from None
    if kinds != {torch.bool}:
        raise InvalidInstance(
            f"gives {', '.join(sorted(map(str, kinds)))}, not torch.bool", "", "compare, do not add or multiply", source
        )
    return np.asarray(dense[0, 0].expand(rows, length).numpy(), dtype=bool)


def block_mask_parts(
    block_mask: Any, length: int | None, source: str
) -> tuple[Any, int, tuple[BlockLists, tuple[int, int]]]:
    """The mask_mod, the length and the block lists of batch 0 and head 0 of a BlockMask."""
    queries, keys = block_mask.seq_lengths
    if queries != keys or length not in (None, queries):
        raise InvalidInstance(
            f"is a BlockMask over {queries} x {keys} positions", "", "give a square one, and no other --length", source
        )
    rows, columns = block_mask.BLOCK_SIZE
    high, wide = -(-queries // rows), -(-keys // columns)
    names = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
    return (
        block_mask.mask_mod,
        queries,
        (lists_of([getattr(block_mask, name) for name in names], high, wide), (rows, columns)),
    )


def lists_of(parts: list[Any], high: int, wide: int) -> BlockLists:
    """Block lists of batch 0 and head 0 at full width; full blocks may be absent."""
    found = []
    for number, part in enumerate(parts):
        if part is None:
            shape = (high, wide) if number % 2 else (high,)
            found.append(np.zeros(shape, np.int32) + (np.arange(wide, dtype=np.int32) if number % 2 else 0))
            continue
        array = np.asarray(part.cpu().numpy() if hasattr(part, "cpu") else part).astype(np.int32)
        while array.ndim > 1 + number % 2:
            array = array[0]
        found.append(array)
    return BlockLists(*(np.asarray(part, np.int32) for part in found))
