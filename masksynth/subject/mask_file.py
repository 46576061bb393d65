"""A bare mask in a file, in and out: ``.npy``, ``.npz``, ``.safetensors``, or the folder of an answer."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.export.formats import npz_bytes, read_npz, read_safetensors, safetensors_bytes
from masksynth.export.mask_arrays import MAX_DENSE, mask_arrays, mask_of
from masksynth.files import check_file, write_file
from masksynth.mask import Mask

ENDINGS = (".npy", ".npz", ".safetensors")


def read_mask(path: str | Path) -> Mask:
    """Read a mask.

    Parameters
    ----------
    path : path
        ``.npy``: a bool array (n, n) or (P, n, n). ``.npz``, ``.safetensors``: arrays named as in answers. A folder: its mask.safetensors.

    Raises
    ------
    InvalidInstance
        If there is no such file, or it holds no mask.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/causal.npy", np.tril(np.ones((3, 3), bool)))
    ...     read_mask(f"{folder}/causal.npy")
    Mask(size=3, tables=1, pairs=6)
    """
    place = Path(path)
    if place.is_dir():
        place = place / "mask.safetensors"
    if place.suffix not in ENDINGS:
        raise InvalidInstance(
            f"ends in {place.suffix!r}",
            "",
            f"name a file that ends in {', '.join(ENDINGS)}, or an answer's folder",
            str(place),
        )
    if not place.is_file():
        raise InvalidInstance(
            "there is no such file", "", "name a .npy, .npz or .safetensors file, or an answer's folder", str(place)
        )
    try:
        if place.suffix == ".npy":
            return Mask.from_dense(_load(place))
        arrays = read_npz(place) if place.suffix == ".npz" else read_safetensors(place)
        sizes = [len(arrays[name]) for name in ("position_ids",) if name in arrays]
        sizes += [arrays[name].shape[-1] - (name == "row_offset") for name in ("mask", "row_offset") if name in arrays]
        if not sizes:
            raise InvalidInstance(
                f"the arrays {sorted(arrays)} hold no mask", "", "store one of mask, row_offset, edge_query"
            )
        return mask_of(arrays, sizes[0])
    except InvalidInstance as error:
        raise InvalidInstance(error.fact, error.path if error.path != "$" else "", error.remedy, str(place)) from None


def _load(path: Path) -> NDArray[np.generic]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except OSError as error:
        raise InvalidInstance(
            f"cannot be read: {error.strerror or error}", "", "save a bool array with numpy.save"
        ) from None
    except (ValueError, EOFError):  # numpy's text tells people to unpickle what they should not
        raise InvalidInstance(
            "is not a whole .npy file of plain numbers", "", "save a bool array with numpy.save"
        ) from None


def check_mask_target(path: Path, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a place where no mask can be written.

    Raises
    ------
    InvalidInstance
        For another ending, a folder that does not exist, or a file that is there without ``force``.
    """
    if path.suffix not in ENDINGS:
        raise InvalidInstance(
            f"ends in {path.suffix!r}", "", f"name a file that ends in {', '.join(ENDINGS)}", str(path)
        )
    if not path.absolute().parent.is_dir():
        raise InvalidInstance(f"there is no folder {path.parent}", "", "choose another place", str(path))
    check_file(path, force, inputs)


def write_mask(mask: Mask, path: str | Path, force: bool = True, inputs: Iterable[str | Path] = ()) -> None:
    """Write a mask whole or not at all: ``.npy`` as a bool array, ``.npz`` and ``.safetensors`` as an answer stores it.

    Parameters
    ----------
    mask : Mask
    path : path
    force : bool
        Whether a file that is there is replaced.
    inputs : iterable of paths
        Files that are never replaced.

    Raises
    ------
    InvalidInstance
        For another ending, or a mask of more than ``MAX_DENSE`` positions as ``.npy``.
    MasksynthError
        If the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Mask.from_dense(np.tril(np.ones((3, 3), bool))), f"{folder}/causal.npz")
    ...     read_mask(f"{folder}/causal.npz")
    Mask(size=3, tables=1, pairs=6)
    """
    place = Path(path)
    check_mask_target(place, force, inputs)
    if place.suffix == ".npy":
        if mask.size > MAX_DENSE:
            raise InvalidInstance(
                f"{mask.size} positions are too many for an array", "", "name a .npz or .safetensors file", str(place)
            )
        stream = io.BytesIO()
        np.save(stream, mask.dense())
        content = stream.getvalue()
    else:
        arrays = mask_arrays(mask, sparse=mask.size > MAX_DENSE and mask.tables == 1)
        if "edge_query" in arrays:
            arrays["position_ids"] = np.arange(mask.size)
        content = npz_bytes(arrays) if place.suffix == ".npz" else safetensors_bytes(arrays)
    write_file(place, content, force, inputs, "the mask")
