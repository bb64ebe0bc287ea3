"""The rewards against their definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.trainer.rewards.formulas import (
    RewardKind,
    gain,
    place,
    reciprocal,
    reward,
    saturated,
    smooth,
    spread,
    tied_pairs,
)

values = st.lists(st.floats(-20, 0), min_size=1, max_size=12)


def test_the_place_counts_the_strictly_likelier() -> None:
    """A tie that counts as a loss would punish a candidate for a sample that says the same."""
    assert place(-1.0, [-0.5, -1.0, -2.0]) == 2


def test_gain_and_reciprocal_by_hand() -> None:
    """From place 4 of 5 to place 2."""
    sampled = [-0.5, -2.0, -3.0, -4.0]
    assert gain(-1.0, sampled, without=4) == pytest.approx(0.5)
    assert reciprocal(-1.0, sampled, without=4) == pytest.approx(1 / 2 - 1 / 4)


@given(desired=st.floats(-20, 0), sampled=values)
def test_the_smooth_place_becomes_the_hard_one_as_it_cools(desired: float, sampled: list[float]) -> None:
    """Otherwise its temperature is no temperature."""
    apart = [value for value in sampled if abs(value - desired) > 1e-3]
    assert smooth(desired, apart, temperature=1e-5) == pytest.approx(1 - place(desired, apart), abs=1e-6)


@given(desired=st.floats(-20, 0), more=st.floats(0.01, 5), sampled=values)
def test_likelier_is_never_worse(desired: float, more: float, sampled: list[float]) -> None:
    """A reward that falls where the desired output becomes likelier trains backwards."""
    for kind in RewardKind:
        low, high = (
            reward(kind, value, sampled, without=1, temperature=0.5) for value in (desired, desired + more)
        )
        assert high >= low


@given(desired=st.floats(-20, 0), sampled=values, shift=st.floats(-5, 5))
def test_what_all_outputs_share_cancels_in_ranks(desired: float, sampled: list[float], shift: float) -> None:
    """Fluency that a candidate gives to every output alike is no merit of its."""
    plain = smooth(desired, sampled, temperature=0.5)
    moved = smooth(desired + shift, [value + shift for value in sampled], temperature=0.5)
    assert moved == pytest.approx(plain, abs=1e-6)


def test_huge_margins_do_not_overflow() -> None:
    """exp(1e6) ends a night's run."""
    assert smooth(0.0, [-1e9, 1e9], temperature=0.01) == pytest.approx(-1.0)


def test_ties_saturation_and_spread_are_counted() -> None:
    """They say where the reward says nothing."""
    assert tied_pairs([1, 1, 2, 5]) == (1, 6)
    assert saturated([1, 1, 2, 5], samples=4) == 3
    assert spread([]) == 0.0
    assert spread([-1.0, -3.0, -2.0]) == 2.0
