"""The table of planted faults is what the checks say of real models."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS
from tests.torch.model_check.zoo import faults

PAGE = (DOCS / "check-model.md").read_text(encoding="utf-8")
TABLE = [
    line for line in PAGE.partition(faults.BEGIN)[2].partition(faults.END)[0].splitlines() if line.startswith("| ")
]


def test_every_fault_has_rows_and_no_row_is_of_another():
    assert {line.split(" | ")[0].removeprefix("| ") for line in TABLE[1:]} == {fault.words for fault in faults.FAULTS}


@pytest.mark.parametrize("fault", faults.FAULTS, ids=[fault.words for fault in faults.FAULTS])
def test_the_rows_of_a_fault(fault):
    shown = [line for line in TABLE if line.startswith(f"| {fault.words} |")]
    assert shown == [faults.row_line(row) for row in faults.rows_of(fault)], "run python docs/planted_faults.py"
    for line in shown:
        checked, tested = (cell.strip() for cell in line.strip("| ").split(" | ")[2:])
        harmless = fault.words.startswith("none") or fault.words == "dropout on"
        assert (checked.startswith("right") and tested == "passes") == harmless, line
