"""Samples from Parquet files, by columns; needs pyarrow (``pip install 'masksynth[parquet]'``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import IO, Any

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.pack.intake import BLOCK, assemble, same_length, table_of
from masksynth.pack.samples import SampleTable


def parquet_tables(stream: IO[bytes], name: str, token_fields: Sequence[str], key_fields: Sequence[str]) -> Iterator[SampleTable]:
    """The samples of a Parquet file, as ``read_samples`` yields them; places are ``file:row``, counted from 1.

    Raises
    ------
    Unsupported
        Without pyarrow, or from a stream that cannot seek.
    InvalidInstance
        If the file is damaged, a column is missing, or a row is not a sample.
    """
    if find_spec("pyarrow") is None:
        raise Unsupported(f"{name} is a Parquet file, and reading it needs pyarrow: pip install 'masksynth[parquet]'")
    if not stream.seekable():
        raise Unsupported(f"{name}: Parquet cannot be read from a pipe; name the file")
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream.seek(0)
    wanted = ["id", "group", "input_ids", "labels", "weight", "segments", *token_fields, *key_fields]
    row = 1
    try:
        file = pq.ParquetFile(stream)
        for column in ("id", "input_ids", "labels"):
            if column not in file.schema_arrow.names:
                raise InvalidInstance(f"column {column} is missing", "", 'give the columns "id", "input_ids", "labels"', name)
        if twice := sorted({column for column in wanted if file.schema_arrow.names.count(column) > 1}):
            raise InvalidInstance(f"there are two columns {twice[0]}", "", "keep one of them", name)
        for batch in file.iter_batches(BLOCK, columns=[column for column in wanted if column in file.schema_arrow.names]):
            if len(batch):
                yield _table(batch, name, row, token_fields, key_fields)
            row += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInstance(f"cannot be read as Parquet: {str(error).splitlines()[0]}", "", "write the file again", name) from None
    if row == 1:
        raise InvalidInstance("the file holds no sample", "", "give one row for each sample", name)


def _table(batch: Any, name: str, row: int, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    places = [f"{name}:{row + i}" for i in range(len(batch))]
    columns = {column: batch.column(column) for column in batch.schema.names}
    if any(_odd(columns[column]) for column in ("id", "input_ids", "labels")) or not _plain(columns["input_ids"], columns["labels"]):
        return table_of(list(zip(places, batch.to_pylist(), strict=True)), token_fields, key_fields)
    tokens, lengths = _flat(columns["input_ids"], np.int64)
    labels, others = _flat(columns["labels"], np.int64)
    for place, length, expected in zip(places, others, lengths, strict=True):
        same_length(place, "labels", length, expected)
    rows = batch.select([c for c in batch.schema.names if c not in ("input_ids", "labels")]).to_pylist()
    if any(sample.get(f) is not None for sample in rows for f in ("segments", *token_fields, *key_fields)):
        return table_of(list(zip(places, batch.to_pylist(), strict=True)), token_fields, key_fields)
    nothing = ("group", "weight")
    table_of(
        [(p, {**{k: s.get(k) for k in ("id", *nothing)}, "input_ids": [], "labels": []}) for p, s in zip(places, rows, strict=True)], (), ()
    )
    return assemble(
        ids=[sample["id"] for sample in rows],
        groups=[sample.get("group") for sample in rows],
        place=places,
        weight=[1.0 if sample.get("weight") is None else float(sample["weight"]) for sample in rows],
        lengths=lengths,
        tokens=tokens,
        labels=labels,
        fields={},
        keys={},
        segments=[None] * len(rows),
    )


def _odd(column: Any) -> bool:
    return bool(column.null_count)


def _plain(*columns: Any) -> bool:
    """Whether every column is a list of integers without nulls."""
    import pyarrow.types as kinds

    return all(
        (kinds.is_list(c.type) or kinds.is_large_list(c.type))
        and kinds.is_integer(c.type.value_type)
        and not kinds.is_uint64(c.type.value_type)
        and not c.flatten().null_count
        for c in columns
    )


def _flat(column: Any, dtype: type) -> tuple[Any, list[int]]:
    return column.flatten().to_numpy(zero_copy_only=False).astype(dtype), column.value_lengths().to_pylist()
