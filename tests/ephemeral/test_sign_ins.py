"""Limits of sign-ins: the same with Redis as in a process without it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ephemeral import sign_ins
from ephemeral.rate_limits import RateLimit
from ephemeral.sign_ins import ProcessLimits, take_for_account, take_for_address, take_for_device, undo_failure
from rules.sign_in_delays import Delays
from tests.support.waiting import eventually

#: Two free failures, then a delay short enough for a test.
QUICK = Delays(after_failures_ms=(0, 0, 300, 300), forget_ms=3_600_000)
SLOW = Delays(after_failures_ms=(0, 0, 5_000, 60_000), forget_ms=3_600_000)


@pytest.fixture(params=["fake_redis", pytest.param("real_redis", marks=pytest.mark.servers), "no_redis"], autouse=True)
def counter_backend(request: pytest.FixtureRequest) -> Any:
    """Run each test with and without Redis."""
    return request.getfixturevalue(request.param)


def test_each_address_has_its_own_attempts_per_minute() -> None:
    assert [take_for_address("192.0.2.1", 5) for _ in range(6)] == [0] * 5 + [12]
    assert take_for_address("192.0.2.2", 5) == 0


def test_a_browser_that_signed_in_before_has_ten_attempts_an_hour() -> None:
    assert [take_for_device("a") for _ in range(6)] == [0] * 5 + [360]
    assert take_for_device("b") == 0


def test_failures_of_all_browsers_delay_new_browsers_of_the_account() -> None:
    assert [take_for_account("ada", f"browser {number}", SLOW) for number in range(3)] == [0, 0, 5]
    assert take_for_account("bob", "browser 1", SLOW) == 0


def test_a_browser_waits_once_and_may_try_once_while_strangers_keep_failing() -> None:
    for number in range(5):
        take_for_account("ada", f"stranger {number}", QUICK)
    assert take_for_account("ada", "owner", QUICK) == 1
    # A stranger's attempt comes first when the delay of the account ends.
    eventually(lambda: take_for_account("ada", "stranger 0", QUICK) == 0, timeout=5)
    assert take_for_account("ada", "owner", QUICK) == 0
    assert take_for_account("ada", "owner", QUICK) == 1


def test_asking_again_while_waiting_neither_shortens_nor_prolongs_the_wait() -> None:
    for number in range(4):
        take_for_account("ada", f"stranger {number}", SLOW)
    assert {take_for_account("ada", "owner", SLOW) for _ in range(20)} <= {4, 5}


def test_a_success_is_no_failure() -> None:
    for _ in range(10):
        assert take_for_account("ada", "owner", SLOW) == 0
        undo_failure("ada")
    undo_failure("nobody")
    assert take_for_account("nobody", "a", SLOW) == take_for_account("nobody", "b", SLOW) == 0
    assert take_for_account("nobody", "c", SLOW) == 5


def test_failures_expire() -> None:
    fading = Delays(after_failures_ms=(0, 0, 60_000), forget_ms=50)
    assert [take_for_account("ada", f"{number}", fading) for number in range(2)] == [0, 0]
    eventually(lambda: take_for_account("ada", "new", fading) == 0 or take_for_account("ada", "newer", fading) == 0)


def test_concurrent_attempts_get_exactly_the_free_failures() -> None:
    passed = []

    def attempt_sign_in(number: int) -> None:
        passed.append(take_for_account("ada", f"browser {number}", SLOW) == 0)

    threads = [threading.Thread(target=attempt_sign_in, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 2


def test_names_of_any_kind_are_counted() -> None:
    for name in ("", "\x00", "ü" * 5000, "\ud800", "a:b", "*"):
        assert take_for_account(name, name, SLOW) == 0


def test_a_process_stores_a_bounded_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_ins, "MAX_ENTRIES", 3)
    limits, once = ProcessLimits(), RateLimit("test", rate=0.01, burst=1)
    assert [limits.take(once, str(number)) for number in range(10)] == [0] * 10
    assert [limits.take(once, str(number)) > 0 for number in (7, 8, 9, 6)] == [True, True, True, False]


def test_processes_that_count_apart_allow_no_more_together_than_one(fake_redis: object) -> None:
    address, both = RateLimit("address", rate=5 / 60, burst=5), [ProcessLimits(2) for _ in range(2)]
    assert sum(limits.take(address, "192.0.2.1") == 0 for limits in both for _ in range(10)) == 4
    default = Delays()
    allowed = [sum(limits.attempt(default, "ada", f"browser {n}") == 0 for n in range(20)) for limits in both]
    assert sum(allowed) <= 6
    assert ProcessLimits().attempt(default, "ada", "owner") == 0
