"""Audit masks of 1,024 to 131,072 positions: a prefix tree, one with a leak, and rows that are not transitive.

Each cell runs in a process of its own. The tree has prompts of 256 tokens with 8 answers each, in depth-first order;
the last token of a prompt has 8 labels, each other token one, and each label hides the position of its own token. The
band has 64 keys below each position, at 16 layers, and one key from the future; its rows are not transitive, so the
audit has to search paths.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from benchmarks.measure import alone, peak_mib
from benchmarks.results import Result, table
from masksynth.audit import Labels, Subject, audit
from masksynth.mask import Mask

SIZES = (1024, 16_384, 131_072)
PROMPT, ANSWERS = 256, 8
HEAD = ("mask", "positions", "intervals", "labels", "seconds", "peak MiB", "findings")
WINDOW, LAYERS = 64, 16


def measure_auditing(max_size: int) -> Result:
    """Measure each mask at each size up to ``max_size`` positions."""
    cells = [(kind, size) for kind in ("tree", "tree, a leak", "band, a leak") for size in SIZES if size <= max_size]
    return Result((table(HEAD, [alone(audited, *cell) for cell in cells]),))


def audited(kind: str, size: int) -> list[str]:
    """Time one audit."""
    subject = band(size) if kind.startswith("band") else tree(size, leak=kind.endswith("leak"))
    start = perf_counter()
    report = audit(subject)
    seconds = perf_counter() - start
    codes = sorted({finding.code for finding in report.findings if finding.severity != "note"})
    labels = 0 if subject.labels is None else len(subject.labels)
    name = ", ".join(codes) or "-"
    return [
        kind,
        f"{size:,}",
        f"{len(subject.mask.key_start):,}",
        f"{labels:,}",
        f"{seconds:.2f}",
        f"{peak_mib():.0f}",
        name,
    ]


def tree(size: int, leak: bool = False) -> Subject:
    """Return prompts with answers in depth-first order; with ``leak`` position 0 also attends to position 2."""
    group = min(size, 4096)
    answer = (group - PROMPT) // ANSWERS
    offset = np.arange(size) % group
    start = np.arange(size) - offset
    branch = np.where(offset < PROMPT, 0, (offset - PROMPT) // answer)
    branch_start = np.where(offset < PROMPT, start, start + PROMPT + branch * answer)
    position = np.where(offset < PROMPT, offset, offset - branch * answer)
    rows = [
        _row(q, p, s, o)
        for q, p, s, o in zip(range(size), offset.tolist(), start.tolist(), branch_start.tolist(), strict=True)
    ]
    if leak:
        rows[0] = ((0, 1), (2, 3))
    target = np.flatnonzero(offset > 0)
    parent = np.where((offset - PROMPT) % answer == 0, start + PROMPT - 1, np.arange(size) - 1)
    parent = np.where(offset <= PROMPT, np.arange(size) - 1, parent)
    inputs = tuple((np.arange(size) * 7919 % 50_000).tolist())
    return Subject(
        Mask.from_intervals([rows]), "tree", inputs, position + start, labels=_labels(parent[target], target, inputs)
    )


def _row(query: int, offset: int, start: int, branch_start: int) -> tuple[tuple[int, int], ...]:
    if offset < PROMPT or branch_start == start + PROMPT:
        return ((start, query + 1),)
    return ((start, start + PROMPT), (branch_start, query + 1))


def band(size: int) -> Subject:
    """Return a window of keys below each position, and one key from the future in the middle."""
    rows: list[tuple[tuple[int, int], ...]] = [((max(q - WINDOW + 1, 0), q + 1),) for q in range(size)]
    rows[size // 2] = (*rows[size // 2], (size // 2 + 2, size // 2 + 3))
    target = np.arange(1, size)
    inputs = tuple(range(size))
    mask = Mask.from_intervals([rows])
    return Subject(mask, "band", inputs, np.arange(size), labels=_labels(target - 1, target, inputs), layers=LAYERS)


def _labels(position: np.ndarray, target: np.ndarray, inputs: tuple[int, ...]) -> Labels:
    count = len(position)
    values = tuple(inputs[index] for index in target.tolist())
    return Labels(
        position.astype(np.int64),
        values,
        np.ones(count),
        np.zeros(count, np.int64),
        (),
        ((),) * count,
        target.astype(np.int64),
    )
