"""Folders: right ones accepted, tampered ones refused with any hash recomputed, hostile ones refused in one line."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import nextafter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from masksynth import catalog
from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.export import solution_record, write_answer
from masksynth.export.stored_forms import form_arrays
from masksynth.merge import merge
from masksynth.tasks import Instance, MergedTask
from masksynth.verify import verify_folder
from masksynth.verify.read_arrays import content_hash
from tests.verify.naive import minimal, unmerged
from tests.verify.test_scale import chain

Arrays = dict[str, np.ndarray]
Document = dict[str, Any]


def document_of(merged: MergedTask, status: str = "OPTIMAL", bound: int | None = None) -> Document:
    size = len(merged.positions)
    ways = {"certificate": [], "backend": "naive", "versions": {}, "limits": {}, "seconds": 0.0}
    objective = {"positions": {"value": size, "bound": size if bound is None else bound}}
    record = json.loads(json.dumps(solution_record(merged)))
    return {"status": status, **record, "objective": objective, **ways}


def arrays_of(merged: MergedTask) -> Arrays:
    columns = list(zip(*merged.loss_edges, strict=True)) or [()] * 4
    runs = {"row_offset": merged.mask.row_offset, "key_start": merged.mask.key_start, "key_end": merged.mask.key_end}
    mask = runs if len(merged.positions) > 8192 else {"mask": merged.mask.dense()}
    names = ("loss_position", "loss_label", "loss_task")
    loss = {name: np.array(column, np.int64) for name, column in zip(names, columns, strict=False)}
    ids = np.array([position.position for position in merged.positions], np.int64)
    return {**mask, "position_ids": ids, **loss, "loss_weight": np.array(columns[3], np.float64)}


def write(
    folder: Path, document: Document, arrays: Arrays, npz: Arrays | None = None, metadata: dict[str, str] | None = None
) -> Path:
    """The folder as any other program might write it; the hash is that of the arrays unless metadata are given."""
    folder.mkdir(exist_ok=True)
    (folder / "solution.json").write_text(json.dumps(document))
    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(
        solid,
        folder / "mask.safetensors",
        {"schema": "1", "content_hash": content_hash(solid)} if metadata is None else metadata,
    )
    (folder / "mask.npz").unlink(missing_ok=True)
    if "mask" in arrays or npz:
        np.savez(folder / "mask.npz", **(solid if npz is None else npz))
    return folder


@pytest.fixture(scope="module")
def answer() -> tuple[Instance, MergedTask]:
    instance = catalog.bd3lm()
    return instance, merge(instance)


@pytest.mark.parametrize("name", sorted(catalog.FAMILIES))
def test_written_answers_are_accepted(name: str, tmp_path: Path) -> None:
    instance = catalog.FAMILIES[name]()
    for layers in (None, 2):
        merged = merge(replace(instance, layers=layers))
        write_answer(tmp_path / f"{layers}", document_of(merged), merged)
        assert verify_folder(instance, tmp_path / f"{layers}").layers == layers
        assert verify_folder(instance, write(tmp_path / "own", document_of(merged), arrays_of(merged))).minimal


def test_empty_answers(tmp_path: Path) -> None:
    instance = Instance(catalog.local_global().family.__class__(()), "none")
    merged = merge(instance)
    assert verify_folder(instance, write(tmp_path, document_of(merged), arrays_of(merged))).positions == 0


def test_feasible_answers_need_no_minimality(tmp_path: Path) -> None:
    instance = catalog.causal_lm(n=5)
    long, short = unmerged(instance), minimal(instance)
    write(tmp_path, document_of(long, "FEASIBLE", 4), arrays_of(long))
    report = verify_folder(instance, tmp_path)
    assert (report.positions, report.minimal) == (10, False)
    write(tmp_path, document_of(long), arrays_of(long))
    with pytest.raises(WrongAnswer, match=r"^minimality"):
        verify_folder(instance, tmp_path)
    for status, value, bound in [
        ("OPTIMAL", 4, 3),
        ("OPTIMAL", 5, 5),
        ("FEASIBLE", 4, 5),
        ("FEASIBLE", 3, 3),
        ("UNKNOWN", 4, 4),
        ("INFEASIBLE", 4, 4),
    ]:
        document = document_of(short, status)
        document["objective"]["positions"] = {"value": value, "bound": bound}
        with pytest.raises(WrongAnswer, match=r"^(objective|status)"):
            verify_folder(instance, write(tmp_path, document, arrays_of(short)))


def array_mutants(arrays: Arrays) -> Iterator[tuple[str, int, Any]]:
    """Every entry of every array with another value."""
    for name, array in arrays.items():
        for at, value in enumerate(array.ravel().tolist()):
            others = (
                [not value]
                if array.dtype == bool
                else [nextafter(value, 9), -value]
                if array.dtype == float
                else [value + 1, 0, -1]
            )
            yield from ((name, at, other) for other in others if str(other) != str(value))


def tampered(arrays: Arrays, name: str, at: int, value: Any) -> Arrays:
    copy = arrays[name].copy()
    copy.reshape(-1)[at] = value
    return {**arrays, name: copy}


def follow(document: Document, arrays: Arrays) -> Document:
    """solution.json saying what the arrays say."""
    positions = [
        {**p, "position": i} for p, i in zip(document["positions"], arrays["position_ids"].tolist(), strict=True)
    ]
    names = ("loss_position", "loss_label", "loss_task", "loss_weight")
    edges = [list(edge) for edge in zip(*(arrays[name].tolist() for name in names), strict=True)]
    return {**document, "positions": positions, "loss_edges": edges}


def test_every_entry_of_every_array(answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """Changed in one file, the files disagree; changed in all files with the hash recomputed, the answer is wrong."""
    instance, merged = answer
    document, arrays = document_of(merged), arrays_of(merged)
    count = 0
    for name, at, value in array_mutants(arrays):
        bad = tampered(arrays, name, at, value)
        count += 3
        with pytest.raises(WrongAnswer, match=r"^files"):
            verify_folder(instance, write(tmp_path, document, arrays, npz=bad))
        with pytest.raises(WrongAnswer, match=r"^files"):
            verify_folder(instance, write(tmp_path, document, bad, npz=arrays))
        with pytest.raises((WrongAnswer, InvalidInstance)) as caught:
            verify_folder(instance, write(tmp_path, follow(document, bad), bad))
        assert isinstance(caught.value, WrongAnswer) or value == -1
        if name not in ("mask", "position_ids"):
            continue
        count += 1
        with pytest.raises(WrongAnswer):
            verify_folder(instance, write(tmp_path, document, bad))
    print(f"{count} tampered folders refused")
    assert count > 700
    assert verify_folder(instance, write(tmp_path, document, arrays)).minimal


def test_a_form_that_is_not_the_mask_is_refused(answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """Every entry of the stored form, changed in both files with the hash recomputed.

    Or the form missing altogether.
    """
    instance, merged = answer
    document, arrays = document_of(merged), arrays_of(merged)
    stored = form_arrays(merged.mask)
    assert verify_folder(instance, write(tmp_path, document, {**arrays, **stored})).minimal
    name = "flex_0_row_intervals"
    is_empty = (stored[name][:, 0] == stored[name][:, 1])[:, None].repeat(2, axis=1)
    is_empty[:, 1] = False  # an empty interval whose start is raised stays empty
    for at in np.flatnonzero(~is_empty):
        bad = tampered({**arrays, **stored}, name, at, stored[name].flat[at] + 1)
        with pytest.raises(WrongAnswer, match=r"^files: flex_0_row_intervals"):
            verify_folder(instance, write(tmp_path, document, bad))
    with pytest.raises(WrongAnswer, match=r"^files: .*disagree in 'flex_0_"):
        verify_folder(instance, write(tmp_path, document, {**arrays, **stored}, npz=arrays))
    with pytest.raises(InvalidInstance, match=r"flex_0_row_intervals"):
        verify_folder(instance, write(tmp_path, document, {**arrays, **stored, name: stored[name].astype(np.int64)}))
    del stored["flex_0_reason"]
    with pytest.raises(InvalidInstance, match=r"not those of one form"):
        verify_folder(instance, write(tmp_path, document, {**arrays, **stored}))


def test_json_that_disagrees_with_the_arrays(answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """Every number and string of solution.json that matters, changed there only."""
    instance, merged = answer
    document, arrays = document_of(merged), arrays_of(merged)
    write(tmp_path, document, arrays)
    checked = ("status", "positions", "labels", "tasks", "embeddings", "loss_edges", "objective", "problem")
    count = 0
    for key in checked:
        for changed in json_mutants(document[key]):
            (tmp_path / "solution.json").write_text(json.dumps({**document, key: changed}))
            with pytest.raises((WrongAnswer, InvalidInstance, Unsupported)):
                verify_folder(instance, tmp_path)
            count += 1
    print(f"{count} changes of solution.json refused")
    assert count > 400


def json_mutants(value: Any) -> Iterator[Any]:
    """One leaf changed, one item dropped, one key renamed."""
    if isinstance(value, dict):
        for key, item in value.items():
            rest = {k: v for k, v in value.items() if k != key}
            yield rest
            yield {**rest, key + "?": item}
            yield from ({**value, key: changed} for changed in json_mutants(item))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in json_mutants(item))
    elif isinstance(value, str):
        yield from (value + "?", None)
    elif value is None or isinstance(value, bool):
        yield from (0, "null")
    else:
        yield from (value + 1, -1 - value, str(value), [value])


def test_hash_is_checked_when_present_only(answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = answer
    document, arrays = document_of(merged), arrays_of(merged)
    verify_folder(instance, write(tmp_path, document, arrays, metadata={}))
    with pytest.raises(WrongAnswer, match="content hash"):
        verify_folder(instance, write(tmp_path, document, arrays, metadata={"content_hash": "0" * 64}))
    with pytest.raises(InvalidInstance, match="schema"):
        verify_folder(instance, write(tmp_path, document, arrays, metadata={"schema": "2"}))


def test_another_instance(answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = answer
    write(tmp_path, document_of(merged), arrays_of(merged))
    with pytest.raises(WrongAnswer, match="another instance"):
        verify_folder(catalog.causal_lm(), tmp_path)
    renamed = replace(instance, name="other", source="elsewhere", expect={}, layers=3)
    assert verify_folder(renamed, tmp_path).layers is None


def test_intervals_above_8192(tmp_path: Path) -> None:
    instance, merged = chain(8193)
    document, arrays = document_of(merged), arrays_of(merged)
    assert verify_folder(instance, write(tmp_path, document, arrays)).positions == 8193
    for name, at, value in [
        ("key_end", 5000, 5000),
        ("key_start", 5000, 1),
        ("row_offset", 0, 1),
        ("key_end", 0, 0),
        ("key_end", 0, 9000),
    ]:
        with pytest.raises((WrongAnswer, InvalidInstance)):
            verify_folder(instance, write(tmp_path, document, tampered(arrays, name, at, value)))
    with pytest.raises(WrongAnswer, match=r"mask\.npz is there"):
        verify_folder(instance, write(tmp_path, document, arrays, npz=arrays))
    with pytest.raises(InvalidInstance, match="'mask'"):
        verify_folder(instance, write(tmp_path, document, {**arrays, "mask": np.zeros((1, 1), bool)}))
    long = {**arrays, "key_end": arrays["key_end"].astype(np.int64)}
    with pytest.raises(InvalidInstance, match="'key_end': expected <i4"):
        verify_folder(instance, write(tmp_path, document, long))


Spoil = Callable[[Path, Document, Arrays], None]


def _text(name: str, text: str | bytes) -> Spoil:
    return lambda folder, document, arrays: (
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode()) and None
    )


def _json(change: Callable[[str], str]) -> Spoil:
    return lambda folder, document, arrays: (folder / "solution.json").write_text(change(json.dumps(document))) and None


def _stored(change: Callable[[Arrays], Arrays]) -> Spoil:
    return lambda folder, document, arrays: write(folder, document, change(arrays)) and None


def _packed(change: Callable[[Arrays], Arrays]) -> Spoil:
    return lambda folder, document, arrays: write(folder, document, arrays, npz=change(arrays)) and None


def _header(header: str) -> Spoil:
    data = header.encode()
    return _text("mask.safetensors", len(data).to_bytes(8, "little") + data + bytes(64))


def _npy(dtype: str, shape: str) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _member(name: str, content: bytes, compress: int = zipfile.ZIP_STORED) -> Spoil:
    """mask.npz with one member replaced by raw bytes."""

    def spoil(folder: Path, document: Document, arrays: Arrays) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compress) as archive:
            for own, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                archive.writestr(f"{own}.npy", content if own == name else buffer.getvalue())
        (folder / "mask.npz").write_bytes(stream.getvalue())

    return spoil


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _huge(folder: Path, document: Document, arrays: Arrays) -> None:
    os.truncate(folder / "mask.safetensors", 1 << 34)


def _pipe(folder: Path, document: Document, arrays: Arrays) -> None:
    (folder / "solution.json").unlink()
    os.mkfifo(folder / "solution.json")


HOSTILE: dict[str, Spoil] = {
    "no solution": lambda folder, document, arrays: (folder / "solution.json").unlink(),
    "no safetensors": lambda folder, document, arrays: (folder / "mask.safetensors").unlink(),
    "no npz": lambda folder, document, arrays: (folder / "mask.npz").unlink(),
    "a pipe": _pipe,
    "empty json": _text("solution.json", ""),
    "not utf-8": _text("solution.json", b"\xff\xfe{}"),
    "a list": _text("solution.json", "[]"),
    "null": _text("solution.json", "null"),
    "truncated json": _json(lambda text: text[:-20]),
    "repeated key": _json(lambda text: '{"status": "OPTIMAL", ' + text[1:]),
    "NaN": _json(lambda text: text.replace('"seconds": 0.0', '"seconds": NaN')),
    "Infinity": _json(lambda text: text.replace('"seconds": 0.0', '"seconds": -Infinity')),
    "overflowing weight": _json(lambda text: text.replace("1.0]", "1e999]", 1)),
    "long integer": _json(lambda text: text.replace("1.0]", "9" * 5000 + "]", 1)),
    "large integer": _json(lambda text: text.replace("1.0]", "9" * 400 + "]", 1)),
    "huge index": _json(lambda text: text.replace("[[0, ", "[[" + "9" * 30 + ", ", 1)),
    "deep": _json(lambda text: text.replace('"seconds": 0.0', f'"seconds": {_nested(100_000)}')),
    "deep input": _json(lambda text: text.replace('"input": ', f'"input": {_nested(60)}, "spare": ', 1)),
    "status of another type": _json(lambda text: text.replace('"status": "OPTIMAL"', '"status": 1')),
    "empty safetensors": _text("mask.safetensors", b""),
    "long header": _text("mask.safetensors", b"\xff" * 64),
    "header beyond the file": _header(
        '{"mask":{"dtype":"BOOL","shape":[1000000000,1000000000],"data_offsets":[0,1000000000000000000]}}'
    ),
    "unknown dtype": _header('{"mask":{"dtype":"Q3","shape":[8,8],"data_offsets":[0,64]}}'),
    "bfloat16": _header('{"mask":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]}}'),
    "a terabyte of hole": _huge,
    "array missing": _stored(lambda arrays: {name: array for name, array in arrays.items() if name != "loss_task"}),
    "array added": _stored(lambda arrays: {**arrays, "row_offset": np.zeros(3)}),
    "other shape": _stored(lambda arrays: {**arrays, "position_ids": arrays["position_ids"][:-1]}),
    "other type": _stored(lambda arrays: {**arrays, "loss_task": arrays["loss_task"].astype(np.int32)}),
    "mask of bytes": _stored(lambda arrays: {**arrays, "mask": arrays["mask"].astype(np.uint8)}),
    "bool of 2": _stored(lambda arrays: {**arrays, "mask": (arrays["mask"].view(np.uint8) * 2).view(bool)}),
    "npz no zip": _text("mask.npz", b"PK\x05\x06"),
    "npz array missing": _packed(lambda arrays: {name: array for name, array in arrays.items() if name != "mask"}),
    "npz array added": _packed(lambda arrays: {**arrays, "more": np.zeros(1)}),
    "npz big endian": _packed(lambda arrays: {**arrays, "loss_task": arrays["loss_task"].astype(">i8")}),
    "npz of objects": _packed(
        lambda arrays: {**arrays, "loss_task": np.array([{}] * len(arrays["loss_task"]), object)}
    ),
    "npz announces terabytes": _member("mask", _npy("|b1", "(1000000, 1000000)")),
    "npz negative": _member("mask", _npy("|b1", "(-1, -1)")),
    "npz no shape": _member("mask", _npy("|b1", "None")),
    "npz code": _member("mask", _npy("|b1", "(__import__('os').getpid(),)")),
    "npz unclosed header": _member("mask", _npy("|b1", "(14, (")),
    "npz of fields": _member("mask", _npy("|b1", "(14, 14)").replace(b"'|b1'", b"[(0)]")),
    "npz cut": _member("mask", _npy("|b1", "(14, 14)") + bytes(7)),
    "npz too long": _member("mask", _npy("|b1", "(14, 14)") + bytes(197)),
    "npz not npy": _member("mask", b"hello"),
    "npz empty member": _member("mask", b""),
    "npz bomb": _member("mask", _npy("|b1", "(14, 14)") + bytes(1 << 26), zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders_get_one_line(name: str, answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    instance, merged = answer
    document, arrays = document_of(merged), arrays_of(merged)
    assert merged.mask.shape == (14, 14)
    write(tmp_path, document, arrays)
    HOSTILE[name](tmp_path, document, arrays)
    with pytest.raises(InvalidInstance) as caught:
        verify_folder(instance, tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def verdict(instance: Instance, folder: Path) -> str:
    """The error's text, empty if the folder is accepted; any other error is a failure."""
    try:
        verify_folder(instance, folder)
    except (WrongAnswer, InvalidInstance, Unsupported) as error:
        return str(error)
    return ""


def test_random_bytes_never_surprise(answer: tuple[Instance, MergedTask], tmp_path: Path) -> None:
    """A byte changed anywhere in any file, or the file cut there: accepted as it was, or one of the two errors."""
    instance, merged = answer
    rng = np.random.default_rng(10)
    write(tmp_path, document_of(merged), arrays_of(merged))
    refused = 0
    for name in ("solution.json", "mask.safetensors", "mask.npz"):
        data = (tmp_path / name).read_bytes()
        for _ in range(150):
            at = int(rng.integers(len(data)))
            bad = bytearray(data)
            bad[at] ^= 1 << int(rng.integers(8))
            (tmp_path / name).write_bytes(bytes(bad) if rng.random() < 0.8 else data[:at])
            text = verdict(instance, tmp_path)
            refused += text != ""
            assert "\n" not in text
        (tmp_path / name).write_bytes(data)
    assert refused > 300


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInstance, match="no such file"):
        verify_folder(catalog.causal_lm(), tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInstance):
        verify_folder(catalog.causal_lm(), tmp_path / "file")
