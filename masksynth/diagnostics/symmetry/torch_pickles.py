"""Read the tensors of files that torch.save wrote, without running code from them."""

from __future__ import annotations

import pickle
import shlex
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if find_spec("torch") is None:
    raise ImportError(f"{__name__} needs torch; install it with: pip install 'masksynth[torch]'")

import torch
from torch import Tensor

from masksynth.diagnostics.symmetry.weight_store import Entry
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
NESTED = ("state_dict", "model_state_dict", "model", "module")
"""Keys under which training loops put the weights, beside the state of the optimizer."""
CONVERT = (
    'python -c "import sys, torch; o = torch.load(sys.argv[1], weights_only=False); '
    "torch.save(o.state_dict() if hasattr(o, 'state_dict') else o['state_dict'], sys.argv[2])\" {path} weights.pt"
)
"""The command that converts a file with other objects; it runs the code in that file."""


def torch_tensors(path: Path) -> list[tuple[str, Entry, Callable[[], Float64Array]]]:
    """Return (name, entry, function that reads it) of every tensor in a file of torch.save.

    Only tensors and plain Python values are unpickled (``weights_only``), and `argparse.Namespace`, in which training
    loops store their options: an object that holds attributes and runs nothing.

    Raises
    ------
    InvalidInstance
        If the file is incomplete, or contains objects that need their own code.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise _incomplete(path) from None
        fact = f"contains objects that are not tensors, and reading them would run their code: {_name(str(error))}"
        remedy = f"if you trust the file, convert it: {CONVERT.format(path=shlex.quote(str(path)))}"
        raise InvalidInstance(fact, "", remedy, str(path)) from None
    except Exception:  # of damaged bytes, the reader of torch raises exceptions of all kinds
        raise _incomplete(path) from None
    return [(name, entry_of(value), partial(as_array, value)) for name, value in _weights(content, path).items()]


def entry_of(value: Tensor) -> Entry:
    """Return shape and type of a tensor; of one whose numbers are not all stored, the layout or device as its type."""
    if value.is_meta or value.layout != torch.strided:
        return Entry(tuple(value.shape), "meta" if value.is_meta else str(value.layout))
    return Entry(tuple(value.shape), DTYPES.get(value.dtype, str(value.dtype)))


def as_array(value: Tensor) -> Float64Array:
    """Return a tensor as a float64 array on the CPU."""
    result: Float64Array = value.detach().to("cpu", torch.float64).numpy()
    return result


def _weights(content: Any, path: Path) -> Mapping[str, Tensor]:
    """Return the tensors by name, from a state_dict or from a dictionary around one."""
    for _ in NESTED:
        if not isinstance(content, Mapping):
            break
        named = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if named:
            return named
        content = next((content[key] for key in NESTED if isinstance(content.get(key), Mapping)), None)
    raise InvalidInstance("contains no named tensors", "", "save the state_dict of the model", str(path))


def _name(error: str) -> str:
    """Return the name of the object that was refused."""
    return error.partition("GLOBAL ")[2].split(" ", 1)[0][:80]


def _incomplete(path: Path) -> InvalidInstance:
    return InvalidInstance("not a complete file of torch.save", "", "fetch it again, or name another file", str(path))
