"""Samples from files: the fast road and the slow one agree, and every fault is one line with file and line number."""

import gzip
import io
import json
import time
from collections import deque

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import masksynth as ms
from masksynth.errors import InvalidInstance
from masksynth.pack import text_lines
from masksynth.pack.check_samples import tables_of
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import TOKEN_FIELDS, join, key_of

GOOD = [
    {
        "id": "a",
        "group": "g",
        "input_ids": [1, 2, 3],
        "labels": [-100, 2, 3],
        "weight": 0.5,
        "advantages": [0.0, 1.5, -2e-3],
    },
    {"id": 7, "group": 3, "input_ids": [], "labels": []},
    {
        "id": "ü",
        "input_ids": [2**31 - 1, 0],
        "labels": [-100, -100],
        "kinds": [1, 0],
        "text": "ignored",
        "ref_logprobs": [None, 1],
    },
    {
        "id": "s",
        "input_ids": [5, 6, 7],
        "labels": [-100, -100, 7],
        "segments": [{"length": 2}, {"length": 1, "sees": [0], "position": 9}],
    },
]


def same(left, right):
    assert (left.ids, left.groups, left.segments) == (right.ids, right.groups, right.segments)
    for name in ("weight", "offset", "tokens", "labels"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    for name in {*left.fields, *right.fields}:
        np.testing.assert_array_equal(left.fields[name], right.fields[name])
    for name in {*left.keys, *right.keys, "position_ids"}:
        np.testing.assert_array_equal(key_of(left, name), key_of(right, name))


def written(path, rows, zipped=False):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if zipped else text)
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_files_equal_mappings(tmp_path, zipped):
    path = written(tmp_path / "samples", GOOD, zipped)
    same(join(list(read_samples(path))), join(list(tables_of(GOOD))))
    same(join(list(read_samples(io.BytesIO(path.read_bytes())))), join(list(tables_of(GOOD))))


def test_blank_lines_carriage_returns_and_a_missing_last_newline(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"\r\n \n" + b"\r\n\n".join(json.dumps(row).encode() for row in GOOD))
    table = join(list(read_samples(path)))
    same(table, join(list(tables_of(GOOD))))
    assert table.place[1].endswith(":5")


def test_many_blocks(tmp_path):
    rows = [{"id": i, "input_ids": list(range(i % 7)), "labels": [-100] * (i % 7)} for i in range(3000)]
    tables = list(read_samples(written(tmp_path / "s", rows)))
    assert len(tables) == 3
    same(join(tables), join(list(tables_of(rows))))


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD[0]).encode())
    assert join(list(read_samples(path))).ids == ("a",)


def test_parquet_segments_have_every_field_and_null_is_the_default(tmp_path):
    row = {"id": "s", "input_ids": [5, 6, 7], "labels": [-100, -100, 7]}
    row["segments"] = [{"length": 2, "within": "full"}, {"length": 1, "sees": [0], "position": 9}]
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "s.parquet")
    same(join(list(read_samples(tmp_path / "s.parquet"))), join(list(tables_of([row]))))


def test_parquet_with_a_column_twice(tmp_path):
    array = pa.array(["a"])
    pq.write_table(
        pa.table([array, array, pa.array([[1]]), pa.array([[-100]])], names=["id", "id", "input_ids", "labels"]),
        tmp_path / "s",
    )
    with pytest.raises(InvalidInstance, match="there are two columns id"):
        list(read_samples(tmp_path / "s"))


def test_what_is_no_text_and_no_number_in_python():
    with pytest.raises(InvalidInstance, match="is not valid text"):
        list(tables_of([{**SAMPLE, "id": "\ud800"}]))


