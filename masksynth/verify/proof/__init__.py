"""The checker of proofs that a sparse mask has least weight: all is rebuilt from the relation and the statement.

It shares no code with what finds or writes proofs, nor with the rest of masksynth except its errors: it has its own
distances, encoder and readers.
"""

from masksynth.verify.proof.check_proof import check_proof
from masksynth.verify.proof.proof_report import PartReport, ProofReport

__all__ = ["PartReport", "ProofReport", "check_proof"]
