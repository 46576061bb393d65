"""Export: a merged task as files that any framework reads."""

from masksynth.export.arrays import MAX_DENSE, content_hash, merged_arrays
from masksynth.export.blocks import BlockLists, block_lists, check_blocks
from masksynth.export.folder import read_merged, write_answer
from masksynth.export.record import solution_record

__all__ = [
    "MAX_DENSE",
    "BlockLists",
    "block_lists",
    "check_blocks",
    "content_hash",
    "merged_arrays",
    "read_merged",
    "solution_record",
    "write_answer",
]