def test_parquet(tmp_path):
    plain = [{k: v for k, v in row.items() if k in ("id", "group", "input_ids", "labels", "weight")} for row in GOOD]
    plain = [{**row, "id": str(row["id"]), "group": str(row.get("group"))} for row in plain]
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "s.parquet")
    same(join(list(read_samples(tmp_path / "s.parquet"))), join(list(tables_of(plain))))
    rich = [{**row, "advantages": [0.5] * len(row["input_ids"])} for row in plain]
    pq.write_table(pa.Table.from_pylist(rich), tmp_path / "r.parquet")
    same(join(list(read_samples(tmp_path / "r.parquet"))), join(list(tables_of(rich))))


SAMPLE = {"id": "x", "input_ids": [1, 2], "labels": [-100, 2]}
FAULTS = {
    "unequal lengths": ({**SAMPLE, "labels": [-100]}, "$.labels: 1 entries, but input_ids has 2"),
    "unequal field": ({**SAMPLE, "advantages": [1.0]}, "$.advantages: 1 entries, but input_ids has 2"),
    "negative id": ({**SAMPLE, "input_ids": [1, -2]}, "$.input_ids[1]: -2 is not from 0"),
    "huge id": ({**SAMPLE, "input_ids": [1, 2**31]}, "$.input_ids[1]: 2147483648 is not from 0"),
    "huger id": ({**SAMPLE, "input_ids": [1, 2**70]}, "$.input_ids: is not a flat list of integers"),
    "negative label": ({**SAMPLE, "labels": [-100, -7]}, "$.labels[1]: -7 is neither -100"),
    "malformed first label": ({**SAMPLE, "labels": [-1, 2]}, "$.labels[0]: -1 is neither -100"),
    "missing ids": ({"id": "x", "labels": []}, "input_ids is missing"),
    "missing labels": ({"id": "x", "input_ids": []}, "labels is missing"),
    "id of another type": ({**SAMPLE, "id": [1]}, "$.id: list is not a string"),
    "group of another type": ({**SAMPLE, "group": 1.5}, "$.group: float is not a string"),
    "weight of another type": ({**SAMPLE, "weight": "1"}, "$.weight: str is not a number"),
    "nested": ({**SAMPLE, "input_ids": [[1], [2]]}, "$.input_ids: is not a flat list of integers"),
    "fractions": ({**SAMPLE, "input_ids": [1, 2.5]}, "$.input_ids: is not a flat list of integers"),
    "booleans": ({**SAMPLE, "input_ids": [True, False]}, "$.input_ids: is not a flat list of integers"),
    "strings": ({**SAMPLE, "input_ids": ["1", "2"]}, "$.input_ids: is not a flat list of integers"),
    "an array": ([1, 2], "a sample is an object, not list"),
    "segments that do not add up": ({**SAMPLE, "segments": [{"length": 1}]}, "$.segments: expected "),
    "segments that see themselves": (
        {**SAMPLE, "segments": [{"length": 2, "sees": [0]}]},
        "sees 0 is not an earlier segment",
    ),
    "a field of segments unknown": ({**SAMPLE, "segments": [{"length": 2, "sight": 1}]}, "sight"),
    "field without a number at a label": (
        {**SAMPLE, "advantages": [1.0, None]},
        "$.advantages[1]: is null at a trained label",
    ),
    "a weight beyond numbers": ({**SAMPLE, "weight": 10**400}, "the weight is beyond the range of numbers"),
    "a product beyond numbers": (
        {**SAMPLE, "weight": 1e300, "weights": [0, 1e300]},
        "$.weights[1]: times the sample's weight",
    ),
    "a position beyond all": (
        {**SAMPLE, "segments": [{"length": 2, "position": 10**30}]},
        "$.segments[0].position: positions from 1000",
    ),
    "negative key": ({**SAMPLE, "kinds": [0, -1]}, "$.kinds[1]: -1 is not from 0"),
}
TEXTS = {
    "NaN weight": (b'{"id":"x","input_ids":[1],"labels":[-100],"weight":NaN}', "NaN and Infinity are not JSON"),
    "infinite weight": (b'{"id":"x","input_ids":[1],"labels":[-100],"weight":1e999}', ""),
    "cut line": (b'{"id":"x","input_ids":[1', "give one JSON object per line"),
    "not JSON": (b"hello", "give one JSON object per line"),
    "not UTF-8": (b'{"id":"\xff","input_ids":[1],"labels":[-100]}', "UTF-8"),
    "deep": (b"[" * 100_000, ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_file_and_line(tmp_path, name):
    sample, words = FAULTS[name]
    path = written(tmp_path / "bad.jsonl", [*GOOD, sample, SAMPLE])
    with pytest.raises(InvalidInstance) as caught:
        list(read_samples(path))
    assert str(caught.value).startswith(f"{path}:5: ")
    assert words in str(caught.value)
    with pytest.raises(InvalidInstance, match="samples:5"):
        list(tables_of([*GOOD, sample, SAMPLE]))


@pytest.mark.parametrize("name", TEXTS)
def test_a_line_that_is_no_sample(tmp_path, name):
    line, words = TEXTS[name]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(json.dumps(SAMPLE).encode() + b"\n" + line + b"\n")
    with pytest.raises(InvalidInstance) as caught:
        list(read_samples(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)
    assert words in str(caught.value)


def test_weights_must_be_finite():
    with pytest.raises(InvalidInstance, match=r"samples:1: \$.weight: weight nan is not finite"):
        list(tables_of([{**SAMPLE, "weight": float("nan")}]))


@pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b"", mtime=0)], ids=["empty", "blank", "gzip"])
def test_an_empty_file(tmp_path, content):
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInstance, match="contains no sample"):
        list(read_samples(path))


