"""Windows and chunks are distinguished from rows that lack context."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.audit import audit
from masksynth.audit.samples.window_rules import TableRule, infer_rule
from tests.audit.samples.layouts import FULL, documents, random_samples, tree

RULES = [FULL, ("window", 2), ("window", 5), ("chunk", 2), ("chunk", 3), ("chunk", 5)]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_rules_are_inferred_from_right_masks(rule, seed):
    """Silent but for a note that says how the table is read."""
    samples = random_samples(np.random.default_rng([1, seed]), count=6, longest=16, tokens=6)
    for layout in (
        documents(samples, (rule,)),
        tree(samples, (rule,)),
        documents(samples, (FULL, rule)),
        tree(samples, (rule, FULL)),
    ):
        report = audit(layout.subject())
        assert {one.code for one in report.findings} <= {"MS006", "MS007", "MS008", "MS010", "MS021"}, (
            report.samples.tables
        )
        assert report.complete
        assumed = [one for one in report.findings if one.code == "MS021"]
        assert len(assumed) == (rule != FULL)
        assert all(one.severity == "note" and one.witness[rule[0]] == rule[1] for one in assumed)
        assert [str(TableRule(*one)) for one in layout.rules] == list(report.samples.tables)


@pytest.mark.parametrize("rule", RULES[1:], ids=str)
def test_a_fault_in_a_window_or_a_chunk_is_still_found(rule):
    for seed in range(10):
        rng = np.random.default_rng([2, seed])
        layout = documents(random_samples(rng, count=6, longest=16, tokens=6), (rule,))
        pairs = np.argwhere(layout.tables[0] & ~np.eye(len(layout.inputs), dtype=bool))
        query, key = pairs[int(rng.integers(len(pairs)))].tolist()
        layout.tables[0, query, key] = False
        report = audit(layout.subject())
        assert [one.position for one in report.findings if one.code == "MS002"] == [query]


def test_a_window_off_by_one_is_found_where_the_table_is_declared():
    layout = documents(random_samples(np.random.default_rng(3), count=6, longest=16, tokens=6), (("window", 4),))
    assert "MS002" not in {one.code for one in audit(layout.subject(tables=[{"window": 4}])).findings}
    assert "MS002" in {one.code for one in audit(layout.subject(tables=[{"window": 5}])).findings}
    assert {one.code for one in audit(layout.subject(tables=[{"window": 3}])).findings} & {"MS013", "MS009"}
    assert "MS002" in {one.code for one in audit(layout.subject(tables=["full"])).findings}


def test_one_sample_that_lost_its_beginning_is_no_chunk():
    index = np.arange(12)
    assert infer_rule(index, np.where(index < 6, 0, 6), np.zeros(12, np.int64)) == TableRule()
    two = np.repeat([0, 1], 12)
    assert infer_rule(np.tile(index, 2), np.tile(np.where(index < 6, 0, 6), 2), two) == TableRule("chunk", 6, False)
    noise = np.where(index < 9, 0, index - 8)
    assert infer_rule(index, noise, np.zeros(12, np.int64)) == TableRule("window", 9)


def test_few_cut_rows_among_many_are_no_window():
    index = np.tile(np.arange(10), 10)
    lowest = np.zeros(100, np.int64)
    lowest[[9, 19, 29]] = 5
    assert infer_rule(index, lowest, np.repeat(np.arange(10), 10)) == TableRule()


def test_a_prompt_that_all_samples_lost_is_not_taken_for_a_chunk():
    """Answers of up to three tokens that do not see prompts of three: chunks of three, or lost context; the
    masks cannot decide.
    """
    samples = [
        {"id": n, "input_ids": [1, 2, 3, n, n + 1, n + 2], "labels": [-100] * 4 + [n + 1, n + 2]} for n in (10, 20, 30)
    ]
    layout = documents(samples, (("chunk", 3),))
    report = audit(layout.subject())
    assert [(one.severity, one.witness["chunk"]) for one in report.findings if one.code == "MS022"] == [("warning", 3)]
    assert not report.complete
    assert {one.code for one in audit(layout.subject(tables=["full"])).findings if one.severity == "error"} == {"MS002"}
    said = audit(layout.subject(tables=[{"chunk": 3}]))
    assert (said.errors, said.complete) == (0, True)


@pytest.mark.parametrize("length", [5, 7, 8])
def test_one_long_sample_shows_a_chunk_where_another_table_shows_all(length):
    """Chunks of four, cut once: another table of the mask has the context that the rows lack."""
    samples = [{"id": "a", "input_ids": list(range(1, length + 1)), "labels": [-100, *range(2, length + 1)]}]
    report = audit(documents(samples, (FULL, ("chunk", 4))).subject())
    assert (report.errors, report.complete) == (0, True)
    assert report.samples.tables == ("full", "chunks of 4 tokens")
    alone = [one for one in audit(documents(samples, (("chunk", 4),)).subject()).findings if one.code == "MS002"]
    assert alone
    assert all("declare them under tables" in one.remedy for one in alone)


def test_findings_of_several_tables_name_the_table():
    samples = [{"id": "a", "input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, 4]}]
    layout = documents(samples, (FULL, FULL))
    layout.tables[1, 2, 0], layout.tables[1, 0, 1] = False, True
    told = {one.code: one.message for one in audit(layout.subject(tables=["full", "full"])).findings}
    assert told["MS002"].endswith("does not attend to 1@0 (token 0) in table 1")
    assert "in table 1" in told["MS013"]
