"""Every check against altered arrays: whatever no longer means the mask is refused, and whatever still does is not."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.errors import WrongAnswer
from masksynth.export import bit_form as bits
from masksynth.export.blocks import block_lists, check_blocks, check_transposed, transposed_lists
from masksynth.export.columns import FlashMask, check_flashmask, to_flashmask
from masksynth.export.dense_mask import check_hf_additive, check_hf_bool, to_hf_additive, to_hf_bool
from masksynth.export.forms import check_form, form_of
from masksynth.export.packed_bits import PackedBits, check_packed_bits, to_packed_bits
from masksynth.export.sequence_lengths import Lengths, check_lengths, to_lengths
from masksynth.export.slices import Slices, check_slices, to_slices
from masksynth.mask import Mask
from tests.export import decode
from tests.export.samples import chain_mask, chains_mask, random_mask, star_mask, tree_mask

SIZE = 40
PACKED = Mask.from_dense(np.kron(np.eye(5, dtype=bool), np.ones((8, 8), bool)) & np.tril(np.ones((40, 40), bool)))
WINDOW = Mask.from_intervals([[[(max(0, i - 4), min(SIZE, i + 3))] for i in range(SIZE)]])
HOLES = Mask.from_dense(
    np.array([[not (q - 9 < k < q - 4) and not q + 3 < k < q + 9 for k in range(SIZE)] for q in range(SIZE)])
)
EMPTY_ROWS = Mask.from_intervals([[[] if i % 5 == 2 else [(0, i + 1)] for i in range(SIZE)]])


def altered(array, rng):
    """The array with one entry moved a little, or anywhere."""
    changed = array.copy()
    place = tuple(int(rng.integers(side)) for side in array.shape)
    if array.dtype == bool:
        changed[place] = not changed[place]
    elif array.dtype == np.float32:
        changed[place] = rng.choice([0, -np.inf, 1, np.nan, np.finfo(np.float32).min])
    elif array.dtype == np.uint8:
        changed[place] ^= np.uint8(1 << int(rng.integers(8)))
    else:
        step = rng.choice([-1, 1]) if rng.random() < 0.7 else rng.integers(-3, SIZE + 3)
        changed[place] = np.int64(changed[place]) + step if changed[place] < 2**30 else 0
    return changed


def judge(check, meaning, mask, pieces, times=200):
    """Alter one array at a time: the check must refuse exactly when the definition gives another mask.

    Or has no meaning for it.
    """
    rng, refused = np.random.default_rng(0), 0
    check(pieces)
    for _ in range(times):
        number = int(rng.integers(len(pieces)))
        wrong = [altered(piece, rng) if place == number else piece for place, piece in enumerate(pieces)]
        try:
            same = np.array_equal(meaning(wrong), mask.dense())
        except (IndexError, ValueError):
            same = False
        if same:
            continue
        with pytest.raises(WrongAnswer):
            check(wrong)
        refused += 1
    assert refused > times // 3
    return refused


@pytest.mark.parametrize("mask", [tree_mask(SIZE), WINDOW, EMPTY_ROWS], ids=["tree", "window", "empty rows"])
def test_slices(mask):
    judge(
        lambda parts: check_slices(mask, Slices(*parts)),
        lambda parts: np.where(decode.slices(*parts, SIZE) > 1, 7, decode.slices(*parts, SIZE)),
        mask,
        list(to_slices(mask)),
    )


COLUMNS = {"tree": tree_mask(SIZE), "window": WINDOW, "holes": HOLES, "star": star_mask(SIZE)}


@pytest.mark.parametrize("mask", COLUMNS.values(), ids=COLUMNS)
def test_flashmask(mask):
    found = to_flashmask(mask)
    judge(
        lambda parts: check_flashmask(mask, FlashMask(parts[0], found.causal)),
        lambda parts: (
            decode.flashmask(parts[0], found.causal) if parts[0].min() >= 0 and parts[0].max() <= SIZE else None
        ),
        mask,
        [found.startend_row_indices],
    )
    with pytest.raises(WrongAnswer):
        check_flashmask(mask, FlashMask(found.startend_row_indices, not found.causal))
    with pytest.raises(WrongAnswer, match="expected int32"):
        check_flashmask(mask, FlashMask(found.startend_row_indices.astype(np.int64), found.causal))


def test_lengths():
    found = to_lengths(PACKED)
    judge(
        lambda parts: check_lengths(PACKED, Lengths(parts[0], int(parts[1][0]), True)),
        lambda parts: (
            decode.documents(parts[0], True, SIZE) if parts[1][0] == 8 and (np.diff(parts[0]) > 0).all() else None
        ),
        PACKED,
        [found.cu_seqlens, np.array([found.max_seqlen])],
    )
    with pytest.raises(WrongAnswer, match=r"row 0 attends to 0\.\.7, not to 0"):
        check_lengths(PACKED, found._replace(causal=False))


@pytest.mark.parametrize("size", [SIZE, 37])
def test_packed_bits(size):
    mask = random_mask(size)
    found = to_packed_bits(mask)

    def meaning(parts):
        whole = np.unpackbits(parts[0], bitorder="little")
        return whole[: size * size].reshape(size, size).astype(bool) if not whole[size * size :].any() else None

    judge(
        lambda parts: check_packed_bits(mask, PackedBits(parts[0], found.mask_indptr)),
        meaning,
        mask,
        [found.packed_custom_mask],
    )
    with pytest.raises(WrongAnswer, match=r"expected \d+ bytes"):
        check_packed_bits(mask, PackedBits(found.packed_custom_mask[:-1], found.mask_indptr))


def test_big_endian_bits_are_refused():
    mask = chain_mask(SIZE)
    wrong = np.packbits(mask.dense().ravel(), bitorder="big")
    with pytest.raises(WrongAnswer, match="row 0"):
        check_packed_bits(mask, PackedBits(wrong, np.array([0, len(wrong)], np.int32)))


def test_dense():
    mask = tree_mask(SIZE)
    judge(lambda parts: check_hf_bool(mask, parts[0]), lambda parts: parts[0][0, 0], mask, [to_hf_bool(mask)])
    judge(
        lambda parts: check_hf_additive(mask, parts[0]),
        lambda parts: parts[0][0, 0] == 0 if ((parts[0] == 0) | np.isneginf(parts[0])).all() else None,
        mask,
        [to_hf_additive(mask)],
    )
    with pytest.raises(WrongAnswer, match="expected bool"):
        check_hf_bool(mask, to_hf_bool(mask)[0])
    with pytest.raises(WrongAnswer, match="expected float32"):
        check_hf_additive(mask, to_hf_additive(mask).astype(np.float64))


FORMS = {
    "row intervals": tree_mask(SIZE),
    "column intervals": star_mask(SIZE, 3),
    "ranks in chains": chains_mask(SIZE, 2),
    "bit-packed lookup": random_mask(SIZE),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    mask = FORMS[name]
    form = form_of(mask)
    assert form.name == name
    names = list(form.arrays)

    def meaning(parts):
        arrays = dict(zip(names, parts, strict=True))
        if name == "ranks in chains":
            chain = [np.sort(array[array != 2**31 - 1]) for label, array in arrays.items() if label.startswith("rank")]
            if any(not np.array_equal(ranks, np.arange(len(ranks))) for ranks in chain):
                return None
        if any(
            array.min() < 0 or array[array < 2**31 - 1].max() > len(arrays.get("bits", array))
            for label, array in arrays.items()
            if label not in ("own", "bits")
        ):
            return None
        return decode.form(name, arrays, SIZE)

    judge(
        lambda parts: check_form(mask, form._replace(arrays=dict(zip(names, parts, strict=True)))),
        meaning,
        mask,
        list(form.arrays.values()),
        400,
    )


def test_bits_by_blocks(monkeypatch):
    monkeypatch.setattr(bits, "FLAT", 0)
    mask = random_mask(300)
    form, rng = form_of(mask), np.random.default_rng(0)
    assert form.name == "bit-packed lookup by blocks"
    for _ in range(60):
        q, k = (int(x) for x in rng.integers(0, 300, 2))
        wrong = {name: array.copy() for name, array in form.arrays.items()}
        block = int(wrong["number"][wrong["line"][q // 128] + k // 128])
        wrong["bits"][block * 512 + q % 128 * 4 + k % 128 // 32] ^= np.array([1 << (k % 32)], np.uint32).view(np.int32)[
            0
        ]
        with pytest.raises(WrongAnswer, match=f"row {q} "):
            check_form(mask, form._replace(arrays=wrong))
    wrong["number"][0] = 1
    with pytest.raises(WrongAnswer):
        check_form(mask, form._replace(arrays=wrong))


def check_both(mask, lists, back, block):
    check_blocks(mask, lists, 0, block)
    check_transposed(lists, back)


@pytest.mark.parametrize("block", [8, (16, 8)])
def test_block_lists_forward_and_backward(block):
    """Any block moved, lost or added is seen by one of the two checks.

    Unless it is an empty one among the partial ones of both.
    """
    mask, rng, refused = tree_mask(96), np.random.default_rng(0), 0
    lists = block_lists(mask, 0, block)
    back = transposed_lists(lists)
    check_blocks(mask, lists, 0, block)
    check_transposed(lists, back)
    for _ in range(300):
        which, number = int(rng.integers(2)), int(rng.integers(4))
        pair = [[part.copy() for part in lists], [part.copy() for part in back]]
        array = pair[which][number]
        place = tuple(int(rng.integers(side)) for side in array.shape)
        before = array[place]
        array[place] += rng.choice([-1, 1])
        used = number % 2 == 0 or place[1] < pair[which][number - 1][place[0]]
        if not used:
            continue
        with pytest.raises(WrongAnswer):
            check_both(mask, *(type(lists)(*parts) for parts in pair), block)
        assert array[place] != before
        refused += 1
    assert refused > 100
