"""The checker of proofs that a sparse mask has least weight: everything is rebuilt from the relation and the statement alone.

It shares no code with what finds or writes proofs, nor with the rest of masksynth but its errors: own distances, own formula, own reading.
"""

from masksynth.verify.proof.check_proof import PartReport, ProofReport, check_proof

__all__ = ["PartReport", "ProofReport", "check_proof"]
