"""Faults of the text generators: temporary errors are retried, permanent ones are raised."""

from __future__ import annotations

import pytest

from providers import text_generation
from providers.registry import TEXT_GENERATORS, build_sandbox_account
from providers.text_generation import GeneratedText, Prompt
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    NetworkError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from sandbox.server import RunningSandbox

pytestmark = pytest.mark.parametrize("provider", sorted(TEXT_GENERATORS))


def generate_text(sandbox: RunningSandbox, provider: str) -> GeneratedText:
    return TEXT_GENERATORS[provider](
        build_sandbox_account(provider, sandbox.url), Prompt("gemini-2.5-flash", "Write to Ada about pricing.")
    )


@pytest.mark.parametrize("fault", ["http_500", "http_429", "reset_before", "reset_after", "bad_json"])
def test_a_temporary_error_is_attempted_up_to_three_times(sandbox: RunningSandbox, provider: str, fault: str) -> None:
    sandbox.add_fault(provider, fault, times=2, seconds=0)
    assert generate_text(sandbox, provider).text


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
def test_a_permanent_fault_is_raised(
    sandbox: RunningSandbox, provider: str, fault: str, expected: type[ExecutionError]
) -> None:
    sandbox.add_fault(provider, fault, times=0, seconds=0)
    with pytest.raises(expected):
        generate_text(sandbox, provider)


def test_no_response_in_time_is_a_timeout(
    sandbox: RunningSandbox, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_generation, "READ_SECONDS", 0.05)
    sandbox.add_fault(provider, "timeout", times=0, seconds=20)
    with pytest.raises(ProviderTimeout):
        generate_text(sandbox, provider)


def test_a_long_wait_is_raised_rather_than_slept(sandbox: RunningSandbox, provider: str) -> None:
    sandbox.add_fault(provider, "http_429", times=1, seconds=53)
    with pytest.raises(RateLimited) as error:
        generate_text(sandbox, provider)
    assert error.value.retry_after == 53
