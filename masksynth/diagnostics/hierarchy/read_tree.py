"""Read trees from files and from packed batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from masksynth.diagnostics.hierarchy.neighbour_runs import tree_of_runs
from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
from masksynth.diagnostics.hierarchy.nested_windows import nest_windows, unwrap
from masksynth.diagnostics.hierarchy.tree import Tree, tree_of_parents
from masksynth.diagnostics.hierarchy.visible_siblings import LARGEST_MASK, is_ordered, sight_of
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.csr import row_of_entry
from masksynth.mask.typing import Int64Array
from masksynth.subject.mask_file import read_stdin
from masksynth.tasks.parse_json import decode_text

if TYPE_CHECKING:
    from masksynth.pack import PackedBatch

SHAPES = 'write nested lists such as [[0, 1], [2, 3]], or {"parent": [-1, 0, 0], "position": [-1, 0, 1]}'


class _Nodes(msgspec.Struct, forbid_unknown_fields=True):
    """Parent and position of each node; None or -1 for none."""

    parent: list[int | None]
    position: list[int | None]


def read_tree(path: str | Path) -> Tree:
    """Read a tree from a JSON file, or from stdin for ``-``.

    The file contains nested lists of positions, or an object with the parent and the position of each node (null or -1
    for none).

    Raises
    ------
    InvalidInstance
        With the file, the fault and what to write.
    """
    if str(path) == "-":
        return tree_of_text(read_stdin(), "<stdin>")
    return tree_of_text(Path(path).read_bytes(), str(path))


def tree_of_text(content: bytes, name: str) -> Tree:
    """Build the tree in the bytes of a JSON file.

    Raises
    ------
    InvalidInstance
        With the file, the fault and what to write.

    Examples
    --------
    >>> tree_of_text(b"[[0, 1], [2, 3]]", "tree.json")
    Tree(4 positions, 3 families of at most 2, depth 2)
    """
    try:
        return tree_of_json(decode_text(content.decode("utf-8")))
    except InvalidInstance as error:
        raise error.within(source=name) from None
    except RecursionError:
        raise InvalidInstance(
            "lists are nested too deeply", "$", "give parents and positions of the nodes", name
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInstance(f"not JSON: {error}", "", SHAPES, name) from None


def is_instance(content: bytes) -> bool:
    """Return whether the bytes are those of an instance rather than of a tree.

    Examples
    --------
    >>> is_instance(b'{"masksynth": 1, "tasks": []}'), is_instance(b"[[0, 1], 2]")
    (True, False)
    """
    return content.lstrip()[:1] == b"{" and b'"tasks"' in content


def tree_of_json(value: Any) -> Tree:
    """Build the tree that a JSON value describes, in one of the forms that `read_tree` reads.

    Raises
    ------
    InvalidInstance
        If the value is neither a list nor an object of two lists of integers, or describes no tree.

    Examples
    --------
    >>> tree_of_json({"parent": [None, 0, 0], "position": [None, 0, 1]})
    Tree(2 positions, 1 family of at most 2, depth 1)
    """
    if isinstance(value, list):
        return tree_of_lists(value)
    try:
        nodes = msgspec.convert(value, _Nodes)
    except msgspec.ValidationError as error:
        raise InvalidInstance(f"expected nested lists or nodes: {error}", remedy=SHAPES) from None
    return tree_of_parents(
        *([-1 if item is None else item for item in items] for items in (nodes.parent, nodes.position))
    )


def packed_tree(batch: PackedBatch, groups: Int64Array | None = None, branching: Sequence[int] = ()) -> Tree:
    """Build the tree of a packed batch: groups of samples, runs of positions of the same samples, windows, tokens.

    A shared prompt is a run of its own, and so is what one answer adds. A level with one node is left out. Leaves are
    in order. If the mask allows some block of that tree in part, as where samples have segments, the tree is that of
    `tree_of_runs`, which loses none; above 2,048 runs, or where its leaves are not in order above 8,192 positions, the
    first tree is kept.

    Parameters
    ----------
    batch : PackedBatch
    groups : (N,) int, optional
        Group of each position, as in ``Subject.groups`` [default: one group].
    branching : sequence of int
        Windows within a run, from the tokens up [default: none].
    """
    samples = _code_samples(batch)
    group = np.zeros(batch.positions, np.int64) if groups is None else np.asarray(groups)
    nested = []
    for low, high in _runs(group, 0, batch.positions):
        runs = [nest_windows(list(range(*run)), branching) for run in _runs(samples, low, high)]
        nested.append(unwrap(runs))
    tree = tree_of_lists(unwrap(nested))
    if not sight_of(tree, included=True, mask=batch.mask).lost:
        return tree
    try:
        exact = tree_of_runs(batch.mask, branching)
    except Unsupported:  # too many runs
        return tree
    return exact if exact.size <= LARGEST_MASK or is_ordered(exact) else tree


def _code_samples(batch: PackedBatch) -> Int64Array:
    """Return a code for the set of samples that use each position; an unused copy has the code of the one before it."""
    sample = row_of_entry(batch.sample_offset)
    order = np.lexsort((sample, batch.sample_position))
    sample, position = sample[order], batch.sample_position[order]
    offset = np.searchsorted(position, np.arange(batch.positions + 1)).tolist()
    code_of: dict[bytes, int] = {}
    codes = np.zeros(batch.positions, np.int64)
    for number, (low, high) in enumerate(pairwise(offset)):
        if low == high and number:
            codes[number] = codes[number - 1]
        else:
            codes[number] = code_of.setdefault(sample[low:high].tobytes(), len(code_of))
    return codes


def _runs(values: Int64Array, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Return the half-open ranges between low and high in which the values are constant."""
    cuts = (np.flatnonzero(np.diff(values[low:high])) + low + 1).tolist()
    return zip([low, *cuts], [*cuts, high], strict=True)
