"""The package as imported: light, complete, typed, one version; and as built."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import import_module, resources
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import masksynth

ROOT = Path(__file__).parent.parent
HEAVY = (
    "torch",
    "ortools",
    "pysat",
    "matplotlib",
    "networkx",
    "msgspec",
    "safetensors",
    "rich",
    "click",
    "scipy",
    "pandas",
)


def loaded(code):
    """The heavy packages that a fresh interpreter holds after running ``code``."""
    report = f"import sys\n{code}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout.split()


def test_import_needs_numpy_only():
    assert loaded("import masksynth") == []


@pytest.mark.parametrize("name", ["networkx", "msgspec"])
def test_the_check_can_fail(name):
    assert name in loaded(f"import masksynth, {name}")


def test_every_name_is_there():
    assert masksynth.__all__ == sorted(set(masksynth.__all__))
    assert all(getattr(masksynth, name) is not None for name in masksynth.__all__)
    space = {}
    exec("from masksynth import *", space)
    assert set(masksynth.__all__) <= set(space)
    assert not hasattr(masksynth, "nonsense")


def test_every_public_name_is_listed():
    modules = {name for name, value in vars(masksynth).items() if type(value) is type(sys)}
    public = {name for name in vars(masksynth) if not name.startswith("_")} - modules
    assert public <= set(masksynth.__all__)


def test_one_version():
    assert masksynth.__version__ == version("masksynth")
    assert f'\nversion = "{masksynth.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_the_front_is_short_and_typed():
    front = resources.files("masksynth")
    assert len(front.joinpath("__init__.py").read_text().splitlines()) <= 30
    assert front.joinpath("py.typed").is_file()


def test_the_command_is_registered():
    (point,) = [point for point in entry_points(group="console_scripts") if point.name == "masksynth"]
    assert point.value == "masksynth.cli:main"
    assert callable(import_module("masksynth.cli").main)


def test_the_wheel_holds_what_a_user_needs(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        schema = archive.read("masksynth/tasks/schema/instance.schema.json")
    assert schema == (ROOT / "masksynth/tasks/schema/instance.schema.json").read_bytes()
    assert {
        "masksynth/py.typed",
        "masksynth/cli/commands.py",
        "masksynth/torch/flex_mask.py",
        "masksynth_solvers/cpsat.py",
    } <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"masksynth", "masksynth_solvers"}
