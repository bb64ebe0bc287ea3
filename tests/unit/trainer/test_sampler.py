"""The sampler: one group a batch, the same on all ranks, and a position that is gone on from."""

from __future__ import annotations

import pytest

from memsdk.errors import InvalidInputError
from memsdk.trainer.sampler import HomogeneousSampler

GROUPS = {"qa": range(10), "chat": range(10, 33), "icl": range(33, 36)}


def test_a_batch_is_of_one_group_and_an_epoch_sees_each_row_once() -> None:
    """Rows of two tasks in one batch teach to tell the tasks apart, and no more."""
    sampler = HomogeneousSampler(GROUPS, batch=4, seed=1)
    batches = [sampler.next_batch() for _ in range(sampler.batches_an_epoch)]
    assert all(set(batch.rows) <= set(GROUPS[batch.group]) for batch in batches)
    seen = [row for batch in batches for row in batch.rows]
    assert len(seen) == len(set(seen)) == 8 + 20 + 3  # a tail is left out, but for the group that is all tail
    assert sampler.next_batch().epoch == 1


def test_ranks_share_each_batch() -> None:
    """Ranks with other tasks at the same step would gather each other's keys as negatives."""
    ranks = [HomogeneousSampler(GROUPS, batch=4, seed=1, rank=rank, world=2) for rank in range(2)]
    for _ in range(9):
        first, second = (sampler.next_batch() for sampler in ranks)
        assert first.group == second.group
        assert len(first.rows) == len(second.rows)
        assert not set(first.rows) & set(second.rows)


def test_it_goes_on_where_it_was() -> None:
    """A resumed training that sees other batches ends in other weights."""
    sampler = HomogeneousSampler(GROUPS, batch=4, seed=1)
    for _ in range(11):
        sampler.next_batch()
    other = HomogeneousSampler(GROUPS, batch=4, seed=1)
    other.restore(sampler.position)
    assert [sampler.next_batch() for _ in range(20)] == [other.next_batch() for _ in range(20)]


def test_shares_say_how_often_a_group_comes() -> None:
    """Else the largest set is all that is learnt."""
    sampler = HomogeneousSampler(GROUPS, batch=5, seed=1, shares={"qa": 2.5, "chat": 0.0})
    batches = [sampler.next_batch() for _ in range(sampler.batches_an_epoch)]
    assert sum(batch.group == "qa" for batch in batches) == 5
    assert not any(batch.group == "chat" for batch in batches)


def test_too_few_rows_are_refused() -> None:
    """An endless loop over nothing would look like a slow training."""
    with pytest.raises(InvalidInputError):
        HomogeneousSampler({"qa": [1]}, batch=2, seed=0, world=2)
