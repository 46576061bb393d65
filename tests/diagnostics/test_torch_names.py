"""Names that moved from masksynth.torch to the diagnoses."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import masksynth.torch

MOVED = {
    "HierarchicalAttention": "masksynth.diagnostics.hierarchy.torch_attention",
    "hierarchical_attention": "masksynth.diagnostics.hierarchy.torch_attention",
    "hierarchical_layers": "masksynth.diagnostics.hierarchy.torch_models",
    "diagnose_module": "masksynth.diagnostics.symmetry.torch_weights",
    "make_skew": "masksynth.diagnostics.symmetry.torch_weights",
    "make_symmetric": "masksynth.diagnostics.symmetry.torch_weights",
}


@pytest.mark.parametrize(("name", "home"), MOVED.items())
def test_old_names_are_the_new_objects_with_a_warning(name, home):
    with pytest.warns(DeprecationWarning, match=f"{name} is deprecated; import it from {home}"):
        old = getattr(masksynth.torch, name)
    assert old is getattr(import_module(home), name)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = masksynth.torch.nothing


def test_masksynth_torch_does_not_load_the_diagnoses():
    program = (
        "import sys, masksynth.torch; print(any(name.startswith('masksynth.diagnostics') for name in sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


@pytest.mark.parametrize("module", sorted(set(MOVED.values()) | {"masksynth.diagnostics.symmetry.torch_training"}))
def test_without_torch_the_install_line_is_named(module):
    hide = "import sys; sys.modules['torch'] = None; import importlib.util as u; real = u.find_spec; "
    hide += "u.find_spec = lambda name, *rest: None if name == 'torch' else real(name, *rest); "
    program = f"{hide}import {module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ImportError: {module} needs torch; install it with: pip install 'masksynth[torch]'" in done.stderr
