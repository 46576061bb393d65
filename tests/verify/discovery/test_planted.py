"""Planted faults: the checker accepts what the naive checker accepts, and nothing else."""

import random
import time
from collections import Counter

import pytest

from masksynth.verify.discovery import BrokenContract, verify_contracts
from masksynth.verify.discovery.count_sizes import count_sizes
from tests.verify.discovery import naive, planted


def judge(contracts, merged):
    """Return the requirement that the checker finds broken, or an empty string; compare it with the naive checker."""
    is_right = naive.is_right(contracts, merged)
    if not is_right:
        with pytest.raises(BrokenContract) as caught:
            verify_contracts(contracts, merged)
        return caught.value.requirement
    verify_contracts(contracts, merged)
    sizes, counted = count_sizes(contracts, merged), naive.sizes(contracts, merged)
    assert sizes.pop("cost") == pytest.approx(counted.pop("cost"), rel=1e-12)
    assert sizes == counted
    return ""


def plant_faults(seed, contracts_count=10**9, seconds=1e9, faults=12):
    """Judge random structures and faulty ones; return how many were accepted, and why others were refused."""
    draw, until, found = random.Random(seed), time.monotonic() + seconds, Counter()
    for _ in range(contracts_count):
        if time.monotonic() > until:
            return found
        contracts = planted.random_contracts(draw)
        merged = planted.answer_of(draw, contracts)
        if merged is None:
            continue
        found["right", judge(contracts, merged)] += 1
        for _ in range(faults):
            wrong, change = planted.plant(draw, merged)
            found[change, judge(contracts, wrong)] += 1
            if draw.random() < 0.2 and wrong.loss_edges:
                merged = wrong
    return found


def test_no_fault_is_accepted():
    found = plant_faults(1, contracts_count=120)
    refused = {requirement for change, requirement in found}
    assert {"", "inputs", "targets", "layers", "rows", "updated", "need", "hide"} <= refused
    assert {change for change, _ in found} == {*planted.CHANGES, "right"}
    assert sum(found.values()) > 900
