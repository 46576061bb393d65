"""Contracts: what each prediction needs, what it must not see, and what a structure costs."""

from masksynth.contracts.contract_files import dump_contracts as dump_contracts
from masksynth.contracts.contract_files import load_contracts as load_contracts
from masksynth.contracts.contract_files import loads_contracts as loads_contracts
from masksynth.contracts.model import Contracts as Contracts
from masksynth.contracts.model import Demand as Demand
from masksynth.contracts.model import Elements as Elements
from masksynth.contracts.model import Target as Target
from masksynth.contracts.model import Weights as Weights
from masksynth.contracts.model import with_options as with_options
