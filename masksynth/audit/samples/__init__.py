"""Compare a mask with the samples that it should train.

Every token of every sample is mapped onto a position; then rows and labels are compared. `expected_mask` builds the
rows that the samples expect, `infer_tables` finds out which tables are cut into windows or chunks, `placement` maps
tokens onto positions even where the mask is wrong; `sample_rows`, `explain_labels`, `label_weights` and `presence`
report what differs.
"""

from masksynth.audit.samples.compare_samples import Comparison, compare_samples

__all__ = ["Comparison", "compare_samples"]
