"""Sign-in delays grow with failures, decay with time, and are bounded for every browser."""

from __future__ import annotations

from rules.sign_in_delays import Delays, Failures, decide

DELAYS = Delays()
NOW = 1_000_000


def compute_wait_ms(count: int, at_ms: int = NOW) -> int:
    return decide(DELAYS, Failures(count, at_ms), None, NOW).wait_ms


def test_five_failures_are_free_and_further_ones_double_the_delay_to_30_s() -> None:
    assert [compute_wait_ms(count) for count in range(11)] == [0] * 5 + [1000, 2000, 4000, 8000, 16000, 30000]


def test_the_delay_counts_from_the_last_failure() -> None:
    assert compute_wait_ms(8, NOW - 3000) == 5000
    assert compute_wait_ms(8, NOW - 8000) == 0


def test_one_failure_expires_each_minute() -> None:
    decision = decide(DELAYS, Failures(10, NOW - 5 * 60_000), None, NOW)
    assert decision.failures == Failures(6, NOW)
    assert decide(DELAYS, Failures(10, NOW - 3_600_000), None, NOW).failures == Failures(1, NOW)


def test_the_count_of_failures_is_bounded_so_that_it_decays_in_minutes() -> None:
    failures = Failures(0, 0)
    for number in range(1000):
        failures = decide(DELAYS, failures, turn_ms=0, now_ms=number).failures
    assert failures.count == 10


def test_a_turn_comes_on_time_whatever_others_do() -> None:
    first = decide(DELAYS, Failures(10, NOW), None, NOW)
    assert (first.wait_ms, first.turn_ms) == (30_000, NOW + 30_000)
    others = Failures(10, NOW + 29_999)
    early = decide(DELAYS, others, first.turn_ms, NOW + 20_000)
    assert (early.wait_ms, early.turn_ms, early.failures) == (10_000, NOW + 30_000, others)
    taken = decide(DELAYS, others, first.turn_ms, NOW + 30_000)
    assert (taken.wait_ms, taken.turn_ms) == (0, None)
    # A turn allows one attempt.
    assert decide(DELAYS, taken.failures, taken.turn_ms, NOW + 30_000).wait_ms == 30_000


def test_a_waiting_browser_does_not_delay_others() -> None:
    failures = Failures(7, NOW)
    assert decide(DELAYS, failures, None, NOW + 1).failures == failures


def test_a_browser_with_a_turn_waits_no_longer_than_a_new_one() -> None:
    assert decide(DELAYS, Failures(10, NOW - 600_000), turn_ms=NOW + 20_000, now_ms=NOW).wait_ms == 0


def test_a_clock_that_goes_back_neither_raises_nor_locks_anybody_out() -> None:
    assert decide(DELAYS, Failures(10, NOW + 60_000), None, NOW).wait_ms == 90_000
