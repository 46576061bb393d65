"""Every export of random masks, read back by the definition of its format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth import catalog
from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.export import bit_form as bits
from masksynth.export import block_lists, forms
from masksynth.export import chain_ranks as chains
from masksynth.export.columns import to_flashmask
from masksynth.export.dense_mask import to_hf_additive, to_hf_bool
from masksynth.export.format_sizes import summary
from masksynth.export.forms import form_of
from masksynth.export.packed_bits import to_packed_bits
from masksynth.export.sequence_lengths import to_lengths
from masksynth.export.slices import to_slices
from masksynth.export.targets import TARGETS, export_arrays
from masksynth.mask import Mask
from masksynth.mask.column_intervals import columns, count_column_intervals
from masksynth.merge import merge
from tests.export import decode
from tests.export.masks import MASKS, packing
from tests.export.samples import chain_mask, chains_mask, random_mask, star_mask, tree_mask
from tests.verify.hubs import hub_mask

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True)


def runs(line):
    """Number of intervals in a row of bits."""
    return int((np.diff(np.concatenate([[0], np.asarray(line, int)])) == 1).sum())


def attempt(export, mask):
    """What an export gives, or what it says."""
    try:
        return export(mask), ""
    except Unsupported as error:
        return None, str(error)


@SETTINGS
@given(MASKS, st.sampled_from([0, 1, 8]), st.sampled_from([0, 1, 2]), st.sampled_from([1, 2, 8]), st.booleans())
def test_forms(mask, rows, columns, most, blocks):
    """Every form, the cheaper ones forbidden here and there so that all are met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "MAX_INTERVALS", rows)
        patch.setattr(forms, "MAX_COLUMNS", columns)
        patch.setattr(chains, "MAX_CHAINS", most)
        patch.setattr(bits, "FLAT", 0 if blocks else 8192)
        form = form_of(mask)
    assert np.array_equal(decode.form(form.name, form.arrays, mask.size), mask.dense())
    assert all(
        array.dtype == np.int32 and array.ndim == 1 and array.flags.c_contiguous for array in form.arrays.values()
    )
    assert (form.name == "row intervals") == (max(map(runs, mask.dense()), default=0) <= rows)
    if form.name != "row intervals":
        assert (form.name == "column intervals") == (max(map(runs, mask.dense().T)) <= columns)


@SETTINGS
@given(MASKS)
def test_columns(mask):
    found, dense = columns(mask), np.zeros((mask.size, mask.size), bool)
    for key in range(mask.size):
        for place in range(found.offset[key], found.offset[key + 1]):
            dense[found.start[place] : found.end[place], key] = True
    assert np.array_equal(dense, mask.dense())
    assert count_column_intervals(mask).tolist() == [runs(column) for column in mask.dense().T]


@SETTINGS
@given(MASKS)
def test_flashmask(mask):
    """Exact where it is given; refused only where neither the causal nor the general bounds suffice.

    Counted from the definition.
    """
    dense = mask.dense()
    found, refusal = attempt(to_flashmask, mask)
    if found is None:
        assert refusal.startswith("cannot express: key ")
        causal = not np.triu(dense, 1).any() and all(runs(~dense[key:, key]) <= 1 for key in range(mask.size))
        assert not causal
        assert max(runs(~dense[:, key]) for key in range(mask.size)) > 2
    else:
        assert np.array_equal(decode.flashmask(*found), dense)
        bounds = found.startend_row_indices[0, 0]
        if dense.diagonal().all() and not found.causal and bounds.shape[1] == 2:
            assert (bounds[:, 0] > np.arange(mask.size)).all()
            assert (bounds[:, 1] <= np.arange(mask.size)).all()


@SETTINGS
@given(MASKS)
def test_slices(mask):
    found = to_slices(mask)
    assert np.array_equal(decode.slices(*found, mask.size), mask.dense().astype(int))
    assert len(found.attn_type_map) <= len(mask.key_start)


@SETTINGS
@given(MASKS)
def test_lengths(mask):
    dense, size = mask.dense(), mask.size
    found, refusal = attempt(to_lengths, mask)
    if found is None:
        assert refusal.startswith("cannot express: row ")
    else:
        assert np.array_equal(decode.documents(found.cu_seqlens, found.causal, size), dense)
        assert found.max_seqlen == np.diff(found.cu_seqlens).max()


@SETTINGS
@given(packing())
def test_every_packing_has_lengths(dense):
    found = to_lengths(Mask.from_dense(dense))
    assert np.array_equal(decode.documents(found.cu_seqlens, found.causal, len(dense)), dense)


@SETTINGS
@given(MASKS)
def test_dense_and_bits(mask):
    dense = mask.dense()
    assert np.array_equal(decode.bits(to_packed_bits(mask).packed_custom_mask, mask.size), dense)
    assert np.array_equal(to_hf_bool(mask)[0, 0], dense)
    if dense.any(axis=1).all():
        assert np.array_equal(np.exp(to_hf_additive(mask)[0, 0]), dense)
    else:
        with pytest.raises(Unsupported, match=rf"row {int((~dense.any(axis=1)).argmax())} has no key"):
            to_hf_additive(mask)


