"""The checker of proofs that no structure for contracts is cheaper: all is rebuilt from contracts.json alone."""

from masksynth.verify.proof.discovery.check_claim import check_discovery as check_discovery
