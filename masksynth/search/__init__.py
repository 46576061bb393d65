"""Many instances: on one machine or a cluster, and nothing lost."""

from masksynth.search.result import Result as Result
