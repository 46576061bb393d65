"""The table of planted faults is what the checks say of real models."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS
from tests.torch.model_check.zoo import fault_cases, fault_models, fault_table

pytestmark = pytest.mark.slow
PAGE = (DOCS / "check-model.md").read_text(encoding="utf-8")
TABLE = [
    line
    for line in PAGE.partition(fault_table.BEGIN)[2].partition(fault_table.END)[0].splitlines()
    if line.startswith("| ")
]


def test_every_fault_has_rows_and_no_row_is_of_another():
    assert {line.split(" | ")[0].removeprefix("| ") for line in TABLE[1:]} == {
        fault.words for fault in fault_cases.FAULTS
    }


def cells(line):
    """Fault, models, what check_model says and what self_test says."""
    fault, models, checked, tested = (cell.strip() for cell in line.strip("| ").split(" | "))
    return fault, tuple(models.split(", ")), checked, tested


def shown_for(fault):
    return [line for line in TABLE if line.startswith(f"| {fault.words} |")]


def tried(fault):
    """For each row one of the models that say the same, another one for each fault."""
    turn = fault_cases.FAULTS.index(fault)
    return [models[turn % len(models)] for _, models, *_ in map(cells, shown_for(fault))]


def test_every_model_of_a_fault_is_in_one_row_and_every_model_is_tried():
    for fault in fault_cases.FAULTS:
        assert sorted(model for line in shown_for(fault) for model in cells(line)[1]) == sorted(fault.models)
    assert {model for fault in fault_cases.FAULTS for model in tried(fault)} == set(fault_models.MODELS)


@pytest.mark.parametrize("fault", fault_cases.FAULTS, ids=[fault.words for fault in fault_cases.FAULTS])
def test_the_rows_of_a_fault(fault):
    few = fault_cases.Fault(fault.words, tuple(tried(fault)), fault.plant, **fault.options)
    expected = [(words, (model,), *told) for model, line in zip(few.models, shown_for(fault), strict=True)
                for words, _, *told in [cells(line)]]  # fmt: skip
    found = [cells(fault_table.row_line(row)) for row in fault_table.rows_of(few)]
    assert found == expected, "run python docs/planted_faults.py"
    for line in shown_for(fault):
        _, _, checked, tested = cells(line)
        harmless = fault.words.startswith("none") or fault.words == "dropout on"
        assert (checked.startswith("right") and tested == "passes") == harmless, line
