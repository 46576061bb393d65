import ast
import sys
from pathlib import Path

import masksynth.posets

PACKAGE = Path(masksynth.posets.__file__).parent
ALLOWED = {"numpy", "masksynth.errors", "masksynth.posets", *sys.stdlib_module_names}


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def foreign(source):
    return {
        name for name in imported(source) if not any(name == home or name.startswith(f"{home}.") for home in ALLOWED)
    }


def test_orders_need_numpy_and_the_errors_only():
    files = list(PACKAGE.glob("*.py"))
    assert len(files) > 5
    for file in files:
        assert foreign(file.read_text()) == set(), file.name


def test_a_foreign_import_would_be_found():
    source = "import os.path\nimport networkx as nx\ndef f():\n    from masksynth.mask import Mask\n"
    source += "    from numpy.typing import NDArray\n"
    assert foreign(source) == {"networkx", "masksynth.mask"}


def test_every_public_name_exists():
    assert sorted(masksynth.posets.__all__) == sorted(set(masksynth.posets.__all__))
    assert all(hasattr(masksynth.posets, name) for name in masksynth.posets.__all__)
