"""Stored forms of a mask: those of the exporter are accepted, every forged entry that changes the mask is refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export import bit_form, chain_ranks, forms
from masksynth.export.stored_forms import form_arrays, unpack_form
from masksynth.mask import Mask
from masksynth.verify.check_forms import check_forms, form_shapes
from tests.export import decode
from tests.export.masks import MASKS
from tests.export.samples import chain_mask, chains_mask, random_mask, star_mask, tree_mask
from tests.verify.hubs import hub_mask

LIMITS = st.tuples(
    st.sampled_from([0, 1, 8]), st.sampled_from([0, 1, 2]), st.sampled_from([-1, 2, 8]), st.sampled_from([0, 8192])
)


def arrays_of(mask, limits=(8, 2, 8, 8192)):
    """Return the arrays that the exporter stores, with some of its forms forbidden."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, limit in zip(
            (forms, forms, chain_ranks, bit_form),
            ("MAX_INTERVALS", "MAX_COLUMNS", "MAX_CHAINS", "FLAT"),
            limits,
            strict=True,
        ):
            patch.setattr(module, name, limit)
        return form_arrays(mask)


def decode_arrays(arrays, size):
    """Return the dense mask of stored arrays by the definition of the form; None where an index is out of range."""
    form = unpack_form({name.removeprefix("flex_0_"): array for name, array in arrays.items()}, size)
    for name, array in form.arrays.items():
        limit = len(form.arrays["bits"]) // 512 if name == "number" else size + 1
        if (
            name != "bits"
            and not name.startswith("rank")
            and len(array)
            and not -1 <= array.min() <= array.max() < limit
        ):
            return None
    return decode.form(form.name, form.arrays, size)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(MASKS, LIMITS)
def test_exported_forms_are_accepted(mask, limits):
    arrays = arrays_of(mask, limits)
    check_forms(arrays, mask)
    shapes = form_shapes(mask.size, 1)
    for name, array in arrays.items():
        dtype, shape = shapes[name]
        assert array.dtype.str == dtype
        assert all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(MASKS, LIMITS, st.integers(0, 10**9), st.integers(-3, 3), st.booleans())
def test_a_forged_entry_is_refused_where_it_changes_the_mask(mask, limits, index, change, large):
    arrays = {name: array.copy() for name, array in arrays_of(mask, limits).items()}
    names = [name for name, array in arrays.items() if array.size and not name.endswith("reason")]
    name = names[index % len(names)]
    flat = arrays[name].reshape(-1)
    place = index // len(names) % len(flat)
    with np.errstate(over="ignore"):
        flat[place] = (
            flat[place] ^ np.int32(-(2**31) if change < 0 else 1 << (index % 31)) if large else flat[place] + change
        )
    if np.array_equal(decode_arrays(arrays, mask.size), mask.dense()):
        with suppress(WrongAnswer):  # the same mask may be written in a way that the checker does not accept
            check_forms(arrays, mask)
    else:
        with pytest.raises(WrongAnswer, match=rf"^files: flex_0_{name.split('_')[2]}") as caught:
            check_forms(arrays, mask)
        assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(MASKS, MASKS, LIMITS)
def test_a_form_of_another_mask_is_refused(mask, other, limits):
    if mask.size != other.size or mask == other:
        other = Mask.from_dense(~mask.dense())
    with pytest.raises(WrongAnswer, match="flex_0_"):
        check_forms(arrays_of(other, limits), mask)


LARGE = {
    "rows": chain_mask(9_000),
    "columns": star_mask(8_300, 100),
    "trees": tree_mask(20_000, 5),
    "chains": chains_mask(250, 4),
    "bits": random_mask(300),
    "blocks": hub_mask(9_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_one_bit_in_a_large_form(name):
    mask = LARGE[name]
    arrays = {key: array.copy() for key, array in form_arrays(mask).items()}
    check_forms(arrays, mask)
    rng = np.random.default_rng(0)
    for key, array in arrays.items():
        if key.endswith("reason"):
            continue
        flat = array.reshape(-1)
        entries = np.flatnonzero(flat[1024:]) + 1024 if key.endswith("block_bits") else np.flatnonzero(flat)
        for entry in rng.choice(entries, 5):  # zeros may be an empty interval, which one bit does not change
            before = flat[entry]
            # another mixed block may have the same bits: the number becomes that of the full or the empty block
            flat[entry] = before != 1 if key.endswith("block_number") else before ^ 1
            with pytest.raises(WrongAnswer, match="flex_0_"):
                check_forms(arrays, mask)
            flat[entry] = before
    check_forms(arrays, mask)


def test_a_pattern_has_a_form_per_table():
    mask = Mask.from_dense(np.stack([random_mask(50).dense(), chain_mask(50).dense()]))
    arrays = form_arrays(mask)
    check_forms(arrays, mask)
    assert {name for name in arrays if "reason" not in name} == {"flex_0_bits", "flex_1_row_intervals"}
    swapped = {name.translate(str.maketrans("01", "10")): array for name, array in arrays.items()}
    with pytest.raises(WrongAnswer, match="flex_0_row_intervals"):
        check_forms(swapped, mask)
    check_forms({name: array for name, array in arrays.items() if "_1_" in name}, mask)  # a table may have none


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("flex_0_reason"),
        lambda arrays: arrays.pop("flex_0_chain_own"),
        lambda arrays: arrays.update(flex_0_bits=np.zeros((250, 8), np.int32)),
    ],
)
def test_the_arrays_are_those_of_one_form(change):
    mask = chains_mask(250, 4)
    arrays = form_arrays(mask)
    change(arrays)
    with pytest.raises(InvalidInstance, match=r"flex_0_\* are not those of one form"):
        check_forms(arrays, mask)


def test_the_reason_is_text():
    mask = random_mask(60)
    arrays = form_arrays(mask)
    with pytest.raises(WrongAnswer, match="not printable ASCII"):
        check_forms({**arrays, "flex_0_reason": np.array([10], np.uint8)}, mask)
    with pytest.raises(WrongAnswer, match="not printable ASCII"):
        check_forms({**arrays, "flex_0_reason": np.array([200], np.uint8)}, mask)
