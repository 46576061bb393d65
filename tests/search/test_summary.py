"""Tables and cactus plots of batches."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from masksynth import Limits, catalog, solve
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.search import Result
from masksynth.search import summary as summary_module
from masksynth.search.cactus import STEPS, draw_cactus, steps, write_cactus
from masksynth.search.result import Request, failure, line_of, result_from
from masksynth.search.summary import summary, summary_record, summary_text
from masksynth.tasks.instance_files import content_hash


def solved(instance, backend="criterion", **asked):
    """A real answer as a result."""
    limits = asked.pop("limits", Limits())
    answer = solve(instance, backend=backend, limits=limits, **asked)
    question = (asked.get("layers", instance.layers), asked.get("sparse", instance.sparse))
    request = Request(instance.name, content_hash(instance.family), backend, *question, limits)
    return result_from(request, answer, answer.seconds)


def failed(name, reason, backend="cpsat", limits=None, seconds=0.0):
    """A failure of an instance that could not be read."""
    return failure(Request(name, None, backend, None, False, limits or Limits()), reason, seconds)


def made(status="OPTIMAL", backend="cpsat", seconds=1.0, instance="a", error=None, winner="cpsat"):
    return Result(instance, "00", backend, None, False, status, {}, winner, seconds, error, {}, {})


@pytest.fixture(scope="module")
def batch():
    """Answers of two backends, proved and stopped, and failures."""
    results = [solved(catalog.butterfly(n=n), backend) for n in (2, 3, 4) for backend in ("criterion", "cpsat")]
    results.append(solved(catalog.butterfly(n=6), "cpsat", limits=Limits(seconds=0)))
    results += [failed(f"{n}.json", f"{n}.json: the worker died (SIGKILL) after {n} s", seconds=n) for n in (3, 1, 2)]
    return [*results, failed("bad.json", "not JSON")]


def test_counts_of_a_real_batch(batch):
    cpsat, criterion = summary(iter(batch))
    assert (criterion.backend, criterion.instances, criterion.proved, criterion.failed) == ("criterion", 3, 3, 0)
    assert (cpsat.instances, cpsat.proved, cpsat.feasible + cpsat.unknown, cpsat.failed) == (8, 3, 1, 4)
    assert cpsat.reasons == (("the worker died (SIGKILL) after 1 s", 3), ("not JSON", 1))
    times = [result.seconds for result in batch if result.backend == "cpsat"]
    assert cpsat.total == pytest.approx(sum(times))
    assert (cpsat.median, cpsat.most) == (np.median(times), 3)
    assert cpsat.winners == {"cpsat": 4}


def test_every_line_is_in_one_class():
    for status in ("OPTIMAL", "INFEASIBLE", "FEASIBLE", "UNKNOWN", None):
        (found,) = summary([made(status, error=None if status else "no")])
        counts = {"proved": found.proved, "feasible": found.feasible, "unknown": found.unknown, "failed": found.failed}
        assert sum(counts.values()) == found.instances == 1
        wanted = {"OPTIMAL": "proved", "INFEASIBLE": "proved", None: "failed"}.get(status, str(status).lower())
        assert counts[wanted] == 1


def test_order_of_the_lines_does_not_matter(batch):
    assert summary(batch) == summary(reversed(batch))
    assert summary_text(summary(batch)) == summary_text(summary(reversed(batch)))


def test_text_is_a_table_with_reasons(batch):
    head, *rows = summary_text(summary(batch)).splitlines()
    assert re.split("  +", head) == list(summary_module.HEAD)
    assert rows[0].split()[:3] == ["cpsat", "8", "3"]
    assert (rows[0].split()[5], rows[0].split()[8]) == ("4", "3.00")
    assert len({len(line) for line in (head, *rows[:2])}) == 1
    assert rows[2:] == ["cpsat failed 3 x: the worker died (SIGKILL) after 1 s", "cpsat failed 1 x: not JSON"]
    assert summary_text(()) == "no results"


def test_text_of_a_portfolio_says_who_won_and_escapes_what_a_terminal_obeys():
    lines = [made(backend="cpsat,maxsat", winner="cpsat"), made(backend="cpsat,maxsat", winner="maxsat")]
    lines.append(made(None, backend="cpsat,maxsat", winner=None, error="\x1b[31mred"))
    text = summary_text(summary(lines))
    assert "cpsat,maxsat: answers by cpsat (1), maxsat (1)" in text
    assert "\\x1b[31mred" in text
    assert text.replace("\n", "").isprintable()


def test_reasons_without_end_are_bounded(monkeypatch):
    monkeypatch.setattr(summary_module, "REASONS", 3)
    words = ["commonest", *("x" * size for size in range(1, 10)), "commonest"]
    (found,) = summary(made(None, error=word) for word in words)
    assert len(found.reasons) == 4
    assert sum(number for _, number in found.reasons) == found.failed == 11
    assert dict(found.reasons) == {"other reasons": 7, "commonest": 2, "x": 1, "xx": 1}


def test_record_is_json(batch):
    record = json.loads(json.dumps(summary_record(summary(batch))))
    assert [entry["backend"] for entry in record] == ["cpsat", "criterion"]
    assert record[0]["reasons"][1] == {"reason": "not JSON", "count": 1}
    assert set(record[0]["seconds"]) == {"total", "median", "max"}


def test_summary_goes_through_a_generator_once_and_keeps_numbers_only():
    (found,) = summary(made(seconds=n / 1000) for n in range(50_000))
    assert found.proved_seconds.nbytes == found.seconds.nbytes == 400_000
    assert found.most == 49.999
    with pytest.raises(ValueError, match="read-only"):
        found.seconds[0] = 1


def test_steps_of_a_curve_count_exactly():
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, STEPS + 1, 20_000):
        seconds = np.sort(rng.lognormal(-1, 2, size))
        times, counts = steps(seconds, 0.001, 1e5)
        assert counts[-1] == size
        assert len(times) <= STEPS + 2
        assert all(counts[i] == (seconds <= times[i]).sum() for i in range(1, len(times), 50))


def test_plots_are_the_same_twice_and_tell_every_backend(batch, tmp_path):
    program = (
        "import sys; from masksynth.search.book import read_results; from masksynth.search.cactus import write_cactus\n"
        "from masksynth.search.summary import summary\n"
        "[write_cactus(name, summary(read_results(sys.argv[1]))) for name in sys.argv[2:]]\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    (tmp_path / "r.jsonl").write_bytes(b"".join(map(line_of, batch)))
    for side in ("one", "two"):
        names = [str(tmp_path / f"{side}.{ending}") for ending in ("svg", "png", "pdf")]
        seed = {"PYTHONHASHSEED": str(len(side) * 7 + ord(side[0])), "SOURCE_DATE_EPOCH": str(ord(side[0]))}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, str(tmp_path / "r.jsonl"), *names],
            env={**os.environ, **seed}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    for ending, magic in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        content = (tmp_path / f"one.{ending}").read_bytes()
        assert content.startswith(magic)
        assert content == (tmp_path / f"two.{ending}").read_bytes()
    text = (tmp_path / "one.svg").read_text()
    assert ">cpsat (3 of 8)<" in text
    assert ">criterion (3 of 3)<" in text
    assert ">proved instances<" in text


def test_plots_of_nothing_and_of_nothing_proved(tmp_path):
    write_cactus(tmp_path / "none.svg", summary([]))
    text = write_cactus(
        tmp_path / "zero.svg", summary([made("UNKNOWN", seconds=0.0), made(None, error="no", seconds=0.0)])
    ).read_text()
    assert ">cpsat (0)<" in text
    assert ">proved, of 2 instances<" in text


def test_plot_of_forty_backends_names_them_all_inside_the_picture(tmp_path):
    lines = [made(backend=f"backend-{n:02},{'x' * n}", seconds=1 + n) for n in range(40)]
    text = write_cactus(tmp_path / "many.svg", summary(lines)).read_text()
    height = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', text)[1])
    places = {name: float(y) for y, name in re.findall(r"translate\([\d.]+ ([\d.]+)\)[^>]*>(backend-\d\d)", text)} or {
        name: float(y) for y, name in re.findall(r'y="([\d.]+)"[^>]*>(backend-\d\d)', text)
    }
    assert len(places) == 40
    assert 0 < min(places.values()) < max(places.values()) < height
    assert sorted(places, key=places.get) == [f"backend-{n:02}" for n in range(40)]  # all proved one: the faster first


def test_names_are_drawn_as_they_are(tmp_path):
    text = write_cactus(tmp_path / "odd.svg", summary([made(backend="_a$x$<b>&")])).read_text()
    assert "_a$x$&lt;b&gt;&amp; (1)" in text


def test_plots_are_refused_before_they_are_drawn(tmp_path):
    with pytest.raises(InvalidInstance, match=r"ends in '\.gif'; name a \.svg, \.png or \.pdf file"):
        write_cactus(tmp_path / "plot.gif", ())
    (tmp_path / "plot.svg").write_text("mine")
    with pytest.raises(InvalidInstance, match="already exists"):
        write_cactus(tmp_path / "plot.svg", ())
    assert (tmp_path / "plot.svg").read_text() == "mine"
    draw_cactus(tmp_path / "plot.svg", {"a": [1.0]}, {"a": 1}, 2.0, force=True)
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    with pytest.raises(MasksynthError, match="cannot be written"):
        write_cactus(tmp_path / "plot.svg" / "inside.svg", ())
    assert write_cactus(tmp_path / "new" / "plot.svg", ()).is_file()  # parents are made
