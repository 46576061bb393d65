"""Solve many instances, on one machine or a cluster, and keep every result."""

from masksynth.search.entries import sweep as sweep
from masksynth.search.result import Result as Result
from masksynth.search.run import search as search
