"""The choice of a text's provider: by the step, else by its model's name, else by the settings."""

from __future__ import annotations

from typing import Any

import pytest

from rules.definition import Step
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.runtime.engine import Engine
from tasks.steps import accounts
from tasks.steps.model_choice import ModelChoice, choose_model, find_default_provider
from tests.support.factories import Alice, steps, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row


def step(**within: Any) -> Step:
    return Step("write", "generate_message", {"prompt": "Write to Bob", **within})


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ({}, ModelChoice("gemini", "gemini-2.5-flash")),
        ({"provider": "openai"}, ModelChoice("openai", "gpt-4.1-mini")),
        ({"provider": "openai", "model": "gemini-clone"}, ModelChoice("openai", "gemini-clone")),
        ({"model": "gpt-5"}, ModelChoice("openai", "gpt-5")),
        ({"model": "gemini-2.5-pro"}, ModelChoice("gemini", "gemini-2.5-pro")),
        ({"model": "llama-4"}, ModelChoice("gemini", "llama-4")),
    ],
)
def test_the_step_chooses_the_provider_else_its_models_name(
    settings: Settings, within: dict[str, Any], expected: ModelChoice
) -> None:
    assert choose_model(settings, step(**within)) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, "gemini"),
        ({"openai_api_key": "k"}, "openai"),
        ({"openai_base_url": "http://localhost:11434/v1"}, "openai"),
        ({"openai_api_key": "k", "gemini_api_key": "k"}, "gemini"),
        ({"openai_api_key": "k", "gemini_api_key": "k", "ai_provider": "openai"}, "openai"),
        ({"openai_api_key": "k", "ai_provider": "gemini"}, "gemini"),
    ],
)
def test_the_default_is_the_setting_else_the_provider_with_credentials(
    settings: Settings, overrides: dict[str, str], expected: str
) -> None:
    config = settings.replace(**overrides)
    assert find_default_provider(config) == expected
    assert choose_model(config, step(model="llama-4")) == ModelChoice(expected, "llama-4")


def test_only_openai_itself_needs_a_key(settings: Settings) -> None:
    assert accounts.find_missing_secrets(settings, "openai") == ["OPENAI_API_KEY"]
    assert accounts.find_missing_secrets(settings.replace(openai_base_url="http://localhost:11434/v1"), "openai") == []


def test_a_text_by_the_other_provider_is_sent_the_same_way(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(
        [
            {"id": "write", "action": "generate_message", "with": {"prompt": "Write to Bob", "provider": "openai"}},
            {"id": "hello", "action": "send_sms", "with": {"body": "{{ steps.write.text }}"}},
        ]
    )

    result = wait_until_finished(alice.trigger())

    assert result["status"] == "succeeded"
    output = steps(result["id"])["write"]["output"]
    assert (output["model"], output["finishReason"]) == ("gpt-4.1-mini", "stop")
    assert output["outputTokens"] > 0
    assert sandbox.list_messages("telnyx")[0]["body"]["text"] == output["text"]
    assert sandbox.list_messages("gemini") == []


def test_a_refused_key_pauses_the_provider_that_was_called(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation([{"id": "write", "action": "generate_message", "with": {"prompt": "x", "model": "gpt-5"}}])
    sandbox.add_fault("openai", "auth")

    waiting = wait_for_status(alice.trigger())

    assert waiting["waiting_for"] == "configuration"
    pause = fetch_row("select name from pauses where workspace_id = %s", (alice.workspace_id,))
    assert pause == {"name": "openai"}
