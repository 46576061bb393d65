"""131,072 positions with samples take seconds, right or wrong, and nothing quadratic."""

from __future__ import annotations

import resource
import time

import numpy as np

from masksynth.audit import Labels, Subject, with_samples
from masksynth.audit.row_findings import find_live_positions
from masksynth.audit.samples import compare_samples
from masksynth.mask import Mask

SIZE, LENGTH = 131_072, 512


def test_long_masks():
    rng = np.random.default_rng(0)
    texts = rng.integers(2, 1000, (SIZE // LENGTH, LENGTH))
    texts[:, 0] = 1
    samples = [{"id": n, "input_ids": text, "labels": np.append(-100, text[1:])} for n, text in enumerate(texts)]
    query, place = np.arange(SIZE), np.arange(SIZE) % LENGTH
    position = np.flatnonzero(place < LENGTH - 1)
    count = len(position)
    values = tuple(texts.ravel()[position + 1].tolist())
    labels = Labels(position, values, np.ones(count), np.zeros(count, np.int64), (), ((),) * count, np.full(count, -1))
    begun = time.perf_counter()
    for start, expected in ((query - place, 0), (np.zeros(SIZE), SIZE // LENGTH - 1)):
        mask = Mask(np.arange(SIZE + 1)[None], start.astype(np.int32), (query + 1).astype(np.int32))
        subject = with_samples(Subject(mask, "mask", tuple(texts.ravel().tolist()), place, labels=labels), samples)
        found = compare_samples(subject, find_live_positions(subject)).findings
        contaminated = {one.witness["sample"] for one in found if one.code == "MS015"}
        assert len(contaminated) == expected
        assert bool(found) == bool(expected)
    assert time.perf_counter() - begun < 90
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6 * 2**20  # KiB; one byte for each pair would be 16 GiB
