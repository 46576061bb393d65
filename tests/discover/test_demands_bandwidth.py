"""Bandwidth asks for ways from different needed elements: a target that needs fewer makes contracts impossible."""

from dataclasses import replace

import pytest

from masksynth.backends import Status
from masksynth.contracts import Demand, loads_contracts
from masksynth.discover.discover import discover
from masksynth.discover.impossible import find_impossible


@pytest.mark.parametrize("need", [[], [1]])
def test_a_target_that_needs_less_than_the_bandwidth(need):
    text = (
        '{"masksynth_contracts": 1, "name": "t", "elements": 3, "layers": 2, "targets": [{"label": 0, "need": NEED}]}'
    )
    contracts = loads_contracts(text.replace("NEED", str(need)))
    assert find_impossible(contracts) == ""
    wide = replace(contracts, demand=Demand(bandwidth=len(need) + 1))
    assert "vertex-disjoint" in find_impossible(wide)
    assert discover(wide).status is Status.INFEASIBLE
    assert find_impossible(replace(contracts, demand=Demand(direct=2))) == ""
