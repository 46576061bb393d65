"""Read the arguments of a backbone's call: what is merged, what travels along, and what makes the call pass through."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from masksynth.errors import Unsupported

CACHES = ("past_key_values", "past_key_value", "cache", "cache_params", "past")
VARLEN = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")
"""Arguments of varlen attention: the rows of a packed call; a merged call has none."""
TYPES = "token_type_ids"
"""One type for each token; where all tokens have the same, so have merged ones."""
READ = ("input_ids", "attention_mask", "position_ids", "inputs_embeds", "use_cache", *CACHES, *VARLEN)
"""Arguments that are replaced in a merged call; all others travel along."""
UNREAD = ("shift_labels",)
"""What models with a head hand on to their backbone among other arguments, and no backbone reads."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call that may be merged.

    Parameters
    ----------
    ids : (B, T) int64 Tensor
    mask : (B, T) Tensor or None
        Other than 0 at real tokens.
    positions : Tensor or None
        ``[B, T]`` or ``[D, B, T]``, as given.
    lengths, row_numbers : Tensor or None
        Cumulative lengths of packed rows, and the row of each token, ``[B, T]``, for varlen attention.
    use_cache : bool or None
        As given; never true.
    token_type : int or None
        Type of all tokens, if types are given.
    others : dict
        All other arguments.
    """

    ids: Tensor
    mask: Tensor | None
    positions: Tensor | None
    lengths: Tensor | None
    row_numbers: Tensor | None
    use_cache: bool | None
    token_type: int | None
    others: dict[str, Any]

    def types_of(self, ids: Tensor) -> dict[str, Tensor]:
        """Return the argument of the types of some token ids, if the call has it."""
        return {} if self.token_type is None else {TYPES: torch.full_like(ids, self.token_type)}


def name_arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a call by name.

    Parameters
    ----------
    signature : inspect.Signature
        Of the backbone's forward.
    args, kwargs
        As a forward hook gets them.

    Examples
    --------
    >>> def forward(input_ids, attention_mask=None, **kwargs): ...
    >>> name_arguments(inspect.signature(forward), (1, 2), {"labels": 3})
    {'input_ids': 1, 'attention_mask': 2, 'labels': 3}
    """
    if not args:
        return dict(kwargs)
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, part in signature.parameters.items() if part.kind in plain]
    if len(args) > max(len(names), 1):
        raise Unsupported(f"expected at most {len(names)} arguments without a name, got {len(args)}")
    return {**dict(zip(names or ("input_ids",), args, strict=False)), **kwargs}


def read_call(named: dict[str, Any]) -> Call | str:
    """Return the call as it may be merged, or the reason why it passes through as it is.

    Parameters
    ----------
    named : dict
        Arguments by name.

    Raises
    ------
    Unsupported
        If attention weights are asked for, which a merged call has for merged positions only.

    Examples
    --------
    >>> import torch
    >>> ids = torch.zeros(2, 3, dtype=torch.int64)
    >>> read_call({"input_ids": ids, "past_key_values": object()}), read_call({"inputs_embeds": torch.zeros(2, 3, 4)})
    ('cache', 'embeddings')
    >>> read_call({"input_ids": ids, "attention_mask": torch.ones(2, 1, 3, 3)})
    'mask'
    """
    if named.get("output_attentions"):
        raise Unsupported("output_attentions=True: attention weights of merged positions are not those of the rows")
    if any(named.get(name) is not None for name in CACHES) or any(map(_is_cache, named.values())):
        return "cache"
    if named.get("use_cache"):
        return "use_cache"
    ids, mask, positions = (named.get(name) for name in ("input_ids", "attention_mask", "position_ids"))
    if named.get("inputs_embeds") is not None:
        return "embeddings"
    if not isinstance(ids, Tensor) or ids.ndim != 2:
        return "argument input_ids"
    if mask is not None and (not isinstance(mask, Tensor) or mask.shape != ids.shape):
        return "mask"
    if positions is not None and not _fits(positions, ids):
        return "argument position_ids"
    others = {name: value for name, value in named.items() if name not in (*READ, *UNREAD)}
    token_type = _shared_type(others.get(TYPES), ids)
    if token_type is not None:
        del others[TYPES]
    # a tensor of several values may hold one for each token, or images
    foreign = [name for name, value in others.items() if _holds_tensor(value)]
    if foreign:
        return f"argument {foreign[0]}"
    numbers = named.get("seq_idx")
    if numbers is not None and numbers.shape != ids.shape:
        return "argument seq_idx"
    return Call(ids, mask, positions, named.get("cu_seq_lens_q"), numbers, named.get("use_cache"), token_type, others)


def reads_pads(named: Mapping[str, Any]) -> bool:
    """Return whether a label is predicted by a masked token, as the first token of a row behind pads is.

    Parameters
    ----------
    named : mapping
        Arguments of a model with a head, by name.

    Examples
    --------
    >>> import torch
    >>> mask, labels = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[-100, -100, 5, 6]])
    >>> reads_pads({"attention_mask": mask, "labels": labels})
    True
    >>> reads_pads({"attention_mask": mask, "labels": labels.masked_fill(labels == 5, -100)})
    False
    >>> reads_pads({"attention_mask": mask, "shift_labels": labels.roll(-1, 1)})
    True
    """
    mask, labels, shifted = (named.get(name) for name in ("attention_mask", "labels", "shift_labels"))
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return False
    given = labels if shifted is None else shifted
    if not isinstance(given, Tensor) or given.shape != mask.shape or given.is_floating_point():
        return False
    predicted, predictor = (given[:, 1:], mask[:, :-1]) if shifted is None else (given, mask)
    return bool(((predicted != -100) & (predictor == 0)).any())


def _is_cache(value: Any) -> bool:
    return hasattr(value, "get_seq_length") or type(value).__name__.endswith("Cache")


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() > 1
    if isinstance(value, (tuple, list)):
        return any(map(_holds_tensor, value))
    return isinstance(value, Mapping) and any(map(_holds_tensor, value.values()))


def _shared_type(types: Any, ids: Tensor) -> int | None:
    """Return the type that all tokens have; None if there are no types, or several."""
    if not isinstance(types, Tensor) or types.shape != ids.shape or not types.numel():
        return None
    first = types.flatten()[0]
    return int(first) if bool((types == first).all()) else None


def _fits(positions: Any, ids: Tensor) -> bool:
    """Return whether position ids are ``[B, T]``, ``[1, T]`` or ``[D, B, T]``."""
    if not isinstance(positions, Tensor) or positions.ndim not in (2, 3):
        return False
    shape = tuple(positions.shape[-2:])
    return shape[1] == ids.shape[1] and shape[0] in (1, ids.shape[0])
