"""The page on asking a model whether it uses its mask, run from top to bottom."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = blocks(DOCS / "check-model.md")


def test_the_page_runs_as_shown(tmp_path):
    assert {block.language for block in PAGE} == {"python", "text"}
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path):
    page = [block._replace(text=block.text.replace("12 inputs", "11 inputs")) for block in PAGE[:2]]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)
