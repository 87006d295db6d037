"""Who writes a text: the step says, else its model's name does, else the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cast import Alice, at_rest, finished, steps
from models.database import row
from rules.definition import Step
from sandbox.server import Running
from settings import Settings
from tasks import accounts
from tasks.engine import Engine
from tasks.writers import Writer, chosen, default_provider


def step(**within: Any) -> Step:
    return Step("write", "generate_message", {"prompt": "Write to Bob", **within})


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ({}, Writer("gemini", "gemini-2.5-flash")),
        ({"provider": "openai"}, Writer("openai", "gpt-4.1-mini")),
        ({"provider": "openai", "model": "gemini-clone"}, Writer("openai", "gemini-clone")),
        ({"model": "gpt-5"}, Writer("openai", "gpt-5")),
        ({"model": "gemini-2.5-pro"}, Writer("gemini", "gemini-2.5-pro")),
        ({"model": "llama-4"}, Writer("gemini", "llama-4")),
    ],
)
def test_the_step_is_asked_first_then_its_models_name(
    settings: Settings, within: dict[str, Any], expected: Writer
) -> None:
    assert chosen(settings, step(**within)) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "gemini"),
        ({"openai_api_key": "k"}, "openai"),
        ({"openai_base_url": "http://localhost:11434/v1"}, "openai"),
        ({"openai_api_key": "k", "gemini_api_key": "k"}, "gemini"),
        ({"openai_api_key": "k", "gemini_api_key": "k", "ai_provider": "openai"}, "openai"),
        ({"openai_api_key": "k", "ai_provider": "gemini"}, "gemini"),
    ],
)
def test_the_default_is_what_is_set_else_what_is_configured(
    settings: Settings, told: dict[str, str], expected: str
) -> None:
    told_settings = replace(settings, **told)
    assert default_provider(told_settings) == expected
    assert chosen(told_settings, step(model="llama-4")) == Writer(expected, "llama-4")


def test_only_openai_itself_needs_a_key(settings: Settings) -> None:
    assert accounts.missing(settings, "openai") == ["OPENAI_API_KEY"]
    assert accounts.missing(replace(settings, openai_base_url="http://localhost:11434/v1"), "openai") == []


def test_a_text_by_the_other_provider_is_sent_like_any(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(
        [
            {"id": "write", "action": "generate_message", "with": {"prompt": "Write to Bob", "provider": "openai"}},
            {"id": "hello", "action": "send_sms", "with": {"body": "{{ steps.write.text }}"}},
        ]
    )

    found = finished(alice.trigger())

    assert found["status"] == "succeeded"
    output = steps(found["id"])["write"]["output"]
    assert (output["model"], output["finishReason"]) == ("gpt-4.1-mini", "stop")
    assert output["outputTokens"] > 0
    assert sandbox.messages("telnyx")[0]["body"]["text"] == output["text"]
    assert sandbox.messages("gemini") == []


def test_a_refused_key_pauses_the_provider_that_was_asked(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation([{"id": "write", "action": "generate_message", "with": {"prompt": "x", "model": "gpt-5"}}])
    sandbox.fault("openai", "auth")

    waiting = at_rest(alice.trigger())

    assert waiting["waiting_for"] == "configuration"
    pause = row("select name from pauses where workspace_id = %s", (alice.workspace_id,))
    assert pause == {"name": "openai"}
