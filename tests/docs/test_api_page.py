"""The page on Python lists every public name, and every listed name can be imported."""

from __future__ import annotations

import importlib
import re

import pytest

import masksynth as ms
from masksynth.renamed import NEW_PATHS
from tests.docs.pages import DOCS, ROOT

NAMES = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), flags=re.MULTILINE)


def find(name):
    """Return the object of a dotted name: a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute, None)
    return importlib.import_module(name) if value is None else value


@pytest.mark.parametrize("name", NAMES)
def test_listed_name_has_a_docstring(name):
    assert find(name).__doc__


def test_every_name_is_listed_once():
    assert len(NAMES) == len(set(NAMES))
    assert {f"masksynth.{name}" for name in ms.__all__} - {"masksynth.catalog"} <= set(NAMES)


def test_a_wrong_name_is_reported():
    with pytest.raises(ModuleNotFoundError):
        find("masksynth.mask.no_such_name")


def test_renamed_modules_of_the_changelog_have_aliases():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Renamed modules")[2].partition("### ")[0]
    listed = dict(re.findall(r"^\| `(\S+)` \| `(\S+)` \|$", text, flags=re.MULTILINE))
    assert listed.keys() & NEW_PATHS.keys() == listed.keys() != set()
    assert all(importlib.import_module(new) for new in listed.values())
