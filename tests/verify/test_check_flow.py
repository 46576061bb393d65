"""Flow through layers against boolean powers: intervals, bits and components.

Right masks, every edge dropped, every edge added.
"""

from __future__ import annotations

import re
import resource
import time
from collections import Counter
from random import Random

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.verify import bit_sets as bits
from masksynth.verify import check_flow
from masksynth.verify import check_sparse_flow as sparse
from masksynth.verify import interval_sets as sets
from masksynth.verify import layer_flow as through
from tests.verify.hubs import closure, hub_edges, hub_mask, mask_of, prefixes, product, random_preorder, thinned

FORMS = {
    "intervals": (0, 0, 16),
    "forgetful intervals": (0, 0, 0),
    "whichever is cheaper": (64, 5, 1),
    "bits": (10**9, 4096, 16),
}
EYE = np.eye(4, dtype=bool)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every form of sets, in many small pieces."""
    for name, value in zip(("WORDS_PER_INTERVAL", "EXACT", "KEPT"), FORMS[request.param], strict=True):
        monkeypatch.setattr(through, name, value)
    monkeypatch.setattr(sparse, "CHUNK", 7)
    monkeypatch.setattr(sets, "CHUNK", 7)
    monkeypatch.setattr(bits, "WORDS", 16)
    return str(request.param)


def refused(mask: Mask, due: Mask, layers: int | None) -> WrongAnswer | None:
    try:
        check_flow(mask, due, layers)
    except WrongAnswer as error:
        return error
    return None


def carries(table: np.ndarray, due: np.ndarray, layers: int | None) -> bool:
    return bool((closure(table) if layers is None else product(*[table] * layers)).tolist() == due.tolist())


def test_random_masks_by_boolean_powers(form: str) -> None:
    """Thinned masks are right and every edge of theirs is needed.

    A pair more inside the flow is harmless, outside it is a leak.
    """
    rng, count = Random(1), Counter[str]()
    for _ in range(60):
        due = random_preorder(rng, rng.randint(1, 9))
        layers = rng.choice([None, 1, 2, 2, 3, 4, 10**9])
        right = thinned(
            rng, due, lambda table, due=due, layers=layers: carries(table, due, layers if layers != 10**9 else None)
        )
        assert refused(Mask.from_dense(right), Mask.from_dense(due), layers) is None
        for edge in np.ndindex(due.shape):
            mutant = right.copy()
            mutant[edge] ^= True
            found = refused(Mask.from_dense(mutant), Mask.from_dense(due), layers)
            kind = (
                "diagonal" if edge[0] == edge[1] else "missing" if right[edge] else "harmless" if due[edge] else "leak"
            )
            count[kind] += 1
            assert (found is None) == (kind == "harmless"), (kind, edge)
            if kind == "leak":
                assert found.path == (str(edge[1]), str(edge[0]))
            if kind == "missing":
                check_told(str(found), mutant, due, layers)
    assert min(count.values()) > 100, count


def check_told(text: str, mask: np.ndarray, due: np.ndarray, layers: int | None) -> None:
    """The named pair is required, is missing, and takes the stated number of layers."""
    query, key = map(int, re.findall(r"position (\d+)", text))
    depth = next((n for n in range(1, len(mask)) if product(*[mask] * n)[query, key]), None)
    assert due[query, key]
    assert depth is None or (layers is not None and depth > layers)
    assert text.endswith(f"takes {depth}") == (depth is not None)


def test_random_masks_for_each_layer(form: str) -> None:
    rng, verdicts = Random(2), Counter[bool]()
    for _ in range(150):
        due, layers = random_preorder(rng, rng.randint(2, 7)), rng.randint(2, 4)
        tables = [
            due & np.array([[rng.random() < 0.6 for _ in due] for _ in due]) | np.eye(len(due), dtype=bool)
            for _ in range(layers)
        ]
        right = product(*tables).tolist() == due.tolist()
        verdicts[right] += 1
        assert (refused(Mask.from_dense(np.stack(tables)), Mask.from_dense(due), layers) is None) == right
        outside = np.argwhere(~due)
        if right and len(outside):
            tables[rng.randrange(layers)][tuple(rng.choice(outside.tolist()))] = True
            assert refused(Mask.from_dense(np.stack(tables)), Mask.from_dense(due), layers).path
    assert min(verdicts.values()) > 20, verdicts


def test_the_first_table_comes_first() -> None:
    """Position 2 reads 1 in the last layer what 1 has read from 0 in the first; the other way round nothing arrives."""
    due = np.tril(np.ones((3, 3), bool))
    late, early = np.eye(3, dtype=bool), np.eye(3, dtype=bool)
    early[1, 0] = late[2, 1] = True
    check_flow(Mask.from_dense(np.stack([early, late])), Mask.from_dense(due), 2)
    with pytest.raises(WrongAnswer, match=r"^flow: position 2 does not see position 0 within 2 layers$"):
        check_flow(Mask.from_dense(np.stack([late, early])), Mask.from_dense(due), 2)


@pytest.mark.parametrize(
    ("mask", "due", "layers", "text"),
    [
        (EYE, EYE, 0, "expected layers to be None or an integer from 1, got 0"),
        (EYE, EYE, True, "got True"),
        (np.stack([EYE, EYE]), EYE, 3, "2 tables for 3 layers"),
        (np.stack([EYE, EYE]), EYE, None, "2 tables for any number of layers"),
        (EYE[:3, :3], EYE, 1, "expected a flow of 1 table over 3 positions, got 1 over 4"),
        (EYE, np.stack([EYE, EYE]), 1, "expected a flow of 1 table over"),
        (EYE, np.tril(np.ones((4, 4), bool), -1), 1, "not reflexive"),
        (
            np.tri(4, dtype=bool) & ~np.tri(4, k=-2, dtype=bool),
            np.tri(4, dtype=bool) & ~np.tri(4, k=-3, dtype=bool),
            2,
            "not transitive",
        ),
    ],
)
def test_bad_questions(mask: np.ndarray, due: np.ndarray, layers: int | None, text: str) -> None:
    with pytest.raises(InvalidInstance, match=text):
        check_flow(Mask.from_dense(mask), Mask.from_dense(due), layers)


def test_nothing_to_see() -> None:
    none = Mask.from_intervals([[]])
    for layers in (None, 1, 5):
        check_flow(none, none, layers)


LONG = 131_072


@pytest.mark.parametrize("layers", [2, 3, None])
def test_a_long_chain_with_hubs(layers: int | None) -> None:
    due, (query, key) = prefixes(LONG), hub_edges(LONG)
    mask = mask_of(query, key, LONG)
    before, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_flow(mask, due, layers)
    seconds, more = time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(f"layers={layers}: {len(query)} edges, {seconds:.1f} s, {more / 1024:.0f} MiB more")
    assert seconds < 15
    assert more < 1024 * 1024


def test_a_long_chain_with_one_wrong_edge() -> None:
    due, (query, key) = prefixes(LONG), hub_edges(LONG)
    far = int(np.flatnonzero(query - key > 1)[-1])
    with pytest.raises(
        WrongAnswer, match=r"^flow: position \d+ does not see position \d+ within 2 layers; it takes 3$"
    ):
        check_flow(mask_of(np.delete(query, far), np.delete(key, far), LONG), due, 2)
    with pytest.raises(
        WrongAnswer, match=r"^flow: position 5 sees position 90000, which it must not see; path 90000 -> 5$"
    ):
        check_flow(mask_of(np.append(query, 5), np.append(key, 90_000), LONG), due, 2)


def test_a_long_chain_of_covers() -> None:
    cover = mask_of(np.arange(1, LONG), np.arange(LONG - 1), LONG)
    check_flow(cover, prefixes(LONG), None)
    with pytest.raises(WrongAnswer, match=r"^flow: position 6 does not see position 0 within 5 layers; it takes 6$"):
        check_flow(cover, prefixes(LONG), 5)


def test_a_long_cycle() -> None:
    every = Mask(np.arange(LONG + 1)[None], np.zeros(LONG, np.int32), np.full(LONG, LONG, np.int32))
    around = mask_of(np.arange(LONG), np.roll(np.arange(LONG), 1), LONG)
    check_flow(around, every, None)
    star = mask_of(
        np.append(np.arange(1, LONG), np.zeros(LONG - 1, np.int64)),
        np.append(np.zeros(LONG - 1, np.int64), np.arange(1, LONG)),
        LONG,
    )
    check_flow(star, every, 2)
    with pytest.raises(WrongAnswer, match=r"does not see position \d+ within 1 layer; it takes 2$"):
        check_flow(star, every, 1)


def test_flows_of_many_intervals() -> None:
    """Two chains of positions in turns: a row of the flow is n / 4 intervals on average, and bits take over."""
    size = 2_048
    odd = np.arange(size) % 2
    due = Mask.from_dense(np.tri(size, dtype=bool) & (odd[:, None] == odd))
    query, key = hub_edges(size // 2)
    mask = mask_of(np.concatenate([2 * query, 2 * query + 1]), np.concatenate([2 * key, 2 * key + 1]), size)
    for layers in (2, 4, None):
        check_flow(mask, due, layers)
    with pytest.raises(WrongAnswer, match="within 1 layer; it takes 2"):
        check_flow(mask, due, 1)


def test_hubs_of_every_size() -> None:
    for size in range(1, 70):
        check_flow(hub_mask(size), prefixes(size), 2)
