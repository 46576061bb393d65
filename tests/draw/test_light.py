"""Importing the commands and the packages loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys


def test_pictures_load_matplotlib_only_when_one_is_drawn():
    program = (
        "import sys, masksynth.draw, masksynth.statistics, masksynth.cli.draw, masksynth.cli.inspect;"
        "print(sorted({'matplotlib', 'networkx', 'torch', 'masksynth.audit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
