"""Reading subjects: every form of a mask, mask_mods of attention-gym, and one clear line for whatever is malformed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from masksynth import catalog
from masksynth.audit import audit, read_subject
from masksynth.errors import InvalidInstance
from masksynth.export import block_lists, solution_record, write_answer
from masksynth.export.formats import npz_bytes, safetensors_bytes
from masksynth.export.targets import export_arrays, write_arrays
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.subject.mask_file import write_mask
from masksynth.subject.token_file import with_tokens
from masksynth.tasks.instance_files import dumps

CAUSAL = np.tril(np.ones((5, 5), bool))
MASK = Mask.from_dense(CAUSAL)


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.safetensors"])
def test_mask_files(name, tmp_path):
    write_mask(MASK, tmp_path / name)
    assert read_subject(tmp_path / name).mask == MASK


@pytest.mark.parametrize("to", ["flex", "hf-bool", "hf-additive"])
def test_exports(to, tmp_path):
    write_arrays(export_arrays(MASK, to), tmp_path / "m.safetensors")
    assert read_subject(tmp_path / "m.safetensors").mask == MASK


def test_patterns_and_intervals(tmp_path):
    pattern = Mask.from_dense(np.stack([CAUSAL, np.eye(5, dtype=bool)]))
    np.save(tmp_path / "p.npy", pattern.dense())
    assert read_subject(tmp_path / "p.npy", layers=3).mask == pattern
    parts = {name: getattr(pattern, name) for name in ("row_offset", "key_start", "key_end")}
    (tmp_path / "p.npz").write_bytes(npz_bytes({**parts, "input_ids": np.arange(5), "position_ids": np.arange(5)}))
    subject = read_subject(tmp_path / "p.npz")
    assert (subject.mask, subject.inputs, subject.positions.tolist()) == (pattern, (0, 1, 2, 3, 4), [0, 1, 2, 3, 4])


def test_block_lists_beside_the_mask(tmp_path):
    lists = block_lists(MASK, block_size=2)
    names = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
    arrays = {name: part[None, None] for name, part in zip(names, lists, strict=True)}
    (tmp_path / "b.safetensors").write_bytes(
        safetensors_bytes({"mask": CAUSAL, **arrays, "block_size": np.array([2, 2], np.int32)})
    )
    assert audit(read_subject(tmp_path / "b.safetensors")).findings == ()
    wrong = Mask.from_dense(np.ones((5, 5), bool)).dense()
    (tmp_path / "b.safetensors").write_bytes(
        safetensors_bytes({"mask": wrong, **arrays, "block_size": np.array([2, 2], np.int32)})
    )
    assert [found.code for found in audit(read_subject(tmp_path / "b.safetensors")).findings] == ["MS012"]


def test_answers_with_their_family(tmp_path):
    instance = catalog.butterfly(n=4)
    merged = merge(instance)
    write_answer(tmp_path / "out", {"status": "OPTIMAL", **solution_record(merged), "seconds": 0.0}, merged)
    (tmp_path / "butterfly.json").write_text(dumps(instance))
    (tmp_path / "tokens.json").write_text(json.dumps({"family": "butterfly.json"}))
    subject = read_subject(tmp_path / "out", tokens=tmp_path / "tokens.json")
    assert subject.family.family == instance.family
    assert not audit(subject).errors
    assert (
        read_subject(tmp_path / "out", tokens={"family": json.loads(dumps(instance))}).family.family == instance.family
    )


def dense_of(allowed, size):
    return np.array([[allowed(q, k) for k in range(size)] for q in range(size)])


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("causal", lambda q, k: k <= q),
        ("window", lambda q, k: 0 <= q - k <= 3),
        ("prefix", lambda q, k: k < 4 or k <= q),
        ("documents", lambda q, k: k <= q and sum(q >= c for c in (3, 8)) == sum(k >= c for c in (3, 8))),
        ("everything", lambda q, k: True),
    ],
)
def test_mask_mods_of_attention_gym(name, allowed):
    subject = read_subject(f"tests.audit.masks:{name}", length=12)
    assert np.array_equal(subject.mask.dense(), dense_of(allowed, 12))
    assert not audit(subject).findings


def test_mask_mods_in_stretches(monkeypatch):
    from masksynth.mask import dense as coalesce

    monkeypatch.setattr(coalesce, "ENTRIES_PER_CHUNK", 30)
    shared = read_subject("tests.audit.masks:shared", length=7)
    assert np.array_equal(shared.mask.dense(), dense_of(lambda q, k: k <= q and (k < 3 or (k >= 5) == (q >= 5)), 7))


def test_block_masks_bring_their_lists():
    subject = read_subject("tests.audit.masks:block_mask")
    assert subject.size == 300
    assert subject.blocks[1] == (128, 128)
    assert audit(subject).findings == ()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tests.audit.masks:additive", "not torch.bool"),
        ("tests.audit.masks:three", "does not take four arguments"),
        ("tests.audit.masks:failing", "RuntimeError: no such tensor"),
        ("tests.audit.masks:number", "is of type int"),
        ("tests.audit.masks:missing", "cannot be imported"),
        ("tests.audit.nowhere:x", "cannot be imported"),
        ("attn_gym.masks:generate_sliding_window", "does not take four arguments"),
    ],
)
def test_what_is_no_mask_mod(spec, words):
    with pytest.raises(InvalidInstance, match=words) as raised:
        read_subject(spec, length=8)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(spec)


def test_options_that_do_not_fit(tmp_path):
    np.save(tmp_path / "m.npy", CAUSAL)
    for options in ({"length": 5}, {"batch": 0}, {"layers": 0}):
        with pytest.raises(InvalidInstance):
            read_subject(tmp_path / "m.npy", **options)
    with pytest.raises(InvalidInstance, match="give --length"):
        read_subject("tests.audit.masks:causal")
    with pytest.raises(InvalidInstance, match="not a packed folder"):
        read_subject("tests.audit.masks:causal", length=4, batch=0)


@pytest.mark.parametrize(
    "array",
    [
        CAUSAL.astype(np.int64),
        CAUSAL.astype(np.float32),
        np.zeros(3, bool),
        np.zeros((2, 3), bool),
        np.full((2, 2), np.nan),
        np.array([[0, -1e4], [-1e9, 0]]),
    ],
)
def test_arrays_that_are_no_mask(array, tmp_path):
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(InvalidInstance) as raised:
        read_subject(tmp_path / "m.npy")
    assert str(tmp_path / "m.npy") in str(raised.value)


@pytest.mark.parametrize("name", ["none.npy", "m.txt", "bad.npy", "bad.npz", "bad.safetensors", "folder"])
def test_files_that_cannot_be_read(name, tmp_path):
    (tmp_path / "folder").mkdir()
    if name.startswith("bad"):
        (tmp_path / name).write_bytes(b"not a mask")
    with pytest.raises(InvalidInstance) as raised:
        read_subject(tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("tokens", "path"),
    [
        ([], "$"),
        ({"input": []}, "$.input"),
        ({"inputs": ["a"]}, "$.inputs"),
        ({"inputs": "abcde"}, "$.inputs"),
        ({"positions": [0, 1, 2, 3, -1]}, "$.positions[4]"),
        ({"positions": [0, 1, 2, 3, True]}, "$.positions[4]"),
        ({"kinds": [0] * 5}, "$.kinds[0]"),
        ({"labels": {}}, "$.labels"),
        ({"labels": [[0]]}, "$.labels[0]"),
        ({"labels": [[5, "a"]]}, "$.labels[0][0]"),
        ({"labels": [[0, "a"], [1, "b", "c"]]}, "$.labels[1][2]"),
        ({"labels": [[0, "a", [{"at": 5}]]]}, "$.labels[0][2][0].at"),
        ({"labels": [[0, "a", [{"at": "x"}]]]}, "$.labels[0][2][0].at"),
        ({"family": 3}, "$.family"),
        ({"family": "nowhere.json"}, "$.family"),
        ({"family": {"masksynth": 1, "name": "x", "tasks": 3}}, "$.family.tasks"),
    ],
)
def test_tokens_that_are_malformed(tokens, path, tmp_path):
    np.save(tmp_path / "m.npy", CAUSAL)
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    with pytest.raises(InvalidInstance) as raised:
        read_subject(tmp_path / "m.npy", tokens=tmp_path / "tokens.json")
    assert raised.value.path == path
    assert str(raised.value).startswith(f"{tmp_path / 'tokens.json'}: {path}: ")
    assert raised.value.remedy


def test_text_of_files_is_never_imported(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "m.npy", CAUSAL)
    hostile = {"inputs": ["evil:x", "__import__('os')", "<script>", "\x1b[31m", "a\nb"], "kinds": ["evil:x"] * 5}
    subject = with_tokens(read_subject("m.npy"), hostile)
    assert audit(subject).findings == ()
    with pytest.raises(InvalidInstance, match=r"\$\.family"):
        with_tokens(subject, {"family": "evil:x"})
