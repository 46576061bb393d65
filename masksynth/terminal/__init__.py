"""Shared parts of the commands: options, reading, progress, printing, and errors in one line."""

from masksynth.tasks.canonical import printable
from masksynth.tasks.value_text import count
from masksynth.terminal.command_group import Commands
from masksynth.terminal.error_lines import Refused
from masksynth.terminal.input_files import check_outputs, input_files, read_contracts, read_instance, standard_input
from masksynth.terminal.options import INSTANCE, JSON, QUIET, layers_choice, layers_option, output_file
from masksynth.terminal.output_text import depth, plain, print_json, progress, spinner, to_the_end
from masksynth.terminal.subject_options import (
    BATCH,
    LENGTH,
    SUBJECT,
    TOKENS,
    SubjectChoice,
    mask_options,
    read,
    read_other,
    subject_options,
)

__all__ = [
    "BATCH",
    "INSTANCE",
    "JSON",
    "LENGTH",
    "QUIET",
    "SUBJECT",
    "TOKENS",
    "Commands",
    "Refused",
    "SubjectChoice",
    "check_outputs",
    "count",
    "depth",
    "input_files",
    "layers_choice",
    "layers_option",
    "mask_options",
    "output_file",
    "plain",
    "print_json",
    "printable",
    "progress",
    "read",
    "read_contracts",
    "read_instance",
    "read_other",
    "spinner",
    "standard_input",
    "subject_options",
    "to_the_end",
]
