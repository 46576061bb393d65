"""A packed batch that calls a token dead which live tokens see: the audit says so too."""

from dataclasses import replace

import numpy as np

from masksynth.audit import audit, read_subject
from masksynth.mask import Mask
from masksynth.pack import pack_batches
from tests.pack.written import packed_folder


def test_a_needed_token_called_dead_is_a_finding(tmp_path):
    [batch] = pack_batches([{"id": "a", "input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}])
    short = replace(
        batch,
        input_ids=np.array([6, 7]),
        position_ids=np.array([1, 2]),
        mask=Mask(np.array([[0, 1, 2]]), np.array([0, 0], np.int32), np.array([1, 2], np.int32)),
        loss_position=np.array([0, 1]),
        sample_offset=np.array([0, 2]),
        sample_position=np.array([0, 1]),
        dead_offset=np.array([0, 2]),
        dead_index=np.array([0, 3]),
        dead_token=np.array([5, 8]),
    )
    found = audit(read_subject(str(packed_folder(tmp_path / "short", [short]))))
    said = [finding.message for finding in found.findings if finding.code == "MS002"]
    assert any("does not attend to token 0 of its sample, which has no position" in message for message in said)
    whole = audit(read_subject(str(packed_folder(tmp_path / "whole", [batch]))))
    assert "MS002" not in {finding.code for finding in whole.findings}
