"""Packed folders are as they were written, or refused: every array altered, batches exchanged, the manifest edited."""

import hashlib
import json
import shutil
import time
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from masksynth.arrange.arranged_folder import ArrangeOptions, arrange_packed
from masksynth.cli import main
from masksynth.errors import InvalidInstance, MasksynthWarning
from masksynth.pack import open_packed, pack_samples, unpack_samples
from masksynth.pack.batch import batch_hash
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS
from tests.pack.test_check import DATA, SEGMENTED

NAMES = ("plain", "segments")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of several batches of real samples, and one with segments, fields and keys."""
    place = tmp_path_factory.mktemp("hashes")
    pack_samples(DATA / "gsm8k_rollouts.jsonl.gz", place / "plain", max_length=500)
    pack_samples(SEGMENTED, place / "segments", window=7, skip_long=True, key_fields=["route"])
    return place


@pytest.fixture
def copy(folders, tmp_path):
    def copied(name):
        return shutil.copytree(folders / name, tmp_path / name)

    return copied


def refused(folder):
    """The one line with which reading all of a folder ends."""
    with pytest.raises(InvalidInstance) as caught:
        list(open_packed(folder))
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder) in line
    assert "; " in line  # a remedy
    return line


def metadata_of(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


@pytest.mark.parametrize("name", NAMES)
def test_every_array_altered(copy, name):
    """Some hundred entries, each one step up, one down, or to another value of its type."""
    folder = copy(name)
    path = folder / "batch-00000.safetensors"
    whole, arrays, metadata = path.read_bytes(), load_file(path), metadata_of(path)
    rng = np.random.default_rng(0)
    planted = 0
    for array, values in arrays.items():
        for place in rng.choice(len(values), min(6, len(values)), replace=False).tolist():
            for change in (1, -1, 2**20):
                wrong = values.copy()
                wrong[place] += change
                if wrong.tobytes() != values.tobytes():
                    save_file({**arrays, array: wrong}, path, metadata)
                    refused(folder)
                    planted += 1
    assert planted > 150
    path.write_bytes(whole)
    assert len(list(open_packed(folder))) == len(open_packed(folder))


def test_an_array_that_others_do_not_contradict(copy):
    """A label, a token, a weight and a position id: nothing but the hash tells."""
    folder = copy("plain")
    path = folder / "batch-00000.safetensors"
    arrays, metadata = load_file(path), metadata_of(path)
    for array in ("loss_label", "input_ids", "position_ids", "loss_weight", "sample_weight", "dead_token"):
        for given in (metadata, {"schema": "1"}):
            save_file({**arrays, array: arrays[array] + 1}, path, given)
            line = refused(folder)
            assert "the file was changed or exchanged; restore the folder, or pack the samples again" in line
            assert line.startswith(f"{path}: the arrays have the hash ")
    other = {**arrays, "field_new": np.zeros(len(arrays["loss_label"]))}
    save_file(other, path, metadata)
    refused(folder)
    del other["field_new"], other["loss_weight"]
    save_file(other, path, metadata)
    assert "loss_weight" in refused(folder)


def test_another_way_of_storing_is_accepted(copy):
    folder = copy("plain")
    before = [batch_hash(batch) for batch in open_packed(folder)]
    for number, path in enumerate(sorted(folder.glob("batch-*"))):
        arrays = load_file(path)
        for given in ({"schema": "1"}, {"schema": "1", "by": "another program"}, None, {"batch_hash": before[number]}):
            save_file(dict(reversed(arrays.items())), path, given)
            assert batch_hash(open_packed(folder)[number]) == before[number]
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(dict(reversed(manifest.items())), indent=2, sort_keys=True))
    assert [batch_hash(batch) for batch in open_packed(folder)] == before
    save_file(
        load_file(folder / "batch-00000.safetensors"), folder / "batch-00000.safetensors", {"batch_hash": "0" * 64}
    )
    assert "the file's metadata has 000000000000" in refused(folder)


def test_batches_exchanged(copy):
    folder = copy("plain")
    paths = sorted(folder.glob("batch-*"))
    assert len(paths) > 3
    content = [path.read_bytes() for path in paths]
    for first in range(len(paths)):
        for second in range(first):
            paths[first].write_bytes(content[second])
            paths[second].write_bytes(content[first])
            refused(folder)
            paths[first].write_bytes(content[first])
            paths[second].write_bytes(content[second])
    list(open_packed(folder))


def edits(value, path=()):
    """Every leaf of a manifest, and every list with two entries exchanged or one removed: (path, new value)."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from edits(item, (*path, key))
            yield (*path, key), ...
    elif isinstance(value, list):
        for place in range(min(3, len(value))):
            yield from edits(value[place], (*path, place))
        if value:
            yield path, value[1:]
            yield path, value[::-1]
            yield path, [*value, value[0]]
    elif isinstance(value, bool):
        yield path, not value
    elif isinstance(value, int):
        yield from ((path, value + 1), (path, value - 1))
    elif isinstance(value, str):
        yield from ((path, value + "x"), (path, value[1:]))
    else:
        yield path, "x"


