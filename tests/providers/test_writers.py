"""What every provider of texts does with faults: asking again is safe, and what stays is told."""

from __future__ import annotations

import pytest

from providers import WRITERS, sandbox_account, writing
from providers.writing import Prompt, Written
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    NetworkError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from sandbox.server import Running

pytestmark = pytest.mark.parametrize("provider", sorted(WRITERS))


def write(sandbox: Running, provider: str) -> Written:
    return WRITERS[provider](sandbox_account(provider, sandbox.url), Prompt("a-model", "Write to Ada about pricing."))


@pytest.mark.parametrize("fault", ["http_500", "http_429", "reset_before", "reset_after", "bad_json"])
def test_what_passes_by_itself_is_asked_again_up_to_three_times(sandbox: Running, provider: str, fault: str) -> None:
    sandbox.fault(provider, fault, times=2, seconds=0)
    assert write(sandbox, provider).text


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("http_500", ProviderUnavailable),
        ("http_429", RateLimited),
        ("reset_before", NetworkError),
        ("bad_json", ProviderUnavailable),
        ("auth", ConfigurationError),
    ],
)
def test_what_stays_is_told(sandbox: Running, provider: str, fault: str, expected: type[ExecutionError]) -> None:
    sandbox.fault(provider, fault, times=0, seconds=0)
    with pytest.raises(expected):
        write(sandbox, provider)


def test_no_answer_in_time_is_a_timeout(sandbox: Running, provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "READ_SECONDS", 0.05)
    sandbox.fault(provider, "timeout", times=0, seconds=20)
    with pytest.raises(ProviderTimeout):
        write(sandbox, provider)


def test_a_long_wait_is_told_rather_than_slept(sandbox: Running, provider: str) -> None:
    sandbox.fault(provider, "http_429", times=1, seconds=53)
    with pytest.raises(RateLimited) as limited:
        write(sandbox, provider)
    assert limited.value.retry_after == 53
