"""Files embedded in the page for download: the mask, the answer and the findings, where they are small."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from masksynth.answer import Answer, record
from masksynth.audit.finding import Finding
from masksynth.export.formats import npz_bytes
from masksynth.export.mask_arrays import Arrays
from masksynth.export.solution_record import json_text
from masksynth.mask import Mask
from masksynth.report.page_text import count
from masksynth.subject.subject import Subject

MOST_BYTES = 800_000
"""Largest file that is embedded."""
MOST_DENSE = 1_024
"""Largest mask that is embedded as a boolean array; a larger one as row intervals."""
JSON, NPZ = "application/json", "application/octet-stream"


def downloads(
    subject: Subject | None, answer: Answer | None, findings: Sequence[Finding] | None
) -> list[dict[str, Any]]:
    """Return each file as ``name``, ``type``, ``base64`` and ``size``; a file that is too large has a ``note`` instead.

    Examples
    --------
    >>> [(file["name"], file["size"]) for file in downloads(None, None, [])]
    [('findings.json', 20)]
    """
    return [_embed(*file) for file in _files(subject, answer, findings)]


def _files(
    subject: Subject | None, answer: Answer | None, findings: Sequence[Finding] | None
) -> Iterator[tuple[str, str, bytes]]:
    if subject is not None and len(subject.mask.key_start) <= MOST_BYTES:
        yield "mask.npz", NPZ, npz_bytes(small_arrays(subject.mask))
    if answer is not None:
        fields = {name: value for name, value in record(answer).items() if name != "seconds"}
        yield "solution.json", JSON, json_text(fields).encode("ascii")
    if findings is not None:
        records = {"findings": [finding.record() for finding in findings]}
        yield "findings.json", JSON, f"{json.dumps(records, indent=1, default=str)}\n".encode("ascii")


def small_arrays(mask: Mask) -> Arrays:
    """Return the arrays of a mask: ``mask`` where it is small, else ``row_offset``, ``key_start`` and ``key_end``.

    Examples
    --------
    >>> sorted(small_arrays(Mask.from_dense(np.eye(2, dtype=bool))))
    ['mask']
    """
    if mask.tables * mask.size**2 <= MOST_DENSE**2:
        return {"mask": np.ascontiguousarray(mask.dense())}
    return {"row_offset": mask.row_offset, "key_start": mask.key_start, "key_end": mask.key_end}


def _embed(name: str, kind: str, content: bytes) -> dict[str, Any]:
    """Return a file of the given media type as JSON values."""
    if len(content) > MOST_BYTES:
        note = f"{name} has {count(len(content), 'byte')} and is not included; write it with -o or --json."
        return {"name": name, "note": note}
    return {"name": name, "type": kind, "size": len(content), "base64": b64encode(content).decode("ascii")}