@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_every_family(name):
    """Whatever merge finds has at least the forms that hold everything.

    A refusal of a format names a row or a key.
    """
    mask = merge(catalog.FAMILIES[name]()).mask
    for table in range(mask.tables):
        dense = mask.dense().reshape(-1, mask.size, mask.size)[table]
        form = form_of(mask, table)
        assert np.array_equal(decode.form(form.name, form.arrays, mask.size), dense)
        for entry in summary(mask, table):
            if entry.bytes is None:
                assert entry.note.startswith(("cannot express: row ", "cannot express: key "))
                with pytest.raises(Unsupported, match="cannot express"):
                    export_arrays(mask, entry.format, table)
            elif entry.format not in ("flex", "varlen"):
                arrays = export_arrays(mask, entry.format, table)
                extra = {"blocks": 16, "flashmask": 1}.get(entry.format, 0)
                assert sum(array.nbytes for array in arrays.values()) == entry.bytes + extra


def test_the_reason_is_told():
    assert form_of(star_mask(300))[:2] == ("column intervals", "row 296 has 44 intervals (more than 8)")
    form = form_of(chains_mask(200, 3))
    assert form.name == "ranks in chains"
    assert sorted(form.arrays) == ["limit_0", "limit_1", "limit_2", "own", "rank_0", "rank_1", "rank_2"]
    form = form_of(random_mask(60))
    assert form.name == "bit-packed lookup"
    assert form.why.startswith("row ")
    assert "is seen by" in form.why
    assert form.why.endswith("chains (more than 8)")
    assert "its keys fall into" in form_of(hub_mask(9000)).why


def test_too_many_bits(monkeypatch):
    monkeypatch.setattr(bits, "MAX_BITS", 4096)
    with pytest.raises(Unsupported, match=r"cannot express: row .* and its bits need more than"):
        form_of(hub_mask(9000))


@pytest.mark.parametrize(
    "mask",
    [tree_mask(20_000, 50), star_mask(3_000), hub_mask(9_000), chain_mask(20_000)],
    ids=["tree", "star", "hubs", "chain"],
)
def test_large_masks(mask):
    """Nothing N x N: thousands of positions in every format that can hold them; each is checked on the way out."""
    told = {entry.format: entry for entry in summary(mask)}
    assert told["flex"].bytes is not None
    assert told["magi"].bytes is not None
    assert told["flashmask"].bytes is None or told["flashmask"].bytes <= 16 * mask.size
    if mask.size > 8192:
        assert told["hf-bool"].bytes is None
        assert "more than 8,192" in told["hf-bool"].note


def test_trees_in_depth_first_order_need_one_bound_a_key():
    for seed in range(10):
        found = to_flashmask(tree_mask(400, 6, seed))
        assert found.causal
        assert found.startend_row_indices.shape == (1, 1, 400, 1)


def test_patterns_table_by_table():
    mask = Mask.from_dense(np.stack([random_mask(20, seed=1).dense(), chain_mask(20).dense()]))
    for table in range(2):
        assert np.array_equal(decode.slices(*to_slices(mask, table), 20), mask.dense()[table])
        form = form_of(mask, table)
        assert np.array_equal(decode.form(form.name, form.arrays, 20), mask.dense()[table])
    assert to_lengths(mask, 1).cu_seqlens.tolist() == [0, 20]
    for target in TARGETS:
        with pytest.raises(InvalidInstance, match="table 2"):
            export_arrays(mask, target, 2)


@pytest.mark.parametrize("target", TARGETS)
def test_a_mask_of_nothing(target):
    assert all(array.size < 3 for array in export_arrays(Mask.from_intervals([[]]), target).values())


def test_unknown_formats():
    with pytest.raises(InvalidInstance, match="format 'triton' is unknown; use one of flex, blocks"):
        export_arrays(chain_mask(3), "triton")


def test_wrong_answers_name_the_row():
    mask = chain_mask(50)
    form = form_of(mask)
    form.arrays["hi_0"][37] = 30
    with pytest.raises(WrongAnswer, match=r"row intervals: table 0: row 37 attends to 0..29, not to 0..37"):
        forms.check_form(mask, form)


@pytest.mark.parametrize(
    "call",
    [lambda mask: export_arrays(mask, "flex"), summary, form_of, block_lists],
    ids=["arrays", "all", "form", "blocks"],
)
@pytest.mark.parametrize("mask", [3, None, [[1]], np.ones((2, 2), bool)])
def test_what_is_no_mask_is_named(call, mask):
    with pytest.raises(InvalidInstance, match=f"^expected Mask, got {type(mask).__name__}$"):
        call(mask)


@pytest.mark.parametrize("name", [[], {}, None])
def test_what_is_no_name_of_a_format(name):
    with pytest.raises(InvalidInstance, match="is unknown; use one of flex, "):
        export_arrays(Mask.from_intervals([[((0, 1),)]]), name)
