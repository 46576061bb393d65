"""Look up the inputs and labels of a merged task in a vocabulary: token ids, embeddings, classes.

Two inputs are equal if their canonical JSON texts are: 1, 1.0, True and "1" are four inputs, and a list equals a tuple.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical, frozen, shown

Vocabulary = Mapping[Any, int] | Mapping[Any, Tensor] | Tensor
"""Input -> token id, or input -> embedding ``(H,)``; or embeddings ``(V, H)`` whose row i belongs to input i."""


def embed_inputs(inputs: Sequence[Any], vocabulary: Vocabulary, device: torch.device) -> tuple[str, Tensor]:
    """Return the inputs as a model takes them: ("input_ids", (N,) int64) or ("inputs_embeds", (N, H)).

    Parameters
    ----------
    inputs : sequence
        N inputs of a merged task.
    vocabulary : mapping or Tensor
    device : torch.device
        Device of the result; gradients flow to embeddings.

    Raises
    ------
    InvalidInstance
        Naming the input without an entry, or the entry of a wrong type.

    Examples
    --------
    >>> embed_inputs(["b", ("mean", "a", "b")], {"a": 3, "b": 4, ("mean", "a", "b"): 5}, torch.device("cpu"))
    ('input_ids', tensor([4, 5]))
    >>> embed_inputs([("mean", "a", "b")], {"a": 3, "b": 4}, torch.device("cpu"))
    Traceback (most recent call last):
    InvalidInstance: the aggregate ["mean","a","b"] at position 0 has no entry in the vocabulary; ...
    """
    if isinstance(vocabulary, Tensor):
        return "inputs_embeds", _select_rows(inputs, vocabulary).to(device)
    entries = _entries_by_text(vocabulary)
    values = [_look_up(entries, value, position) for position, value in enumerate(inputs)]
    if _are_token_ids(vocabulary):
        return "input_ids", torch.tensor(values, dtype=torch.int64, device=device)
    if not values:
        raise InvalidInstance("the batch has no positions to embed", "", "use token ids")
    return "inputs_embeds", torch.stack([value.to(device) for value in values])


def look_up_labels(labels: Sequence[Any], label_ids: Any, vocabulary: Vocabulary | None) -> Tensor:
    """Return the class of each label, (L,) int64.

    Parameters
    ----------
    labels : sequence
        L labels of a merged task.
    label_ids : mapping, sequence of int or Tensor, optional
        By default the token ids of the vocabulary, or the labels themselves where there are none.
    vocabulary : mapping or Tensor, optional

    Raises
    ------
    InvalidInstance
        If a label has no class, or classes are not integers.

    Examples
    --------
    >>> look_up_labels(["b", "a"], {"a": 3, "b": 4}, None), look_up_labels([7], None, None)
    (tensor([4, 3]), tensor([7]))
    """
    if label_ids is None and isinstance(vocabulary, Mapping) and _are_token_ids(vocabulary):
        label_ids = vocabulary
    if isinstance(label_ids, Mapping):
        entries = _entries_by_text(label_ids)
        missing = next((label for label in labels if canonical(label) not in entries), None)
        if missing is not None:
            remedy = "pass label_ids, the class of each label"
            raise InvalidInstance(f"label {missing!r} has no entry in the vocabulary", "", remedy)
        label_ids = [entries[canonical(label)] for label in labels]
    elif label_ids is None:
        text = next((label for label in labels if type(label) is not int), None)
        if text is not None:
            remedy = "pass label_ids, the class of each of batch.labels"
            raise InvalidInstance(f"label {text!r} is not an integer", "", remedy)
        label_ids = labels
    ids = torch.as_tensor(label_ids)
    if ids.shape != (len(labels),):
        raise InvalidInstance(f"label_ids has shape {list(ids.shape)}, the batch has {len(labels)} labels", "")
    if len(ids) and (ids.is_floating_point() or ids.dtype == torch.bool):
        raise InvalidInstance(f"label_ids: expected integers, got {str(ids.dtype).removeprefix('torch.')}", "")
    return ids.long()


def _entries_by_text(vocabulary: Any) -> dict[str, Any]:
    """Return the entries by the canonical text of their input, after checking that they are of one type."""
    if not isinstance(vocabulary, Mapping):
        remedy = "pass {input: token id, ...}, {input: embedding, ...} or a tensor of embeddings (V, H)"
        raise InvalidInstance(
            f"vocabulary: expected a mapping or a Tensor, got {type(vocabulary).__name__}", "", remedy
        )
    embeds = next((isinstance(value, Tensor) for value in vocabulary.values()), False)
    shape = next(iter(vocabulary.values())).shape if embeds else None
    for key, value in vocabulary.items():
        if embeds and not (isinstance(value, Tensor) and value.ndim == 1 and value.shape == shape):
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            expected = f"embeddings of shape [{len(shape) and shape[0]}]" if shape is not None and shape else "(H,)"
            raise InvalidInstance(f"vocabulary entry of {key!r}: expected {expected}, got {got}", "")
        if not embeds and (type(value) is not int or not 0 <= value < 1 << 63):
            got = shown(value) if isinstance(value, int) else type(value).__name__
            raise InvalidInstance(f"vocabulary entry of {key!r}: expected a token id, got {got}", "")
    return {canonical(frozen(key)): value for key, value in vocabulary.items()}


def _are_token_ids(vocabulary: Mapping[Any, Any]) -> bool:
    return not any(isinstance(value, Tensor) for value in vocabulary.values())


def _look_up(entries: Mapping[str, Any], value: Any, position: int) -> Any:
    text = canonical(value)
    if text in entries:
        return entries[text]
    if isinstance(value, tuple):
        remedy = "add one under the tuple: a token id of its own, or an embedding (such as the mean of its parts)"
        raise InvalidInstance(f"the aggregate {text} at position {position} has no entry in the vocabulary", "", remedy)
    raise InvalidInstance(f"input {text} at position {position} has no entry in the vocabulary", "", "add one")


def _select_rows(inputs: Sequence[Any], embeddings: Tensor) -> Tensor:
    """Return row i of the embeddings for input i."""
    if embeddings.ndim != 2 or not embeddings.is_floating_point():
        kind = str(embeddings.dtype).removeprefix("torch.")
        raise InvalidInstance(
            f"vocabulary: expected floating-point embeddings (V, H), got {kind} {list(embeddings.shape)}", ""
        )
    for position, value in enumerate(inputs):
        if type(value) is not int or not 0 <= value < len(embeddings):
            what = "aggregate" if isinstance(value, tuple) else "input"
            fact = (
                f"the {what} {canonical(value)} at position {position} is not a row of the {len(embeddings)} embeddings"
            )
            raise InvalidInstance(fact, "", "pass a mapping from inputs to embeddings")
    return embeddings[torch.tensor(inputs, dtype=torch.int64, device=embeddings.device)]
