"""Channel credentials: owners enter and test them, nobody reads a secret back, and each workspace has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from ephemeral import connection
from models.database import acting_as
from models.queries import fetch_value
from sandbox.server import RunningSandbox, run_sandbox
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as
from tests.support.rows import fetch_rows

PATH = "/api/settings/channels"
KEY, DOMAIN = "key-of-alice-0123456789abcd", "mail.alice.example"
MAILGUN = {"MAILGUN_API_KEY": KEY, "MAILGUN_DOMAIN": DOMAIN}


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningSandbox]:
    """The real providers' stand-in: an imitation at their base URLs."""
    with run_sandbox() as running:
        yield running


@pytest.fixture
def config(provider: RunningSandbox) -> settings.Settings:
    provider.clear()
    return settings.load().replace(
        mailgun_api_key="", mailgun_domain="", mailgun_base_url=provider.url, telnyx_base_url=f"{provider.url}/v2",
        meta_base_url=f"{provider.url}/v25.0", gemini_base_url=f"{provider.url}/v1beta",
        slack_webhook_url="https://hooks.slack.example/services/T/B/environment",
    )  # fmt: skip


def change(producer: Producer, provider: str, **values: str | None) -> Any:
    return producer.put(f"{PATH}/{provider}", {"settings": values})


def fetch_settings(producer: Producer, provider: str) -> dict[str, Any]:
    channel = producer.get(f"{PATH}/{provider}").json["channel"]
    return {row["name"]: (row["state"], row["value"]) for row in channel["settings"]}


def test_a_secret_is_stored_encrypted_and_shows_its_end_only(alice: Producer) -> None:
    response = change(alice, "mailgun", **MAILGUN)
    assert response.status_code == 200, response.json
    assert fetch_settings(alice, "mailgun") | {"MAILGUN_WEBHOOK_SIGNING_KEY": 0} == {
        "MAILGUN_API_KEY": ("workspace", "••••abcd"), "MAILGUN_DOMAIN": ("workspace", DOMAIN),
        "MAILGUN_FROM": ("missing", None), "MAILGUN_BASE_URL": ("environment", None), "MAILGUN_WEBHOOK_SIGNING_KEY": 0,
    }  # fmt: skip
    assert KEY not in response.text
    with acting_as(alice.workspace_id):
        stored = fetch_rows("select name, value, hint from channel_credentials")
        audited = fetch_rows("select object_id, detail from audit where action = 'channel.changed'")
    assert KEY not in str(stored)
    assert DOMAIN not in str(stored)
    assert audited == [{"object_id": "mailgun", "detail": {
        "before": {"MAILGUN_API_KEY": None, "MAILGUN_DOMAIN": None},
        "after": {"MAILGUN_API_KEY": "••••abcd", "MAILGUN_DOMAIN": DOMAIN},
    }}]  # fmt: skip


def test_a_short_secret_shows_nothing_of_itself(alice: Producer) -> None:
    change(alice, "gemini", GEMINI_API_KEY="short")
    assert fetch_settings(alice, "gemini")["GEMINI_API_KEY"] == ("workspace", "••••")


def test_another_workspace_has_its_own_credentials(alice: Producer, charlie: Producer) -> None:
    change(alice, "mailgun", **MAILGUN)
    assert fetch_settings(charlie, "mailgun")["MAILGUN_API_KEY"] == ("missing", None)


