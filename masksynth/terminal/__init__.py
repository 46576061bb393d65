"""What the commands share: options, reading, progress, printing, and errors in one line."""

from masksynth.tasks.canonical import printable
from masksynth.terminal.command_group import Commands
from masksynth.terminal.error_lines import Refused
from masksynth.terminal.input_files import check_outputs, input_files, read, read_instance, read_other, standard_input
from masksynth.terminal.options import (
    BATCH,
    INSTANCE,
    JSON,
    LENGTH,
    QUIET,
    SUBJECT,
    TOKENS,
    layers_option,
    output_file,
    subject_options,
)
from masksynth.terminal.output_text import count, depth, plain, print_json, progress, to_the_end

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
    "check_outputs",
    "count",
    "depth",
    "input_files",
    "layers_option",
    "output_file",
    "plain",
    "print_json",
    "printable",
    "progress",
    "read",
    "read_instance",
    "read_other",
    "standard_input",
    "subject_options",
    "to_the_end",
]
