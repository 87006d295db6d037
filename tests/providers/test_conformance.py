"""The guarantees of every provider, tested against the sandbox for each."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from providers.base import Account, LeaseLost, OutgoingMessage, Provider
from providers.registry import PROVIDERS, SENDERS, build_sandbox_account
from rules.channels import CHANNELS, PROVIDER_NAMES, TEXT_PROVIDERS
from rules.errors import (
    AuthRefused,
    ConfigurationError,
    NetworkError,
    ProviderUnavailable,
    RateLimited,
    UnknownOutcome,
)
from sandbox.server import RunningSandbox

ADDRESSES = {
    "mailgun": "ada@example.com",
    "telnyx": "+15550100",
    "facebook": "6780462125377510",
    "instagram": "1570000000000001",
    "slack": "slack",
    "discord": "discord",
    "webhook": "https://hooks.example.com/in?x=1",
}
EVERY_PROVIDER = pytest.mark.parametrize("name", sorted(SENDERS))


def get_provider(name: str) -> Provider:
    return SENDERS[name]


def build_message(name: str, **more: object) -> OutgoingMessage:
    fields = {"key": "exec-1/hello/0", "to": ADDRESSES[name], "body": "Hello Ada", "subject": "Hello", **more}
    return OutgoingMessage(**fields)  # type: ignore[arg-type]


@EVERY_PROVIDER
def test_a_message_is_accepted_once_and_receipted(sandbox: RunningSandbox, name: str) -> None:
    receipt = get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    accepted = sandbox.list_messages(name)
    assert [message["to"] for message in accepted] == [ADDRESSES[name]]
    if receipt.provider_message_id is not None:
        assert receipt.provider_message_id == accepted[0]["id"].strip("<>")


@EVERY_PROVIDER
def test_a_rate_limit_of_a_second_is_slept(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "http_429", times=2, seconds=0)

    get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert len(sandbox.list_messages(name)) == 1


@EVERY_PROVIDER
def test_a_long_rate_limit_is_raised_rather_than_slept(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "http_429", times=0, seconds=120)

    with pytest.raises(RateLimited) as error:
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert error.value.retry_after == 120
    assert sandbox.list_messages(name) == []


@EVERY_PROVIDER
def test_a_persistent_rate_limit_is_raised_after_three_attempts(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "http_429", times=3, seconds=0)

    with pytest.raises(RateLimited):
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))
    assert len(sandbox.list_messages(name)) == 1


@EVERY_PROVIDER
@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_a_connection_cut_after_the_request_is_unknown_and_not_resent(
    sandbox: RunningSandbox, name: str, fault: str
) -> None:
    sandbox.add_fault(name, fault)

    with pytest.raises(UnknownOutcome, match="may have been sent"):
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert len(sandbox.list_messages(name)) == (1 if fault == "reset_after" else 0)


@EVERY_PROVIDER
@pytest.mark.parametrize("fault", ["timeout", "slow"])
def test_no_response_in_time_is_an_unknown_outcome(
    sandbox: RunningSandbox, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_provider(name), "read_seconds", 0.1)
    sandbox.add_fault(name, fault, seconds=20)

    with pytest.raises(UnknownOutcome, match=r"did not respond within 0\.1 s"):
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert len(sandbox.list_messages(name)) == (1 if fault == "slow" else 0)


@EVERY_PROVIDER
def test_a_slow_response_in_time_is_a_receipt(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "slow", seconds=0.05)

    get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert len(sandbox.list_messages(name)) == 1


@EVERY_PROVIDER
def test_a_failure_after_the_whole_request_is_never_resent(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "http_500")
    # By the standard, a webhook's receiver that responds with 5xx asks for a redelivery with the same id.
    expected = ProviderUnavailable if name == "webhook" else UnknownOutcome

    with pytest.raises(expected):
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert sandbox.list_messages(name) == []


@pytest.mark.parametrize("name", sorted(set(SENDERS) - {"webhook"}))
def test_an_invalid_receipt_is_an_unknown_outcome(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "bad_json")

    with pytest.raises(UnknownOutcome, match="without a valid receipt"):
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))


@EVERY_PROVIDER
def test_a_rejected_key_has_a_remedy(sandbox: RunningSandbox, name: str) -> None:
    sandbox.add_fault(name, "auth")

    with pytest.raises(AuthRefused if name == "webhook" else ConfigurationError) as error:
        get_provider(name).send(build_sandbox_account(name, sandbox.url), build_message(name))

    assert any(word in error.value.message for word in ("Check", "Create a new", "Give the receiver"))


@EVERY_PROVIDER
def test_an_unreachable_provider_is_a_network_error_and_nothing_was_sent(name: str) -> None:
    with socket.socket() as silent_socket:
        silent_socket.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent_socket.getsockname()[1]}"

        with pytest.raises(NetworkError, match="nothing was sent"):
            get_provider(name).send(build_sandbox_account(name, url), build_message(name))


@EVERY_PROVIDER
def test_a_lost_lease_sends_nothing(sandbox: RunningSandbox, name: str) -> None:
    with pytest.raises(LeaseLost):
        get_provider(name).send(
            build_sandbox_account(name, sandbox.url), build_message(name, holds_lease=lambda: False)
        )

    assert sandbox.list_messages(name) == []


@EVERY_PROVIDER
def test_the_lease_is_checked_before_every_attempt(sandbox: RunningSandbox, name: str) -> None:
    answers = iter([True, False])
    sandbox.add_fault(name, "http_429", times=1, seconds=0)

    with pytest.raises(LeaseLost):
        get_provider(name).send(
            build_sandbox_account(name, sandbox.url), build_message(name, holds_lease=lambda: next(answers))
        )

    assert sandbox.list_messages(name) == []


@EVERY_PROVIDER
def test_a_lost_lease_leaves_the_next_send_unharmed(sandbox: RunningSandbox, name: str) -> None:
    account = build_sandbox_account(name, sandbox.url)
    with pytest.raises(LeaseLost):
        get_provider(name).send(account, build_message(name, holds_lease=lambda: False))

    get_provider(name).send(account, build_message(name, holds_lease=lambda: True))

    assert len(sandbox.list_messages(name)) == 1


@EVERY_PROVIDER
@pytest.mark.parametrize("fault", ["auth", "http_500", "http_429", "reset_after", "bad_json"])
def test_no_error_and_no_repr_contains_a_secret(sandbox: RunningSandbox, name: str, fault: str) -> None:
    secret = "very-secret-value-0123456789"
    account = build_sandbox_account(name, sandbox.url)
    secrets = dict.fromkeys(account.secrets, secret)
    if name == "webhook":
        secrets = {"WEBHOOK_SIGNING_SECRET": "whsec_" + "c2VjcmV0" * 6}
        secret = "c2VjcmV0" * 6
    account = dataclasses.replace(account, secrets=secrets, base_url=account.base_url.replace("sandbox", "hushhush"))
    sandbox.add_fault(name, fault, times=0, seconds=99)

    try:
        get_provider(name).send(account, build_message(name))
        raised = ""
    except Exception as error:
        raised = f"{error!r} {error} {error.__cause__} {vars(error)}"
    output = f"{account!r} {account} {raised}"
    assert secret not in output
    assert "hushhush" not in output


@EVERY_PROVIDER
def test_a_missing_setting_is_named(name: str) -> None:
    bare = Account(name, "https://api.example.com", {})

    with pytest.raises(ConfigurationError, match="|".join(PROVIDERS[name].required_settings)):
        get_provider(name).send(bare, build_message(name))


def test_every_channel_has_a_provider_that_sends() -> None:
    assert {channel.provider for channel in CHANNELS.values()} == set(SENDERS)
    assert set(PROVIDERS) == set(PROVIDER_NAMES)
    assert all(provider.name == name for name, provider in SENDERS.items())


def test_every_provider_sends_or_generates() -> None:
    assert {name for name, entry in PROVIDERS.items() if entry.generate} == set(TEXT_PROVIDERS)
    assert all(entry.sender or entry.generate for entry in PROVIDERS.values())
