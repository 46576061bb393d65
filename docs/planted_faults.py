"""Write the table of planted faults in ``check-model.md``.

What ``check_model`` and ``self_test`` say of each fault in real models.

python docs/planted_faults.py            writes it
python docs/planted_faults.py --check    exits 1 if it is stale

Models are tiny and random, of the classes of transformers; nothing is downloaded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.torch import ModelFinding, WrongModel, check_model, self_test

sys.path.insert(0, str(Path(__file__).parent))

from fault_cases import FAULTS, Case, Fault, setting_of

PAGE = Path(__file__).with_name("check-model.md")
BEGIN, END = "<!-- planted faults -->", "<!-- end of planted faults -->"


def say_check_model(case: Case) -> str:
    """Return what ``check_model`` names."""
    try:
        report = check_model(case.model, case.batch)
    except WrongModel as error:
        report = error.report
    except InvalidInstance as error:
        return f"refused: {error.remedy}"
    if not report.findings:
        untold = f"; not distinguished: {_kinds(report.not_told_apart)}" if report.not_told_apart else ""
        return ("right" if not report.no_values else "no finding") + untold
    first, named = report.findings[0], report.diagnosis is not None and report.diagnosis.name != "unknown"
    if report.cause is not None and (not named or "merge=False" in report.cause.remedy):
        return f"{first.kind}: {report.cause.words}"
    return f"{first.kind}: {report.diagnosis.likeness if report.diagnosis and named else _short(first)}"


def _kinds(untold: tuple[str, ...]) -> str:
    return ", ".join(each.split(":")[0] for each in untold)


def _short(finding: ModelFinding) -> str:
    """Return what a finding says without the numbers of this batch."""
    if "the model inside is called without position_ids" in finding.message:
        return "the model is called without position_ids"
    words = {
        "leak": "one output depends on an input too many",
        "values": "outputs are not those under the mask of each layer",
    }
    return words.get(finding.kind) or finding.message.split("; with the batch's")[0]


def say_self_test(case: Case) -> str:
    """Return what ``self_test`` says: caught, and in which part, or passed."""
    try:
        found = self_test(case.model, case.batch, visible=case.visible)
    except WrongAnswer as error:
        return f"caught: {error.requirement}"
    except InvalidInstance as error:
        return f"refused: {error.remedy}"
    return "passes" if found else "not compared"


def rows_of(fault: Fault) -> Iterator[tuple[str, str, str, str]]:
    """Yield (fault, models, what check_model says, what self_test says), models that say the same in one row."""
    said: dict[tuple[str, str], list[str]] = {}
    for name in fault.models:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case = fault.plant(setting_of(name, **fault.options))
            said.setdefault((say_check_model(case), say_self_test(case)), []).append(name)
    for (checked, tested), names in said.items():
        yield fault.words, ", ".join(names), checked, tested


def row_line(row: tuple[str, str, str, str]) -> str:
    """Return a row of the table."""
    return f"| {' | '.join(row)} |"


def table() -> str:
    """Return the table, between its marks."""
    lines = ["| planted fault | models | `check_model` names | `self_test` |", "|---|---|---|---|"]
    lines += [row_line(row) for fault in FAULTS for row in rows_of(fault)]
    return "\n".join([BEGIN, *lines, END])


def page() -> str:
    """Return the page with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


def main() -> None:
    """Write the table, or check it."""
    made = page()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != made:
            sys.exit(f"{PAGE} is stale: run python docs/planted_faults.py")
        return
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
