"""Paths of reports: only a report is ever replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masksynth.audit import Subject
from masksynth.errors import MasksynthError
from masksynth.mask import Mask
from masksynth.report import check_report_file, write_report


def test_only_a_report_is_replaced(tmp_path):
    subject = Subject(Mask.from_dense(np.eye(2, dtype=bool)), "m")
    page = write_report(tmp_path / "page.html", subject)
    with pytest.raises(MasksynthError, match="already exists"):
        write_report(page, subject)
    assert write_report(page, subject, force=True).read_bytes() == page.read_bytes()
    for name, content in (("mask.npy", b"\x93NUMPY"), ("notes.html", b"mine")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MasksynthError, match=r"is an HTML file|is not a report"):
            write_report(tmp_path / name, subject, force=True)
        assert (tmp_path / name).read_bytes() == content


def test_the_path_is_checked_before_the_work(tmp_path):
    check_report_file(tmp_path / "page.html", False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(MasksynthError, match=r"cannot be written"):
        check_report_file(Path("/proc/none/page.html"), False)
