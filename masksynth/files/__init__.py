"""Write files and folders, completely or not at all; every output of the package goes through this module.

* Parents are made.
* An existing target is refused without ``force``; with it, only files that the writer itself writes are replaced.
* An input is never replaced, with ``force`` or without, nor through links, relative paths or hard links.
* A target appears completely or not at all: drafts have a hidden name in the same folder, reach the disk, and are then
  renamed. Of two runs without ``force`` the second is refused and changes nothing.
* The next run with the same target removes what a killed run left. Drafts are locked, so those in use are kept.
"""

from masksynth.files.drafts import lock_names, make_folder, open_draft
from masksynth.files.paths import Paths, check_inputs, is_same, match_files
from masksynth.files.write_files import Content, check_file, write_file, write_to_disk, writing_file
from masksynth.files.write_folders import check_folder, replace_folder, writing_folder

__all__ = [
    "Content",
    "Paths",
    "check_file",
    "check_folder",
    "check_inputs",
    "is_same",
    "lock_names",
    "make_folder",
    "match_files",
    "open_draft",
    "replace_folder",
    "write_file",
    "write_to_disk",
    "writing_file",
    "writing_folder",
]
