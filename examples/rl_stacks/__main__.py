"""Compare verl's engine functions and OpenRLHF's actor, folded and not, by one command: python -m examples.rl_stacks.

verl and OpenRLHF are installed into a new virtual environment, which uses torch, transformers, peft and masksynth of
the one that runs this; that one is not changed. About half a minute and 270 MB, on a CPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STACKS = ("verl==0.9.1", "openrlhf==0.11.2")
"""Without their dependencies, which have pins of their own and need a GPU."""
IMPORTED = (
    *("ray", "tensordict==0.10.0", "hydra-core", "omegaconf", "codetiming", "dill", "torchdata"),
    *("cachetools", "orjson", "pillow", "pylatexenc"),
)
"""What their modules import besides torch, transformers and peft."""


def make_environment(folder: Path) -> Path:
    """Return the interpreter of a new environment with both stacks on top of the packages of this one."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    paths = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "venv", paths))
    (own / "base.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    for packages in (["--no-deps", *STACKS], list(IMPORTED)):
        subprocess.run([*install, *packages], check=True)
    return python


def main() -> int:
    """Make the environment if it is not there, and run the comparison in it."""
    parser = argparse.ArgumentParser(prog="python -m examples.rl_stacks", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="environment to make or to use again (default: temporary)")
    folder: Path | None = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        place = (folder or Path(temporary) / "environment").absolute()
        python = place / "bin" / "python" if (place / "bin").exists() else make_environment(place)
        path = os.pathsep.join([str(ROOT), str(ROOT / "solvers"), os.environ.get("PYTHONPATH", "")])
        command = [python, "-W", "ignore", "-m", "examples.rl_stacks.compare"]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, cwd=place, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