def test_a_truncated_gzip_names_the_line(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"id": i, "input_ids": rng.integers(0, 10**6, 50).tolist(), "labels": [-100] * 50} for i in range(400)]
    path = written(tmp_path / "s.jsonl.gz", rows, True)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InvalidInstance, match=rf"{path}:(3\d\d|400): the gzip stream is damaged or cut off"):
        list(read_samples(path))


def test_a_damaged_parquet_file(tmp_path):
    path = tmp_path / "s.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InvalidInstance, match=r"s\.parquet: cannot be read as Parquet"):
        list(read_samples(path))


def test_a_field_may_not_take_a_name_that_has_a_meaning(tmp_path):
    with pytest.raises(InvalidInstance, match="'labels' cannot be an additional per-token field"):
        list(read_samples(written(tmp_path / "s", GOOD), (*TOKEN_FIELDS, "labels")))


LINE_FAULTS = {
    "a repeated key": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"id":"y"}',
        "$: key 'id' is repeated in one object; keep one of them",
    ),
    "a repeated list": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"input_ids":[1]}',
        "$: key 'input_ids' is repeated",
    ),
    "a repeated key by an escape": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"\\u0069d":"y"}',
        "$: key 'id' is repeated",
    ),
    "a repeated key of a segment": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"segments":[{"length":1,"length":1}]}',
        "$.segments[0]: key 'length' is repeated",
    ),
    "a repeated ignored key": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"a":{"b":"\\"","c":[{"b":1}],"b":2}}',
        "$.a: key 'b' is repeated",
    ),
    "an id beyond 64 bits": (
        b'{"id":%d,"input_ids":[1],"labels":[-100]}' % 2**70,
        f"$.id: {2**70} is not an integer of 64 bits",
    ),
    "a group beyond 64 bits": (
        b'{"id":1,"group":%d,"input_ids":[1],"labels":[-100]}' % -(2**64),
        "$.group: -18446744073709551616 is not",
    ),
    "an infinite weight": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"weight":1e400}',
        "$.weight: weight inf is not finite",
    ),
    "an infinite field": (
        b'{"id":"x","input_ids":[1,2],"labels":[-100,2],"advantages":[0,1e400]}',
        "$.advantages[1]: inf is not finite",
    ),
    "an overlong field": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"advantages":[1%s]}' % (b"0" * 400),
        "$.advantages: is not a flat list of numbers: entry 0 is 1000",
    ),
    "an overlong token": (b'{"id":"x","input_ids":[1,1%s],"labels":[-100,2]}' % (b"0" * 5000), "$.input_ids"),
    "a huge token": (
        b'{"id":"x","input_ids":[1,%d],"labels":[-100,2]}' % 2**70,
        f"$.input_ids: is not a flat list of integers below 2^63: entry 1 is {2**70}",
    ),
    "a huge label": (b'{"id":"x","input_ids":[1,2],"labels":[-100,%d]}' % 2**63, "$.labels"),
    "an infinite token": (
        b'{"id":"x","input_ids":[1,1e400],"labels":[-100,2]}',
        "$.input_ids: is not a flat list of integers below 2^63: entry 1 is inf",
    ),
    "a huge position": (
        b'{"id":"x","input_ids":[1],"labels":[-100],"position_ids":[2147483648]}',
        "$.position_ids[0]: 2147483648 is not from 0",
    ),
    "true among tokens": (
        b'{"id":"x","input_ids":[5,true],"labels":[-100,2]}',
        "$.input_ids: is not a flat list of integers below 2^63: entry 1 is True",
    ),
    "false among labels": (
        b'{"id":"x","input_ids":[5,6],"labels":[-100,false]}',
        "$.labels: is not a flat list of integers below 2^63: entry 1 is False",
    ),
    "true among weights": (
        b'{"id":"x","input_ids":[5,6],"labels":[-100,6],"weights":[null,true]}',
        "$.weights: is not a flat list of numbers: entry 1 is True",
    ),
    "true among kinds": (
        b'{"id":"x","input_ids":[5,6],"labels":[-100,6],"kinds":[0,true]}',
        "$.kinds: is not a flat list",
    ),
    "true beside 1 in a mask": (
        b'{"id":"x","input_ids":[5,6],"completion_mask":[1,true]}',
        "$.completion_mask: is not a flat list of integers",
    ),
    "true as weight": (
        b'{"id":"x","input_ids":[5,6],"labels":[-100,6],"weight":true}',
        "$.weight: bool is not a number",
    ),
    "true as id": (b'{"id":true,"input_ids":[5,6],"labels":[-100,6]}', "$.id: bool is not a string or an integer"),
    "true as group": (
        b'{"id":1,"group":false,"input_ids":[5,6],"labels":[-100,6]}',
        "$.group: bool is not a string or an integer",
    ),
    "true as length": (b'{"id":1,"input_ids":[5],"labels":[-100],"segments":[{"length":true}]}', "$.segments"),
    "null in a mask": (
        b'{"id":"x","input_ids":[5,6],"completion_mask":[true,null]}',
        "$.completion_mask: is not a flat list of integers 0 and 1, or of booleans: entry 1 is None",
    ),
    "an empty list within": (b'{"id":1,"input_ids":[[]],"labels":[]}', "$.input_ids: is not a flat list"),
    "an ignored field that is not UTF-8": (
        b'{"id":1,"input_ids":[5],"labels":[-100],"text":"\xff"}',
        "is not UTF-8 text",
    ),
    "half of a surrogate pair": (
        b'{"id":1,"input_ids":[5],"labels":[-100],"text":"\\ud800"}',
        "a string has \\ud800, which is half of a character",
    ),
}


