"""A packed folder compared with its samples: what is missing, added, repeated or changed is found, in any order."""

import gzip
import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.pack import open_packed, pack_samples
from masksynth.pack.batch import batch_arrays, batch_hash, batch_of_arrays
from masksynth.pack.check_samples import tables_of
from masksynth.pack.packed_folder import MANIFEST
from masksynth.pack.write_folder import batch_content, write_manifest
from masksynth.verify.packs import WrongSample, check_packed
from masksynth.verify.samples import verify_packed
from tests.pack.strategies import causal_samples, segmented_samples
from tests.pack.test_check import DATA, SEGMENTED

GSM8K = DATA / "gsm8k_rollouts.jsonl.gz"
ROWS = [json.loads(line) for line in gzip.decompress(GSM8K.read_bytes()).splitlines()]
RICH = [
    {**row, "id": number, "weight": 0.5 + number, "advantages": [float(number)] * 8, "kinds": [0] * 6 + [1, 2]}
    for number, row in enumerate(SEGMENTED * 3)
]


def verified(folder, rows):
    """The report of a folder, or the error, its samples given as mappings."""
    return verify_packed(folder, lambda fields, keys: tables_of(rows, fields, keys))


def wrong(folder, rows, requirement=None):
    with pytest.raises(WrongAnswer) as caught:
        verified(folder, rows)
    assert "\n" not in str(caught.value)
    if requirement is not None:
        assert caught.value.requirement == requirement, str(caught.value)
    return caught.value


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "plain"
    pack_samples(ROWS, folder, max_length=500, window=7)
    return folder


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "rich"
    pack_samples(RICH, folder, max_length=40)
    return folder


def test_the_right_samples_in_any_order(plain, rich):
    for seed in range(3):
        rows = random.Random(seed).sample(ROWS, len(ROWS))
        report = verified(plain, rows)
        assert (report.samples, report.batches) == (len(ROWS), len(open_packed(plain)))
        assert report.checks == ("files", "identity", "rows", "loss edges", "samples", "hashes")
    assert verified(rich, RICH[::-1]).loss_edges == len(RICH)


def test_missing_added_and_repeated(plain):
    rng = random.Random(5)
    for _ in range(10):
        rows = rng.sample(ROWS, len(ROWS))
        lost = rows.pop()
        error = wrong(plain, rows, "samples")
        assert (error.sample, error.said) == (lost["id"], "is not among the samples")
        error = wrong(plain, [*rows, lost, {**lost, "id": "new"}], "samples")
        assert error.sample == "new"
        assert "is missing in the folder" in error.said
        error = wrong(plain, [*rows, lost, rows[3]], "samples")
        assert error.sample == rows[3]["id"]
        assert "is there again" in error.said
        error = wrong(plain, [*rows, {**lost, "id": rows[0]["id"]}])
        assert error.sample in (lost["id"], rows[0]["id"])


def changes(row, rng):
    """(requirement, changed row) for every kind of change of a sample."""
    length = len(row["input_ids"])
    trained = [i for i, label in enumerate(row["labels"]) if label != -100]
    place, label = rng.randrange(length), rng.choice(trained)

    def at(values, index, value):
        return [*values[:index], value, *values[index + 1 :]]

    yield "identity", {**row, "input_ids": at(row["input_ids"], place, row["input_ids"][place] + 1)}
    yield "identity", {**row, "input_ids": [*row["input_ids"], 1], "labels": [*row["labels"], -100]}
    yield "loss edges", {**row, "labels": at(row["labels"], label, row["labels"][label] + 1)}
    yield "loss edges", {**row, "labels": at(row["labels"], label, -100)}
    yield "loss edges", {**row, "weight": row.get("weight", 1.0) * 2 + 1}
    yield "loss edges", {**row, "weights": [0.5] * length}
    yield "identity", {**row, "position_ids": [5, *range(1, length)]}
    yield "groups", {**row, "group": "another"}
    yield "groups", {key: value for key, value in row.items() if key != "group"}


def test_changed_samples_are_named(plain):
    rng = random.Random(1)
    for number in range(len(ROWS)):
        for requirement, changed in changes(ROWS[number], rng):
            rows = [*ROWS[:number], changed, *ROWS[number + 1 :]]
            rng.shuffle(rows)
            error = wrong(plain, rows, requirement)
            assert error.sample == ROWS[number]["id"]
            assert error.file.startswith("batch-")
            if requirement != "groups" and "weight" not in error.said and "tokens, the folder" not in error.said:
                assert isinstance(error.token, int)


def test_changed_fields_keys_and_segments(rich):
    number = 4
    row = RICH[number]
    for requirement, changed in (
        ("loss edges", {"advantages": [1.0] * 8}),
        ("loss edges", {"advantages": None}),
        ("identity", {"kinds": [0] * 6 + [1, 3]}),
        ("identity", {"kinds": None}),
        ("rows", {"segments": [*row["segments"][:2], {**row["segments"][2], "sees": [1]}]}),
        ("rows", {"segments": [row["segments"][0], {**row["segments"][1], "within": "causal"}, row["segments"][2]]}),
    ):
        rows = [*RICH[:number], {**row, **changed}, *RICH[number + 1 :]]
        assert wrong(rich, rows, requirement).sample == number
    nothing = {**row, "advantages": [9.0] * 7 + row["advantages"][7:]}  # only trained labels count
    verified(rich, [*RICH[:number], nothing, *RICH[number + 1 :]])


