"""What a report says and carries, without a browser."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth.audit import Finding, Labels, Subject, audit, read_subject, subject_of_merged
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.mask import Mask
from masksynth.pack import pack_samples
from masksynth.report import report_html, write_report
from masksynth.report.hasse_data import hasse_data
from masksynth.report.merge_reasons import position_occupants
from masksynth.report.page_rows import block_rows, page_rows
from masksynth.report.page_text import Names, cut
from masksynth.statistics import convergence

VENDOR = Path(ms.__file__).parent / "report" / "vendor"
D3 = "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539"


class Reader(html.parser.HTMLParser):
    """Scripts, policy and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.policy, self.addresses, self.inside = [], "", [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        self.inside = tag == "script"
        if tag == "script":
            self.scripts.append("")
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = told["content"]
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action")]

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, text):
        if self.inside:
            self.scripts[-1] += text


def data_of(text):
    return json.loads(Reader(text).scripts[0])


def test_the_library_is_the_published_file():
    assert sha256((VENDOR / "d3.min.js").read_bytes()).hexdigest() == D3
    assert (VENDOR / "LICENSE.d3").read_text() in report_html(Subject(Mask.from_intervals([[]]), "empty"))


def test_the_policy_names_exactly_the_two_scripts():
    page = Reader(report_html(Subject(Mask.from_dense(np.eye(2, dtype=bool)), "two")))
    hashes = [f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'" for script in page.scripts[1:]]
    assert f"script-src {hashes[0]} {hashes[1]};" in page.policy
    assert page.policy.startswith("default-src 'none';")
    assert "unsafe" not in page.policy
    assert page.addresses == ["data:,", "#details"]


def test_equal_answers_give_equal_bytes():
    asked = ms.catalog.prefix_lm(n=5, P=2)
    assert report_html(asked, answer=ms.solve(asked)) == report_html(asked, answer=ms.solve(asked))


def test_every_family_of_the_catalogue_has_a_report():
    for name in ms.catalog.FAMILIES:
        asked = getattr(ms.catalog, name)()
        answer = ms.solve(asked, backend="criterion")
        data = data_of(report_html(asked, answer=answer))
        merged = answer.merged
        assert len(data["units"]) == len(merged.positions)
        assert sum(unit["nodes_total"] for unit in data["units"]) == sum(map(len, merged.embeddings.values()))
        assert sum(unit["labels_total"] for unit in data["units"]) == len(merged.loss_edges)
        for table, rows in enumerate(data["tables"]):
            for place, row in enumerate(rows):
                assert tuple(zip(row["full"][::2], row["full"][1::2], strict=True)) == merged.mask.intervals(
                    place, table
                )
        assert data["depth"] == ("at any depth" if asked.layers is None else f"within {asked.layers} layers")
        if asked.layers is None:
            assert all("different rows" not in unit["why"] for unit in data["units"])


def test_a_sparse_answer_tells_its_edges():
    asked = ms.load(Path(__file__).parents[2] / "instances" / "sparse" / "chain-12-layers-2.json")
    facts = dict(data_of(report_html(asked, answer=ms.solve(asked)))["facts"])
    assert "at least" in facts["Edges"]


def test_an_audit_tells_what_was_and_was_not_checked():
    subject = Subject(Mask.from_intervals([[((0, 1),), (), ((0, 3),)]]), "holes")
    data = data_of(report_html(subject, findings=audit(subject)))
    facts = dict(data["facts"])
    assert "MS005 empty row" in facts["Checked"]
    assert "MS002 missing context (needs a family or samples)" in facts["Not checked"]
    assert [finding["position"] for finding in data["findings"] if finding["code"] == "MS005"] == [1]
    assert data["grade"] == "bad"
    assert [file["name"] for file in data["downloads"]] == ["mask.npz", "findings.json"]


def test_the_carried_mask_is_the_mask():
    for size in (5, 2000):
        mask = Mask.from_intervals([[((max(0, q - 3), q + 1),) for q in range(size)]])
        file = data_of(report_html(Subject(mask, "band")))["downloads"][0]
        arrays = np.load(io.BytesIO(base64.b64decode(file["base64"])))
        back = (
            Mask.from_dense(arrays["mask"])
            if "mask" in arrays
            else Mask(*(arrays[n] for n in ("row_offset", "key_start", "key_end")))
        )
        assert back == mask


def test_a_packed_batch_tells_its_samples(tmp_path):
    pack_samples(
        [{"id": name, "input_ids": [1, 2, last], "labels": [-100, -100, last]} for name, last in (("a", 3), ("b", 4))],
        tmp_path / "packed",
    )
    data = data_of(report_html(read_subject(tmp_path / "packed")))
    first, second, *last = data["units"]
    assert first["why"] == "2 tokens of 2 samples share this position: equal tokens with equal contexts."
    assert [name for _, name in second["nodes"]] == ["live token 1"] * 2
    assert [label for label, _weight, _name in second["labels"]] == ["3", "4"]
    assert all(unit["nodes_total"] == 0 for unit in last)


def test_large_pages_stay_small():
    size = 131_072
    mask = Mask.from_intervals(
        [[((0, 4), (max(4, q - 100), q + 1)) if q > 104 else ((0, q + 1),) for q in range(size)]]
    )
    findings = [Finding("MS007", "warning", at, {"text": "y" * 5000}, "z" * 5000, "x" * 5000) for at in range(3000)]
    text = report_html(Subject(mask, "large", inputs=("w" * 1000,) * size), findings=findings)
    assert len(text) < 6_000_000
    data = data_of(text)
    assert len(data["findings"]) == 1000
    assert data["findings_left_out"] == 2000
    assert [file["name"] for file in data["downloads"] if "note" in file] == ["findings.json"]


def test_within_layers_only_what_flows_within_them_reaches():
    window = Mask.from_intervals([[((max(0, q - 1), q + 1),) for q in range(9)]])
    assert hasse_data(Subject(window, "", layers=3))["reach"][8] == [5, 9]
    assert hasse_data(Subject(window, ""))["reach"][8] == [0, 9]


def test_many_long_names_stay_small():
    from masksynth.tasks import Node, Prediction, Task, TaskFamily

    long = "n" * 3000
    nodes = [Node(f"{place}{long}", f"{place}{long}", place) for place in range(40)]
    rows = {node.name: [node.name] for node in nodes}
    tasks = [
        Task(f"{number}{long}", nodes, rows, [Prediction(node.name, long) for node in nodes]) for number in range(50)
    ]
    asked = ms.Instance(TaskFamily(tasks), long)
    assert len(report_html(asked, answer=ms.solve(asked, backend="criterion"))) < 6_000_000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.data())
