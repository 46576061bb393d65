"""The commands inspect and draw, on real files and folders."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth.cli import main
from tests.draw import svg


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("commands")
    ms.write(ms.solve(ms.catalog.butterfly(n=4)), place / "out")
    np.save(place / "causal.npy", np.tri(6, dtype=bool))
    np.save(place / "window.npy", np.tri(6, dtype=bool) & ~np.tri(6, k=-2, dtype=bool))
    (place / "tokens.json").write_text(json.dumps({"inputs": ["a", "b", "c", "d", "e", "f"]}))
    return place


def test_inspect_says_and_prints_the_numbers(folder):
    said = run("inspect", folder / "out")
    assert said.exit_code == 0
    for part in ("10 positions, 28 allowed pairs", "height 4, width 4 (by matching), 10 Hasse edges", "1 of 1 kept"):
        assert part in said.output
    found = json.loads(run("inspect", folder / "out", "--json", "--block-size", 2).output)
    assert list(found) == ["subject", "anatomy", "why", "difference", "updates"]
    assert found["anatomy"]["hasse_edges"] == 10
    assert found["anatomy"]["blocks"]["size"] == 2
    assert found["why"] is found["difference"] is None


def test_inspect_explains_an_entry(folder):
    said = run("inspect", folder / "window.npy", "--why", 5, 2, "--tokens", folder / "tokens.json").output
    assert "5 (f) does not attend to 2 (c), but sees it through others; 3 layers carry it" in said
    assert said.index("layer 1: 3 (d)") < said.index("layer 2: 4 (e)") < said.index("layer 3: 5 (f)")
    assert (
        "does not see 2 within 2 layers; it takes 3"
        in run("inspect", folder / "window.npy", "--why", 5, 2, "--layers", 2).output
    )
    assert "2 never sees 5" in run("inspect", folder / "window.npy", "--why", 2, 5).output
    assert "5 attends to 5" in run("inspect", folder / "window.npy", "--why", 5, 4).output.replace("to 4", "to 5")
    assert "attends to itself" in run("inspect", folder / "window.npy", "--why", 5, 5).output
    found = json.loads(run("inspect", folder / "window.npy", "--why", 5, 2, "--json").output)
    assert (found["why"]["layers"], found["why"]["path"], found["anatomy"]) == (3, [2, 3, 4, 5], None)


def test_inspect_compares(folder):
    said = run("inspect", folder / "causal.npy", "--diff", folder / "window.npy").output
    assert "10 pairs only in" in said
    assert "row 2: - 0   + nothing" in said
    assert "through all layers both carry the same" in said
    assert "allow the same pairs" in run("inspect", folder / "causal.npy", "--diff", folder / "causal.npy").output
    found = json.loads(run("inspect", folder / "causal.npy", "--diff", folder / "window.npy", "--json").output)
    assert found["difference"]["only_first"] == 10


def test_a_mask_mod_is_looked_at(folder):
    said = run("inspect", "attn_gym.masks:causal_mask", "--length", 40)
    assert "40 positions, 820 allowed pairs" in said.output
    said = run("inspect", "attn_gym.masks:causal_mask", "--length", 6, "--diff", folder / "causal.npy")
    assert "allow the same pairs" in said.output


def test_draw_prints_text_and_writes_files(folder, tmp_path):
    assert run("draw", folder / "causal.npy").output.count("■") == 21 + 1
    assert (
        run("draw", folder / "out", "--what", "hasse", "-o", tmp_path / "a.svg").output
        == f"written to {tmp_path / 'a.svg'}\n"
    )
    assert len(svg.named((tmp_path / "a.svg").read_text(), r"edge-(\d+)-(\d+)")) == 10
    assert run("draw", folder / "out", "-o", tmp_path / "a.png", "--quiet").output == ""
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert run("draw", folder / "out", "--what", "hasse", "-o", tmp_path / "a.pdf").exit_code == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    piped = run("draw", folder / "causal.npy", "--what", "diff", "--other", folder / "window.npy", "-o", "-").output
    assert svg.cells(piped, "first", 6).sum() == 10


def test_draw_refuses_in_one_line(folder, tmp_path):
    (tmp_path / "there.svg").write_text("mine")
    for arguments, fact in (
        ((folder / "causal.npy", "-o", tmp_path / "there.svg"), "already exists"),
        ((folder / "causal.npy", "-o", tmp_path / "a.gif"), "ends in '.gif'"),
        ((folder / "causal.npy", "--what", "diff"), "diff needs a second mask"),
        ((folder / "causal.npy", "--other", folder / "out"), "picture mask does not take a second mask"),
        ((folder / "none.npy",), "none.npy"),
    ):
        done = run("draw", *arguments)
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert fact in done.output
    assert (tmp_path / "there.svg").read_text() == "mine"
