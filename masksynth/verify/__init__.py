"""The independent checker: what an answer must be, from the definitions alone.

It shares no code with what computes answers: it imports tasks and masks only. Every task is closed, coloured and
searched here again. ``verify`` checks a merged task, ``verify_leak`` the witness of an infeasible instance,
``verify_folder`` an answer on disk, ``check_flow`` a bare mask against the flow that L layers of it should carry, and
``check_arrangement`` an order of positions with its blocks and their lower bound.
"""

from masksynth.verify.block_bounds import check_arrangement
from masksynth.verify.check_answer import Report, verify
from masksynth.verify.check_folder import verify_folder
from masksynth.verify.check_leak import verify_leak
from masksynth.verify.check_sparse_flow import check_flow

__all__ = ["Report", "check_arrangement", "check_flow", "verify", "verify_folder", "verify_leak"]
