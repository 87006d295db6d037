"""Experiments: Wilson's interval against published values, and when a leader is proven."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.experiments import Judgement, VariantCounts, compute_interval, judge


@pytest.mark.parametrize(
    ("replied", "sent", "low", "high"),
    [
        # Newcombe 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(replied, sent, low, high):
    assert compute_interval(replied, sent) == pytest.approx((low, high), abs=0.0001)


@given(st.integers(1, 10_000).flatmap(lambda sent: st.tuples(st.integers(0, sent), st.just(sent))))
def test_the_interval_holds_the_rate_and_narrows_with_more(counts):
    replied, sent = counts
    low, high = compute_interval(replied, sent)
    assert 0 <= low <= replied / sent <= high <= 1
    narrower = compute_interval(replied * 10, sent * 10)
    assert narrower[1] - narrower[0] < high - low


def test_without_messages_there_is_no_interval():
    assert compute_interval(0, 0) is None


def test_a_leader_is_proven_once_its_interval_is_above_all_others():
    judgement = judge([VariantCounts(1000, 100), VariantCounts(1000, 200), VariantCounts(0, 0)], 10)
    assert (judgement.is_proven, judgement.leader, judgement.runner_up) == (True, 1, 0)
    assert judgement.lead == pytest.approx(0.1)


def test_it_is_not_enough_yet_with_how_many_more_and_how_long():
    judgement = judge([VariantCounts(2894, 1346), VariantCounts(2911, 1401), VariantCounts(1433, 668)], 30)
    assert (judgement.is_proven, judgement.leader, judgement.runner_up) == (False, 1, 2)
    assert judgement.more_messages is not None
    assert judgement.more_messages > 10_000
    assert judgement.more_days == -(-judgement.more_messages * 30 // 1433)


def test_after_so_many_more_at_the_same_rates_it_is_proven():
    first, second = VariantCounts(500, 200), VariantCounts(500, 225)
    more = judge([first, second], 5).more_messages
    assert more is not None
    factor = (500 + more) * 1.02 / 500
    grown = [VariantCounts(round(item.sent * factor), round(item.replied * factor)) for item in (first, second)]
    assert judge(grown, 5).is_proven


@pytest.mark.parametrize("variants", [[], [VariantCounts(10, 1)], [VariantCounts(10, 1), VariantCounts(0, 0)]])
def test_one_variant_alone_is_no_comparison(variants):
    assert judge(variants, 1) == Judgement(is_proven=False)


def test_equal_rates_are_never_told_apart():
    judgement = judge([VariantCounts(10, 5), VariantCounts(20, 10)], 1)
    assert (judgement.is_proven, judgement.more_messages, judgement.more_days) == (False, None, None)
