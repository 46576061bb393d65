"""Read what the command line of ``diagnose clustering`` names: masks, Q, K, V, and points to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from masksynth.diagnostics.clustering.comparison import prefix_mask, window_mask
from masksynth.diagnostics.clustering.model_heads import Head, read_head
from masksynth.diagnostics.clustering.row_blocks import causal_mask
from masksynth.diagnostics.clustering.setting import Setting
from masksynth.diagnostics.clustering.token_states import token_states
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import Float64Array
from masksynth.terminal import count, read

BETA, DIM = 9.0, 3
"""Inverse temperature and dimension where nothing else decides them."""
MATRICES = ("query", "key", "value")
MOVING = ("window", "prefix", "length", "batch", "beta", "dim", *MATRICES)
"""Options that mean nothing for the spectra of a checkpoint, where nothing moves."""


class Inputs(NamedTuple):
    """Masks by name, what moves their positions, and how many starts are given (0: random ones)."""

    masks: dict[str, Mask]
    setting: Setting | None
    beta: float
    dim: int
    starts: int


def wants_spectra(subjects: tuple[str, ...], options: dict[str, Any]) -> bool:
    """Return whether --model stands alone.

    Raises
    ------
    InvalidInstance
        If an option of --model lacks another, or would have no effect.
    """
    named = {name: options[name] is not None for name in ("model", "layer", "head", "text")}
    if named["model"] and not (subjects or options["causal"] or any(named[name] for name in ("layer", "head", "text"))):
        _refuse("--model stands alone", options, MOVING, "leave it out, or give --layer and --head")
        return True
    for name in ("layer", "head", "text"):
        if named[name] and not named["model"]:
            raise InvalidInstance(f"--{name} is given without --model", "", "name a checkpoint")
    if (named["head"] or named["text"]) and not named["layer"]:
        raise InvalidInstance("--head or --text is given without --layer", "", "give a layer, from 0")
    if named["model"] and not (named["head"] or named["text"]):
        raise InvalidInstance("--model is given without --head and --text", "", "give one of them, or --model alone")
    if named["head"] and any(options[name] is not None for name in MATRICES):
        raise InvalidInstance("--head and one of --query, --key, --value are given", "", "give one of them")
    return False


def _refuse(why: str, options: dict[str, Any], names: tuple[str, ...], remedy: str) -> None:
    """Raise InvalidInstance for options that would have no effect."""
    for name in (name for name in names if options[name] not in (None, ())):
        raise InvalidInstance(f"{why}, so --{name} has no effect", "", remedy)


def read_inputs(subjects: tuple[str, ...], options: dict[str, Any]) -> Inputs:
    """Return what a command line names.

    Raises
    ------
    InvalidInstance
        If options contradict one another, or a file does not hold what it should.
    """
    head = None if options["head"] is None else read_head(options["model"], options["layer"], options["head"])
    states, tokens = _states(options)
    masks = _masks(subjects, options, len(tokens))
    matrices = {name: getattr(head, name) if head else _matrix(options[name], name) for name in MATRICES}
    dim = _dim(options["dim"], {**matrices, "text": states})
    if head is None and states is None and all(each is None for each in matrices.values()):
        return Inputs(masks, None, options["beta"] or BETA, dim, 0)
    start = None if states is None else states[None]
    setting = Setting(**matrices, start=start, name=_name(options, head, len(tokens)))
    return Inputs(masks, setting, options["beta"] or _beta(head, states, dim), dim, 0 if start is None else 1)


def _states(options: dict[str, Any]) -> tuple[Float64Array | None, tuple[str, ...]]:
    if options["text"] is None:
        return None, ()
    return token_states(options["model"], options["text"], options["layer"])


def _beta(head: Head | None, states: Float64Array | None, dim: int) -> float:
    """Return the beta at which unit vectors score as the states do: the mean of |x|^2 / sqrt(d_h), d for |x|^2."""
    if head is None:
        return BETA
    square = dim if states is None else float((states**2).sum(axis=1).mean())
    return square / float(np.sqrt(head.width))


def _name(options: dict[str, Any], head: Head | None, tokens: int) -> str:
    parts = [f"Q, K, V of {head.name}"] if head else []
    parts += [f"{name} {options[name]}" for name in MATRICES if options[name] is not None]
    parts += [f"{count(tokens, 'token')} of a text, as they enter layer {options['layer']}"] if tokens else []
    return "; ".join(parts)


def _matrix(text: str | None, name: str) -> Float64Array | None:
    """Return a matrix from a .npy file, or from the numbers of its diagonal."""
    if text is None:
        return None
    if Path(text).exists():
        try:
            found = np.load(text, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise InvalidInstance("is no array", f"--{name}", "save a matrix with numpy.save", text) from None
        if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu":
            raise InvalidInstance("is no matrix of real numbers", f"--{name}", "save one with numpy.save", text)
        return np.asarray(found, np.float64)
    try:
        return np.diag([float(part) for part in text.split(",")])
    except ValueError:
        fact = f"expected a .npy file or numbers, got {text!r:.40}"
        raise InvalidInstance(fact, f"--{name}", "write a diagonal as 3,2,1") from None


def _dim(given: int | None, matrices: dict[str, Float64Array | None]) -> int:
    found = {name: each.shape[1] for name, each in matrices.items() if each is not None}
    dims = set(found.values()) | ({given} if given is not None else set())
    if len(dims) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in found.items())
        raise InvalidInstance(
            f"different dimensions: {shown}{f', --dim {given}' if given else ''}", "", "make them equal"
        )
    if dims and min(dims) < 2:
        fact = f"expected a dimension of at least 2, got {min(dims)}"
        raise InvalidInstance(fact, " and ".join(f"--{name}" for name in found), "write a diagonal as 3,2,1")
    return dims.pop() if dims else DIM


def _masks(subjects: tuple[str, ...], options: dict[str, Any], tokens: int) -> dict[str, Mask]:
    """Return the masks by name; those without a file have as many positions as --causal, the text or the first file."""
    if not subjects:
        _refuse("no file is given", options, ("length", "batch"), "leave it out")
    named = [read(subject, None, options["length"], options["batch"]) for subject in subjects]
    causal, more = options["causal"], options["window"] or options["prefix"]
    if len(named) == 1 and causal is not None and not more:
        raise InvalidInstance("both a mask and --causal N are given", "", "give one of them, or --window too")
    if not named and causal is None and not tokens:
        raise InvalidInstance("neither a mask nor --causal N is given", "", "give one of them")
    result: dict[str, Mask] = {}
    size = causal or tokens or named[0].mask.size
    listed = [*_built_in(size, options, causal is not None or not named), *((each.name, each.mask) for each in named)]
    for name, mask in listed:
        if tokens and mask.size != tokens:
            fact = f"has {mask.size:,} positions, and the text {tokens} tokens"
            raise InvalidInstance(fact, "", "leave the mask out, or take one of as many positions", name)
        result[name if name not in result else f"{name} ({len(result)})"] = mask
    return result


def _built_in(size: int, options: dict[str, Any], causal: bool) -> Iterator[tuple[str, Mask]]:
    if causal:
        yield f"causal {size}", causal_mask(size)
    for width in options["window"]:
        yield f"window {width} of {size}", window_mask(size, width)
    for prefix in options["prefix"]:
        yield f"prefix {prefix} of {size}", prefix_mask(size, prefix)
