"""Decide whether a path on the command line contains a checkpoint or a mask."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from masksynth.diagnostics.symmetry.weight_files import INDICES, PICKLED
from masksynth.errors import InvalidInstance
from masksynth.subject import subject_kind

MASK_ARRAYS = frozenset(("mask", "attention_mask", "row_offset", "edge_query"))
"""Arrays of which a mask file has one."""
LARGEST_HEADER = 100_000_000
"""Most bytes of names and shapes in a .safetensors file, as the format has it."""
EXPECTED = (
    "name a mask (one array of mask, attention_mask, row_offset, edge_query) or a checkpoint (*.weight tensors of "
    "attention layers)"
)


def is_checkpoint(subject: str) -> bool:
    """Return whether a subject contains weights; what does not exist is left to the reader of masks.

    Parameters
    ----------
    subject : str
        A path, or ``package.module:mask_mod``.

    Raises
    ------
    InvalidInstance
        If a file is neither a mask nor a checkpoint.

    Examples
    --------
    >>> is_checkpoint("attn_gym.masks:causal_mask")
    False
    """
    path = Path(subject)
    if path.name.endswith(INDICES) or path.suffix in PICKLED:
        return path.exists()
    if path.is_dir():
        return not _is_mask_folder(path)
    if path.suffix == ".npy" or not path.exists():
        return False
    names = _array_names(path)
    if names & MASK_ARRAYS:
        return False
    if any(name.rpartition(".")[2] in ("weight", "qweight") for name in names):
        return True
    listed = (", ".join(sorted(names)[:3]) or "no arrays") + (" ..." if len(names) > 3 else "")
    raise InvalidInstance(f"neither a mask nor a checkpoint: it contains {listed}", "", EXPECTED, subject)


def _is_mask_folder(folder: Path) -> bool:
    """Return whether a folder is an answer or a packed folder."""
    try:
        return subject_kind(folder) in ("answer", "packed folder")
    except InvalidInstance:
        return False


def _array_names(path: Path) -> set[str]:
    """Return the names of the arrays in a .npz or .safetensors file, from its header; none for other endings."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as file:
                return {name.removesuffix(".npy") for name in file.namelist()}
        if path.suffix == ".safetensors":
            with path.open("rb") as stream:
                header = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), LARGEST_HEADER)))
            return set(dict(header)) - {"__metadata__"}
    except (OSError, ValueError, zipfile.BadZipFile, RecursionError, TypeError, NotImplementedError):
        raise InvalidInstance("not a complete file of arrays", "", "fetch it again", str(path)) from None
    return set()