@pytest.mark.parametrize("name", LINE_FAULTS)
@pytest.mark.parametrize("pipe", [False, True])
def test_a_faulty_line_is_named_with_its_field(tmp_path, name, pipe):
    line, words = LINE_FAULTS[name]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(json.dumps(SAMPLE).encode() + b"\n" + line + b"\n")
    with pytest.raises(InvalidInstance) as caught:
        list(read_samples(io.BytesIO(gzip.compress(path.read_bytes())) if pipe else path))
    assert str(caught.value).startswith(f"{'<stream>' if pipe else path}:2: {words}" if words[0] == "$" else "")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [[2, True], [True, True], np.array([True, False]), (np.True_, 5), [2, np.False_], deque([5, True])]
)
@pytest.mark.parametrize("name", ["input_ids", "labels", "kinds", "position_ids", "advantages", "weights"])
def test_booleans_are_not_numbers_in_python(name, values):
    with pytest.raises(InvalidInstance, match=rf"samples:1: \$.{name}: is not a flat list of"):
        list(tables_of([{**SAMPLE, name: values}]))


@pytest.mark.parametrize("name", ["input_ids", "labels", "kinds", "position_ids", "advantages", "weights"])
def test_booleans_are_not_numbers_in_parquet(tmp_path, name):
    pq.write_table(pa.Table.from_pylist([{**SAMPLE, name: [True, False]}]), tmp_path / "s.parquet")
    with pytest.raises(InvalidInstance, match=rf"s\.parquet:1: \$.{name}: is not a flat list of"):
        list(read_samples(tmp_path / "s.parquet"))


