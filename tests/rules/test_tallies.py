"""The numbers of Analytics: rates, changes and times of buckets."""

from __future__ import annotations

import math

import pytest

from rules.tallies import BUCKET_RATIO, compute_change, compute_success_rate, estimate_ms


def test_unknown_outcomes_are_in_no_success_rate():
    assert compute_success_rate(3, 1) == 0.75
    assert compute_success_rate(0, 1) == 0.0
    assert compute_success_rate(0, 0) is None


def test_a_change_needs_something_before():
    assert compute_change(114, 100) == 0.14
    assert compute_change(0, 100) == -1.0
    assert compute_change(5, 0) is None


@pytest.mark.parametrize("ms", [20, 99, 250, 1_200, 86_400_000])
def test_the_middle_of_a_bucket_is_at_most_five_percent_off(ms):
    bucket = 1 + math.floor(math.log(ms) / math.log(BUCKET_RATIO))
    assert estimate_ms(bucket) == pytest.approx(ms, rel=0.05)


def test_less_than_a_millisecond_is_zero():
    assert estimate_ms(0) == 0
