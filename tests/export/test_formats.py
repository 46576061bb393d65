"""safetensors and npz: what other readers see, equal bytes for equal arrays, and refusals."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save, save_file

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export import content_hash, merged_arrays
from masksynth.export.formats import (
    first_wrongly_stored,
    npz_bytes,
    read_npz,
    read_safetensors,
    safetensors_bytes,
    same_arrays,
    sorted_metadata,
)
from tests.export.samples import merged_task, random_mask

VIEWS = [
    lambda a: a.T,
    lambda a: a[::-1],
    lambda a: a[:, ::2],
    lambda a: a[1:3, 1:4],
    lambda a: np.broadcast_to(a[0], (3, 6)),
    np.asfortranarray,
]


@pytest.mark.parametrize("view", VIEWS)
def test_strided_arrays_are_stored_right(view):
    """The library's numpy writer stores these wrongly."""
    array = view(np.arange(36).reshape(6, 6))
    assert np.array_equal(load(safetensors_bytes({"a": array}))["a"], array)
    assert np.array_equal(np.load(io.BytesIO(npz_bytes({"a": array})))["a"], array)


def test_other_readers_see_the_same(tmp_path):
    arrays = merged_arrays(merged_task(random_mask(7, 2)))
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(arrays))
    (tmp_path / "a.npz").write_bytes(npz_bytes(arrays))
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"schema": "1", "content_hash": content_hash(arrays)}
        assert set(file.keys()) == set(arrays)
        assert all(np.array_equal(file.get_tensor(name), array) for name, array in arrays.items())
    assert same_arrays(arrays, dict(np.load(tmp_path / "a.npz", allow_pickle=False))) == ""


def test_files_are_those_of_the_library():
    """Any types, shapes, and an order of names that is not theirs."""
    types = ("b1", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8")
    arrays = {f'{chr(97 + 5 * i % 12)} "{t}"': np.ones((i % 3, 2)[: 1 + i % 2], t) for i, t in enumerate(types)}
    written = safetensors_bytes(arrays)
    metadata = {"schema": "1", "content_hash": content_hash(arrays)}
    assert written == b"".join(sorted_metadata(save(arrays, metadata=metadata)))


def test_a_wrongly_stored_array_is_named(tmp_path):
    arrays = {"a": np.array([np.nan, 1.0]), "b": np.arange(3)}
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(arrays))
    assert first_wrongly_stored(arrays, tmp_path / "x.safetensors") == ""
    for other, name in (
        ({"a": arrays["a"]}, "b"),
        ({**arrays, "c": arrays["b"]}, "c"),
        ({**arrays, "b": -arrays["b"]}, "b"),
    ):
        assert first_wrongly_stored(other, tmp_path / "x.safetensors") == name


def test_same_bytes_in_every_process(tmp_path):
    program = (
        "import hashlib, sys; from masksynth.export import merged_arrays; from masksynth.export.formats import *;"
        "from tests.export.samples import *; a = merged_arrays(merged_task(random_mask(9)));"
        "print(hashlib.sha256(safetensors_bytes(a) + npz_bytes(a)).hexdigest())"
    )
    seen = {
        subprocess.check_output([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": str(seed)})
        for seed in range(3)
    }
    assert len(seen) == 1


def test_differences_are_named():
    arrays = {"a": np.zeros(2), "b": np.zeros(3)}
    assert same_arrays(arrays, {**arrays}) == ""
    for other in (
        {"a": np.zeros(2)},
        {**arrays, "b": np.ones(3)},
        {**arrays, "b": np.zeros(3, "f4")},
        {**arrays, "b": np.zeros((3, 1))},
    ):
        assert same_arrays(arrays, other) == "b"


def test_a_changed_byte_breaks_the_hash(tmp_path):
    path = tmp_path / "a.safetensors"
    data = bytearray(safetensors_bytes({"a": np.zeros(4)}))
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WrongAnswer, match="hash"):
        read_safetensors(path)


def test_an_absent_hash_is_not_checked_and_another_schema_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros(4)}, path)
    assert np.array_equal(read_safetensors(path)["a"], np.zeros(4))
    save_file({"a": np.zeros(4)}, path, metadata={"schema": "2"})
    with pytest.raises(InvalidInstance, match="schema 2"):
        read_safetensors(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 100, b"\x10\x00\x00\x00\x00\x00\x00\x00{"])
def test_rubbish_is_refused_by_name(content, tmp_path):
    for name, read in (("a.safetensors", read_safetensors), ("a.npz", read_npz)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInstance, match=rf"{name}.*cannot be read"):
            read(tmp_path / name)
        with pytest.raises(InvalidInstance, match="cannot be read"):
            read(tmp_path / "absent")


def test_truncated_files_are_refused(tmp_path):
    arrays = merged_arrays(merged_task(random_mask(20)))
    for name, content, read in (
        ("a.safetensors", safetensors_bytes(arrays), read_safetensors),
        ("a.npz", npz_bytes(arrays), read_npz),
    ):
        for size in range(0, len(content), 97):
            (tmp_path / name).write_bytes(content[:size])
            with pytest.raises(InvalidInstance, match="cannot be read"):
                read(tmp_path / name)


def test_npz_never_unpickles(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([object()]))
    with pytest.raises(InvalidInstance, match=r"pickle|Object"):
        read_npz(tmp_path / "a.npz")
