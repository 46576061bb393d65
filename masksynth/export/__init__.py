"""Export: a merged task as files that any framework reads, and its mask in the format of every attention kernel."""

from masksynth.export.answer_folder import read_merged, write_answer
from masksynth.export.blocks import BlockLists, block_lists, check_blocks, check_transposed, transposed_lists
from masksynth.export.columns import FlashMask, check_flashmask, to_flashmask
from masksynth.export.dense_mask import check_hf_additive, check_hf_bool, to_hf_additive, to_hf_bool
from masksynth.export.format_sizes import summary
from masksynth.export.forms import Form, check_form, form_of
from masksynth.export.mask_arrays import MAX_DENSE, content_hash, merged_arrays
from masksynth.export.packed_bits import PackedBits, check_packed_bits, to_packed_bits
from masksynth.export.sequence_lengths import Lengths, check_lengths, to_lengths
from masksynth.export.slices import Slices, check_slices, to_slices
from masksynth.export.solution_record import solution_record
from masksynth.export.targets import export_arrays, write_arrays
from masksynth.export.tree_segments import TreeSegments, check_tree_segments, cut_tree, to_tree_segments

__all__ = [
    "MAX_DENSE",
    "BlockLists",
    "FlashMask",
    "Form",
    "Lengths",
    "PackedBits",
    "Slices",
    "TreeSegments",
    "block_lists",
    "check_blocks",
    "check_flashmask",
    "check_form",
    "check_hf_additive",
    "check_hf_bool",
    "check_lengths",
    "check_packed_bits",
    "check_slices",
    "check_transposed",
    "check_tree_segments",
    "content_hash",
    "cut_tree",
    "export_arrays",
    "form_of",
    "merged_arrays",
    "read_merged",
    "solution_record",
    "summary",
    "to_flashmask",
    "to_hf_additive",
    "to_hf_bool",
    "to_lengths",
    "to_packed_bits",
    "to_slices",
    "to_tree_segments",
    "transposed_lists",
    "write_answer",
    "write_arrays",
]
