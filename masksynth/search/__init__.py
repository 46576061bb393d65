"""Many instances: on one machine or a cluster, and nothing lost."""

from masksynth.search.entries import sweep as sweep
from masksynth.search.result import Result as Result
from masksynth.search.run import search as search
