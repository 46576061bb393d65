"""Random malformed samples: each is read or refused in one line that names file, line and field.

By every way of reading.
"""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from masksynth.errors import InvalidInstance
from masksynth.pack.check_samples import tables_of
from masksynth.pack.read_run import read_run
from masksynth.pack.sample_columns import join, key_of
from masksynth.pack.table_parts import join_parts

FIELDS = (
    "id",
    "group",
    "weight",
    "input_ids",
    "labels",
    "attention_mask",
    "completion_mask",
    "assistant_masks",
    "position_ids",
    "kinds",
)
FIELDS += ("advantages", "weights", "segments")
ODD = [
    True,
    False,
    None,
    "",
    "x",
    0,
    -1,
    2,
    0.5,
    1e400,
    2**31,
    2**63,
    2**70,
    -(2**70),
    10**400,
    [],
    {},
    [[]],
    [[1], [2]],
    {"a": 1},
    [None],
]
ENTRIES = [True, False, None, "x", "", 0, 1, 2, -1, -100, 0.5, 1e400, 2**31, 2**63, 2**64, 2**70, 10**400, [], [1], {}]


def sample(rng: random.Random, number: int) -> dict:
    """A right sample with some of the optional fields."""
    size = rng.randrange(1, 7)
    ids = [rng.randrange(5) for _ in range(size)]
    mask = [rng.randrange(2) for _ in ids]
    row = {"id": rng.choice([f"s{number}", number]), "input_ids": ids}
    labels = [token if one else -100 for token, one in zip(ids, mask, strict=True)]
    row |= rng.choice([{"labels": labels}, {"completion_mask": mask}, {"assistant_masks": mask, "labels": labels}])
    optional = {
        "group": "g",
        "weight": 0.5,
        "position_ids": list(range(3, 3 + size)),
        "kinds": [1] * size,
        "advantages": [0.5] * size,
    }
    row |= {name: value for name, value in optional.items() if rng.random() < 0.3}
    if rng.random() < 0.2:
        row["attention_mask"] = [1] * size
    if rng.random() < 0.1:
        row["segments"] = [{"length": size, "within": "full", "predict": "self"}]
    if rng.random() < 0.2:
        row["messages"] = [{"role": "user", "content": 'a "b" \\ [1, 2]'}, {"role": "user", "content": "ü"}]
    return row


def altered(rng: random.Random, row: dict) -> tuple[dict, str]:
    """The row with one field that has another value, and the field's name."""
    name = rng.choice(FIELDS)
    value = row.get(name)
    if isinstance(value, list) and value and rng.random() < 0.7:
        value = list(value)
        way = rng.randrange(4)
        if way == 0:
            value[rng.randrange(len(value))] = rng.choice(ENTRIES)
        elif way == 1:
            value.insert(rng.randrange(len(value) + 1), rng.choice(ENTRIES))
        elif way == 2:
            del value[rng.randrange(len(value))]
        else:
            value = [rng.choice(ENTRIES) for _ in value]
        return {**row, name: value}, name
    return {**row, name: rng.choice(ODD)}, name


def damaged(rng: random.Random, line: bytes) -> bytes:
    """The bytes of a line with some of them changed, lost or repeated; still one line."""
    data = bytearray(line)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        way = rng.randrange(5)
        if way == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            del data[at : at + rng.randrange(1, 9)]
        elif way == 2:
            data[at:at] = data[at - rng.randrange(20) : at]
        elif way == 3:
            data[at:at] = rng.choice(
                [
                    b"{",
                    b"}",
                    b"[",
                    b"]",
                    b'"',
                    b"\\",
                    b",",
                    b":",
                    b"-",
                    b"e",
                    b".",
                    b"true",
                    b"null",
                    b"NaN",
                    b"\xff",
                    b"\\u00",
                ]
            )
        else:
            data = data[:at] or bytearray(b"x")
    return bytes(data).replace(b"\n", b" ")


def outcome(source) -> object:
    """The samples read, or the text of the error."""
    try:
        return join_parts(read_run(source, (), ()))
    except InvalidInstance as error:
        return str(error)


def same(left, right) -> bool:
    """Whether two outcomes are equal, errors by what follows the place."""
    if isinstance(left, str) or isinstance(right, str):
        return (
            isinstance(left, str) and isinstance(right, str) and left.partition(":2: ")[2] == right.partition(":2: ")[2]
        )
    names = {*left.keys, *right.keys, "position_ids"}
    return (
        (left.ids, left.groups, left.segments) == (right.ids, right.groups, right.segments)
        and all(
            np.array_equal(getattr(left, name), getattr(right, name))
            for name in ("weight", "offset", "tokens", "labels", "first_label")
        )
        and all(np.array_equal(key_of(left, name), key_of(right, name)) for name in names)
        and set(left.fields) == set(right.fields)
        and all(np.array_equal(left.fields[name], right.fields[name], equal_nan=True) for name in left.fields)
    )


def check_one_line(text: object, path, place: str = ":2: ") -> None:
    """Check that an error names its file and line in one line."""
    if isinstance(text, str):
        assert text.startswith(f"{path}{place}"), text
        assert "\n" not in text, text


def check_altered(rng: random.Random, folder) -> bool:
    """Read a file with one altered sample on every road; whether it was refused."""
    rows = [sample(rng, 1), sample(rng, 2), sample(rng, 3)]
    rows[1], name = altered(rng, rows[1])
    text = "".join(json.dumps(row) + "\n" for row in rows).replace("Infinity", "1e400")
    path, slow, zipped = folder / "s.jsonl", folder / "t.jsonl", folder / "s.jsonl.gz"
    path.write_text(text)
    slow.write_text(text.replace('{"id"', '{"\\u005b":[{"id":1}],"id"'))
    zipped.write_bytes(gzip.compress(text.encode(), 1))
    found = outcome(path)
    check_one_line(found, path)
    if isinstance(found, str):
        assert name in found or "labels" in found, (name, found)
    for other in (outcome(slow), outcome(zipped), outcome(rows)):
        assert same(found, other), (text, found, other)
    try:
        names = list(dict.fromkeys(key for row in rows for key in row if key != "messages"))
        pq.write_table(
            pa.Table.from_pylist([{key: row.get(key) for key in names} for row in rows]), folder / "s.parquet"
        )
    except (pa.ArrowException, OverflowError):  # a column has one type
        return isinstance(found, str)
    parquet = outcome(folder / "s.parquet")
    check_one_line(parquet, folder / "s.parquet", ":")
    assert isinstance(parquet, str) == isinstance(found, str) or name == "segments" or _coerced(rows, name), (
        rows,
        found,
        parquet,
    )
    return isinstance(found, str)


def _coerced(rows: list[dict], name: str) -> bool:
    """Whether Arrow may have made one type of several: integers and fractions, or nulls."""
    values = [value for row in rows for value in (row[name] if isinstance(row.get(name), list) else [row.get(name)])]
    return len({type(value) for value in values if value is not None}) > 1


def check_damaged(rng: random.Random, folder) -> bool:
    """Read a file with one damaged line; whether it was refused."""
    lines = [json.dumps(sample(rng, number), ensure_ascii=rng.random() < 0.5).encode() for number in (1, 2, 3)]
    lines[1] = damaged(rng, lines[1])
    path = folder / "d.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = outcome(path)
    check_one_line(found, path, ":" if isinstance(found, str) and "shifted" in found else ":2: ")
    if not isinstance(found, str) and len(found) == 3:  # what was read is what Python reads
        assert same(found, join(list(tables_of([json.loads(line) for line in lines]))))
    return isinstance(found, str)
