"""Evaluate a FlexAttention mask_mod as row intervals, on the CPU, a block of rows at a time."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.export.blocks import BlockLists
from masksynth.mask import Mask
from masksynth.mask.dense import mask_from_chunks, rows_per_chunk
from masksynth.mask.typing import BoolArray
from masksynth.subject.subject import Subject

SPEC = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""``package.module:name``."""
PROBED_ROWS = 256
"""Rows on which another batch and another head are compared with the first."""
MaskMod = Callable[..., Any]


def read_mask_mod(spec: str, length: int | None) -> Subject:
    """Import what ``package.module:name`` names and return its mask: a mask_mod, or a BlockMask with its block lists.

    Parameters
    ----------
    spec : str
    length : int, optional
        Number of positions; required for a mask_mod.

    Raises
    ------
    InvalidInstance
        If it cannot be imported or evaluated, or has no length.
    """
    imported = import_object(spec)
    blocks, partial = None, ""
    if hasattr(imported, "mask_mod") and hasattr(imported, "kv_num_blocks"):
        masks = imported.kv_num_blocks.shape[:-1].numel()
        partial = f"the BlockMask has {masks} masks; batch 0 and head 0 alone were read" if masks > 1 else ""
        imported, length, blocks = block_mask_parts(imported, length, spec)
    if length is None or type(length) is not int or length < 1:
        raise InvalidInstance("has no length of its own", "", "give --length N", spec)
    mask = mask_of_mod(imported, length, spec)
    partial = partial or describe_other_masks(imported, length, spec)
    return Subject(mask, spec, dtype="mask_mod", blocks=blocks, partial=partial)


def import_object(spec: str) -> Any:
    """Return the object that ``package.module:name`` names; modules in the current folder are importable too.

    Raises
    ------
    InvalidInstance
        If it cannot be imported, for any exception that the module raises.
    """
    module, _, name = spec.partition(":")
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        value = importlib.import_module(module)
        for attribute in name.split("."):
            value = getattr(value, attribute)
    except (Exception, SystemExit) as error:  # a module may raise anything, and may exit
        text = " ".join(str(error).split()) or type(error).__name__
        fact = f"cannot be imported: {type(error).__name__}: {text}"
        raise InvalidInstance(fact, "", "name it as package.module:mask_mod", spec) from None
    finally:
        sys.path.remove(folder)
    return value


def check_signature(mask_mod: Any, source: str) -> None:
    """Refuse what does not take (batch, head, query, key)."""
    if not callable(mask_mod):
        fact = f"is of type {type(mask_mod).__name__}, not a function"
        raise InvalidInstance(fact, "", "name a mask_mod or a BlockMask", source)
    try:
        inspect.signature(mask_mod).bind(0, 0, 0, 0)
    except ValueError:  # a builtin without an inspectable signature
        return
    except TypeError as error:
        remedy = "a mask_mod takes (b, h, q_idx, kv_idx); call a factory in a module of your own and name its result"
        raise InvalidInstance(f"does not take four arguments: {error}", "", remedy, source) from None


def mask_of_mod(mask_mod: MaskMod, length: int, source: str = "mask_mod") -> Mask:
    """Return the mask of a mask_mod for batch 0 and head 0 over ``length`` positions.

    It is evaluated by ``torch.nn.attention.flex_attention.create_mask`` on blocks of 2^23 entries: O(N^2) time, and no
    (N, N) array.

    Parameters
    ----------
    mask_mod : callable
        (batch, head, query, key) -> bool tensor.
    length : int
        Number of positions.
    source : str
        Named in errors.

    Raises
    ------
    InvalidInstance
        For another signature, a result that is not boolean, or any exception that the mask_mod raises.

    Examples
    --------
    >>> print(mask_of_mod(lambda b, h, q, k: q >= k, 3))
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """
    check_signature(mask_mod, source)
    return mask_from_chunks([_all_rows(mask_mod, length, source)], length)


