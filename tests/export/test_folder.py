"""Folders: complete or absent in any case; read back with every disagreement named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, MasksynthError, WrongAnswer
from masksynth.export import merged_arrays, read_merged, solution_record, write_answer
from masksynth.export.answer_folder import FILES, same_merged
from masksynth.export.formats import npz_bytes, read_safetensors, safetensors_bytes
from masksynth.files import write_to_disk
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks import Instance, LossEdge, Node, Prediction, Task, TaskFamily
from tests.export.samples import HOSTILE, chain_mask, merged_task, random_mask, star_mask
from tests.verify.hubs import hub_mask


def write(folder, merged, force=False):
    return write_answer(folder, {"status": "OPTIMAL", **solution_record(merged), "seconds": 0.5}, merged, force)


MASKS = {
    "one": random_mask(1),
    "empty": random_mask(0),
    "empty pattern": random_mask(0, 3),
    "dense": random_mask(20),
    "pattern": random_mask(9, 3),
    "chain": chain_mask(9000),
    "star": star_mask(8200, 100),
}


@pytest.mark.parametrize("name", MASKS)
def test_round_trip(name, tmp_path):
    merged = merged_task(MASKS[name])
    folder = write(tmp_path / "out", merged)
    back = read_merged(folder)
    assert same_merged(back, merged)
    assert back == merged
    dense = merged.mask.size <= 8192
    assert {path.name for path in folder.iterdir()} == set(FILES) - (set() if dense else {"mask.npz"})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_sparse_round_trip(tmp_path):
    merged = merged_task(Mask.from_intervals([[((max(i - 1, 0), i + 1),) for i in range(9000)]]), sparse=True)
    assert read_merged(write(tmp_path / "out", merged)) == merged


@pytest.mark.parametrize("size", [1, 40, 8192, 8193, 20_000])
def test_sparse_answers_come_back(size, tmp_path):
    """Dense with an npz up to 8,192 positions, off-diagonal edges above, whatever the number of intervals in a row."""
    merged = merged_task(hub_mask(size), sparse=True)
    folder = write(tmp_path / "out", merged)
    back = read_merged(folder)
    assert back == merged
    assert back.problem.sparse
    assert (folder / "mask.npz").exists() == (size <= 8192)


EDGE_FAULTS = {
    "unsorted": lambda query, key: (query[::-1].copy(), key[::-1].copy()),
    "repeated": lambda query, key: (np.append(query, query[-1]), np.append(key, key[-1])),
    "a loop": lambda query, key: (np.append(query, 8999), np.append(key, 8999)),
}


@pytest.mark.parametrize("name", EDGE_FAULTS)
def test_edges_have_one_form(name, tmp_path):
    merged = merged_task(Mask.from_intervals([[((max(i - 1, 0), i + 1),) for i in range(9000)]]), sparse=True)
    folder, arrays = write(tmp_path / "out", merged), merged_arrays(merged)
    query, key = EDGE_FAULTS[name](arrays["edge_query"], arrays["edge_key"])
    (folder / "mask.safetensors").write_bytes(safetensors_bytes({**arrays, "edge_query": query, "edge_key": key}))
    with pytest.raises(WrongAnswer, match=r"disagree in 'edge_"):
        read_merged(folder)


def test_equal_answers_are_equal_files(tmp_path):
    merged = merged_task(random_mask(12))
    for name in ("a", "b"):
        write(tmp_path / name, merged)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_record_keeps_its_order_and_is_readable(tmp_path):
    merged = merged_task(random_mask(3))
    text = (write(tmp_path / "out", merged) / "solution.json").read_text()
    assert list(json.loads(text)) == [
        "status",
        "positions",
        "labels",
        "tasks",
        "embeddings",
        "loss_edges",
        "problem",
        "seconds",
    ]
    assert sum(line.startswith('  {"input":') for line in text.splitlines()) == 3


def test_a_record_of_another_answer_is_refused(tmp_path):
    merged = merged_task(random_mask(4))
    other = replace(merged, labels=("x", "y"))
    with pytest.raises(InvalidInstance, match="not the record"):
        write_answer(tmp_path / "out", solution_record(other), merged)
    moved = replace(merged, loss_edges=(LossEdge(3, 0, 0, 9.0), *merged.loss_edges[1:]))
    with pytest.raises(WrongAnswer, match="disagree in 'loss_"):
        write_answer(tmp_path / "out", solution_record(moved), merged)
    with pytest.raises(InvalidInstance, match="missing required field"):
        write_answer(tmp_path / "out", {}, merged)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept(tmp_path):
    merged, folder = merged_task(random_mask(4)), tmp_path / "out"
    folder.mkdir()
    write(folder, merged)  # empty: taken
    (folder / "notes.txt").write_text("mine")
    before = (folder / "solution.json").stat().st_mtime_ns
    with pytest.raises(InvalidInstance, match=r"out: .*not empty; .*--force"):
        write(folder, merged_task(random_mask(5)))
    assert (folder / "solution.json").stat().st_mtime_ns == before
    write(folder, merged_task(random_mask(5)), force=True)
    assert read_merged(folder).mask.size == 5
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_forced_large_answer_leaves_no_old_npz(tmp_path):
    write(tmp_path / "out", merged_task(random_mask(4)))
    write(tmp_path / "out", merged_task(chain_mask(8193)), force=True)
    assert not (tmp_path / "out" / "mask.npz").exists()


def test_bad_targets(tmp_path, monkeypatch):
    merged = merged_task(random_mask(4))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInstance, match="is a file"):
        write(tmp_path / "file", merged)
    with pytest.raises(MasksynthError, match="cannot be written"):
        write(tmp_path / "file" / "out", merged)
    monkeypatch.chdir(tmp_path)
    for place in (".", "..", "/"):
        with pytest.raises(InvalidInstance, match="current folder"):
            write(place, merged, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write("new/deep/out", merged)
    assert read_merged("new/deep/out") == merged


PROGRAM = """
import resource, sys
from masksynth.errors import MasksynthError
from masksynth.export import solution_record, write_answer
from tests.export.samples import merged_task, random_mask
merged = merged_task(random_mask(int(sys.argv[2])))
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    write_answer(sys.argv[1], solution_record(merged), merged)
except MasksynthError as error:
    sys.exit(str(error))