@pytest.mark.parametrize("name", ["id", "group", "weight"])
@pytest.mark.parametrize("value", [True, np.True_])
def test_booleans_are_not_scalars(tmp_path, name, value):
    with pytest.raises(InvalidInstance, match=rf"\$.{name}: bool_? is not"):
        list(tables_of([{**SAMPLE, name: value}]))
    pq.write_table(pa.Table.from_pylist([{**SAMPLE, name: bool(value)}]), tmp_path / "s.parquet")
    with pytest.raises(InvalidInstance, match=rf"s\.parquet:1: \$.{name}: bool is not"):
        list(read_samples(tmp_path / "s.parquet"))


@pytest.mark.parametrize(
    "values", [[0.0, 10**400], [0.0, "1"], [0.0, [1]], "12", {"a": 1}, [0.0, 1j], np.array([0, 1j])]
)
def test_lists_of_numbers_in_python(values):
    with pytest.raises(InvalidInstance, match=r"samples:1: \$.advantages: is not a flat list of numbers"):
        list(tables_of([{**SAMPLE, "advantages": values}]))


def test_large_integers_are_numbers_where_numbers_are_asked_for(tmp_path):
    rows = [{**SAMPLE, "advantages": [None, 2**70]}, {**SAMPLE, "advantages": [2**64, 2**63]}]
    expected = [np.nan, 2.0**70, 2.0**64, 2.0**63]
    np.testing.assert_array_equal(join(list(tables_of(rows))).fields["advantages"], expected)
    np.testing.assert_array_equal(
        join(list(read_samples(written(tmp_path / "s", rows)))).fields["advantages"], expected
    )


def test_equal_texts_that_are_not_equal_keys(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(
        b'{"id":"id","group":"id","a[1]":1,"a[2]":{"id":{"id":"\\"id\\":"}},"input_ids":[1,2],"labels":[-100,2]}\n' * 2
    )
    assert join(list(read_samples(path))).ids == ("id", "id")


def test_a_line_is_looked_at_once_however_it_comes(monkeypatch):
    """The bytes of a long line that comes in small pieces are put together once, not once for each piece."""

    class Pieces(io.RawIOBase):
        """A pipe that gives a few bytes at a time."""

        def __init__(self, data):
            self.data, self.at = data, 0

        def readable(self):
            return True

        def readinto(self, buffer):
            piece = self.data[self.at : self.at + min(len(buffer), 7)]
            buffer[: len(piece)] = piece
            self.at += len(piece)
            return len(piece)

    data = b"".join(json.dumps(row).encode() + b"\n \n" for row in GOOD)
    same(join(list(read_samples(io.BufferedReader(Pieces(data), 8)))), join(list(tables_of(GOOD))))
    marked = b"\xef\xbb\xbf" + data + json.dumps({**SAMPLE, "text": "x" * 1000}).encode()
    table = join(list(read_samples(io.BufferedReader(Pieces(marked), 8))))
    assert table.place[-1] == "<stream>:9"


def test_a_line_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "MAX_LINE", 2000)
    monkeypatch.setattr(text_lines, "CHUNK", 100)
    path = written(tmp_path / "s.jsonl", [SAMPLE, {**SAMPLE, "text": "x" * 2500}])
    with pytest.raises(
        InvalidInstance, match=r"s\.jsonl:2: the line is longer than 2000 bytes; give one JSON object per line"
    ):
        list(read_samples(path))
    path = written(tmp_path / "s.jsonl", [SAMPLE, {**SAMPLE, "text": "x" * 1500}])
    assert len(join(list(read_samples(path)))) == 2