def rewritten(folder, place, change):
    """The folder with one batch changed and all hashes made to fit: only its samples can tell."""
    target = shutil.copytree(folder, place)
    packed = open_packed(folder)
    entries = []
    for number, entry in enumerate(packed.manifest.batches):
        batch = packed[number]
        if number == 0:
            batch = batch_of_arrays(change(batch_arrays(batch)), batch.samples)
            entry = type(entry)(
                entry.file, batch.positions, entry.samples, entry.groups, entry.segments, batch_hash(batch)
            )
            (target / entry.file).write_bytes(b"".join(batch_content(batch)))
        entries.append(entry)
    write_manifest(target / MANIFEST, packed.manifest.head(), lambda: entries)
    return target


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_every_array_of_a_batch_changed_with_its_hash(name, plain, rich, tmp_path):
    folder, rows = (plain, ROWS) if name == "plain" else (rich, RICH)
    rng = np.random.default_rng(2)
    planted = 0
    for array, values in batch_arrays(open_packed(folder)[0]).items():
        for place in rng.choice(len(values), min(4, len(values)), replace=False).tolist():
            for step in (1, -1):

                def change(arrays, array=array, place=place, step=step):
                    wrong = arrays[array].copy()
                    wrong[place] += step
                    return {**arrays, array: wrong}

                try:
                    folder_of = rewritten(folder, tmp_path / f"{array}-{place}-{step}", change)
                except InvalidInstance:
                    continue  # not a batch at all
                with pytest.raises((WrongAnswer, InvalidInstance)):
                    verified(folder_of, rows)
                planted += 1
    assert planted > 40


def test_two_entries_of_the_manifest_exchange_their_samples(plain, tmp_path):
    target = shutil.copytree(plain, tmp_path / "copy")
    packed = open_packed(plain)
    for number, entry in enumerate(packed.manifest.batches):
        if len(entry.samples) > 1:
            entries = list(packed.manifest.batches)
            swapped = (entry.samples[1], entry.samples[0], *entry.samples[2:])
            entries[number] = type(entry)(
                entry.file, entry.positions, swapped, entry.groups, entry.segments, entry.hash
            )
            write_manifest(target / MANIFEST, packed.manifest.head(), lambda entries=entries: entries)
            assert wrong(target, ROWS).sample in swapped[:2]


def test_files_that_do_not_belong(plain, tmp_path):
    target = shutil.copytree(plain, tmp_path / "copy")
    (target / "batch-00099.safetensors").write_bytes((target / "batch-00000.safetensors").read_bytes())
    assert "does not name batch-00099.safetensors" in str(wrong(target, ROWS, "files"))
    (target / "batch-00099.safetensors").unlink()
    text = (target / MANIFEST).read_text()
    (target / MANIFEST).write_text(text.replace('"hash": "', '"hash": "0'))
    assert "though the samples are right" in str(wrong(target, ROWS, "hashes"))
    (target / MANIFEST).write_text(text.replace("batch-00001.safetensors", "batch-00000.safetensors"))
    assert "names 'batch-00000.safetensors' 2 times" in str(wrong(target, ROWS, "files"))
    (target / MANIFEST).write_text(text)
    (target / "batch-00000.safetensors").write_bytes(b"broken")
    with pytest.raises(InvalidInstance, match=r"batch-00000.safetensors: cannot be read"):
        verified(target, ROWS)


def test_samples_that_were_left_out(tmp_path):
    rows = [{"id": i, "input_ids": list(range(n)), "labels": [-100, *range(1, n)]} for i, n in enumerate((4, 9, 5, 12))]
    pack_samples(rows, tmp_path / "out", max_length=7, skip_long=True)
    report = verified(tmp_path / "out", rows[::-1])
    assert (report.samples, report.skipped) == (4, 2)
    assert wrong(tmp_path / "out", rows[:3], "samples").sample == 3
    short = {**rows[3], "input_ids": [1, 2], "labels": [-100, 2]}
    assert wrong(tmp_path / "out", [*rows[:3], short], "samples").sample == 3


def test_a_folder_from_before(plain, tmp_path):
    target = shutil.copytree(plain, tmp_path / "copy")
    manifest = json.loads((target / MANIFEST).read_text())
    for key in ("options", "skipped", "hash"):
        del manifest[key]
    for entry in manifest["batches"]:
        del entry["hash"]
    (target / MANIFEST).write_text(json.dumps(manifest))
    assert verified(target, ROWS).checks == ("files", "identity", "rows", "loss edges", "samples")
    wrong(target, ROWS[1:], "samples")