def put(value, path, new):
    head, *rest = path
    if rest:
        put(value[head], rest, new)
    elif new is ...:
        del value[head]
    else:
        value[head] = new


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_edited(copy, name):
    folder = copy(name)
    text = (folder / "manifest.json").read_text()
    planted = 0
    for path, new in list(edits(json.loads(text))):
        manifest = json.loads(text)
        put(manifest, path, new)
        same = {"file": None, "groups": None, "segments": None}
        if manifest == json.loads(text) or (
            new is ... and path[-1] in same and json.loads(text)["batches"][path[1]][path[-1]] is None
        ):
            continue  # a key that is null may be left out
        (folder / "manifest.json").write_text(json.dumps(manifest))
        refused(folder)
        planted += 1
    assert planted > 60
    for lost in ('"hash"', '"options"'):
        (folder / "manifest.json").write_text(text.replace(lost, '"other"'))
        refused(folder)


def test_the_hashes_are_those_of_the_page(folders):
    """``docs/formats.md`` says how another program computes them."""
    for name in NAMES:
        manifest = json.loads((folders / name / "manifest.json").read_text())
        digest = hashlib.sha256()
        head = {key: value for key, value in manifest.items() if key not in ("batches", "hash")}
        for part in (head, *manifest["batches"]):
            digest.update(json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
        assert digest.hexdigest() == manifest["hash"]
        for entry in manifest["batches"]:
            digest = hashlib.sha256()
            for array, values in sorted(load_file(folders / name / entry["file"]).items()):
                digest.update(f"{array}:{values.dtype.str}:{list(values.shape)}\n".encode() + values.tobytes())
            assert digest.hexdigest() == entry["hash"] == metadata_of(folders / name / entry["file"])["batch_hash"]


def test_names_of_any_kind_are_hashed_alike(tmp_path):
    rows = [
        {"id": name, "input_ids": [1, 2], "labels": [-100, 2]}
        for name in ('"\\/\x00\x1f\x7f\u2028é\U0001f600', -5, 2**62)
    ]
    pack_samples(rows, tmp_path / "out")
    list(open_packed(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))  # every character escaped
    assert [sample["id"] for sample in unpack_samples(tmp_path / "out")] == [row["id"] for row in rows]


def test_the_options_stand_in_the_manifest(folders):
    manifest = json.loads((folders / "segments" / "manifest.json").read_text())
    options = manifest["options"]
    assert options.pop("version")
    assert options == {
        "max_length": 32768,
        "window": 7,
        "token_fields": list(TOKEN_FIELDS),
        "key_fields": [*KEY_FIELDS, "route"],
        "skip_long": True,
    }
    assert manifest["skipped"] == []
    assert (manifest["masksynth_pack"], manifest["max_length"]) == (1, 32768)


def old(folder):
    """The folder as it was written before there were hashes."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("options", "skipped", "hash"):
        del manifest[key]
    for entry in manifest["batches"]:
        del entry["hash"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for path in folder.glob("batch-*"):
        save_file(load_file(path), path, {"schema": "1"})
    return folder


def test_a_folder_from_before_is_read_with_one_warning(copy, folders):
    folder = old(copy("plain"))
    with pytest.warns(MasksynthWarning, match="was packed before folders had hashes") as caught:
        batches = list(open_packed(folder))
    assert len(caught) == 1
    assert [batch_hash(batch) for batch in batches] == [batch_hash(batch) for batch in open_packed(folders / "plain")]
    done = CliRunner().invoke(main, ["unpack", str(folder)])
    assert done.exit_code == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"Warning: {folder}: was packed before folders had hashes")
    small = old(copy("segments"))
    with pytest.warns(MasksynthWarning):
        arrange_packed(small, small.parent / "arranged", ArrangeOptions(128), lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(open_packed(small.parent / "arranged"))) == 1


def test_arranged_batches_have_hashes_of_their_own(folders, tmp_path):
    arrange_packed(folders / "segments", tmp_path / "arranged", ArrangeOptions(4), lambda *_: None)
    path = tmp_path / "arranged" / "batch-00000.safetensors"
    arrays = load_file(path)
    save_file({**arrays, "loss_label": arrays["loss_label"] + 1}, path, metadata_of(path))
    refused(tmp_path / "arranged")


def test_hashing_takes_little_of_loading(folders):
    """Hashing is a part of loading, with reading and checking, and not all of it."""
    size = 1 << 16
    rows = [
        {"id": 0, "input_ids": [i % 1000 for i in range(size)], "labels": [-100, *(i % 1000 for i in range(1, size))]}
    ]
    place = folders / "large"
    pack_samples(rows, place, max_length=size)
    packed = open_packed(place)
    batch = packed[0]

    def least(action):
        spent = []
        for _ in range(5):
            begun = time.perf_counter()
            action()
            spent.append(time.perf_counter() - begun)
        return min(spent)

    assert least(lambda: batch_hash(batch)) < 0.9 * least(lambda: packed[0])