@pytest.mark.parametrize("content", [b" ", b"\n", b" \n", b"x"])
def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.setattr(text_lines, "MAX_UNPACKED", 1 << 22)
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(content * (32 << 20)))
    with pytest.raises(InvalidInstance) as caught:
        list(read_samples(path))
    assert "bytes of gzip unpack to more than" in str(caught.value)
    assert "the limit is 4194304 bytes or 200 times the packed size; if the file is right, unpack it first" in str(
        caught.value
    )


def test_a_large_gzip_file_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "MAX_UNPACKED", 1000)
    rng = np.random.default_rng(0)
    rows = [{"id": i, "input_ids": rng.integers(0, 10**5, 500).tolist(), "labels": [-100] * 500} for i in range(100)]
    assert len(join(list(read_samples(written(tmp_path / "s.gz", rows, True))))) == 100


def test_the_cost_of_a_long_line_is_linear():
    """Sixteen times the bytes through a pipe take far less than 100 times the time.

    Putting the pieces together anew for each takes 256 times.
    """

    class Pipe(io.RawIOBase):
        def __init__(self, size):
            head, tail = b'{"id":1,"input_ids":[1],"labels":[-100],"text":"', b'"}'
            self.data, self.at = head + b"x" * size + tail, 0

        def readable(self):
            return True

        def readinto(self, buffer):
            piece = self.data[self.at : self.at + min(len(buffer), 4096)]
            buffer[: len(piece)] = piece
            self.at += len(piece)
            return len(piece)

    def seconds(size):
        pipe = Pipe(size)
        begun = time.process_time()
        [table] = read_samples(io.BufferedReader(pipe, 4096))
        assert len(table) == 1
        return time.process_time() - begun

    seconds(1 << 20)  # both sizes below are beyond those that malloc takes from its heap
    assert min(seconds(1 << 26) for _ in range(3)) < 100 * min(seconds(1 << 22) for _ in range(3))


def test_a_list_of_another_type_is_named():
    """Words for what was given, and for what a mask may hold."""
    rows = {"input_ids": np.array([1.0, 2.0]), "labels": [-100, 2]}
    with pytest.raises(InvalidInstance, match=r"\$.input_ids: .*: it has type float64 and shape \[2\]; give integers"):
        list(tables_of([rows]))
    rows = {"input_ids": [1, 2], "labels": [-100, 2], "attention_mask": [True, 1]}
    with pytest.raises(
        InvalidInstance, match=r"of integers 0 and 1, or of booleans; give 0 and 1, or booleans throughout"
    ):
        list(tables_of([rows]))


@pytest.mark.parametrize("samples", [None, 3, 1.5, object()])
def test_samples_that_cannot_be_iterated(samples, tmp_path):
    fact = f"^expected samples, got {type(samples).__name__}; give a path, a binary stream, or an iterable of mappings$"
    with pytest.raises(InvalidInstance, match=fact):
        list(ms.pack_batches(samples))
    with pytest.raises(InvalidInstance, match=fact):
        ms.pack_samples(samples, tmp_path / "packed")
    assert list(tmp_path.iterdir()) == []
