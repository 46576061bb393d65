"""Claim the target of a command, so that two runs do not write to it at the same time."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from masksynth.errors import InvalidInstance


@contextmanager
def claim_target(target: str | Path | None) -> Iterator[None]:
    """Keep other runs of this user from working for the same target during the block; None: no target.

    The claim is an abstract socket name, which ends with the process, so a kill leaves nothing behind. Without such
    names (macOS), or if machines share a disk, the first run to end wins and the other is refused then.

    Raises
    ------
    InvalidInstance
        If another run has claim_target the target.

    Examples
    --------
    >>> with claim_target("out"), claim_target("other"), claim_target(None):
    ...     pass
    """
    if target is None or not sys.platform.startswith("linux"):
        yield
        return
    owner = f"{os.getuid()}:{os.path.realpath(target)}"
    name = sha256(owner.encode("utf-8", "surrogateescape")).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(f"\0masksynth-{name}")
        except OSError:
            remedy = "wait for it, or choose another place"
            raise InvalidInstance("another run is writing there", "", remedy, str(target)) from None
        yield
