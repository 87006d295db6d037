"""A workspace's own credentials win over the environment's wherever a provider is called, and end its pauses."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from models import channel_credential, workspace_preferences
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from providers.registry import PROVIDERS
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.operators import channel_credentials, invitations, model_settings
from tasks.runtime.engine import Engine
from tasks.steps.accounts import fingerprint, resolve_account
from tasks.steps.model_settings import resolve_model_settings
from tasks.steps.workspace_settings import resolve_workspace_settings
from tests.support.factories import HELLO, WRITTEN, Alice, execution, wait_for_status, wait_until_finished
from tests.support.unknown_outcomes import look_up_after
from tests.support.waiting import eventually

OWN = {"MAILGUN_API_KEY": "key-of-alice", "MAILGUN_DOMAIN": "mail.alice.example"}


@pytest.fixture
def alice(engine: Engine, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Alice:
    """A workspace that is not the demo: it calls the real base URLs, which are the sandbox's here."""
    changed = engine.settings.replace(
        mailgun_base_url=sandbox.url, gemini_base_url=f"{sandbox.url}/v1beta", mailgun_api_key="", mailgun_domain="",
        gemini_api_key="",
    )  # fmt: skip
    monkeypatch.setattr(engine, "settings", changed)
    owner = Alice()
    execute("update workspaces set demo = false where id = %s", (owner.workspace_id,))
    return owner


def enter(alice: Alice, settings: Settings, provider: str, values: Mapping[str, str | None]) -> None:
    entry = PROVIDERS[provider]
    assert channel_credentials.find_problems(settings, alice.workspace_id, entry, values) == []
    channel_credentials.change(settings, alice.workspace_id, entry, values, SYSTEM)


def test_an_email_is_sent_with_the_workspaces_own_account(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    enter(alice, settings, "mailgun", OWN)
    alice.automation(HELLO)
    assert wait_until_finished(alice.trigger())["status"] == "succeeded"
    (sent,) = sandbox.list_messages(provider="mailgun")
    assert sent["path"] == "/v3/mail.alice.example/messages"


def test_an_execution_that_waits_for_credentials_continues_at_once(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(HELLO)
    waiting = wait_for_status(alice.trigger())
    assert (waiting["waiting_for"], fetch_value("select name from pauses")) == ("configuration", "mailgun")
    assert "Settings, Channels" in waiting["error_message"]
    enter(alice, settings, "mailgun", OWN)
    assert wait_until_finished(str(waiting["id"]))["status"] == "succeeded"
    assert fetch_value("select count(*) from pauses") == 0


def test_another_providers_credentials_end_no_pause(alice: Alice, settings: Settings) -> None:
    alice.automation(HELLO)
    wait_for_status(alice.trigger())
    enter(alice, settings, "telnyx", {"TELNYX_API_KEY": "k", "TELNYX_MESSAGING_PROFILE_ID": "p"})
    assert fetch_value("select count(*) from pauses") == 1


def test_a_text_is_generated_with_the_workspaces_own_key(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    enter(alice, settings, "gemini", {"GEMINI_API_KEY": "g-alice"})
    enter(alice, settings, "mailgun", OWN)
    alice.automation(WRITTEN)
    assert wait_until_finished(alice.trigger())["status"] == "succeeded"
    assert len(sandbox.list_messages(provider="gemini")) == 1


def test_each_workspace_resolves_its_own_settings(alice: Alice, settings: Settings) -> None:
    enter(alice, settings, "mailgun", OWN)
    charlie = Alice(name="charlie")
    assert resolve_workspace_settings(settings, alice.workspace_id).mailgun_api_key == "key-of-alice"
    assert resolve_workspace_settings(settings, charlie.workspace_id) is settings


def test_the_key_entered_for_the_model_wins_over_the_channels(alice: Alice, settings: Settings) -> None:
    enter(alice, settings, "gemini", {"GEMINI_API_KEY": "g-channel"})
    assert resolve_model_settings(settings, alice.workspace_id).settings.gemini_api_key == "g-channel"
    model_settings.change(settings, alice.workspace_id, {"provider": "gemini", "api_key": "g-model"}, SYSTEM)
    assert resolve_model_settings(settings, alice.workspace_id).settings.gemini_api_key == "g-model"


def test_no_channels_key_is_sent_to_a_workspaces_base_url(alice: Alice, settings: Settings) -> None:
    enter(alice, settings, "openai", {"OPENAI_API_KEY": "sk-channel"})
    changes = {"provider": "openai", "base_url": "https://ai.example.com/v1"}
    model_settings.change(settings, alice.workspace_id, changes, SYSTEM)
    own = resolve_model_settings(settings, alice.workspace_id).settings
    account = resolve_account(own, "openai", alice.workspace_id, test=False, demo=False)
    assert "OPENAI_API_KEY" not in account.secrets


def test_new_credentials_change_the_fingerprint(alice: Alice, settings: Settings) -> None:
    def compute() -> str:
        own = resolve_workspace_settings(settings, alice.workspace_id, fresh=True)
        return fingerprint(own, "mailgun", alice.workspace_id)

    before = compute()
    enter(alice, settings, "mailgun", OWN)
    assert compute() != before


def test_a_value_that_cannot_be_decrypted_counts_as_not_set(alice: Alice, settings: Settings) -> None:
    enter(alice, settings, "mailgun", OWN)
    execute("update channel_credentials set value = 'encrypted with another SECRET_KEY'")
    channel_credential.load_cached.forget(alice.workspace_id)
    assert resolve_workspace_settings(settings, alice.workspace_id).mailgun_api_key == settings.mailgun_api_key


def test_a_test_execution_never_uses_the_workspaces_account(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    enter(alice, settings, "mailgun", OWN)
    alice.automation(HELLO)
    assert wait_until_finished(alice.trigger(test=True))["status"] == "succeeded"
    (sent,) = sandbox.list_messages(provider="mailgun")
    assert "mail.alice.example" not in sent["path"]
    assert base64.b64encode(b"api:key-of-alice").decode() not in str(sent)


def test_an_email_without_a_sender_comes_from_the_workspaces(alice: Alice, sandbox: RunningSandbox) -> None:
    identity = {"sender_name": "Ada's shop, Rome", "sender_address": "hello@mail.example.com"}
    workspace_preferences.change(alice.workspace_id, "sender", identity, SYSTEM)
    own = {**HELLO[0], "with": {**HELLO[0]["with"], "from": "step@mail.example.com"}}
    for trigger, steps, sender in (
        ("contact.created", HELLO, '"Ada\'s shop, Rome" <hello@mail.example.com>'),
        ("own", [own], "step@mail.example.com"),
    ):
        alice.automation(steps, trigger=trigger)
        wait_until_finished(alice.trigger(trigger, test=True))
        assert sandbox.list_messages(provider="mailgun")[-1]["body"]["from"] == sender


def test_an_unknown_outcome_is_looked_up_with_the_workspaces_account(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    enter(alice, settings, "mailgun", OWN)
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    failed = wait_until_finished(alice.trigger())
    assert failed["error_class"] == "unknown_outcome"
    eventually(lambda: look_up_after(settings, 5) or execution(str(failed["id"]))["status"] == "succeeded")


def test_an_invitation_is_mailed_with_the_workspaces_account(
    alice: Alice, engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    enter(alice, settings, "mailgun", OWN)
    _, mailed = invitations.invite(engine.settings, alice.workspace_id, "bob@example.com", "viewer", SYSTEM)
    assert mailed
    (sent,) = sandbox.list_messages(provider="mailgun")
    assert sent["path"] == "/v3/mail.alice.example/messages"
