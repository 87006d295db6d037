"""What every provider promises, whoever it is: the same promises, told against the sandbox for each in turn."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from providers import CHANNELS, PROVIDERS, REQUIRED_SECRETS, SANDBOX_PATHS, sandbox_account
from providers.base import Account, LeaseLost, Outgoing, Provider
from rules.errors import (
    AuthRefused,
    ConfigurationError,
    NetworkError,
    ProviderUnavailable,
    RateLimited,
    UnknownOutcome,
)
from sandbox.server import Running

ADDRESSES = {
    "mailgun": "ada@example.com",
    "telnyx": "+15550100",
    "facebook": "6780462125377510",
    "instagram": "1570000000000001",
    "slack": "slack",
    "discord": "discord",
    "webhook": "https://hooks.example.com/in?x=1",
}
EVERY = pytest.mark.parametrize("name", sorted(PROVIDERS))


def provider(name: str) -> Provider:
    return PROVIDERS[name]


def outgoing(name: str, **more: object) -> Outgoing:
    fields = {"key": "exec-1/hello/0", "to": ADDRESSES[name], "body": "Hello Ada", "subject": "Hello", **more}
    return Outgoing(**fields)  # type: ignore[arg-type]


@EVERY
def test_a_message_is_accepted_once_and_receipted(sandbox: Running, name: str) -> None:
    receipt = provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    accepted = sandbox.messages(name)
    assert [message["to"] for message in accepted] == [ADDRESSES[name]]
    if receipt.provider_message_id is not None:
        assert receipt.provider_message_id == accepted[0]["id"].strip("<>")


@EVERY
def test_a_rate_limit_of_a_second_is_waited_out(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "http_429", times=2, seconds=0)

    provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert len(sandbox.messages(name)) == 1


@EVERY
def test_a_long_rate_limit_is_told_rather_than_slept(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "http_429", times=0, seconds=120)

    with pytest.raises(RateLimited) as refused:
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert refused.value.retry_after == 120
    assert sandbox.messages(name) == []


@EVERY
def test_a_rate_limit_that_stays_is_told_after_three_tries(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "http_429", times=3, seconds=0)

    with pytest.raises(RateLimited):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))
    assert len(sandbox.messages(name)) == 1


@EVERY
@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_a_connection_cut_after_the_request_is_an_unknown_outcome_and_never_a_second_send(
    sandbox: Running, name: str, fault: str
) -> None:
    sandbox.fault(name, fault)

    with pytest.raises(UnknownOutcome, match="may have been sent"):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert len(sandbox.messages(name)) == (1 if fault == "reset_after" else 0)


@EVERY
@pytest.mark.parametrize("fault", ["timeout", "slow"])
def test_no_answer_in_time_is_an_unknown_outcome(
    sandbox: Running, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider(name), "read_seconds", 0.1)
    sandbox.fault(name, fault, seconds=20)

    with pytest.raises(UnknownOutcome, match=r"no answer within 0\.1 s"):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert len(sandbox.messages(name)) == (1 if fault == "slow" else 0)


@EVERY
def test_a_slow_answer_in_time_is_a_receipt(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "slow", seconds=0.05)

    provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert len(sandbox.messages(name)) == 1


@EVERY
def test_a_failure_after_the_whole_request_is_never_sent_again_by_itself(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "http_500")
    # By its standard a webhook's receiver that answers 5xx asks for another delivery under the same id.
    expected = ProviderUnavailable if name == "webhook" else UnknownOutcome

    with pytest.raises(expected):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert sandbox.messages(name) == []


@pytest.mark.parametrize("name", sorted(set(PROVIDERS) - {"webhook"}))
def test_garbage_for_a_receipt_is_an_unknown_outcome(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "bad_json")

    with pytest.raises(UnknownOutcome, match="not its receipt"):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))


@EVERY
def test_a_refused_key_names_the_remedy(sandbox: Running, name: str) -> None:
    sandbox.fault(name, "auth")

    with pytest.raises(AuthRefused if name == "webhook" else ConfigurationError) as refused:
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name))

    assert any(word in refused.value.message for word in ("Check", "Make a new", "Give the receiver"))


@EVERY
def test_an_unreachable_provider_is_a_network_error_and_nothing_was_sent(name: str) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"

        with pytest.raises(NetworkError, match="nothing was sent"):
            provider(name).send(sandbox_account(name, url), outgoing(name))


@EVERY
def test_a_lost_lease_sends_nothing(sandbox: Running, name: str) -> None:
    with pytest.raises(LeaseLost):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name, still_ours=lambda: False))

    assert sandbox.messages(name) == []


@EVERY
def test_the_lease_is_asked_before_every_try(sandbox: Running, name: str) -> None:
    answers = iter([True, False])
    sandbox.fault(name, "http_429", times=1, seconds=0)

    with pytest.raises(LeaseLost):
        provider(name).send(sandbox_account(name, sandbox.url), outgoing(name, still_ours=lambda: next(answers)))

    assert sandbox.messages(name) == []


@EVERY
def test_a_lost_lease_leaves_the_next_send_unharmed(sandbox: Running, name: str) -> None:
    account = sandbox_account(name, sandbox.url)
    with pytest.raises(LeaseLost):
        provider(name).send(account, outgoing(name, still_ours=lambda: False))

    provider(name).send(account, outgoing(name, still_ours=lambda: True))

    assert len(sandbox.messages(name)) == 1


@EVERY
@pytest.mark.parametrize("fault", ["auth", "http_500", "http_429", "reset_after", "bad_json"])
def test_no_error_and_no_repr_holds_a_secret(sandbox: Running, name: str, fault: str) -> None:
    secret = "very-secret-value-0123456789"
    account = sandbox_account(name, sandbox.url)
    secrets = dict.fromkeys(account.secrets, secret)
    if name == "webhook":
        secrets = {"WEBHOOK_SIGNING_SECRET": "whsec_" + "c2VjcmV0" * 6}
        secret = "c2VjcmV0" * 6
    account = dataclasses.replace(account, secrets=secrets, base_url=account.base_url.replace("sandbox", "hushhush"))
    sandbox.fault(name, fault, times=0, seconds=99)

    try:
        provider(name).send(account, outgoing(name))
        raised = ""
    except Exception as error:
        raised = f"{error!r} {error} {error.__cause__} {vars(error)}"
    shown = f"{account!r} {account} {raised}"
    assert secret not in shown
    assert "hushhush" not in shown


@EVERY
def test_a_missing_setting_is_named(name: str) -> None:
    bare = Account(name, "https://api.example.com", {})

    with pytest.raises(ConfigurationError, match="|".join(REQUIRED_SECRETS[name])):
        provider(name).send(bare, outgoing(name))


def test_every_channel_has_a_provider_and_every_provider_a_place_in_the_sandbox() -> None:
    assert set(CHANNELS.values()) == set(PROVIDERS)
    assert set(PROVIDERS) < set(SANDBOX_PATHS)
    assert all(provider.name == name for name, provider in PROVIDERS.items())