"""


def start(*arguments):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stage", ["solution.json", "mask.safetensors", "mask.npz"])
def test_a_killed_process_leaves_no_half_folder(stage, tmp_path):
    target = tmp_path / "out"
    process = start(target, 3000)
    while process.poll() is None and not list(tmp_path.glob(f".out.*.partial/{stage}")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write(target, merged_task(random_mask(4)))
    assert read_merged(target).mask.size == 4
    assert list(tmp_path.iterdir()) == [target]


def test_a_draft_in_use_is_left_alone(tmp_path):
    target = tmp_path / "out"
    process = start(target, 3000)
    while process.poll() is None and not list(tmp_path.glob(".out.*.partial/mask.safetensors")):
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    write(target, merged_task(random_mask(4)))
    process.send_signal(signal.SIGCONT)
    assert "not empty" in process.communicate()[1]
    assert read_merged(target).mask.size == 4
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("limit", [0, 1_000, 200_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(limit, tmp_path):
    """A file-size limit stops the writing as a full disk does: in the middle of a file."""
    process = start(tmp_path / "out", 600, limit)
    error = process.communicate()[1]
    assert process.returncode == 1
    assert error.count("\n") == 1
    assert f"{tmp_path}/out: the answer cannot be written: File too large" in error
    assert list(tmp_path.iterdir()) == []


def test_a_full_device_is_an_error_of_the_system():
    """What the writing of one file meets when no space is left, and `write_answer` turns to one line."""
    with pytest.raises(OSError, match="No space left"):
        write_to_disk(Path("/dev/full"), b"x")


def hostile_merged():
    tasks = []
    for number, name in enumerate(HOSTILE):
        nodes = (Node(name, name, 0, name), Node(name + "2", [name, name], 1))
        tasks.append(
            Task(
                name,
                nodes,
                ({name: (), name + "2": (name,)},),
                (Prediction(name + "2", name, float(number)),),
                closure=True,
            )
        )
    return merge(Instance(TaskFamily(tuple(tasks)), HOSTILE[0]))


def test_hostile_names_reach_neither_code_nor_paths(tmp_path):
    plain = write(tmp_path / "deep" / "plain", merged_task(random_mask(3)))
    merged = hostile_merged()
    folder = write(tmp_path / "deep" / "hostile", merged)
    assert read_merged(folder) == merged
    assert (folder / "flex_mask.py").read_bytes() == (plain / "flex_mask.py").read_bytes()
    assert (folder / "solution.json").read_bytes().isascii()
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == sorted(f"deep/{name}/{file}" for name in ("plain", "hostile") for file in FILES)


def change_json(folder, change):
    record = json.loads((folder / "solution.json").read_text())
    change(record)
    (folder / "solution.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda r: r.pop("labels"), "missing required field `labels`"),
        (lambda r: r["positions"][1].update(position=-1), r"positions\[1\]\.position|positions\[\.\.\.\]\.position"),
        (lambda r: r["positions"][1].update(position=True), "position"),
        (lambda r: r["loss_edges"][0].__setitem__(0, 4), r"loss_edges\[0\]\[0\]: 4 is not one of the 4 positions"),
        (lambda r: r["loss_edges"][0].__setitem__(1, 2), r"loss_edges\[0\]\[1\]: 2 is not one of the 2 labels"),
        (lambda r: r["loss_edges"][0].__setitem__(2, 2), r"loss_edges\[0\]\[2\]: 2 is not one of the 2 tasks"),
        (lambda r: r["embeddings"]["t1"].update(w02=9), r"embeddings.*t1.*w02.*: 9 is not one"),
        (lambda r: r["problem"].update(layers=0), "layers"),
        (lambda r: r["problem"].update(sha256=3), "sha256"),
    ],
)
def test_malformed_records_are_named(change, text, tmp_path):
    folder = write(tmp_path / "out", merged_task(random_mask(4)))
    change_json(folder, change)
    with pytest.raises(InvalidInstance, match=text) as caught:
        read_merged(folder)
    assert caught.value.source.startswith(str(folder))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"positions": NaN}', b"[" * 100, b"\xff"])
def test_a_record_that_is_not_json(content, tmp_path):
    folder = write(tmp_path / "out", merged_task(random_mask(4)))
    (folder / "solution.json").write_bytes(content)
    with pytest.raises(InvalidInstance):
        read_merged(folder)


@pytest.mark.parametrize("name", ["solution.json", "mask.safetensors", "mask.npz"])
def test_a_missing_file_is_named(name, tmp_path):
    folder = write(tmp_path / "out", merged_task(random_mask(4)))
    (folder / name).unlink()
    with pytest.raises(InvalidInstance, match=f"{name}|out: .*cannot be read"):
        read_merged(folder)
    with pytest.raises(InvalidInstance, match="cannot be read"):
        read_merged(tmp_path / "absent")


@pytest.mark.parametrize(
    "name",
    ["mask", "position_ids", "loss_position", "loss_label", "loss_task", "loss_weight", "flex_0_row_intervals"],
)
@pytest.mark.parametrize("file", ["mask.safetensors", "mask.npz"])
def test_one_changed_entry_in_one_file_is_seen(name, file, tmp_path):
    """With the hash recomputed, so that not only the hash is tested."""
    merged = merged_task(random_mask(4))
    folder = write(tmp_path / "out", merged)
    arrays = {key: array.copy() for key, array in read_safetensors(folder / "mask.safetensors").items()}
    flat = arrays[name].reshape(-1)
    flat[-1] = ~flat[-1] if name == "mask" else -flat[-1] if name == "loss_weight" else flat[-1] + 1
    (folder / file).write_bytes((safetensors_bytes if file.endswith("tensors") else npz_bytes)(arrays))
    with pytest.raises(WrongAnswer, match=f"disagree in '{name}'"):
        read_merged(folder)


def test_other_numbers_of_positions_are_seen(tmp_path):
    folder = write(tmp_path / "out", merged_task(random_mask(4)))
    (folder / "mask.safetensors").write_bytes(safetensors_bytes(merged_arrays(merged_task(random_mask(5)))))
    with pytest.raises(WrongAnswer, match="4 positions"):
        read_merged(folder)
    (folder / "mask.safetensors").write_bytes(safetensors_bytes({"mask": np.zeros((4, 4), bool)}))
    with pytest.raises(InvalidInstance, match="'position_ids' is missing"):
        read_merged(folder)


@pytest.mark.parametrize("size", [4, 90, 9000])
def test_a_form_that_is_not_the_mask_is_refused(size, tmp_path):
    """In both files, with the hash recomputed."""
    mask = chain_mask(size) if size > 90 else random_mask(size)
    folder = write(tmp_path / "out", merged_task(mask))
    arrays = {key: array.copy() for key, array in read_safetensors(folder / "mask.safetensors").items()}
    name = "flex_0_bits" if size == 90 else "flex_0_row_intervals"
    arrays[name].reshape(-1)[-1] -= 1
    (folder / "mask.safetensors").write_bytes(safetensors_bytes(arrays))
    if size <= 8192:
        (folder / "mask.npz").write_bytes(npz_bytes(arrays))
    with pytest.raises(WrongAnswer, match=rf"row {size - 1} attends to"):
        read_merged(folder)
    del arrays[name]
    (folder / "mask.safetensors").write_bytes(safetensors_bytes(arrays))
    if size <= 8192:
        (folder / "mask.npz").write_bytes(npz_bytes(arrays))
    with pytest.raises(InvalidInstance, match="are not those of one form"):
        read_merged(folder)


def test_answers_without_stored_forms_are_read(tmp_path):
    """As an older version wrote them."""
    merged = merged_task(random_mask(40))
    folder, arrays = write(tmp_path / "out", merged), merged_arrays(merged)
    (folder / "mask.safetensors").write_bytes(safetensors_bytes(arrays))
    (folder / "mask.npz").write_bytes(npz_bytes(arrays))
    assert read_merged(folder) == merged
