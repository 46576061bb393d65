"""Read what the command line of ``diagnose clustering`` names: masks, Q, K, V, and points to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from masksynth.diagnostics.clustering.comparison import prefix_mask, window_mask
from masksynth.diagnostics.clustering.diagnosis import Run
from masksynth.diagnostics.clustering.model_heads import Head, read_head
from masksynth.diagnostics.clustering.row_blocks import causal_mask
from masksynth.diagnostics.clustering.setting import Setting
from masksynth.diagnostics.clustering.token_states import states_of_texts
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import Float64Array
from masksynth.subject.mask_file import load_npy
from masksynth.terminal import count, read

BETA, DIM = 9.0, 3
"""Inverse temperature and dimension where nothing else decides them."""
MATRICES = ("query", "key", "value")
RANDOM = ("seeds", "seed")
"""Options of random starts."""
MOVING = ("window", "prefix", "length", "batch", "beta", "dim", "time", *RANDOM, *MATRICES)
"""Options that mean nothing for the spectra of a checkpoint, where nothing moves."""


class Inputs(NamedTuple):
    """Masks by name, and what moves their positions."""

    masks: dict[str, Mask]
    run: Run


class Points(NamedTuple):
    """Points to start from, (starts, n, d), what they are, in words, and what each of the n is called."""

    x: Float64Array
    name: str
    noun: str


def wants_spectra(subjects: tuple[str, ...], options: dict[str, Any]) -> bool:
    """Return whether --model stands alone.

    Raises
    ------
    InvalidInstance
        If an option of --model lacks another, or would have no effect.
    """
    named = {name: options[name] not in (None, ()) for name in ("model", "layer", "head", "text", "start")}
    if named["model"] and not (
        subjects or options["causal"] or any(named[name] for name in ("layer", "head", "text", "start"))
    ):
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
    if named["text"] and named["start"]:
        raise InvalidInstance("--text and --start are given", "", "give one of them")
    if named["text"] or named["start"]:
        option = "--text" if named["text"] else "--start"
        _refuse(f"{option} says where positions start", options, RANDOM, "leave it out")
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
    points = _points(options)
    masks = _masks(subjects, options, points)
    matrices = {name: getattr(head, name) if head else _matrix(options[name], name) for name in MATRICES}
    dim = _dim(options["dim"], {**matrices, **({points.noun: points.x[0]} if points else {})})
    run = Run(
        beta=options["beta"] or _beta(head, points, dim),
        dim=dim,
        seeds=len(points.x) if points else options["seeds"] or Run().seeds,
        time=options["time"] or Run().time,
        seed=options["seed"] or Run().seed,
    )
    if head is None and points is None and all(each is None for each in matrices.values()):
        return Inputs(masks, run)
    start = points.x if points else None
    return Inputs(masks, run._replace(setting=Setting(**matrices, start=start, name=_name(options, head, points))))


def _points(options: dict[str, Any]) -> Points | None:
    """Return the points of --text or --start."""
    if options["start"] is not None:
        return _points_of_file(options["start"])
    if not options["text"]:
        return None
    states, tokens = states_of_texts(options["model"], options["text"], options["layer"])
    sizes = [len(each) for each in tokens]
    if len(set(sizes)) > 1:
        fact = f"texts of {', '.join(map(str, sizes))} tokens"
        raise InvalidInstance(fact, "--text", "give texts of equally many tokens, or one text")
    of = "a text" if len(sizes) == 1 else f"each of {len(sizes)} texts"
    name = f"{count(sizes[0], 'token')} of {of}, as they enter layer {options['layer']}"
    return Points(np.stack(states), name, "text")


def _points_of_file(path: str) -> Points:
    """Return the points of a .npy file, (n, d) for one start or (starts, n, d)."""
    array = _array(path, "start", (2, 3))
    x = array if array.ndim == 3 else array[None]
    if not x.size:
        raise InvalidInstance(f"holds no points: shape {array.shape}", "--start", "save (n, d) or (starts, n, d)", path)
    bad = ~(np.isfinite(x).all(axis=2) & x.any(axis=2))
    if bad.any():
        start, place = np.argwhere(bad)[0].tolist()
        where = f"point {place}" + (f" of start {start}" if array.ndim == 3 else "")
        raise InvalidInstance(f"{where} is 0 or not finite", "--start", "give points that have a direction", path)
    return Points(x, f"{count(x.shape[1], 'point')} of {path}", "start")


def _beta(head: Head | None, points: Points | None, dim: int) -> float:
    """Return the beta at which unit vectors score as the states do: the mean of |x|^2 / sqrt(d_h), d for |x|^2."""
    if head is None:
        return BETA
    square = dim if points is None else float((points.x**2).sum(axis=2).mean())
    return square / float(np.sqrt(head.width))


def _name(options: dict[str, Any], head: Head | None, points: Points | None) -> str:
    parts = [f"Q, K, V of {head.name}"] if head else []
    parts += [f"{name} {options[name]}" for name in MATRICES if options[name] is not None]
    parts += [points.name] if points else []
    return "; ".join(parts)


def _matrix(text: str | None, name: str) -> Float64Array | None:
    """Return a matrix from a .npy file, or from the numbers of its diagonal."""
    if text is None:
        return None
    if Path(text).exists():
        return _finite(_array(text, name, (2,)), f"--{name}", text)
    try:
        diagonal = [float(part) for part in text.split(",")]
    except ValueError:
        fact = f"expected a .npy file or numbers, got {text!r:.40}"
        raise InvalidInstance(fact, f"--{name}", "write a diagonal as 3,2,1") from None
    return _finite(np.diag(diagonal), f"--{name}", "")


def _finite(matrix: Float64Array, place: str, path: str) -> Float64Array:
    if not np.isfinite(matrix).all():
        raise InvalidInstance("contains a number that is not finite", place, "give finite numbers", path)
    return matrix


def _array(path: str, name: str, axes: tuple[int, ...]) -> Float64Array:
    """Return an array of real numbers from a .npy file."""
    try:
        found = load_npy(Path(path))
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, f"--{name}", error.remedy, path) from None
    if not isinstance(found, np.ndarray) or found.ndim not in axes or found.dtype.kind not in "fiu":
        if isinstance(found, np.lib.npyio.NpzFile):
            found.close()
        what = "a matrix" if axes == (2,) else "an array (n, d) or (starts, n, d)"
        raise InvalidInstance(f"is not {what} of real numbers", f"--{name}", "save one with numpy.save", path)
    return np.array(found, np.float64)


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


def _masks(subjects: tuple[str, ...], options: dict[str, Any], points: Points | None) -> dict[str, Mask]:
    """Return the masks by name; those without a file are as long as --causal says, the points or the first file."""
    if not subjects:
        _refuse("no file is given", options, ("length", "batch"), "leave it out")
    named = [read(subject, None, options["length"], options["batch"]) for subject in subjects]
    causal, more = options["causal"], options["window"] or options["prefix"]
    if len(named) == 1 and causal is not None and not more:
        raise InvalidInstance("both a mask and --causal N are given", "", "give one of them, or --window too")
    if not named and causal is None and points is None:
        raise InvalidInstance("neither a mask nor --causal N is given", "", "give one of them")
    result: dict[str, Mask] = {}
    size = causal or (points.x.shape[1] if points else named[0].mask.size)
    listed = [*_built_in(size, options, causal is not None or not named), *((each.name, each.mask) for each in named)]
    for name, mask in listed:
        if points and mask.size != points.x.shape[1]:
            has = f"the text {points.x.shape[1]} tokens" if points.noun == "text" else f"--start {points.x.shape[1]}"
            fact = f"has {mask.size:,} positions, and {has}"
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
