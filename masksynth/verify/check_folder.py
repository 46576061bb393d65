"""``verify_folder``: check an answer on disk, reading every file independently of its writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.tasks.instance import Instance
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import check_problem
from masksynth.verify.check_answer import Report, verify
from masksynth.verify.check_forms import check_forms, form_shapes
from masksynth.verify.read_arrays import (
    MAX_DENSE,
    Arrays,
    Expected,
    array_shapes,
    content_hash,
    read_npz,
    read_safetensors,
    stored_mask,
)
from masksynth.verify.read_solution import Objective, Record, read_record
from masksynth.verify.updated import MAX_UPDATED, updated_shape

SCHEMA = "1"


def verify_folder(instance: Instance, folder: str | Path) -> Report:
    """Check the answer in a folder: solution.json, mask.safetensors and mask.npz, and that they agree.

    Parameters
    ----------
    instance : Instance
        The instance; layers and sparsity are those of ``problem`` in the folder.
    folder : path

    Returns
    -------
    Report
        ``minimal`` is True for status OPTIMAL, and for a sparse answer whose number of positions equals its bound.

    Raises
    ------
    InvalidInstance
        If a file is missing, unreadable or malformed.
    WrongAnswer
        If the answer is to another instance, the files disagree, or the answer is wrong. For a sparse answer the edges
        are counted and compared; their bound must not be above the number, and equal to it if OPTIMAL is claimed.
    """
    record, merged = read_answer(folder)
    check_problem(record.problem, instance.family)
    is_minimal = record.status == "OPTIMAL" or (record.problem.sparse and record.size.value == record.size.bound)
    return verify(instance, merged, minimal=is_minimal)


def read_answer(folder: str | Path) -> tuple[Record, MergedTask]:
    """Return the record and the merged task of an answer, after comparing its files and its stated sizes.

    Raises
    ------
    InvalidInstance
        If a file is missing, unreadable or malformed.
    WrongAnswer
        If the files disagree, or a stated size is not that of the mask.
    """
    folder = Path(folder)
    record = read_record(folder / "solution.json")
    _check_status(record)
    arrays = _read_arrays(folder, record)
    _check_agreement(record, arrays)
    try:
        mask = stored_mask(arrays, len(record.positions), record.problem.pattern)
        check_forms(arrays, mask)
    except InvalidInstance as error:
        raise error.within(source=str(folder / "mask.safetensors")) from None
    merged = MergedTask(
        record.positions,
        mask,
        record.embeddings,
        record.labels,
        record.tasks,
        record.loss_edges,
        record.problem,
        arrays.get("updated"),
    )
    _check_edges(record, mask)
    return record, merged


def _check_status(record: Record) -> None:
    """Check that the status is OPTIMAL or FEASIBLE, and the number of positions."""
    if record.status not in ("OPTIMAL", "FEASIBLE"):
        raise WrongAnswer("status", f"expected OPTIMAL or FEASIBLE, got {record.status!r:.40}")
    _check_objective(record.status, record.size, len(record.positions), "positions")


def _check_edges(record: Record, mask: Mask) -> None:
    """Check the number of pairs off the diagonal, which a sparse answer must state and no other may."""
    if (record.edges is not None) != record.problem.sparse:
        fact = "has no entry edges" if record.problem.sparse else "has an entry edges, though the answer is not sparse"
        raise WrongAnswer("objective", f"solution.json {fact}")
    if record.edges is not None:
        _check_objective(record.status, record.edges, mask.pairs - mask.size, "edges")


def _check_objective(status: str, objective: Objective, count: int, what: str) -> None:
    """Check value = count and bound <= value, with equality for OPTIMAL."""
    value, bound = objective
    if value != count:
        raise WrongAnswer("objective", f"expected the number of {what}, {count}, as value, got {value!r:.40}")
    if bound > value or (status == "OPTIMAL" and bound != value):
        raise WrongAnswer("objective", f"{status} with the bound {bound!r:.40} and the value {value} of {what}")


def _read_arrays(folder: Path, record: Record) -> Arrays:
    """Return the arrays of mask.safetensors, after checking their hash, if any, and comparing them with mask.npz."""
    size, tables = len(record.positions), record.problem.pattern
    required = array_shapes(size, tables, len(record.loss_edges), record.problem.sparse)
    # A row has at most size edges and at most size / 2 + 1 intervals.
    longest = tables * size * (size if record.problem.sparse else size // 2 + 1)
    optional = form_shapes(size, tables)
    shape = updated_shape(size, record.problem.layers)
    if shape[0] * size <= MAX_UPDATED:
        optional["updated"] = ("|b1", shape)
    expected = Expected(required, optional, longest)
    arrays, metadata = read_safetensors(folder / "mask.safetensors", expected)
    if metadata.get("schema", SCHEMA) != SCHEMA:
        raise InvalidInstance(f"schema {metadata['schema']!r:.40} is unknown", source=str(folder / "mask.safetensors"))
    if "content_hash" in metadata and metadata["content_hash"] != content_hash(arrays):
        raise WrongAnswer("files", "the content hash of mask.safetensors is not that of its arrays")
    archive = folder / "mask.npz"
    if size > MAX_DENSE:
        if archive.exists():
            raise WrongAnswer("files", f"mask.npz is there, though {size} positions are more than {MAX_DENSE}")
        return arrays
    packed = read_npz(archive, expected)
    for name in sorted(arrays.keys() | packed.keys()):
        left, right = arrays.get(name), packed.get(name)
        if left is None or right is None or left.shape != right.shape or left.tobytes() != right.tobytes():
            raise WrongAnswer("files", f"mask.safetensors and mask.npz disagree in {name!r}")
    return arrays


def _check_agreement(record: Record, arrays: Arrays) -> None:
    """Check that solution.json and the arrays have the same positions and loss edges, bit by bit."""
    columns = list(zip(*record.loss_edges, strict=True)) or [()] * 4
    expected = {
        "position_ids": np.array([entry.position for entry in record.positions], np.int64),
        "loss_position": np.array(columns[0], np.int64),
        "loss_label": np.array(columns[1], np.int64),
        "loss_task": np.array(columns[2], np.int64),
        "loss_weight": np.array(columns[3], np.float64),
    }
    for name, array in expected.items():
        differs = np.flatnonzero(array.view(np.int64) != np.ascontiguousarray(arrays[name]).view(np.int64))
        if len(differs):
            entry = int(differs[0])
            values = f"{array[entry]} in solution.json and {arrays[name][entry]} in mask.safetensors"
            raise WrongAnswer("files", f"{name}[{entry}] is {values}")
