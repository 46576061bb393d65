"""The page as people use it: mouse, keyboard, screen reader, hostile names, in a real browser."""

from __future__ import annotations

import base64
import json
import socket

import numpy as np
import pytest

import masksynth as ms
from masksynth.audit import Finding, Subject, audit
from masksynth.mask import Mask
from masksynth.report import write_report
from masksynth.subject.token_file import with_tokens
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily

ATTACK = "window.ran = true"
HOSTILE = (
    f"<script>{ATTACK}</script>",
    f"</script><script>{ATTACK}</script><!--",
    f"<img src=x onerror='{ATTACK}'>",
    f"\"'><svg/onload={ATTACK}>",
    f"javascript:{ATTACK}",
    f"${{{ATTACK}}}`{{{{constructor.constructor('{ATTACK}')()}}}}",
    "&lt;b&gt; &amp; \u2028\u2029",
    "\u202eabc\u0000\u001b[31m",
    "שלום עולם",
    "https://example.org/image.png",
    "__proto__",
    "@@DATA@@",
    "x" * 100_000,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def butterfly(folder):
    asked = ms.catalog.butterfly(n=4)
    return write_report(folder / "butterfly.html", asked, answer=ms.solve(asked))


def hostile_instance():
    nodes = [Node(name, name, place, name[:50], carries=()) for place, name in enumerate(HOSTILE)]
    rows = {name: HOSTILE[: place + 1] for place, name in enumerate(HOSTILE)}
    tasks = [Task(name, nodes, rows, [Prediction(name, name)]) for name in HOSTILE]
    return Instance(TaskFamily(tasks), f"</title>{HOSTILE[1]}")


@pytest.fixture(scope="module")
def hostile(folder):
    asked = hostile_instance()
    findings = [
        Finding("MS001", "error", at, {"path": [name], name: name}, name, f"{at} {name}")
        for at, name in enumerate(HOSTILE)
    ]
    return write_report(folder / "hostile.html", asked, answer=ms.solve(asked), findings=findings)


@pytest.fixture(scope="module")
def large(folder):
    size = 20_000
    mask = Mask.from_intervals([[((max(0, q - 999), q + 1),) for q in range(size)]])
    findings = [Finding("MS007", "warning", 12_345, {}, "drop it", "position 12345 is dead")]
    return write_report(folder / "large.html", Subject(mask, "window"), findings=findings)


def test_the_summary_says_what_was_found_and_checked(page, butterfly):
    page.open(butterfly)
    summary = page.text("#facts")
    assert page.text("#title") == "butterfly-4"
    assert page.text("#verdict") == "OPTIMAL"
    assert "10 positions instead of 16 task nodes; at least 10 are needed" in summary
    assert "criterion found 10 with bound 10" in summary
    assert "minimality" in summary
    assert page.driver.title == "butterfly-4 – masksynth report"


def test_a_click_on_a_position_shows_it_everywhere(page, butterfly):
    page.open(butterfly)
    merged = ms.solve(ms.catalog.butterfly(n=4)).merged
    page.one("#chip-4 rect").click()
    assert page.picked() == (["row-4"], ["chip-4"], "Position 4")
    near = {element.get_attribute("id") for element in page.all("#diagram .chip.near")}
    assert near == {f"chip-{key}" for key in merged.mask.row(4) if key != 4}
    assert f"input {merged.positions[4].input}, position id {merged.positions[4].position}, sees " in page.said()
    assert (
        page.one("#chip-4").get_attribute("aria-selected")
        == page.one("#row-4").get_attribute("aria-selected")
        == "true"
    )
    assert page.js("return document.getElementById('diagram').getAttribute('aria-activedescendant')") == "chip-4"


def test_a_click_on_a_line_of_the_mask_shows_it_in_the_diagram(page, butterfly):
    page.open(butterfly)
    page.one("#row-6 .hit").click()
    assert page.picked() == (["row-6"], ["chip-6"], "Position 6")


def test_the_facts_say_who_stands_there_and_why(page, butterfly):
    page.open(butterfly)
    merged = ms.solve(ms.catalog.butterfly(n=4)).merged
    here = [(task, node) for task, places in merged.embeddings.items() for node, place in places.items() if place == 0]
    page.one("#row-0 .hit").click()
    body = page.text("#details-body")
    assert len(here) == 3
    assert (
        "3 nodes of 3 tasks share this position: equal input, position id and kind, and equal rows, "
        "which read position 0." in body
    )
    assert all(f"{task} {node}" in body for task, node in here)
    edge = merged.loss_edges[0]
    page.one(f"#row-{edge.position} .hit").click()
    assert f"{merged.labels[edge.label]} 1.0 {merged.tasks[edge.task]}" in page.text("#details-body")


def test_hovering_shows_and_leaving_returns(page, butterfly):
    from selenium.webdriver import ActionChains

    page.open(butterfly)
    page.one("#row-2 .hit").click()
    ActionChains(page.driver).move_to_element(page.one("#chip-5 rect")).perform()
    assert page.picked() == (["row-5"], ["chip-5"], "Position 5")
    ActionChains(page.driver).move_to_element(page.one("#title")).perform()
    assert page.picked() == (["row-2"], ["chip-2"], "Position 2")


def test_keys_move_the_selection(page, butterfly):
    from selenium.webdriver.common.keys import Keys

    page.open(butterfly)
    page.keys("#mask", Keys.HOME)
    assert page.picked()[2] == "Position 0"
    page.keys("#mask", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert page.picked() == (["row-1"], ["chip-1"], "Position 1")
    assert page.said().startswith("Position 1, input ")
    page.keys("#mask", Keys.END)
    assert page.picked()[2] == "Position 9"
    page.keys("#diagram", Keys.HOME, Keys.ARROW_RIGHT)
    assert page.picked()[2] == "Position 1"
    page.keys("#diagram", Keys.ARROW_DOWN)
    merged = ms.solve(ms.catalog.butterfly(n=4)).merged
    assert page.picked()[2] in {f"Position {key}" for key in merged.mask.row(1)} - {"Position 1"}
    page.keys("#diagram", Keys.ENTER)
    assert page.driver.switch_to.active_element.get_attribute("id") == "details"


def test_everything_is_reached_by_tab_and_has_a_name(page, butterfly):
    from selenium.webdriver.common.keys import Keys

    page.open(butterfly)
    reached = []
    for _ in range(14):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.driver.switch_to.active_element)
    ids = [element.get_attribute("id") for element in reached]
    assert {"diagram", "mask", "goto", "zoom-in", "zoom-out", "zoom-fit", "zoom-here"} <= set(ids)
    assert all(
        element.accessible_name
        for element in reached
        if element.get_attribute("id") in {"diagram", "mask", "goto", "zoom-in"}
    )
    assert [
        element.aria_role
        for element in (page.one("#diagram"), page.one("#chip-0"), page.one("#mask"), page.one("#row-0"))
    ] == [
        "listbox",
        "option",
    ] * 2
    assert page.one("#row-3").accessible_name.startswith("Position 3, input ")
    assert page.one("#live").aria_role == "status"


def test_a_number_goes_to_a_position(page, butterfly):
    from selenium.webdriver.common.keys import Keys

    page.open(butterfly)
    field = page.one("#goto")
    field.clear()
    field.send_keys("3", Keys.TAB)
    assert page.picked()[2] == "Position 3"
    field.clear()
    field.send_keys("999", Keys.TAB)
    assert page.picked()[2] == "Position 3"


def test_the_table_of_positions_has_headers_and_follows(page, butterfly):
    page.open(butterfly)
    page.one("#positions-details summary").click()
    assert [element.text for element in page.all("#positions thead th[scope=col]")][:3] == [
        "Position",
        "Input",
        "Position id",
    ]
    assert len(page.all("#positions tbody th[scope=row]")) == 10
    page.all("#positions tbody button")[7].click()
    assert page.picked()[2] == "Position 7"
    assert page.all("#positions tbody tr")[7].get_attribute("aria-current") == "true"


def test_findings_jump(page, hostile):
    page.open(hostile)
    assert page.text("#verdict") == f"OPTIMAL; {len(HOSTILE)} errors"
    buttons = page.all("#findings tbody button")
    buttons[5].click()
    assert page.picked()[2] == "Position 5"
    assert page.driver.switch_to.active_element.get_attribute("id") == "details"
    assert "MS001 error: 5 " in page.text("#details-body")


def test_a_leak_is_followed_along_its_path(page, folder):
    rows = np.tril(np.ones((5, 5), bool))
    rows[1, 3] = True
    tokens = {"inputs": list("abcde"), "labels": [[2, "d", ["d"]]]}
    subject = with_tokens(Subject(Mask.from_dense(rows), "peek"), tokens)
    page.open(write_report(folder / "peek.html", subject, findings=audit(subject)))
    assert page.text("#verdict").startswith("1 error")
    assert page.picked()[2] == "Position 2"
    path = page.all("#details-body li button")
    assert page.one("#details-body li p").text == "3 → 1 → 2"
    path[1].click()
    assert page.picked() == (["row-1"], ["chip-1"], "Position 1")


def test_hostile_names_are_text_and_nothing_runs(page, hostile):
    page.open(hostile)
    for place, name in enumerate(HOSTILE):
        page.one(f"#row-{place} .hit").click()
        shown = page.js("return document.querySelector('#details-body dd').textContent")
        visible = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name[:500])
        assert shown == (visible if len(name) <= 500 else f"{visible}… (100,000 characters)")
    assert page.js("return window.ran === undefined && document.title.startsWith('</title></script><script>')")
    assert page.js("return document.querySelectorAll('script').length") == 3
    assert page.all("body img, body iframe, body object, svg script, [onload], [onerror]") == []
    assert {element.get_attribute("href")[:5] for element in page.all("main a")} == {"data:"}
    assert page.js(
        "return Object.prototype.ran === undefined && document.documentElement.scrollWidth <= window.innerWidth"
    )


