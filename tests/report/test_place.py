"""Where a report may be written: never over anything but a report."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.audit import Subject
from masksynth.errors import MasksynthError
from masksynth.mask import Mask
from masksynth.report import check_place, write_report


def test_only_a_report_gives_way(tmp_path):
    subject = Subject(Mask.from_dense(np.eye(2, dtype=bool)), "m")
    page = write_report(tmp_path / "page.html", subject)
    with pytest.raises(MasksynthError, match="is there already"):
        write_report(page, subject)
    assert write_report(page, subject, force=True).read_bytes() == page.read_bytes()
    for name, content in (("mask.npy", b"\x93NUMPY"), ("notes.html", b"mine")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MasksynthError, match=r"is an HTML file|is no report"):
            write_report(tmp_path / name, subject, force=True)
        assert (tmp_path / name).read_bytes() == content


def test_the_place_is_tried_before_the_work(tmp_path):
    check_place(tmp_path / "page.html", False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(MasksynthError, match=r"cannot be written|lies in no folder"):
        check_place(tmp_path.parent.parent / "proc-none" / "page.html", False)
