"""``python -m masksynth_solvers.sparse.worker DESCRIPTOR``: run one engine for the portfolio."""

import sys

from masksynth_solvers.sparse.portfolio import work

if __name__ == "__main__":
    work(int(sys.argv[1]))