def test_the_policy_lets_nothing_else_run_or_leave(page, butterfly):
    """What an attacker would do if text ever became markup: the browser refuses, and no server is reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        page.open(butterfly)
        page.js(
            "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
            "document.body.append(script);"
            "const image = document.createElement('img'); image.src = arguments[0]; document.body.append(image);",
            address,
        )
        sent = "const [address, done] = arguments; fetch(address).then(() => done('sent'), () => done('refused'))"
        assert page.driver.execute_async_script(sent, address) == "refused"
        assert page.js("return window.ran === undefined")
        with pytest.raises(BlockingIOError):
            server.accept()
    refused = page.errors()
    assert len(refused) >= 3
    assert all("Content Security Policy" in message for message in refused)


def test_downloads_are_the_files(page, butterfly):
    page.open(butterfly)
    files = {link.get_attribute("download"): link.get_attribute("href") for link in page.all("#downloads a")}
    assert set(files) == {"mask.npz", "solution.json"}
    told = json.loads(base64.b64decode(files["solution.json"].partition(",")[2]))
    assert told["status"] == "OPTIMAL"
    assert "seconds" not in told


def test_classes_are_boxes_that_hold_their_positions(page, folder):
    rows = np.zeros((5, 5), bool)
    rows[:3, :3] = rows[3, :4] = True
    rows[4, [3, 4]] = True
    page.open(write_report(folder / "classes.html", Subject(Mask.from_dense(rows), "classes")))
    assert len(page.all("#diagram .box")) == 3
    assert len(page.all("#diagram .edge")) == 2
    page.one("#chip-4 rect").click()
    kinds = {unit: page.one(f"#chip-{unit}").get_attribute("class").split() for unit in range(4)}
    assert "near" in kinds[3]
    assert all("far" in kinds[unit] for unit in range(3))


def test_layer_patterns_show_one_table_at_a_time(page, folder):
    from selenium.webdriver.support.select import Select

    mask = Mask.from_intervals([[((q, q + 1),) for q in range(4)], [((0, q + 1),) for q in range(4)]])
    page.open(write_report(folder / "pattern.html", Subject(mask, "pattern", layers=2)))
    page.one("#row-3 .hit").click()
    assert "Sees\n3\n" in page.text("#details-body")
    Select(page.one("#table")).select_by_value("1")
    assert "Sees\n0 to 3\n" in page.text("#details-body")


def test_large_masks_are_blocks(page, large):
    page.open(large)
    assert large.stat().st_size < 2_000_000
    step = -(-20_000 // 256)
    assert len(page.all("#mask .row")) == -(-20_000 // step)
    assert f"blocks of {step} x {step} pairs" in page.text("#diagram-note")
    page.one("#findings tbody button").click()
    row = 12_345 // step
    assert page.all("#mask .row.picked")[0].get_attribute("id") == f"row-{row}"
    assert page.text("#details-heading") == f"Block row {row}: positions {row * step} to {(row + 1) * step - 1}"
    assert page.one("#goto").get_attribute("value") == "12345"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(page, hostile, scheme):
    page.media(prefers_color_scheme=scheme)
    page.open(hostile)
    for selector in (
        "#title",
        "#facts dt",
        ".help",
        "#verdict",
        ".severity.error",
        "#details-body dd",
        "#findings td bdi",
    ):
        colours = page.js(
            "const e = document.querySelector(arguments[0]); let p = e; "
            "while (p.parentElement && getComputedStyle(p).backgroundColor === 'rgba(0, 0, 0, 0)') p = p.parentElement;"
            "return [getComputedStyle(e).color, getComputedStyle(p).backgroundColor]",
            selector,
        )
        assert contrast(*colours) >= 4.5, (selector, colours)


def contrast(one, two):
    """The contrast ratio of the Web Content Accessibility Guidelines 2."""
    bright = sorted((luminance(one), luminance(two)))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


def luminance(colour):
    numbers = [float(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in numbers]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_narrow_windows_have_one_column(page, butterfly):
    try:
        page.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        )
        page.open(butterfly)
        assert page.js("return document.documentElement.scrollWidth") <= 400
        lefts = page.js(
            "return ['order-section', 'mask-section', 'details'].map((id) => document.getElementById(id).offsetLeft)"
        )
        assert len(set(lefts)) == 1
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_to_show_is_said(page, folder):
    nodes = [Node("a", "a", 0), Node("b", "b", 1)]
    leaking = Instance(
        TaskFamily([Task("t", nodes, {"a": ["a", "b"], "b": ["b"]}, [Prediction("a", "b", hides=("b",))])]), "leaking"
    )
    page.open(write_report(folder / "leak.html", leaking, answer=ms.solve(leaking)))
    assert page.text("#verdict") == "INFEASIBLE"
    assert "node a of task t hides b and sees it: b -> a" in page.text("#facts")
    assert page.text("#diagram-note") == "There is no mask to show."
    assert not page.one("#mask-section").is_displayed()


def test_an_empty_mask_opens(page, folder):
    page.open(write_report(folder / "empty.html", Subject(Mask.from_intervals([[]]), "empty"), findings=[]))
    assert page.text("#verdict") == "no findings"
