"""Read a mask, and what is known about it, from any kind of path; all commands read masks here.

=====================  ========================================================================  =======================
kind                   path                                                                      module of this package
=====================  ========================================================================  =======================
mask file              ``.npy``, ``.npz``, ``.safetensors``, or ``-`` for standard input         ``mask_file``
answer                 a folder with ``solution.json``                                           ``folders``
packed folder          a folder with ``manifest.json``; ``batch`` selects the batch              ``folders``
mask_mod               ``package.module:name`` of a FlexAttention mask_mod or BlockMask          ``mask_mod``
samples                JSON lines, gzip or Parquet: not a mask, read by `read_sample_table`      ``sample_table``
=====================  ========================================================================  =======================

`read_subject` returns a `Subject` for each of the first four; `subject_kind` distinguishes them.
"""

from masksynth.subject.folders import subject_of_batch, subject_of_merged
from masksynth.subject.mask_file import read_mask, write_mask
from masksynth.subject.read_subject import read_subject, subject_kind, with_samples
from masksynth.subject.sample_table import read_sample_table
from masksynth.subject.subject import Labels, Subject

__all__ = [
    "Labels",
    "Subject",
    "read_mask",
    "read_sample_table",
    "read_subject",
    "subject_kind",
    "subject_of_batch",
    "subject_of_merged",
    "with_samples",
    "write_mask",
]
