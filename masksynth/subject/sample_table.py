"""Read samples from a file, a pipe or Python as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.pack.check_samples import tables_of
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import KEY_FIELDS, SampleTable, join
from masksynth.pack.screening import refuse_repeated_ids, refuse_shifted_labels
from masksynth.pack.table_parts import load_part, part_of

Source = str | Path | SampleTable | Iterable[Mapping[str, Any]]
"""A file of samples, ``"-"`` for standard input, samples as mappings, or a table."""


def read_sample_table(
    source: Source, key_fields: Sequence[str] = KEY_FIELDS, token_fields: Sequence[str] = ()
) -> SampleTable:
    """Return all samples of a source as one table.

    Parameters
    ----------
    source : path, "-", SampleTable or iterable of mappings
        JSON lines, plain or gzipped, or Parquet, recognized by the first bytes; "-" is standard input.
    key_fields : sequence of str
        Names of the per-token lists that are part of a token's identity.
    token_fields : sequence of str
        Names of the per-token lists of numbers to carry with the labels, such as ``weights``.

    Raises
    ------
    InvalidInstance
        Naming file, line and field, if something is not a sample, an id is repeated, labels are already shifted, or
        there is no sample.

    Examples
    --------
    >>> table = read_sample_table([{"id": "a", "input_ids": [5, 6], "labels": [-100, 6]}])
    >>> table.ids, table.tokens.tolist()
    (('a',), [5, 6])
    """
    if isinstance(source, SampleTable):
        return source
    if isinstance(source, (str, Path)):
        try:
            tables = _screen(read_samples(source, token_fields, key_fields))
        except OSError as error:
            fact = f"cannot be read: {error.strerror or error}"
            raise InvalidInstance(fact, "", "name a file of samples", str(source)) from None
    else:
        tables = _screen(tables_of(source, token_fields, key_fields))
        if not tables:
            raise InvalidInstance("expected at least one sample, got none", "", "give the samples of the mask")
    return join(tables)


def _screen(tables: Iterator[SampleTable]) -> list[SampleTable]:
    """Return all tables; refuse repeated ids and labels that are already shifted, as `pack` does."""
    return list(map(load_part, refuse_shifted_labels(refuse_repeated_ids(map(part_of, tables)))))
