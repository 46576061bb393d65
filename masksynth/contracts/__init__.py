"""Contracts: what each prediction needs, what it must not see, and what a structure costs."""

from masksynth.lazy import import_names

TYPE_CHECKING = False  # `typing` takes time to import
if TYPE_CHECKING:
    from masksynth.contracts.contract_files import load_contracts, loads_contracts
    from masksynth.contracts.model import Contracts, Demand, Elements, Target, Weights, with_options
    from masksynth.contracts.write_contracts import dump_contracts

_HOMES = {
    "contract_files": ("load_contracts", "loads_contracts"),
    "model": ("Contracts", "Demand", "Elements", "Target", "Weights", "with_options"),
    "write_contracts": ("dump_contracts",),
}
"""Module of this package -> its public names."""

__all__ = [
    "Contracts",
    "Demand",
    "Elements",
    "Target",
    "Weights",
    "dump_contracts",
    "load_contracts",
    "loads_contracts",
    "with_options",
]


__getattr__ = import_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
