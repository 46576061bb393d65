"""Values of another type are refused by name, not by an attribute that they lack."""

from __future__ import annotations

import pytest

from masksynth.diagnostics import clustering, hierarchy, symmetry
from masksynth.errors import InvalidInstance


@pytest.mark.parametrize("diagnose", [clustering.diagnose, clustering.following, symmetry.diagnose_mask])
def test_a_path_is_not_a_mask(diagnose):
    with pytest.raises(InvalidInstance, match="expected Mask, got str"):
        diagnose("mask.npz")


def test_lists_are_not_a_tree():
    with pytest.raises(InvalidInstance, match="expected Tree, got list; build one with tree_of_lists"):
        hierarchy.diagnose_hierarchy([[0, 1], 2])
