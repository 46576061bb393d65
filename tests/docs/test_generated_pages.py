"""The generated pages are up to date, and the help of each command is complete and mentioned in the docs."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex

import pytest
from click.testing import CliRunner

from masksynth import catalog
from masksynth.cli import main
from masksynth.contracts import dump_contracts
from masksynth.contracts import families as contracts
from masksynth.tasks.instance_files import loads
from tests.docs.pages import DOCS, ROOT

SPEC = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)

COMMANDS = sorted(main.commands)


@pytest.mark.parametrize("name", generate.PAGES)
def test_page_is_up_to_date(name):
    assert (DOCS / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run python docs/generate.py"


def test_a_stale_page_is_named(monkeypatch):
    assert generate.stale_pages() == []
    monkeypatch.setitem(main.commands["solve"].params[0].__dict__, "metavar", "OTHER")
    assert generate.stale_pages() == ["cli.md"]


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help_and_an_example(name):
    command = main.commands[name]
    text = generate.help_text(command, f"masksynth {name}")
    assert re.search(rf"^  masksynth {name}\b", text, flags=re.MULTILINE), f"no example on a line of its own in\n{text}"
    assert "\\b" not in text
    for option in command.params:
        assert option.param_type_name == "argument" or option.help, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_mentioned_outside_its_own_page(name):
    pages = [path for path in DOCS.glob("*.md") if path.name != "cli.md"]
    assert any(f"masksynth {name}" in path.read_text(encoding="utf-8") for path in [*pages, ROOT / "solvers/README.md"])


@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_catalogue_command_prints_the_family_of_the_python_line(name):
    page = (DOCS / "catalog.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith(f"$ masksynth new {name} "))
    shown = CliRunner().invoke(main, shlex.split(line)[2:])
    assert shown.exit_code == 0, shown.output
    call = re.search(rf"^ms\.catalog\.({name}\(.*\))$", page, flags=re.MULTILINE)[1]
    assert loads(shown.output).family == eval(call, dict(catalog.FAMILIES)).family


@pytest.mark.parametrize("name", contracts.FAMILIES)
def test_contracts_command_prints_the_family_of_the_python_line(name):
    page = (DOCS / "contracts.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith(f"$ masksynth contracts {name} "))
    shown = CliRunner().invoke(main, shlex.split(line)[2:])
    assert shown.exit_code == 0, shown.output
    call = re.search(rf"^families\.({name}\(.*\))$", page, flags=re.MULTILINE)[1]
    assert shown.output == dump_contracts(eval(call, dict(contracts.FAMILIES)))


def test_prose_is_wrapped_and_no_line_begins_a_list():
    text = "a sum of terms " * 7 + "- the first + the second " * 9
    lines = generate.fill(text + "\n\n" + text).splitlines()
    assert max(map(len, lines)) <= 120
    assert not [line for line in lines if line.startswith(("-", "+"))]
    assert " ".join(" ".join(lines).split()) == " ".join((text + " " + text).split())


def test_picture_shows_the_merged_mask():
    svg = (DOCS / "butterfly.svg").read_text(encoding="utf-8")
    assert svg.count('fill="#3949ab"/>') == 28 + 6
    assert svg.count("<path") == 4 * 4 - 6
    assert json.dumps("http") not in svg