def test_samples_without_ids_in_another_order(tmp_path):
    """They are named after their lines, and found by what they hold."""
    named = [{**row, "id": f"#{number}"} for number, row in enumerate([*ROWS, ROWS[3]], 1)]
    pack_samples(named, tmp_path / "out", max_length=500)
    rng = random.Random(3)
    for _ in range(5):
        rows = rng.sample(named, len(named))
        again = [{**row, "id": f"#{number}"} for number, row in enumerate(rows, 1)]
        assert verified(tmp_path / "out", again).samples == len(named)
        wrong(tmp_path / "out", again[1:], "samples")
        place = rng.randrange(len(rows))
        again[place] = {**again[place], "weight": 7.0}
        assert "weight is 7.0, the folder has " in wrong(tmp_path / "out", again, "loss edges").said


def test_further_dimensions_of_position_ids(tmp_path):
    """Of text each equals the first, given or not."""
    rows = [
        {"id": number, "input_ids": [1, 2, 3, number], "labels": [-100, 2, 3, number], "position_ids": [0, 1, 1, 2]}
        for number in range(3)
    ]
    rows[1] |= {"position_ids_1": [0, 1, 2, 3]}
    rows[2] |= {"position_ids_1": [0, 1, 1, 2]}
    pack_samples([rows[1], rows[2]], tmp_path / "out", key_fields=["position_ids_1"])
    verified(tmp_path / "out", [rows[1], {**rows[2], "position_ids_1": [0, 1, 1, 9]}])  # the last token is dead
    for number, changed in ((1, [0, 1, 1, 2]), (2, [0, 0, 0, 0])):
        given = [{**row, "position_ids_1": changed} if row["id"] == number else row for row in rows[1:]]
        assert wrong(tmp_path / "out", given, "identity").sample == number


def test_a_needed_token_called_dead():
    """A batch without a sample's first token, every row complete but for it."""
    [table] = tables_of([{"id": "a", "input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}])
    from masksynth.pack.merge_batches import batches_of

    [(table, samples, batch)] = batches_of(table, 100)
    check_packed(batch, table, samples)
    short = replace(
        batch,
        input_ids=np.array([6, 7]),
        position_ids=np.array([1, 2]),
        mask=Mask(np.array([[0, 1, 2]]), np.array([0, 0], np.int32), np.array([1, 2], np.int32)),
        loss_position=np.array([0, 1]),
        sample_offset=np.array([0, 2]),
        sample_position=np.array([0, 1]),
        dead_offset=np.array([0, 2]),
        dead_index=np.array([0, 3]),
        dead_token=np.array([5, 8]),
    )
    with pytest.raises(
        WrongSample, match="token 1 at position 0 does not see exactly what it sees in the sample"
    ) as caught:
        check_packed(short, table, samples)
    assert (caught.value.sample, caught.value.token) == ("a", 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(causal_samples(3), segmented_samples(2)), min_size=1, max_size=4),
    st.integers(1, 7),
    st.randoms(),
)
def test_random_samples(tmp_path_factory, families, window, chance):
    rows = [
        {**sample, "id": f"{g}/{sample['id']}", "group": g} for g, family in enumerate(families) for sample in family
    ]
    folder = tmp_path_factory.mktemp("packed") / "out"
    pack_samples(rows, folder, window=window, max_length=30)
    chance.shuffle(rows)
    assert verified(folder, rows).samples == len(rows)
    place = chance.randrange(len(rows))
    wrong(folder, [*rows[:place], *rows[place + 1 :]], "samples")
    tokens = rows[place]["input_ids"]
    if tokens:
        at = chance.randrange(len(tokens))
        rows[place] = {**rows[place], "input_ids": [*tokens[:at], tokens[at] + 1, *tokens[at + 1 :]]}
        assert wrong(folder, rows, "identity").token == at


def test_samples_without_ids_that_are_left_out_may_come_in_any_order(tmp_path):
    """Their names in the folder are those of lines, which other files and orders do not have."""
    rows = [{"input_ids": [1, 2, 3 + i], "labels": [-100, 2, 3 + i]} for i in range(4)]
    long = [{"input_ids": list(range(30 + i)), "labels": [-100] * (29 + i) + [7]} for i in range(2)]
    pack_samples([*rows[:2], *long, *rows[2:]], tmp_path / "out", max_length=10, skip_long=True)
    for order in ([*long, *rows], [*rows, *long], [rows[3], long[1], *rows[:3], long[0]]):
        report = verified(tmp_path / "out", order)
        assert (report.samples, report.skipped) == (6, 2)
    wrong(tmp_path / "out", [*long[:1], *rows], "samples")
    wrong(tmp_path / "out", [*long, *long[:1], *rows])
    wrong(tmp_path / "out", [*long, *rows[:1], *rows[:3]])
    wrong(tmp_path / "out", [*long, *long[:1], *rows[:3]])
    wrong(tmp_path / "out", [long[0], {"input_ids": [8], "labels": [8]}, *rows])