def test_the_diagram_reaches_what_the_mask_reaches(size, data):
    rows = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=size, max_size=size)), bool
    )
    found = hasse_data(Subject(Mask.from_dense(rows), ""))
    flow = convergence(Mask.from_dense(rows)).flow.dense()
    assert sorted(place for box in found["boxes"] for place in box[5]) == list(range(size))
    reach = np.eye(len(found["boxes"]), dtype=bool)
    for _ in found["boxes"]:
        for low, up, _line in found["lines"]:
            reach[up] |= reach[low]
    home = {place: number for number, box in enumerate(found["boxes"]) for place in box[5]}
    assert all(flow[q, k] == reach[home[q], home[k]] for q in range(size) for k in range(size))
    for number, (x, y, wide, high, *_) in enumerate(found["boxes"]):
        assert all(
            x + wide <= u or u + across <= x or y + high <= v or v + tall <= y
            for u, v, across, tall, *_ in found["boxes"][:number]
        )
        assert min(x, y) >= 0
        assert x + wide <= found["width"] + 0.02
        assert y + high <= found["height"] + 0.02


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 5), st.data())
def test_blocks_are_the_blocks_of_the_dense_mask(size, step, data):
    rows = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=size, max_size=size)), bool
    )
    high = -(-size // step)
    for at, row in enumerate(block_rows(Mask.from_dense(rows), 0, step)):
        for key in range(high):
            block = rows[at * step : (at + 1) * step, key * step : (key + 1) * step]
            shown = {
                kind
                for kind in ("full", "part")
                if any(a <= key < b for a, b in zip(row[kind][::2], row[kind][1::2], strict=True))
            }
            assert shown == (set() if not block.any() else {"full"} if block.sum() == step * step else {"part"})


def test_copies_say_that_they_are_copies():
    asked = ms.catalog.tabpfn_duplicates()
    merged = ms.solve(asked).merged
    subject = subject_of_merged(merged, "x")
    taken = {place for places in merged.embeddings.values() for place in places.values()}
    found = position_occupants(subject)
    for place in range(subject.size):
        assert found[place].why.startswith("A copy") == (place not in taken)


def test_numbers_that_are_not_json_are_shown():
    labels = Labels(
        np.array([0, 1]), (1, 2), np.array([np.nan, np.inf]), np.array([0, 0]), (), ((), ()), np.array([-1, -1])
    )
    finding = Finding("MS011", "note", 0, {"value": float("-inf"), "at": np.int64(3)}, "", "")
    data = data_of(
        report_html(Subject(Mask.from_dense(np.eye(2, dtype=bool)), "odd", labels=labels), findings=[finding])
    )
    assert [unit["labels"][0][1] for unit in data["units"]] == ["nan", "inf"]
    assert "-inf" in data["findings"][0]["witness"]


def test_large_families_rest_on_the_checker(monkeypatch):
    monkeypatch.setattr("masksynth.report.merge_reasons.MOST_ENTRIES", 10)
    asked = ms.catalog.causal_lm(n=5)
    answer = ms.solve(asked)
    why = [unit["why"] for unit in data_of(report_html(asked, answer=answer))["units"]]
    assert why[0].endswith("and each node sees exactly what this position sees, as the checker confirmed.")
    alone = [unit["why"] for unit in data_of(report_html(answer.merged))["units"]]
    assert alone[0].endswith("the family is not known, so their rows are not compared here.")


def test_control_characters_are_escaped():
    assert cut("a\u202eb\x00\n") == "a\\u202eb\\x00\\n"


def test_what_cannot_be_shown_is_refused():
    asked = ms.catalog.butterfly(n=4)
    with pytest.raises(InvalidInstance, match="an instance without its answer"):
        report_html(asked)
    with pytest.raises(InvalidInstance, match="cannot show int"):
        report_html(3)


def test_a_report_replaces_a_file_whole_or_not_at_all(tmp_path):
    subject = Subject(Mask.from_dense(np.eye(2, dtype=bool)), "two")
    target = tmp_path / "report.html"
    target.write_text("<!doctype html>old")
    os.umask(before := os.umask(0))
    with pytest.raises(InvalidInstance, match=r"report.html: already exists; choose another name or give --force"):
        write_report(target, subject)
    assert target.read_text() == "<!doctype html>old"
    assert write_report(target, subject, force=True) == target
    assert target.read_text(encoding="utf-8") == report_html(subject)
    assert target.stat().st_mode & 0o777 == 0o666 & ~before
    assert os.listdir(tmp_path) == ["report.html"]
    assert write_report(tmp_path / "made" / "report.html", subject).exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInstance, match="is a folder"):
        write_report(tmp_path / "folder", subject, force=True)
    with pytest.raises(MasksynthError, match=f"{'n' * 250}.*the report cannot be written: File name too long"):
        write_report(tmp_path / ("n" * 300 + ".html"), subject)
    assert sorted(os.listdir(tmp_path)) == ["folder", "made", "report.html"]


def test_tables_beyond_the_limit_are_counted():
    mask = Mask.from_intervals([[((q % 2, q % 2 + 1),) for q in range(2000)]] * 10)
    found = page_rows(Subject(mask, "many"), Names())
    assert (len(found["tables"]), found["left_out"]) == (8, 2)
