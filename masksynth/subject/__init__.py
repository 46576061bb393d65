"""Read what stands at a path, below everything that looks at masks."""

from masksynth.subject.sample_table import read_sample_table

__all__ = ["read_sample_table"]
