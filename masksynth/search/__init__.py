"""Many instances: on one machine or a cluster, and nothing lost."""

from masksynth.search.result import Result as Result
from masksynth.search.run import search as search
from masksynth.search.sources import sweep as sweep
