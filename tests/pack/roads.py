"""Ways in which the same samples may come: each gives what `pack_samples` and `pack_batches` take."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LISTS = (
    "input_ids",
    "labels",
    "attention_mask",
    "completion_mask",
    "assistant_masks",
    "position_ids",
    "kinds",
    "advantages",
)


def json_lines(rows, folder):
    path = folder / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def gzipped(rows, folder):
    path = folder / "samples.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def slow_lines(rows, folder):
    """Lines with an ignored field that repeats the texts of keys, and one with an escape.

    They take the other reader of JSON.
    """
    path = folder / "samples.jsonl"
    path.write_text("".join('{"n\\u005bte": [{"id": 1}], ' + json.dumps(row)[1:] + "\n" for row in rows))
    return path


def mappings(rows, folder):
    return rows


def arrays(rows, folder):
    def of(name, values):
        return np.array(values) if isinstance(values, list) and name in LISTS and None not in values else values

    return [{name: of(name, values) for name, values in row.items()} for row in rows]


def parquet(rows, folder):
    path = folder / "samples.parquet"
    names = list(dict.fromkeys(name for row in rows for name in row))
    pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), path)
    return path


ROADS = {road.__name__: road for road in (json_lines, gzipped, slow_lines, mappings, arrays, parquet)}


def named(road):
    """What an error says of the file that a road wrote, without the number behind the colon."""
    return {
        "json_lines": "samples.jsonl",
        "gzipped": "samples.jsonl.gz",
        "slow_lines": "samples.jsonl",
        "parquet": "samples.parquet",
    }.get(road, "samples")
