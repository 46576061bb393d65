"""Two processes: folded steps are the plain ones, and all ranks check together or none does."""

from __future__ import annotations

import pytest

from tests.torch.folding import rank_steps


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return rank_steps.run(str(tmp_path_factory.mktemp("ranks")))


@pytest.mark.parametrize("name", rank_steps.WRAPPERS)
def test_steps_of_two_ranks(results, name):
    for rank in range(rank_steps.RANKS):
        difference, folded, checks, scored = results[rank][name]
        assert max(difference, scored) < 1e-6
        assert (folded, checks) == (3, 1)


@pytest.mark.parametrize("name", rank_steps.FIRST_FSDP)
def test_the_first_fsdp_around_a_folded_model(results, name):
    for rank in range(rank_steps.RANKS):
        losses, folded, checks, parameters = results[rank][name]
        assert max(losses, parameters) < (2e-2 if "bfloat16" in name else 1e-5)
        together = rank_steps.FIRST_FSDP[name]["layers"]  # where no layer is wrapped, no rank waits in the backbone
        assert (folded, checks) == (3 - rank, 2 if together or rank == 0 else 1)  # evaluation is another mode


@pytest.mark.parametrize("case", ["uneven", "pads"])
def test_a_rank_whose_rows_share_nothing_checks_with_the_others(results, case):
    for rank, expected in ((0, (3, 1)), (1, (0, 1))):
        difference, folded, checks, scored = results[rank][case]
        assert max(difference, scored) < 1e-6
        assert (folded, checks) == expected


@pytest.mark.parametrize("name", rank_steps.WRAPPERS)
def test_log_probabilities_of_a_model_that_is_not_folded_where_a_rank_has_no_labels(results, name):
    assert max(results[rank]["not folded"][name] for rank in range(rank_steps.RANKS)) < 1e-5


def test_a_fault_of_one_rank_is_an_error_of_all(results):
    assert "comparison failed on another rank" in results[0]["fault"]
    assert "hidden states" in results[1]["fault"]
