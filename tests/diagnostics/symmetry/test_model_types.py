"""A sample of the types of models of transformers, and that a wrong reading of one would be seen."""

from __future__ import annotations

import pytest
import transformers

from masksynth.diagnostics.symmetry import fused_layouts
from tests.diagnostics.symmetry.model_types import compare

transformers.utils.logging.disable_progress_bar()
RIGHT = (
    *(
        "albert",
        "bart",
        "bert",
        "clip",
        "codegen",
        "cohere2",
        "convbert",
        "deepseek_v3",
        "electra",
        "fsmt",
        "gemma3_text",
    ),
    *(
        "gpt_neox",
        "gptj",
        "groupvit",
        "llama",
        "longformer",
        "modernbert",
        "mpt",
        "olmo2",
        "qwen3",
        "smollm3",
        "t5",
        "vit",
    ),
)
REFUSED = ("axk1", "deberta", "gte")


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_read_gives_the_products_of_the_model(name):
    assert compare(name).kind == "right"


@pytest.mark.parametrize("name", REFUSED)
def test_other_layouts_are_refused(name):
    outcome = compare(name)
    assert outcome.kind == "refused"
    assert "no layer of a known layout" in outcome.detail or "is not known here" in outcome.detail


def test_a_wrong_order_would_be_seen(monkeypatch):
    monkeypatch.setattr(fused_layouts, "BY_HEAD", ("gpt_neox", "mpt"))
    assert compare("mpt").kind == "wrong"
