"""Pages are complete and readable: index and navigation list every page, and lines are short."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT

PAGES = sorted(path.name for path in DOCS.glob("*.md"))
LONGEST = 120


class ConfigLoader(yaml.SafeLoader):
    """YAML of mkdocs, which may contain Python tags."""


ConfigLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def nav_pages(entry):
    """The names of the pages in a navigation entry, depth first."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in nav_pages(child)]


def navigation():
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), ConfigLoader)["nav"]


def index_groups():
    """Heading -> the pages linked in the table below it."""
    parts = re.split(r"^## (.*)\n", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    groups = {
        title: re.findall(r"^\| \[.*?\]\(([\w-]+\.md)\)", body, re.MULTILINE)
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {title: pages for title, pages in groups.items() if pages}


def long_lines(text):
    """(number, length) of each line of prose beyond the limit; code, tables and pictures are not prose."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith(("|", "![")) and len(line) > LONGEST:
            yield number, len(line)


def test_navigation_lists_every_page_once():
    assert sorted(nav_pages(navigation())) == PAGES


def test_index_lists_the_groups_of_the_navigation():
    front, *groups = navigation()
    assert front == "index.md"
    assert index_groups() == {title: pages for group in groups for title, pages in group.items()}


@pytest.mark.parametrize("name", [*PAGES, "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "solvers/README.md"])
def test_lines_of_prose_are_short(name):
    path = DOCS / name if name in PAGES else ROOT / name
    assert list(long_lines(path.read_text(encoding="utf-8"))) == []


def test_a_long_line_is_reported():
    text = "x " * 70 + "\n```text\n" + "y " * 70 + "\n```\n| " + "z " * 70 + "|\n"
    assert list(long_lines(text)) == [(1, 140)]


def test_design_lists_every_module():
    page = (
        (DOCS / "design.md").read_text(encoding="utf-8").partition("## Modules")[2].partition("## Import contracts")[0]
    )
    listed = set(re.findall(r"`([a-z_]+(?:/|\.py))`", page))
    package = ROOT / "masksynth"
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    modules |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert modules - listed == set()
