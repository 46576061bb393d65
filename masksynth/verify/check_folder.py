"""``verify_folder``: an answer on disk, with every file read here again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.tasks.merged import MergedTask
from masksynth.tasks.model import Instance
from masksynth.verify.answer_shape import check_problem
from masksynth.verify.check_answer import Report, verify
from masksynth.verify.check_forms import check_forms, form_shapes
from masksynth.verify.read_arrays import (
    MAX_DENSE,
    Arrays,
    content_hash,
    due_shapes,
    read_npz,
    read_safetensors,
    stored_mask,
)
from masksynth.verify.read_solution import Objective, Record, read_record

SCHEMA = "1"


def verify_folder(instance: Instance, folder: str | Path) -> Report:
    """Check the answer in a folder: solution.json, mask.safetensors, mask.npz, and what they say together.

    Parameters
    ----------
    instance : Instance
        The instance; the folder's ``problem`` names the question.
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
        If the answer is to another instance, the files disagree, or the answer is wrong. For a sparse answer the number of edges is
        counted and compared; its bound is no more than the number, and equal to it where OPTIMAL is claimed.
    """
    folder = Path(folder)
    record = read_record(folder / "solution.json")
    check_problem(record.problem, instance.family)
    _check_status(record)
    arrays = _read_arrays(folder, record)
    _check_agreement(record, arrays)
    try:
        mask = stored_mask(arrays, len(record.positions), record.problem.pattern)
        check_forms(arrays, mask)
    except InvalidInstance as error:
        raise error.within(source=str(folder / "mask.safetensors")) from None
    merged = MergedTask(
        record.positions, mask, record.embeddings, record.labels, record.tasks, record.loss_edges, record.problem
    )
    _check_edges(record, mask)
    proved = record.status == "OPTIMAL" or (record.problem.sparse and record.size.value == record.size.bound)
    return verify(instance, merged, minimal=proved)


def _check_status(record: Record) -> None:
    """A folder holds an OPTIMAL or a FEASIBLE answer, with a right number of positions."""
    if record.status not in ("OPTIMAL", "FEASIBLE"):
        raise WrongAnswer(
            "status", f"{record.status!r:.40} in a folder, where only OPTIMAL and FEASIBLE have an answer"
        )
    _check_objective(record.status, record.size, len(record.positions), "positions")


def _check_edges(record: Record, mask: Mask) -> None:
    """A sparse answer, and no other, says how many pairs its mask has off the diagonal."""
    if (record.edges is not None) != record.problem.sparse:
        fact = "says nothing of edges" if record.problem.sparse else "speaks of edges, though the answer is not sparse"
        raise WrongAnswer("objective", f"solution.json {fact}")
    if record.edges is not None:
        _check_objective(record.status, record.edges, mask.pairs - mask.size, "edges")


def _check_objective(status: str, objective: Objective, count: int, what: str) -> None:
    """OPTIMAL: value = bound = recount. FEASIBLE: value = recount, bound no higher."""
    value, bound = objective
    if value != count:
        raise WrongAnswer("objective", f"the value {value!r:.40} is not the number of {what}, {count}")
    if bound > value or (status == "OPTIMAL" and bound != value):
        raise WrongAnswer("objective", f"{status} with the bound {bound!r:.40} and the value {value} of {what}")


def _read_arrays(folder: Path, record: Record) -> Arrays:
    """Read mask.safetensors, its arrays equal to those of mask.npz where that is due, their hash right where it is given."""
    size, tables = len(record.positions), record.problem.pattern
    due = due_shapes(size, tables, len(record.loss_edges), record.problem.sparse)
    optional = form_shapes(size, tables)
    longest = tables * size * (size if record.problem.sparse else size // 2 + 1)
    arrays, metadata = read_safetensors(folder / "mask.safetensors", due, optional, longest)
    if metadata.get("schema", SCHEMA) != SCHEMA:
        raise InvalidInstance(
            f"schema {metadata['schema']!r:.40} is not known", source=str(folder / "mask.safetensors")
        )
    if "content_hash" in metadata and metadata["content_hash"] != content_hash(arrays):
        raise WrongAnswer("files", "the content hash of mask.safetensors is not that of its arrays")
    archive = folder / "mask.npz"
    if size > MAX_DENSE:
        if archive.exists():
            raise WrongAnswer("files", f"mask.npz is there, though {size} positions are more than {MAX_DENSE}")
        return arrays
    packed = read_npz(archive, due, optional, longest)
    for name in sorted(arrays.keys() | packed.keys()):
        left, right = arrays.get(name), packed.get(name)
        if left is None or right is None or left.shape != right.shape or left.tobytes() != right.tobytes():
            raise WrongAnswer("files", f"mask.safetensors and mask.npz disagree in {name!r}")
    return arrays


def _check_agreement(record: Record, arrays: Arrays) -> None:
    """solution.json and the arrays say the same, bit by bit."""
    columns = list(zip(*record.loss_edges, strict=True)) or [()] * 4
    said = {
        "position_ids": np.array([at.position for at in record.positions], np.int64),
        "loss_position": np.array(columns[0], np.int64),
        "loss_label": np.array(columns[1], np.int64),
        "loss_task": np.array(columns[2], np.int64),
        "loss_weight": np.array(columns[3], np.float64),
    }
    for name, array in said.items():
        differs = np.flatnonzero(array.view(np.int64) != np.ascontiguousarray(arrays[name]).view(np.int64))
        if len(differs):
            at = int(differs[0])
            raise WrongAnswer(
                "files", f"solution.json says {name}[{at}] = {array[at]}, mask.safetensors {arrays[name][at]}"
            )
