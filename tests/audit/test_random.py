"""Random families with many similar nodes: right answers raise no alarm, and each changed value is reported."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from masksynth.audit import audit, subject_of_merged
from masksynth.audit.family_findings import find_wrong_context
from masksynth.audit.family_labels import find_wrong_labels
from masksynth.audit.family_plan import plan_of
from masksynth.audit.leak_findings import find_leaks
from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.merge import find_leak, merge
from masksynth.tasks import Instance, Prediction, TaskFamily
from masksynth.verify import verify
from tests.audit.cases import dense_of, shuffled, with_mask
from tests.random_families import random_family

FALSE = {"MS001", "MS002", "MS003", "MS004", "MS005", "MS009", "MS012", "MS013", "MS014", "MS007", "MS008"}


def hiding(family: TaskFamily, seed: int) -> TaskFamily:
    """The family with predictions that hide one of the inputs."""
    rng = random.Random(seed)

    def hides(one: Prediction) -> Prediction:
        return replace(one, hides=(rng.choice("abc"),))

    return TaskFamily(tuple(replace(task, predict=tuple(map(hides, task.predict))) for task in family.tasks))


@pytest.mark.parametrize("layers", [None, 1, 2, 4])
@pytest.mark.parametrize("block", range(3))
def test_right_answers_raise_no_alarm(layers, block):
    rng = np.random.default_rng(block)
    looked = 0
    for seed in range(40 * block, 40 * block + 40):
        family = hiding(random_family(seed), seed)
        leaks = find_leak(family, layers) is not None
        instance = Instance(family, "random", layers=layers)
        subject = replace(subject_of_merged(merge(instance)), family=instance)
        for known in (subject, shuffled(subject, rng), replace(subject, family=None)):
            codes = {found.code for found in audit(known).findings}
            assert not codes & (FALSE - ({"MS001"} if leaks else set())), seed
            assert ("MS001" in codes) == (leaks and known.family is not None), seed
        if layers is None and not leaks:
            plan = replace(plan_of(subject), right=False)
            assert [
                *find_leaks(subject, plan),
                *find_wrong_context(subject, plan),
                *find_wrong_labels(subject, plan),
            ] == [], seed
            looked += 1
    assert layers is not None or looked > 2


def is_right(instance, merged) -> bool:
    """What the independent checker says."""
    try:
        verify(instance, merged, minimal=False)
    except WrongAnswer:
        return False
    return True


@pytest.mark.parametrize("layers", [None, 2])
def test_a_changed_entry_is_told_iff_a_value_changes(layers):
    rng, told = np.random.default_rng(9), 0
    for seed in range(120):
        instance = Instance(random_family(seed), "random", layers=layers)
        merged = merge(instance)
        subject = replace(subject_of_merged(merged), family=instance)
        tables = dense_of(subject).copy()
        tables_read = (
            len(tables) if layers is None else min(len(tables), layers)
        )  # the checker is stricter about tables that no layer reads
        table, query, key = (int(rng.integers(0, size)) for size in (tables_read, *tables.shape[1:]))
        tables[table, query, key] ^= True
        planted = with_mask(subject, tables)
        if not tables[table, query].any():
            assert any(found.code == "MS005" for found in audit(planted).findings)
            continue
        right = is_right(instance, replace(merged, mask=planted.mask))
        assert right == plan_of(planted).right, seed
        errors = [found for found in audit(planted).findings if found.severity == "error" and found.code != "MS005"]
        assert right == (not errors), seed
        told += not right
    assert told > 40


def test_masks_without_positions():
    subject = subject_of_merged(merge(Instance(TaskFamily(()), "nothing")))
    assert audit(subject).findings == ()
    assert audit(replace(subject, family=Instance(TaskFamily(()), "nothing"))).findings == ()
    assert (
        audit(
            replace(subject, mask=Mask.from_intervals([[]]), inputs=None, positions=None, kinds=None, labels=None)
        ).findings
        == ()
    )
