"""Contracts: what each prediction needs, what it must not see, and what a structure costs."""

from masksynth.contracts.model import Contracts as Contracts
from masksynth.contracts.model import Demand as Demand
from masksynth.contracts.model import Elements as Elements
from masksynth.contracts.model import Target as Target
from masksynth.contracts.model import Weights as Weights