def test_null_returns_to_the_environment_and_omitted_settings_stay(alice: Producer) -> None:
    change(alice, "slack", SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T/B/alice")
    change(alice, "slack")
    assert fetch_settings(alice, "slack")["SLACK_WEBHOOK_URL"] == ("workspace", "••••lice")
    change(alice, "slack", SLACK_WEBHOOK_URL=None)
    assert fetch_settings(alice, "slack")["SLACK_WEBHOOK_URL"] == ("environment", None)


def test_facebook_and_instagram_share_one_card(alice: Producer) -> None:
    change(alice, "instagram", META_PAGE_ACCESS_TOKEN="EAAG-of-alice-0123456789")
    cards = [card["providers"] for card in alice.get(PATH).json["channels"]]
    assert ["facebook", "instagram"] in cards
    assert fetch_settings(alice, "facebook") == fetch_settings(alice, "instagram")


@pytest.mark.parametrize(
    ("provider_name", "values", "path"),
    [
        ("mailgun", {"TELNYX_API_KEY": "x"}, "settings.TELNYX_API_KEY"),
        ("mailgun", {"SECRET_KEY": "x" * 40}, "settings.SECRET_KEY"),
        ("mailgun", {"MAILGUN_API_KEY": ""}, "settings.MAILGUN_API_KEY"),
        ("mailgun", {"MAILGUN_API_KEY": "two words"}, "settings.MAILGUN_API_KEY"),
        ("mailgun", {"MAILGUN_DOMAIN": DOMAIN}, "settings.MAILGUN_DOMAIN"),
        ("mailgun", {"MAILGUN_BASE_URL": "https://evil.example"}, "settings.MAILGUN_BASE_URL"),
        ("telnyx", {"TELNYX_MESSAGING_PROFILE_ID": "profile"}, "settings.TELNYX_MESSAGING_PROFILE_ID"),
        ("slack", {"SLACK_WEBHOOK_URL": "http://127.0.0.1:6379/"}, "settings.SLACK_WEBHOOK_URL"),
        ("discord", {"DISCORD_WEBHOOK_URL": "http://169.254.169.254/"}, "settings.DISCORD_WEBHOOK_URL"),
        ("discord", {"DISCORD_WEBHOOK_URL": "ftp://discord.com/x"}, "settings.DISCORD_WEBHOOK_URL"),
        ("gemini", {"GEMINI_API_KEY": "x" * 1001}, "settings.GEMINI_API_KEY"),
    ],
)
def test_invalid_settings_are_rejected_by_name(
    alice: Producer, provider_name: str, values: dict[str, str], path: str
) -> None:
    response = change(alice, provider_name, **values)
    if response.json.get("errors"):
        assert response.json["errors"][0]["path"] == path
    assert response.status_code == 422
    with acting_as(alice.workspace_id):
        assert fetch_value("select count(*) from channel_credentials") == 0


def test_a_domain_keeps_its_own_key(alice: Producer) -> None:
    change(alice, "mailgun", **MAILGUN)
    refused = change(alice, "mailgun", MAILGUN_API_KEY=None)
    assert (refused.status_code, refused.json["errors"][0]["message"]) == (
        422, "needs the workspace's own MAILGUN_API_KEY",
    )  # fmt: skip
    assert change(alice, "mailgun", MAILGUN_API_KEY=None, MAILGUN_DOMAIN=None).status_code == 200


def test_webhooks_have_no_credentials_to_enter(alice: Producer) -> None:
    assert [alice.get(f"{PATH}/{name}").status_code for name in ("webhook", "skynet")] == [404, 404]


def run_test(producer: Producer, provider: str, to: str | None = None, **values: str | None) -> Any:
    body = {"settings": values, **({"to": to} if to else {})}
    return producer.post(f"{PATH}/{provider}/test", body)


def test_a_test_sends_with_the_entered_credentials_and_stores_none(alice: Producer, provider: RunningSandbox) -> None:
    result = run_test(alice, "mailgun", "ada@example.com", **MAILGUN).json
    assert (result["passed"], result["sandbox"]) == (True, False)
    (sent,) = provider.list_messages(provider="mailgun")
    assert (sent["to"], DOMAIN in sent["path"]) == ("ada@example.com", True)
    assert fetch_settings(alice, "mailgun")["MAILGUN_API_KEY"] == ("missing", None)


@pytest.mark.parametrize(
    ("name", "to", "values"),
    [
        ("telnyx", "+15550100", {"TELNYX_API_KEY": "k", "TELNYX_MESSAGING_PROFILE_ID": "p"}),
        ("facebook", None, {"META_PAGE_ACCESS_TOKEN": "t"}),
        ("gemini", None, {"GEMINI_API_KEY": "k"}),
    ],
)
def test_each_kind_of_provider_can_be_tested(
    alice: Producer, name: str, to: str | None, values: dict[str, str | None]
) -> None:
    result = run_test(alice, name, to, **values).json
    assert result["passed"], result


def test_a_refusal_is_told_with_the_providers_sentence_and_the_remedy(
    alice: Producer, provider: RunningSandbox
) -> None:
    provider.add_fault("mailgun", "auth")
    result = run_test(alice, "mailgun", "ada@example.com", **MAILGUN).json
    assert (result["passed"], result["errorClass"], result["code"]) == (False, "configuration", "401")
    assert "Check the API key of Mailgun" in result["message"]


def test_a_temporary_error_says_that_a_test_is_not_repeated(alice: Producer, provider: RunningSandbox) -> None:
    provider.add_fault("mailgun", "http_429", times=0, seconds=60)
    result = run_test(alice, "mailgun", "ada@example.com", **MAILGUN).json
    assert (result["passed"], result["errorClass"]) == (False, "rate_limit")
    assert result["message"].endswith("This was a test, which is not repeated.")


def test_a_missing_setting_is_told_and_nothing_is_called(alice: Producer, provider: RunningSandbox) -> None:
    result = run_test(alice, "mailgun", "ada@example.com").json
    assert (result["passed"], result["errorClass"]) == (False, "configuration")
    assert "MAILGUN_API_KEY, MAILGUN_DOMAIN is not set" in result["message"]
    assert list(provider.list_messages()) == []


def test_a_test_never_calls_a_private_address(alice: Producer) -> None:
    response = run_test(alice, "slack", SLACK_WEBHOOK_URL="http://localhost:8080/x")
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, "settings.SLACK_WEBHOOK_URL")


