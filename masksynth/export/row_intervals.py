"""Old names of `masksynth.mask.intervals`, until every room uses the new ones."""

from masksynth.mask.intervals import Columns as Columns
from masksynth.mask.intervals import RowIntervals as Spans
from masksynth.mask.intervals import check_rows as compare_rows
from masksynth.mask.intervals import check_table as known
from masksynth.mask.intervals import coalesce_disjoint as joined
from masksynth.mask.intervals import columns as columns_of
from masksynth.mask.intervals import concatenate_intervals as joined_parts
from masksynth.mask.intervals import count_column_intervals as column_counts
from masksynth.mask.intervals import count_intervals as row_counts
from masksynth.mask.intervals import expand as expand
from masksynth.mask.intervals import format_intervals as few
from masksynth.mask.intervals import row_intervals as rows_of
from masksynth.mask.typing import Int64Array as Ints

__all__ = [
    "Columns",
    "Ints",
    "Spans",
    "column_counts",
    "columns_of",
    "compare_rows",
    "expand",
    "few",
    "joined",
    "joined_parts",
    "known",
    "row_counts",
    "rows_of",
]
