"""The command ``masksynth``: reads options, calls the library, prints. Answers on stdout, everything else on stderr.

Exit codes: 0 yes, 1 no (infeasible, check failed), 2 trouble (usage, bad file, disk), 3 unknown (limit reached, no answer).
"""

from masksynth.cli.commands import main

__all__ = ["main"]
