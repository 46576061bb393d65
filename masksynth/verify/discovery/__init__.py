"""The checker of discovered structures: contexts layer by layer against the contracts, from the definitions alone."""

from masksynth.verify.discovery.broken_contract import BrokenContract as BrokenContract
from masksynth.verify.discovery.check_contracts import ContractsReport as ContractsReport
from masksynth.verify.discovery.check_contracts import verify_contracts as verify_contracts
from masksynth.verify.discovery.check_discovery_folder import DiscoveryReport as DiscoveryReport
from masksynth.verify.discovery.check_discovery_folder import verify_discovery as verify_discovery
