"""A workspace's model settings: a step overrides the workspace, the workspace overrides the environment, and no key of
the environment goes to a workspace's base URL."""

from __future__ import annotations

from typing import Any

import pytest

from models import model_settings as stored
from models.audit import SYSTEM
from models.model_settings import ModelSettings
from models.queries import execute, fetch_value
from rules.outbound_urls import ALL_NETWORKS
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import model_settings
from tasks.runtime.engine import Engine
from tasks.steps.accounts import resolve_account
from tasks.steps.model_settings import resolve_model_settings
from tests.support.factories import WRITTEN, Alice, steps, wait_for_status, wait_until_finished


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def publish_settings(alice: Alice, settings: Settings, **changes: Any) -> ModelSettings:
    # As if published while every network was allowed: the call checks the base URL again.
    anywhere = settings.replace(webhook_allowed_networks=ALL_NETWORKS)
    assert model_settings.find_problems(anywhere, alice.workspace_id, changes) == []
    return model_settings.change(settings, alice.workspace_id, changes, SYSTEM)


def list_model_requests(sandbox: RunningSandbox, provider: str = "gemini") -> list[dict[str, Any]]:
    return list(sandbox.list_messages(provider=provider))


def test_the_workspaces_model_is_used_where_the_step_names_none(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    publish_settings(alice, settings, provider="gemini", model="gemini-2.5-pro", max_tokens=77, temperature=0.25)
    alice.automation(WRITTEN)
    done = wait_until_finished(alice.trigger())
    assert steps(done["id"])["write"]["output"]["model"] == "gemini-2.5-pro"
    generation_config = list_model_requests(sandbox)[0]["body"]["generationConfig"]
    assert (generation_config["maxOutputTokens"], generation_config["temperature"]) == (77, 0.25)


def test_a_steps_values_take_precedence(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    publish_settings(alice, settings, provider="gemini", model="gemini-2.5-pro", max_tokens=77, temperature=0.25)
    own = {**WRITTEN[0]["with"], "model": "gemini-2.5-flash-lite", "max_tokens": 11, "temperature": 0}
    alice.automation([{**WRITTEN[0], "with": own}, WRITTEN[1]])
    done = wait_until_finished(alice.trigger())
    assert steps(done["id"])["write"]["output"]["model"] == "gemini-2.5-flash-lite"
    generation_config = list_model_requests(sandbox)[0]["body"]["generationConfig"]
    assert (generation_config["maxOutputTokens"], generation_config["temperature"]) == (11, 0)


def test_the_workspaces_provider_is_used(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    publish_settings(alice, settings, provider="openai", model="llama")
    alice.automation(WRITTEN)
    done = wait_until_finished(alice.trigger())
    assert steps(done["id"])["write"]["output"]["model"] == "llama"
    assert (len(list_model_requests(sandbox, "openai")), len(list_model_requests(sandbox))) == (1, 0)


def test_another_workspace_is_not_affected(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    publish_settings(alice, settings, provider="openai", model="llama")
    charlie = Alice(name="charlie")
    charlie.automation(WRITTEN)
    done = wait_until_finished(charlie.trigger())
    assert steps(done["id"])["write"]["output"]["model"] == settings.gemini_model


def test_the_environments_key_is_not_sent_to_a_workspaces_base_url(alice: Alice, settings: Settings) -> None:
    environment = settings.replace(openai_api_key="sk-environment", gemini_api_key="g-environment")

    def account(provider: str) -> Any:
        current = resolve_model_settings(environment, alice.workspace_id)
        return current.guard(resolve_account(current.settings, provider, alice.workspace_id, test=False, demo=False))

    publish_settings(alice, settings, provider="openai", base_url="https://ai.example.com/v1")
    openai_account = account("openai")
    assert (openai_account.base_url, openai_account.secrets.get("OPENAI_API_KEY"), openai_account.guarded) == (
        "https://ai.example.com/v1", None, True,
    )  # fmt: skip
    publish_settings(alice, settings, api_key="sk-own")
    assert account("openai").secrets["OPENAI_API_KEY"] == "sk-own"
    publish_settings(alice, settings, provider="gemini", api_key="g-own")
    assert (account("gemini").secrets["GEMINI_API_KEY"], account("gemini").guarded) == ("g-own", False)
    assert account("openai").secrets["OPENAI_API_KEY"] == "sk-environment"


def test_an_address_in_a_private_network_is_refused(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    execute("update workspaces set demo = false where id = %s", (alice.workspace_id,))
    publish_settings(alice, settings, provider="openai", base_url="http://127.0.0.1:9/v1", api_key="sk-own")
    alice.automation(WRITTEN)
    done = wait_until_finished(alice.trigger())
    assert (done["status"], done["error_class"]) == ("failed", "invalid")
    assert "private" in done["error_message"]


#: A base URL that is refused before anything is sent to it, which proves that the call was attempted.
REFUSED = {"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-own"}


def wait_for_key(alice: Alice, settings: Settings) -> str:
    execute("update workspaces set demo = false where id = %s", (alice.workspace_id,))
    publish_settings(alice, settings, provider="openai")
    alice.automation(WRITTEN)
    waiting = wait_for_status(alice.trigger())
    assert (waiting["waiting_for"], fetch_value("select name from pauses")) == ("configuration", "openai")
    assert "Settings, Channels" in waiting["error_message"]
    return str(waiting["id"])


def test_an_execution_that_waits_for_a_key_continues_once_it_is_set(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    waiting = wait_for_key(alice, settings)
    publish_settings(alice, settings, **REFUSED)
    assert wait_until_finished(waiting)["error_class"] == "invalid"
    assert fetch_value("select count(*) from pauses") == 0


def test_a_pause_for_the_old_key_ends_even_if_it_began_after_the_change(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    waiting = wait_for_key(alice, settings)
    assert periodic_jobs.end_resolved_pauses(settings)["ended"] == 0
    stored.change(alice.workspace_id, REFUSED, SYSTEM, settings.secret_key)
    assert periodic_jobs.end_resolved_pauses(settings)["ended"] == 1
    assert wait_until_finished(waiting)["error_class"] == "invalid"


def test_a_key_that_cannot_be_decrypted_counts_as_missing(alice: Alice, settings: Settings) -> None:
    publish_settings(alice, settings, provider="gemini", api_key="g-own")
    execute("update model_settings set api_key = 'sealed with another SECRET_KEY'")
    stored.load_cached.forget(alice.workspace_id)
    assert resolve_model_settings(settings, alice.workspace_id).settings.gemini_api_key == settings.gemini_api_key