def test_a_test_needs_an_address_and_is_limited(alice: Producer) -> None:
    assert run_test(alice, "mailgun", **MAILGUN).json["errors"][0]["path"] == "to"
    assert run_test(alice, "mailgun", "nobody", **MAILGUN).json["errors"][0]["path"] == "to"
    statuses = [run_test(alice, "mailgun", "ada@example.com").status_code for _ in range(12)]
    assert statuses[-1] == 429


def test_no_test_is_made_while_it_cannot_be_counted(alice: Producer, provider: RunningSandbox, tmp_path: Path) -> None:
    change(alice, "mailgun", **MAILGUN)
    config = alice.client.application.extensions["settings"]
    connection.open_ephemeral(config.replace(redis_url=f"unix://{tmp_path}/gone?db=0"))
    try:
        response = run_test(alice, "mailgun", "stranger@example.com")
    finally:
        connection.open_ephemeral(config)
    assert (response.status_code, "Redis is unavailable" in response.text) == (503, True)
    assert list(provider.list_messages()) == []


def test_an_owner_saves_tests_and_removes_on_the_page(alice: Producer, client: FlaskClient) -> None:
    owner = sign_in_as(client, alice, role="owner")
    saved = post(owner, "/settings/channels/mailgun", **MAILGUN)
    assert saved.status_code == 303
    page = owner.get("/settings/channels").text
    assert KEY not in page
    assert "••••abcd" in page
    tested = post(owner, "/settings/channels/mailgun/test", to="ada@example.com")
    assert "Mailgun accepted a test message to ada@example.com" in read_text(tested.text)
    wrong = post(owner, "/settings/channels/slack", SLACK_WEBHOOK_URL="http://10.0.0.1/")
    assert wrong.status_code == 422
    assert "Nothing was changed: SLACK_WEBHOOK_URL must not" in read_text(wrong.text)
    post(owner, "/settings/channels/mailgun", **{f"remove:{name}": "1" for name in MAILGUN})
    assert fetch_settings(alice, "mailgun")["MAILGUN_API_KEY"] == ("missing", None)


def test_an_operator_sees_no_channels(alice: Producer, client: FlaskClient) -> None:
    operator = sign_in_as(client, alice)
    assert operator.get("/settings/channels").status_code == 403
    assert "/settings/channels" not in operator.get("/settings").text
