"""The public names of masksynth.torch: each loads on first use, and nothing else is shown."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import masksynth.torch

API = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_names_are_those_of_the_page():
    named = re.findall(r"^::: masksynth\.torch\.(\w+)$", API.read_text(), re.M)
    assert dir(masksynth.torch) == sorted(masksynth.torch.__all__)
    assert set(named) | {"SampleLogprobs"} == set(masksynth.torch.__all__)


@pytest.mark.parametrize("name", masksynth.torch.__all__)
def test_every_name_resolves(name):
    value = getattr(masksynth.torch, name)
    assert value.__name__ == name
    assert getattr(masksynth.torch, name) is value


def test_modules_do_not_shadow_names():
    program = (
        "import masksynth.torch.loss_edges, masksynth.torch.model_check.self_test, masksynth.torch as mt\n"
        "from masksynth.torch.models import read_architecture\n"
        "print(*(callable(getattr(mt, name)) for name in ('merged_loss', 'self_test', 'read_architecture')))"
    )
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert found.split() == ["True"] * 3