def describe_other_masks(mask_mod: MaskMod, length: int, source: str) -> str:
    """Return a note if another batch or head has another mask on up to 256 rows, else "".

    Examples
    --------
    >>> describe_other_masks(lambda b, h, q, k: (q >= k) | (h == 1), 4, "mine")
    'another head has another mask; batch 0 and head 0 alone were read'
    >>> describe_other_masks(lambda b, h, q, k: q >= k, 4, "mine")
    ''
    """
    rows, step = min(length, PROBED_ROWS), max(length // PROBED_ROWS, 1)
    for word, batch, head in (("head", 0, 1), ("batch", 1, 0)):

        def differs(b: Any, h: Any, q: Any, k: Any, batch: int = batch, head: int = head) -> Any:
            return mask_mod(b, h, q * step, k) != mask_mod(b + batch, h + head, q * step, k)

        try:
            if _evaluate_rows(differs, 0, rows, length, source).any():
                return f"another {word} has another mask; batch 0 and head 0 alone were read"
        except InvalidInstance:  # the mask_mod raises for any other batch or head
            continue
    return ""


def _all_rows(mask_mod: MaskMod, length: int, source: str) -> Iterator[BoolArray]:
    step = rows_per_chunk(length)
    for first in range(0, length, step):
        yield _evaluate_rows(mask_mod, first, min(step, length - first), length, source)


def _evaluate_rows(mask_mod: MaskMod, first: int, rows: int, length: int, source: str) -> BoolArray:
    """Return rows ``first, ..., first + rows - 1`` of the mask, ``(rows, length)``."""
    import torch
    from torch.nn.attention.flex_attention import create_mask

    dtypes = set()

    def shifted(b: Any, h: Any, q: Any, k: Any) -> Any:
        allowed = mask_mod(b, h, q + first, k)
        dtypes.add(getattr(allowed, "dtype", type(allowed)))
        return allowed

    try:
        with torch.no_grad():
            dense = create_mask(shifted, 1, 1, rows, length, device="cpu")
    except (Exception, SystemExit) as error:  # a mask_mod may raise anything
        text = " ".join(str(error).split())[:200] or type(error).__name__
        fact = f"fails for rows {first} to {first + rows - 1} of {length}: {type(error).__name__}: {text}"
        if dtypes and dtypes != {torch.bool}:
            fact = f"returns {', '.join(sorted(map(str, dtypes)))}, not torch.bool"
        remedy = "a mask_mod works on index tensors on the CPU, with & | ~ and torch.where in place of and, or, not, if"
        raise InvalidInstance(fact, "", remedy, source) from None
    if dtypes != {torch.bool}:
        fact = f"returns {', '.join(sorted(map(str, dtypes)))}, not torch.bool"
        raise InvalidInstance(fact, "", "compare, do not add or multiply", source)
    return np.asarray(dense[0, 0].expand(rows, length).numpy(), dtype=bool)


def block_mask_parts(
    block_mask: Any, length: int | None, source: str
) -> tuple[MaskMod, int, tuple[BlockLists, tuple[int, int]]]:
    """Return mask_mod, length, and block lists (with their block size) of batch 0, head 0 of a BlockMask."""
    queries, keys = block_mask.seq_lengths
    if queries != keys or length not in (None, queries):
        fact = f"is a BlockMask over {queries} x {keys} positions"
        raise InvalidInstance(fact, "", "give a square one, and no other --length", source)
    rows, columns = block_mask.BLOCK_SIZE
    names = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
    parts = [getattr(block_mask, name) for name in names]
    lists = full_block_lists(parts, -(-queries // rows), -(-keys // columns))
    return block_mask.mask_mod, queries, (lists, (rows, columns))


def full_block_lists(parts: list[Any], block_rows: int, block_columns: int) -> BlockLists:
    """Return the block lists of batch 0 and head 0 at full width.

    Parameters
    ----------
    parts : list of 4 arrays, tensors or None
        Counts and indices of the partial blocks, counts and indices of the full blocks; leading batch and head
        dimensions are dropped, and None means no such blocks.
    block_rows, block_columns : int
        Number of blocks along queries and along keys.
    """
    lists = []
    for number, part in enumerate(parts):
        is_index = number % 2 == 1  # kv_indices has one dimension more than kv_num_blocks
        if part is None:
            shape = (block_rows, block_columns) if is_index else (block_rows,)
            lists.append(np.zeros(shape, np.int32) + (np.arange(block_columns, dtype=np.int32) if is_index else 0))
            continue
        array = np.asarray(part.cpu().numpy() if hasattr(part, "cpu") else part).astype(np.int32)
        while array.ndim > 1 + is_index:
            array = array[0]
        lists.append(array)
    return BlockLists(*(np.asarray(part, np.int32) for part in lists))
