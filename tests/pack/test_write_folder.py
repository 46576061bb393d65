"""Runs that write to one packed folder at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from masksynth.errors import InvalidInstance
from masksynth.pack import pack_samples

RUNS, TARGETS = 4, 60
SAMPLES = [{"id": "ab"[k], "input_ids": [1, 2, k], "labels": [-100, -100, k]} for k in range(2)]


def test_one_of_several_runs_writes_the_folder(tmp_path):
    """Every other run is refused in words, at whichever moment it meets the first; no draft is left."""
    together = Barrier(RUNS)

    def run(target):
        together.wait()
        try:
            pack_samples(SAMPLES, target)
        except InvalidInstance as error:
            return str(error)
        return None

    with ThreadPoolExecutor(RUNS) as pool:
        for number in range(TARGETS):
            target = tmp_path / f"{number}" / "out"
            ended = list(pool.map(run, [target] * RUNS))
            refused = [text for text in ended if text is not None]
            assert len(refused) == RUNS - 1, ended
            assert all("another run" in text or "not empty" in text for text in refused), refused
            assert [path.name for path in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("force", [False, True])
def test_a_draft_of_another_run_is_kept(tmp_path, force):
    """A run that is refused because another one writes leaves that one's files."""
    inside = []

    def samples():
        yield SAMPLES[0]
        with pytest.raises(InvalidInstance, match="another run is writing there"):
            pack_samples(SAMPLES, tmp_path / "out", force=force)
        inside.append(True)
        yield SAMPLES[1]

    pack_samples(samples(), tmp_path / "out")
    assert inside
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
