"""Forms of a mask as stored arrays, which ``flex_mask.py`` reads from answers and files of ``export --to flex``.

Names begin with ``flex_p_`` for table p:

====================  ======  ====================  =============================================
array                 dtype   shape                 form
====================  ======  ====================  =============================================
``row_intervals``     int32   [c, 2, N]             row intervals: lo and hi by query
``column_intervals``  int32   [c, 2, N]             column intervals: lo and hi by key
``chain_ranks``       int32   [c, 2, N]             ranks in chains: rank by key, limit by query
``chain_own``         int32   [N]                   and the row that sees the key by itself, or -1
``bits``              int32   [N, ceil(N / 32)]     bit-packed lookup
``block_number``      int32   [R, R]                ... by blocks: R = ceil(N / 128)
``block_bits``        int32   [B, 128, 4]           and their bits
``reason``            uint8   [L]                   why no cheaper form is exact, as ASCII
====================  ======  ====================  =============================================

A mask without a form (its bits would need more than 1 GiB) is stored without these arrays.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.bit_form import SIDE, WORD
from masksynth.export.forms import Form, Int32Arrays, check_form, choose_form, form_of
from masksynth.export.mask_arrays import Array, Arrays, mask_of
from masksynth.mask import Mask

PREFIX = "flex_"


def form_arrays(mask: Mask) -> Arrays:
    """Return the stored arrays of the form of each table, checked; none for a mask that has a table without a form.

    Examples
    --------
    >>> found = form_arrays(Mask.from_intervals([[((0, 1),), ((0, 2),)]]))
    >>> {name: array.tolist() for name, array in found.items()}
    {'flex_0_row_intervals': [[[0, 0], [1, 2]]], 'flex_0_reason': []}
    """
    try:
        forms = [form_of(mask, table) for table in range(mask.tables)]
    except Unsupported:
        return {}
    return {
        f"{PREFIX}{table}_{name}": array for table, form in enumerate(forms) for name, array in pack_form(form).items()
    }


def find_forms(arrays: Mapping[str, Array]) -> list[Arrays]:
    """Return the arrays of each table's form, names without prefix, for a file that stores a mask without forms.

    Raises
    ------
    Unsupported
        If a table has no form: its bits would need more than 1 GiB.
    """
    stored = dict(arrays)
    if "row_offset" in stored:
        stored["row_offset"] = np.atleast_2d(stored["row_offset"])  # [N + 1] in a packed batch
    size = stored["row_offset"].shape[1] - 1 if "row_offset" in stored else len(stored["position_ids"])
    mask = mask_of(stored, size)
    return [pack_form(choose_form(mask, table)) for table in range(mask.tables)]


def check_form_arrays(arrays: Mapping[str, Array], mask: Mask) -> None:
    """Check the stored forms of a mask; a table without one is accepted.

    Raises
    ------
    InvalidInstance
        If arrays of a form are missing, unknown or of a wrong shape or type.
    WrongAnswer
        If a form is not the mask.
    """
    for table in range(mask.tables):
        prefix = f"{PREFIX}{table}_"
        stored = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        if stored:
            check_form(mask, unpack_form(stored, mask.size), table)


def pack_form(form: Form) -> Arrays:
    """Return the stored arrays of a form, names without prefix; the inverse of ``unpack_form``."""
    arrays, kind = form.arrays, form.name
    packed: Arrays
    if kind in ("row intervals", "column intervals"):
        packed = {kind.replace(" ", "_"): _stack(arrays, "lo", "hi", len(arrays["lo_0"]))}
    elif kind == "ranks in chains":
        packed = {"chain_ranks": _stack(arrays, "rank", "limit", len(arrays["own"])), "chain_own": arrays["own"]}
    elif kind == "bit-packed lookup":
        size = len(arrays["line"])
        packed = {"bits": arrays["bits"].reshape(size, -(-size // WORD))}
    else:
        side = len(arrays["line"])
        blocks = arrays["bits"].reshape(-1, SIDE, SIDE // WORD)
        packed = {"block_number": arrays["number"].reshape(side, side), "block_bits": blocks}
    return packed | {"reason": np.array(list(form.why.encode("ascii")), np.uint8)}


def unpack_form(stored: Mapping[str, Array], size: int) -> Form:
    """Return the form of a mask over ``size`` positions from its stored arrays.

    Raises
    ------
    InvalidInstance
        If the arrays are not exactly those of one form, with their types and shapes.
    """
    reason = _need(stored, "reason", np.uint8, (None,)).tobytes().decode("ascii", "replace")
    names = stored.keys() - {"reason"}
    if names == {"row_intervals"} or names == {"column_intervals"}:
        (name,) = names
        pairs = _need(stored, name, np.int32, (None, 2, size))
        return Form(name.replace("_", " "), reason, _unstack(pairs, "lo", "hi"))
    if names == {"chain_ranks", "chain_own"}:
        pairs = _need(stored, "chain_ranks", np.int32, (None, 2, size))
        own = _need(stored, "chain_own", np.int32, (size,))
        return Form("ranks in chains", reason, _unstack(pairs, "rank", "limit") | {"own": own})
    if names == {"bits"}:
        words = -(-size // WORD)
        bits = _need(stored, "bits", np.int32, (size, words))
        line = np.arange(size, dtype=np.int32) * np.int32(words)
        return Form("bit-packed lookup", reason, {"line": line, "bits": bits.ravel()})
    if names == {"block_number", "block_bits"}:
        side = -(-size // SIDE)
        number = _need(stored, "block_number", np.int32, (side, side)).ravel()
        bits = _need(stored, "block_bits", np.int32, (None, SIDE, SIDE // WORD)).ravel()
        line = np.arange(side, dtype=np.int32) * np.int32(side)
        return Form("bit-packed lookup by blocks", reason, {"line": line, "number": number, "bits": bits})
    raise InvalidInstance(f"the arrays {sorted(names)} are not those of one form", remedy="write the answer again")


def _need(stored: Mapping[str, Array], name: str, dtype: type, shape: tuple[int | None, ...]) -> Array:
    """Return ``stored[name]`` after checking its type and shape; None is any length."""
    if name not in stored:
        raise InvalidInstance(f"array {PREFIX}..._{name} is missing", remedy="write the answer again")
    array = stored[name]
    fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if array.dtype != np.dtype(dtype) or not fits:
        expected = f"{np.dtype(dtype)} {list(shape)}"
        raise InvalidInstance(f"array {PREFIX}..._{name}: expected {expected}, got {array.dtype} {list(array.shape)}")
    return array


def _stack(arrays: Int32Arrays, first: str, second: str, size: int) -> Array:
    """Stack ``first_i`` and ``second_i`` as [c, 2, N]."""
    count = sum(name.startswith(f"{first}_") for name in arrays)
    pairs = [[arrays[f"{first}_{i}"], arrays[f"{second}_{i}"]] for i in range(count)]
    return np.array(pairs, np.int32).reshape(count, 2, size)


def _unstack(pairs: Array, first: str, second: str) -> Int32Arrays:
    """Name the parts of [c, 2, N] ``first_i`` and ``second_i``, contiguous."""
    return {
        f"{name}_{i}": np.ascontiguousarray(pair[part])
        for part, name in enumerate((first, second))
        for i, pair in enumerate(pairs)
    }
