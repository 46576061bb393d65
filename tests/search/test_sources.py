"""What a batch is made of, from Python and as the command reads it."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth import catalog
from masksynth.cli import main
from masksynth.errors import InvalidInstance
from masksynth.search.entries import Unreadable, entries, instance_in, paths, sweep
from masksynth.tasks.instance_files import content_hash, dumps


@pytest.fixture
def folder(tmp_path):
    for name, n in (("b.json", 4), ("sub/a.json", 5), ("sub/deeper/c.json", 6)):
        path = tmp_path / "suite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dumps(catalog.butterfly(n=n)))
    (tmp_path / "suite/manifest.json").write_text("[]")
    (tmp_path / "suite/notes.txt").write_text("none")
    (tmp_path / "suite/loop").symlink_to(tmp_path / "suite")
    return tmp_path / "suite"


def told(instances):
    return [(entry.name, instance_in(entry).name) for entry in entries(instances)]


def test_a_folder_is_every_instance_below_it_in_order(folder):
    found = [
        (f"{folder}/b.json", "butterfly-4"),
        (f"{folder}/sub/a.json", "butterfly-5"),
        (f"{folder}/sub/deeper/c.json", "butterfly-6"),
    ]
    assert told(folder) == told(str(folder)) == told([folder]) == found
    assert told(f"{folder}/**/*.json") == found
    assert told(f"{folder}/*.json") == found[:1]
    assert told([folder / "sub/a.json", catalog.butterfly(n=3), f"{folder}/b.json"]) == [
        found[1],
        ("butterfly-3", "butterfly-3"),
        found[0],
    ]


def test_a_name_with_magic_letters_is_a_file_if_it_is_there(folder):
    odd = folder / "x[1].json"
    odd.write_text(dumps(catalog.butterfly(n=3)))
    assert paths(str(odd)) == [str(odd)]


def test_wrong_arguments_are_refused_at_once_and_wrong_members_are_entries(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for wrong, fact in (
        (tmp_path / "none.json", "no such file"),
        (tmp_path / "empty", r"no \*\.json below"),
        (f"{folder}/*.jsn", "no such file"),
    ):
        with pytest.raises(InvalidInstance, match=fact):
            entries(wrong)
    for wrong in (3, None):
        with pytest.raises(InvalidInstance, match="expected instances, got"):
            entries(wrong)
    found = list(entries([tmp_path / "none.json", 3, folder / "b.json"]))
    assert [isinstance(entry.content, Unreadable) for entry in found] == [True, True, False]
    assert found[1].name == "#1"


def test_a_pipe_without_a_writer_does_not_stop_a_batch(folder):
    os.mkfifo(folder / "a.json")
    (first, *_) = entries(folder)
    assert first.content == Unreadable("not a regular file")


def test_a_sweep_is_every_combination_in_order():
    names = [entry.name for entry in sweep("prefix_lm", n=range(4, 6), P=[1, 2])]
    assert names == [f"prefix_lm(n={n}, P={p})" for n, p in itertools.product((4, 5), (1, 2))]
    (one,) = sweep("packed_docs", lengths=(3, 4))
    assert content_hash(instance_in(one).family) == content_hash(catalog.packed_docs(lengths=(3, 4)).family)
    assert len(list(sweep("packed_docs", lengths=[(3, 4), (5,)]))) == 2
    assert [entry.name for entry in sweep("butterfly")] == ["butterfly()"]
    for wrong in ({"family": "moth"}, {"family": "butterfly", "m": 3}):
        with pytest.raises(InvalidInstance, match=r"unknown family 'moth'|no parameter 'm'; its parameters are n"):
            sweep(**wrong)


def lines(*arguments):
    done = CliRunner().invoke(main, ["search", *arguments, "--jobs", "1", "--backend", "criterion", "--ordered"])
    return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("flags", "values"),
    [
        (["--n", "3..5"], [3, 4, 5]),
        (["--n=3..9..3"], [3, 6, 9]),
        (["--n", "4,3,5..6"], [4, 3, 5, 6]),
        (["--n", "3", "--n", "5"], [3, 5]),
    ],
)
def test_the_command_reads_ranges(flags, values):
    done, found = lines("--family", "butterfly", *flags)
    assert done.exit_code == 0
    assert [line["instance"] for line in found] == [f"butterfly(n={n})" for n in values]
    assert [line["objective"]["positions"]["value"] for line in found] == [
        len(ms.solve(catalog.butterfly(n=n)).merged.positions) for n in values
    ]


def test_the_command_takes_lists_files_and_stdin_together(folder):
    _, found = lines("--family", "packed_docs", "--lengths", "3,4", "--lengths", "2", str(folder / "b.json"))
    assert [line["instance"] for line in found] == [
        f"{folder}/b.json",
        "packed_docs(lengths=(3, 4))",
        "packed_docs(lengths=(2,))",
    ]
    piped = CliRunner().invoke(main, ["search", "-", "--jobs", "1"], input=f"{folder}/sub/a.json\n{folder}/none.json\n")
    assert piped.exit_code == 1
    assert {json.loads(line)["instance"] for line in piped.stdout.splitlines()} == {
        f"{folder}/sub/a.json",
        f"{folder}/none.json",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to search"),
        (["--n", "4..6"], "No such option"),
        (["-x"], "No such option"),
        (["--family", "butterfly", "--n", "6..4"], "expected a number, an ascending range such as 4..64 or a list"),
        (["--family", "butterfly", "--n", "4..x"], "expected a number"),
        (["--family", "butterfly", "--n"], "requires an argument"),
        (["--family", "butterfly", "--jbos", "2"], "butterfly has no parameter 'jbos'; its parameters are n"),
        (["--family", "moth", "--n", "2"], "unknown family 'moth'"),
        (["none.json"], "no such file"),
        (["a.jsonl", "--family", "butterfly"], "omit instances, --family, -o"),
        (["--family", "butterfly", "--resume"], "need -o"),
        (["--family", "butterfly", "--report"], "need -o"),
        (["--family", "butterfly", "-o", "x.jsonl", "--resume", "--force"], "give one of them"),
        (["--family", "butterfly", "--backend", "cpsat,,maxsat"], "unknown backend ''"),
        (["--family", "butterfly", "--budget", "-1"], "'--budget': expected a number above 0, got -1.0"),
        (["--family", "butterfly", "--time-limit", "nan"], "seconds: expected a number from 0 to 1e9, got nan"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["search", *arguments])
    assert done.exit_code == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", [[], {}, None, 3])
def test_a_family_that_is_no_name(family):
    with pytest.raises(InvalidInstance, match=r"^unknown family .*; choose from causal_lm, "):
        sweep(family)


def test_the_parents_of_the_results_are_made(folder, tmp_path):
    target = tmp_path / "new" / "deep" / "results.jsonl"
    done = CliRunner().invoke(main, ["search", str(folder / "b.json"), "--jobs", "1", "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert json.loads(target.read_text())["status"] == "OPTIMAL"
