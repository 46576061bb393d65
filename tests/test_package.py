"""The package as imported: light, complete, typed, one version; and as built."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
import warnings
import zipfile
from importlib import import_module, resources
from importlib.machinery import PathFinder
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import pytest

import masksynth
from masksynth.lazy import MODULE_OF, PUBLIC_MODULES
from masksynth.renamed import NEW_PATHS

ROOT = Path(__file__).parent.parent
HEAVY = (
    "numpy",
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


def test_import_is_light():
    assert loaded("import masksynth; dir(masksynth)") == []
    assert loaded("import masksynth; masksynth.Mask, masksynth.load, masksynth.solve, masksynth.verify") == ["numpy"]


def modules_of_command(*arguments):
    """The modules that a fresh interpreter holds after a command line."""
    code = (
        "import sys; from masksynth.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = [sys.executable, "-c", code, *arguments]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stderr.split())


@pytest.mark.parametrize("arguments", ["--version", "--help", "arrange --help", "audit --help", "check-proof --help"])
def test_help_needs_nothing_heavier_than_click(arguments):
    modules = modules_of_command(*arguments.split())
    assert modules & {*HEAVY} == {"click"}
    assert len([name for name in modules if name.startswith("masksynth")]) < 25


@pytest.mark.parametrize("name", ["draw", "pack", "search", "solve", "tokenize"])
def test_help_of_no_command_needs_a_solver_or_torch(name):
    modules = modules_of_command(name, "--help")
    assert modules & {*HEAVY} <= {"click", "numpy", "msgspec", "safetensors"}
    assert "masksynth.draw.pictures" not in modules or name in ("draw", "search")


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
    with pytest.raises(AttributeError, match="module 'masksynth' has no attribute 'nonsense'"):
        masksynth.nonsense  # noqa: B018


def test_dir_is_the_public_surface():
    assert dir(masksynth) == sorted([*masksynth.__all__, "__version__"])
    assert all(type(getattr(masksynth, name)) is type(sys) for name in PUBLIC_MODULES)
    assert all(callable(getattr(masksynth, name)) for name in MODULE_OF)


def test_type_checkers_see_every_name():
    tree = ast.parse((ROOT / "masksynth/__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname: line.module for line in block.body for alias in line.names}
    assert seen == {**MODULE_OF, **dict.fromkeys(PUBLIC_MODULES, "masksynth")}


def test_modules_load_on_first_use_too():
    code = "import masksynth as ms; assert ms.posets.Poset and ms.statistics; assert not hasattr(ms, '_lazy')"
    assert "numpy" in loaded(code)


ORDERS = """
import importlib, itertools, json, os, pickle, sys
{preload}

def check(names, modules, functions_first):
    import masksynth as ms
    use = lambda: [getattr(ms, name) for name in names]
    load = lambda: [importlib.import_module(module) for module in modules]
    for step in ((use, load) if functions_first else (load, use)) * 2:
        step()
    for name in names:
        function = getattr(ms, name)
        assert callable(function) and type(function) is not type(sys), name
        assert pickle.loads(pickle.dumps(function)) is function, name

for names, modules in {cases!r}:
    for functions_first in (True, False):
        if child := os.fork():
            assert os.waitpid(child, 0)[1] == 0, (names, modules, functions_first)
        else:
            code = 1
            try:
                check(names, modules, functions_first)
                code = 0
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(code)
"""


def test_no_module_hides_a_function_whichever_is_imported_first():
    top = sorted(module.name for module in pkgutil.iter_modules(masksynth.__path__) if module.name[0] != "_")
    modules = [f"masksynth.{name}" for name in top if name not in ("torch", "cli")]
    cases = [(sorted(MODULE_OF), modules)]
    for name, home in MODULE_OF.items():
        cases.append(([name], [home, *([f"masksynth.{name}"] if name in top else [])]))
    assert sum(len(modules) > 1 for _, modules in cases[1:]) >= 3  # search, solve, verify
    code = ORDERS.format(preload="import numpy, msgspec, networkx", cases=cases)
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_old_modules_do_not_hide_functions_either():
    code = ORDERS.format(
        preload="import numpy, msgspec, networkx, warnings; warnings.simplefilter('ignore')",
        cases=[(["sparsify", "solve"], ["masksynth.sparsify", "masksynth.synthesis"])],
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("old", [name for name in NEW_PATHS if ".torch." not in name])
def test_old_paths_give_the_new_modules(old):
    new = NEW_PATHS[old]
    with warnings.catch_warnings():  # an old parent warns, too, where no other case has imported it in this process
        warnings.simplefilter("ignore")
        import_module(old.rpartition(".")[0])
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is now {new}; ")):
        module = import_module(old)
    assert module is import_module(new)
    assert (module.__name__, module.__spec__.name) == (new, new)


def test_old_paths_exist_no_longer_and_new_ones_do():
    assert not [old for old in NEW_PATHS if PathFinder.find_spec(old, import_module(old.rpartition(".")[0]).__path__)]
    assert all(find_spec(new) for new in NEW_PATHS.values())


def test_modules_inside_an_old_package_follow_it():
    code = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import masksynth.anatomy
    from masksynth.orders.poset import Poset
import masksynth.posets.poset as new
assert Poset is new.Poset
assert [str(warning.message).split(";")[0] for warning in caught] == [
    "masksynth.anatomy is now masksynth.statistics",
    "masksynth.orders is now masksynth.posets",
    "masksynth.orders.poset is now masksynth.posets.poset",
]
assert {warning.filename for warning in caught} == {"<string>"}
warnings.simplefilter("ignore")
from masksynth.anatomy import anatomy
assert callable(anatomy)
try:
    import masksynth.orders.nonsense
except ModuleNotFoundError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("No module named 'masksynth.orders.nonsense'\n", "")


def test_one_version():
    assert masksynth.__version__ == version("masksynth")
    assert f'\nversion = "{masksynth.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_the_front_holds_imports_only_and_is_typed():
    front = resources.files("masksynth")
    tree = ast.parse(front.joinpath("__init__.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For)]
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


def test_an_old_path_of_the_solvers_works_without_importing_masksynth_first():
    code = "import warnings; warnings.simplefilter('ignore'); from masksynth_solvers.running import run, search"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
