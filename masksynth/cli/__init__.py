"""The command ``masksynth``: read options, call the library, print answers on stdout and everything else on stderr.

Exit codes: 0 yes, 1 no (infeasible, check failed), 2 error (usage, bad file, disk), 3 unknown (limit reached).
"""

from masksynth.cli.commands import main

__all__ = ["main"]
