"""Compare a mask with the samples that it should train.

Every token of every sample is mapped onto a position; then rows and labels are compared. `expected` builds the rows
that the samples ask for, `tables` finds out which tables are cut into windows or chunks, `paths` and `placement` map
tokens onto positions, faults and all; `rows`, `labels` and `presence` report what differs.
"""

from masksynth.audit.samples.compare_samples import Comparison, compare_samples

__all__ = ["Comparison", "compare_samples"]
