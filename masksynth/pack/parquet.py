"""Read samples from Parquet files, by columns; needs pyarrow (``pip install 'masksynth[parquet]'``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import IO, Any

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.csr import indptr
from masksynth.mask.typing import AnyArray
from masksynth.pack.check_samples import Columns, assemble, list_names, table_of
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.sample_values import SCALARS, check_length, check_scalars
from masksynth.pack.text_lines import BLOCK
from masksynth.pack.token_masks import MASKS, TRAINED, Lists


def parquet_tables(
    stream: IO[bytes], name: str, token_fields: Sequence[str], key_fields: Sequence[str], prefix: str = "#"
) -> Iterator[SampleTable]:
    """Yield the samples of a Parquet file as `read_samples` does; their places are ``file:row``, counted from 1.

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
    wanted = [*SCALARS, "input_ids", *list_names(token_fields, key_fields)]
    row = 1
    try:
        file = pq.ParquetFile(stream)
        names = file.schema_arrow.names
        for column, exists in (
            ("input_ids", "input_ids" in names),
            ("labels", any(way in names for way in ("labels", *TRAINED))),
        ):
            if not exists:
                remedy = 'give the columns "input_ids" and "labels", "completion_mask" or "assistant_masks"'
                raise InvalidInstance(f"column {column} is missing", "", remedy, name)
        if repeated := sorted({column for column in wanted if names.count(column) > 1}):
            raise InvalidInstance(f"there are two columns {repeated[0]}", "", "keep one of them", name)
        for batch in file.iter_batches(BLOCK, columns=[column for column in wanted if column in names]):
            if len(batch):
                places = [f"{name}:{row + i}" for i in range(len(batch))]
                yield _table(batch, places, token_fields, key_fields, prefix)
            row += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInstance(
            f"cannot be read as Parquet: {str(error).splitlines()[0]}", "", "write the file again", name
        ) from None
    if row == 1:
        raise InvalidInstance("the file contains no sample", "", "give one row for each sample", name)


def _table(
    batch: Any, places: Sequence[str], token_fields: Sequence[str], key_fields: Sequence[str], prefix: str
) -> SampleTable:
    """Return the table of a record batch; what cannot be read by columns is read sample by sample."""
    scalars = batch.select([column for column in SCALARS if column in batch.schema.names]).to_pylist()
    lists: dict[str, Lists] = {}
    for column in batch.schema.names:
        if column not in SCALARS:
            values = _lists(batch.column(column), column in token_fields, column in MASKS)
            if values is None:
                return table_of(list(zip(places, batch.to_pylist(), strict=True)), token_fields, key_fields, prefix)
            lists[column] = values
    tokens = [ids for ids in lists.pop("input_ids") if ids is not None]
    if len(tokens) < len(batch):
        return table_of(list(zip(places, batch.to_pylist(), strict=True)), token_fields, key_fields, prefix)
    for place, sample in zip(places, scalars, strict=True):
        check_scalars(place, sample)
    for column, each in lists.items():
        for place, entries, ids in zip(places, each, tokens, strict=True):
            check_length(place, column, len(ids) if entries is None else len(entries), len(ids))
    columns = Columns(
        ids=[sample.get("id") for sample in scalars],
        groups=[sample.get("group") for sample in scalars],
        place=places,
        weight=[1.0 if sample.get("weight") is None else float(sample["weight"]) for sample in scalars],
        lengths=[len(ids) for ids in tokens],
        tokens=np.concatenate([np.zeros(0, np.int64), *tokens]),
        lists={column: each for column, each in lists.items() if any(entries is not None for entries in each)},
        segments=[sample.get("segments") for sample in scalars],
        prefix=prefix,
    )
    return assemble(columns, token_fields, key_fields)


def _lists(column: Any, real: bool, mask: bool) -> list[AnyArray | None] | None:
    """Return the lists of a column as arrays, None for null rows; None if they must be read sample by sample."""
    import pyarrow.types as kinds

    if kinds.is_null(column.type):
        return [None] * len(column)
    if not (kinds.is_list(column.type) or kinds.is_large_list(column.type)):
        return None
    kind, flat = column.type.value_type, column.flatten()
    number = kinds.is_integer(kind) and not kinds.is_uint64(kind)
    plain = number or (real and kinds.is_floating(kind)) or (mask and kinds.is_boolean(kind))
    if not plain or (flat.null_count and not real):
        return None
    values = flat.to_numpy(zero_copy_only=False).astype(np.float64 if real else np.int64)  # nulls become NaN
    lengths = column.value_lengths().to_pylist()
    cut = indptr([length or 0 for length in lengths]).tolist()
    return [None if length is None else values[cut[i] : cut[i + 1]] for i, length in enumerate(lengths)]
