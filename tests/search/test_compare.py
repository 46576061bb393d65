"""Two runs compared, and a run compared with a manifest."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from masksynth import Limits, catalog, load
from masksynth.errors import InvalidInstance
from masksynth.search import Result
from masksynth.search.compare import KINDS, Change, Comparison, compare, comparison_record, comparison_text
from masksynth.search.expected import Expectation, compare_expected, compare_with, expectations
from masksynth.search.result import line_of
from tests.search.test_summary import failed, solved

ROOT = Path(__file__).parents[2] / "instances"
RANK = {"OPTIMAL": 3, "INFEASIBLE": 3, "FEASIBLE": 2, "UNKNOWN": 1, None: 0}


def line(status="OPTIMAL", value=22, bound=None, *, seconds=1.0, instance="a.json", digest="00", edges=None, **more):
    """A result; no objective where nothing is found."""
    objective = (
        {"positions": {"value": value, "bound": value if bound is None else bound}}
        if status in ("OPTIMAL", "FEASIBLE")
        else {}
    )
    if edges is not None:
        objective["edges"] = {"value": edges[0], "bound": edges[1]}
    fields = {
        "backend": "cpsat",
        "layers": None,
        "sparse": edges is not None,
        "error": None if status else "boom",
    } | more
    return Result(
        instance,
        digest,
        status=status,
        objective=objective,
        winner=None,
        seconds=seconds,
        versions={},
        limits={},
        **fields,
    )


def said(old, new, **more):
    """(kind, what) of every change of one result."""
    return [(change.kind, change.what) for change in compare([old], [new], **more).changes]


@pytest.mark.parametrize(
    ("old", "new", "kind", "what"),
    [
        (line(), line("FEASIBLE", 23, 20), "regression", "OPTIMAL, now FEASIBLE; positions 22, now 23; bound on positions 22, now 20"),  # noqa: E501
        (line("INFEASIBLE"), line("UNKNOWN"), "regression", "INFEASIBLE, now UNKNOWN"),
        (line("FEASIBLE", 23, 20), line("UNKNOWN"), "regression", "FEASIBLE, now UNKNOWN"),
        (line("UNKNOWN"), line(None), "regression", "UNKNOWN, now failed (boom)"),
        (line(), line(None, error="a.json: worker died"), "regression", "OPTIMAL, now failed (worker died)"),
        (line("FEASIBLE", 23, 20), line("FEASIBLE", 24, 20), "regression", "positions 23, now 24"),
        (line("FEASIBLE", 23, 20), line("FEASIBLE", 23, 19), "regression", "bound on positions 20, now 19"),
        (line(seconds=0.5), line(seconds=1.0), "regression", "0.50 s, now 1.00 s"),
        (line(), line("INFEASIBLE"), "contradiction", "OPTIMAL, now INFEASIBLE"),
        (line("INFEASIBLE"), line("FEASIBLE", 23, 20), "contradiction", "INFEASIBLE, now FEASIBLE"),
        (line(), line(value=21), "contradiction", "positions: 22 was proved optimal, now 21 is"),
        (line("FEASIBLE", 23, 22), line(value=21), "contradiction", "positions: now 21, though at least 22 were proved to be needed"),  # noqa: E501
        (
            line("FEASIBLE", 23, 20),
            line("FEASIBLE", 30, 24),
            "contradiction",
            "positions: now at least 24 are claimed to be needed, although 23 were found",
        ),
        (line(edges=(40, 40)), line(edges=(41, 41)), "contradiction", "edges: 40 was proved optimal, now 41 is"),
        (line("FEASIBLE", edges=(40, 35)), line("FEASIBLE", edges=(41, 35)), "regression", "edges 40, now 41"),
    ],
)  # fmt: skip
def test_every_kind_of_change_and_its_reverse(old, new, kind, what):
    assert said(old, new) == [(kind, what)]
    ((back, _),) = said(new, old)
    assert back == {"regression": "improvement", "contradiction": "contradiction"}[kind]
    assert said(old, old) == said(new, new) == []


@pytest.mark.parametrize(
    ("before", "after", "factor", "changed"),
    [
        (0.001, 0.1, 2, False),
        (0.001, 0.102, 2, True),
        (1.0, 1.99, 2, False),
        (1.0, 2.0, 2, True),
        (1.0, 2.0, 3, False),
        (0.0, 0.2, 2, True),
    ],
)
def test_slower_by_a_factor_and_more_than_noise(before, after, factor, changed):
    assert bool(said(line(seconds=before), line(seconds=after), slower=factor)) is changed
    assert said(line("FEASIBLE", 23, 20, seconds=before), line("FEASIBLE", 23, 20, seconds=after), slower=factor) == []
    with pytest.raises(InvalidInstance, match="slower: expected a factor above 1, got 1"):
        compare([], [], slower=1)


def test_better_in_one_thing_and_worse_in_another_are_two_changes():
    assert said(line("FEASIBLE", 24, 20), line("FEASIBLE", 23, 19)) == [
        ("regression", "bound on positions 20, now 19"),
        ("improvement", "positions 24, now 23"),
    ]


def test_results_meet_by_their_question_not_by_their_name():
    old = [line(instance="a.json", digest="00"), line(instance="b.json", digest="11", layers=2)]
    new = [line(instance="x/a.json", digest="00"), line(instance="x/b.json", digest="11", layers=2)]
    assert compare(old, new) == Comparison((), 2, 0, 0)
    for other in ({"layers": 3}, {"backend": "maxsat"}, {"sparse": True}):
        found = compare([line()], [line(**other)])
        assert (found.compared, found.missing, found.new) == (0, 1, 1)
        assert [change.kind for change in found.changes] == ["missing", "new"]
        assert not found.worse


def test_another_backend_must_not_contradict():
    old = [line(backend="maxsat"), line("FEASIBLE", 30, 21, backend="ilp")]
    found = compare(old, [line()])
    assert (found.compared, found.worse) == (0, False)
    assert comparison_text(found).splitlines()[1].startswith("nothing to compare: ")
    found = compare(old, [line(value=21)])
    assert found.changes[0] == Change(
        "a.json", "cpsat", "contradiction", "positions: 22 was proved optimal, now 21 is (before by maxsat)"
    )
    assert [change.kind for change in found.changes] == ["contradiction", "missing", "missing", "new"]
    assert compare(old, [line(value=21, layers=2)]).changes[0].kind == "missing"


def test_equal_instances_under_several_names_meet_their_own():
    old = [line(instance="a.json", seconds=1), line(instance="b.json", seconds=9)]
    new = [line(instance="b.json", seconds=9), line(instance="a.json", seconds=1)]
    assert compare(old, new) == Comparison((), 2, 0, 0)
    assert compare(old, new[:1]) == Comparison((), 1, 0, 0)


def test_what_could_not_be_read_meets_its_name():
    bad = line(None, digest=None, error="a.json: not JSON")
    found = compare([line()], [bad])
    assert found.changes == (Change("a.json", "cpsat", "regression", "OPTIMAL, now failed (not JSON)"),)
    assert compare([bad], [line()]).changes[0].kind == "improvement"
    assert compare([bad], [bad]) == Comparison((), 1, 0, 0)
    assert (
        compare(
            [line(layers=1, digest="00"), line(layers=2, digest="00")], [replace(bad, layers=2), line(layers=1)]
        ).missing
        == 1
    )


def test_a_failure_that_was_tried_again_does_not_count():
    bad = line(None, digest=None, error="a.json: not JSON")
    assert compare([line()], [bad, line()]) == Comparison((), 1, 0, 0)
    assert compare([line()], [line("UNKNOWN"), line()]) == Comparison((), 1, 0, 0)
    assert compare([line()], [line(), line("UNKNOWN")]).worse


def test_other_tasks_under_an_old_name_are_told():
    found = compare([line(digest="00")], [line(digest="11")])
    assert [(change.kind, change.what) for change in found.changes] == [
        ("missing", "was OPTIMAL, 22 positions"),
        ("new", "OPTIMAL, 22 positions; the same name had a different question before"),
    ]


def random_line(rng, number):
    status = rng.choice(["OPTIMAL", "FEASIBLE", "INFEASIBLE", "UNKNOWN", None])
    value = rng.randint(3, 6)
    bound = value if status == "OPTIMAL" else rng.randint(1, value - 1)
    return line(status, value, bound, seconds=rng.choice([0.1, 1.0]), instance=f"{number}.json", digest=f"{number}")


def test_random_runs_are_judged_as_by_the_definitions():
    rng = random.Random(0)
    for _ in range(300):
        old = [random_line(rng, number) for number in rng.sample(range(6), 4)]
        new = [random_line(rng, number) for number in rng.sample(range(6), 4)]
        found, back = compare(old, new), compare(new, old)
        one, two = ({result.hash: result for result in side} for side in (old, new))
        assert (found.compared, found.missing, found.new) == (
            len({*one} & {*two}),
            len({*one} - {*two}),
            len({*two} - {*one}),
        )
        assert {change.instance for change in found.changes if change.kind == "missing"} == {
            f"{key}.json" for key in {*one} - {*two}
        }
        for key in {*one} & {*two}:
            kinds = {change.kind for change in found.changes if change.instance == f"{key}.json"}
            assert ("contradiction" in kinds) == contradict(one[key], two[key])
            if "contradiction" not in kinds and RANK[two[key].status] < RANK[one[key].status]:
                assert "regression" in kinds
        swap = {"regression": "improvement", "improvement": "regression", "missing": "new", "new": "missing"}
        assert sorted((c.instance, swap.get(c.kind, c.kind)) for c in found.changes) == sorted(
            (c.instance, c.kind) for c in back.changes
        )


def contradict(one, two):
    """Whether no number lies within both pairs of bound and value, or one of them found what the other proved not to
    be.
    """
    sizes = [result.objective.get("positions") for result in (one, two)]
    if None not in sizes:
        return max(size["bound"] for size in sizes) > min(size["value"] for size in sizes)
    return {one.status, two.status} & {"OPTIMAL", "FEASIBLE"} != set() and "INFEASIBLE" in (one.status, two.status)


def test_real_runs_of_two_backends_agree():
    old = [solved(catalog.butterfly(n=n), "criterion") for n in (2, 3)]
    new = [
        replace(solved(catalog.butterfly(n=n), "cpsat"), backend="criterion", seconds=old[n - 2].seconds)
        for n in (2, 3)
    ]
    assert compare(old, new) == Comparison((), 2, 0, 0)
    worse = replace(new[1], objective={"positions": {"value": 8, "bound": 8}})
    assert [change.kind for change in compare(old, [new[0], worse]).changes] == ["contradiction"]


def test_text_says_the_worst_first_and_stops():
    new = [line("FEASIBLE", 23, 20, instance=f"{n:03}.json", digest=f"{n}") for n in range(50)]
    old = [line(instance=f"{n:03}.json", digest=f"{n}") for n in range(1, 50)]
    old.insert(0, line("INFEASIBLE", instance="000.json", digest="0"))
    text = comparison_text(compare(old, [*new, line(instance="\x1b[0m", digest="new")])).splitlines()
    assert text[0] == "50 results compared: 1 contradiction, 49 regressions, 0 improvements; 0 missing, 1 new"
    assert text[1] == "contradiction: 000.json (cpsat): INFEASIBLE, now FEASIBLE"
    assert text[2].startswith("regression: 001.json (cpsat): OPTIMAL, now FEASIBLE")
    assert text[22:] == ["regression: 29 more", "new: \\x1b[0m (cpsat): OPTIMAL, 22 positions"]


def test_record_is_json():
    record = json.loads(json.dumps(comparison_record(compare([line()], [line(None)]))))
    assert record["compared"] == 1
    assert record["changes"][0]["kind"] in KINDS


def of_file(file, root=ROOT, backend="criterion", **limits):
    """What became of a file, as a batch tells it."""
    path = root / file
    try:
        instance = load(path)
    except InvalidInstance as error:
        return failed(str(path), error.fact if not error.path else str(error).removeprefix(f"{path}: "), backend)
    return replace(solved(instance, backend, limits=Limits(**limits)), instance=str(path))


FILES = ("butterfly-4.json", "leak-shown.json", "bad/unknown-node-in-row.json", "causal_lm-8.json")


@pytest.fixture(scope="module")
def suite():
    """The manifest, and what became of a few of its files."""
    entries = expectations(ROOT / "manifest.json")
    short = [
        of_file(f"sparse/{name}.json", backend="auto", effort=1) for name in ("chain-5-layers-2", "chain-17-layers-2")
    ]
    return entries, [*(of_file(file) for file in FILES), *short]


def test_the_manifest_is_read_whole():
    entries = expectations(ROOT / "manifest.json")
    assert [entry.file for entry in entries] == [
        entry["file"] for entry in json.loads((ROOT / "manifest.json").read_text())
    ]
    assert {entry.folder for entry in entries} == {str(ROOT.resolve())}


def test_a_run_that_keeps_its_promises(suite):
    entries, results = suite
    found = compare_expected(entries, results)
    assert (found.changes, found.compared, found.missing) == ((), 6, len(entries) - 6)
    everything = compare_expected(entries, results, complete=True)
    assert {change.kind for change in everything.changes} == {"missing"}
    assert len(everything.changes) == found.missing
    assert not everything.worse


def broken(suite, place, **changed):
    """The only change that is seen when one result is another."""
    entries, results = suite
    results = [replace(result, **changed) if number == place else result for number, result in enumerate(results)]
    return [(change.kind, change.what) for change in compare_expected(entries, results).changes]


def test_each_broken_promise_is_seen(suite):
    _, results = suite
    answer = {key: getattr(results[0], key) for key in ("status", "objective", "error", "hash")}
    assert broken(suite, 0, objective={"positions": {"value": 11, "bound": 11}}) == [
        ("contradiction", "positions: 10 was proved optimal, now 11 is")
    ]
    assert broken(suite, 0, objective={"positions": {"value": 11, "bound": 9}}, status="FEASIBLE")[0][0] == "regression"
    assert broken(suite, 0, objective={}, status=None, error="gone")[0] == ("regression", "OPTIMAL, now failed (gone)")
    assert broken(suite, 0, seconds=1e6) == []
    assert broken(suite, 1, **answer) == [("contradiction", "INFEASIBLE, now OPTIMAL")]
    assert broken(suite, 2, **answer)[0][1].startswith("INVALID expected ($.tasks[0].attends")
    assert broken(suite, 2, error="other") == [
        (
            "regression",
            """the error should say: $.tasks[0].attends["b"]: unknown node 'z'; name a node of this task; it says: other""",  # noqa: E501
        )
    ]
    sparse = results[4].objective
    assert broken(
        suite, 4, objective={**sparse, "edges": {"value": sparse["edges"]["value"] + 1, "bound": 2}}, status="FEASIBLE"
    )


def test_hard_instances_must_only_not_contradict(suite):
    entries, results = suite
    hard = next(entry for entry in entries if entry.file == "sparse/chain-17-layers-2.json")
    positions = {"value": hard.positions, "bound": hard.positions}
    assert (hard.size, hard.edges, hard.bound) == ("large", 42, 42)
    for value, bound, kinds in ((50, 30, []), (42, 42, []), (41, 30, ["contradiction"]), (50, 43, ["contradiction"])):
        objective = {"positions": positions, "edges": {"value": value, "bound": bound}}
        assert [
            kind
            for kind, _ in broken(suite, 5, objective=objective, status="OPTIMAL" if value == bound else "FEASIBLE")
        ] == kinds
    assert broken(suite, 5, objective={}, status="UNKNOWN") == []
    assert broken(suite, 5, objective={}, status=None, error="out of memory")[0][0] == "regression"
    known = replace(hard, size="open", status="FEASIBLE", edges=60, bound=50)
    better = replace(
        results[5], objective={"positions": positions, "edges": {"value": 59, "bound": 51}}, status="FEASIBLE"
    )
    (change,) = compare_expected([known], [better]).changes
    assert (change.kind, change.what) == ("improvement", "edges 60, now 59; bound on edges 50, now 51")


def test_another_question_about_a_file_is_not_held_against_it(suite):
    entries, results = suite
    found = compare_expected(
        entries, [replace(results[0], layers=1, objective={"positions": {"value": 99, "bound": 99}})]
    )
    assert found == Comparison((), 0, len(entries), 1)


def test_every_backend_is_held_against_an_entry(suite):
    entries, results = suite
    both = [results[0], replace(results[0], backend="cpsat", status="UNKNOWN", objective={})]
    (change,) = compare_expected(entries, both).changes
    assert (change.backend, change.kind) == ("cpsat", "regression")


@pytest.mark.parametrize(
    ("label", "file"),
    [
        ("instances/a.json", "a.json"),
        ("/ci/checkout/instances/sub/a.json", "sub/a.json"),
        ("./instances/../instances/sub/a.json", "sub/a.json"),
        ("sub/a.json", "sub/a.json"),
        ("a.json", "a.json"),
        ("b.json", None),
        ("xa.json", None),
        ("butterfly(n=8)", None),
    ],
)
def test_files_are_known_by_their_paths(label, file, tmp_path, monkeypatch):
    folder = tmp_path / "instances"
    folder.mkdir()
    (folder / "manifest.json").write_text(
        json.dumps([{"file": name, "status": "OPTIMAL"} for name in ("a.json", "sub/a.json")])
    )
    monkeypatch.chdir(tmp_path)
    entries = expectations("instances/manifest.json")
    found = compare_expected(entries, [line(None, instance=label)], complete=True)
    missing = [Path(change.instance).relative_to(folder) for change in found.changes if change.kind == "missing"]
    assert {"a.json", "sub/a.json"} - {str(name) for name in missing} == ({file} if file else set())
    assert found.new == (file is None)


def test_a_folder_under_another_name_is_the_same_folder(tmp_path):
    (tmp_path / "link").symlink_to(ROOT)
    entries = expectations(ROOT / "manifest.json")
    assert compare_expected(entries, [of_file("butterfly-4.json", tmp_path / "link")]).compared == 1


def test_a_file_is_compared_with_whatever_it_is(tmp_path):
    (tmp_path / "old.jsonl").write_bytes(line_of(line(instance="butterfly-4.json", value=9)))
    (tmp_path / "manifest.json").write_text('[{"file": "butterfly-4.json", "status": "OPTIMAL", "positions": 9}]')
    for old in ("old.jsonl", "manifest.json"):
        found = compare_with(tmp_path / old, [line(instance="butterfly-4.json", value=10)])
        assert [change.what for change in found.changes] == ["positions: 9 was proved optimal, now 10 is"]
    (tmp_path / "none.jsonl").write_bytes(b"")
    assert compare_with(tmp_path / "none.jsonl", [line()]).new == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{}", "Expected `array`, got `object`"),
        ('[{"file": "a"}]', "missing required field `status`"),
        ('[{"file": "a", "status": "DONE"}]', "Invalid enum value 'DONE'"),
        ("[", "Input data was truncated"),
        (
            '[{"file": "a.json", "status": "FEASIBLE", "edges": 5, "bound": 7}]',
            "a.json: expected a bound of at most the 5 edges known, got 7",
        ),
    ],
)
def test_other_files_are_no_manifests(text, fault, tmp_path):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(InvalidInstance) as caught:
        expectations(tmp_path / "m.json")
    assert str(caught.value).startswith(f"{tmp_path}/m.json: not a manifest: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_messages_are_compared_without_regard_to_their_white_space():
    entry = Expectation("a.json", "INVALID", message="two\n lines")
    assert compare_expected([entry], [line(None, error="a.json: two lines; remedy")]).changes == ()
