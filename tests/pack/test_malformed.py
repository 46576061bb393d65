"""A small run of the fuzz of `tests.pack.malformed`."""

import random

from tests.pack.malformed import check_altered, check_damaged


def test_altered_samples_are_read_or_refused_alike_on_every_road(tmp_path):
    rng = random.Random(0)
    refused = sum(check_altered(rng, tmp_path) for _ in range(400))
    assert 250 < refused < 390


def test_damaged_lines_are_read_or_refused_in_one_line(tmp_path):
    rng = random.Random(1)
    refused = sum(check_damaged(rng, tmp_path) for _ in range(1500))
    assert 900 < refused < 1500
