"""Telling a checkpoint from a mask by what is in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from masksynth.diagnostics.symmetry.weight_store import INDEX
from masksynth.errors import InvalidInstance

MASK_ARRAYS = frozenset(("mask", "attention_mask", "row_offset", "edge_query"))
FOLDERS = ("solution.json", "manifest.json")
"""What the folders of answers and of packed batches hold."""
NEITHER = "name a mask (one array of mask, attention_mask, row_offset, edge_query) or a checkpoint (*.weight tensors of attention layers)"


def is_checkpoint(subject: str) -> bool:
    """Whether something on the command line holds weights rather than a mask; what is no file is left to the reader of masks.

    Raises
    ------
    InvalidInstance
        If a file is neither.

    Examples
    --------
    >>> is_checkpoint("attn_gym.masks:causal_mask")
    False
    """
    place = Path(subject)
    if not place.exists() or place.suffix == ".npy":
        return False
    if place.is_dir():
        return not any((place / name).is_file() for name in FOLDERS)
    if place.name.endswith(INDEX):
        return True
    names = _names(place)
    if names & MASK_ARRAYS:
        return False
    if any(name.rpartition(".")[2] in ("weight", "qweight") for name in names):
        return True
    shown = ", ".join(sorted(names)[:3]) or "no arrays"
    raise InvalidInstance(
        f"is neither a mask nor a checkpoint (it holds {shown}{' ...' if len(names) > 3 else ''})", "", NEITHER, subject
    )


def _names(place: Path) -> set[str]:
    """Names of the arrays in a file; none where it is no file of arrays."""
    try:
        if place.suffix == ".npz":
            with zipfile.ZipFile(place) as file:
                return {name.removesuffix(".npy") for name in file.namelist()}
        if place.suffix == ".safetensors":
            with place.open("rb") as stream:
                header = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), place.stat().st_size)))
            return set(header) - {"__metadata__"}
    except (OSError, ValueError, zipfile.BadZipFile, RecursionError, TypeError):
        raise InvalidInstance("is not a whole file of arrays", "", "fetch it again", str(place)) from None
    return set()
