"""The AI model settings: owners change them, members read them without the key, other workspaces see nothing."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from models.database import acting_as
from models.queries import fetch_value
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as
from tests.support.rows import fetch_row

PATH = "/api/settings/model"
SETTINGS = {"provider": "openai", "model": "llama", "baseUrl": "https://ai.example.com/v1/", "apiKey": "sk-secret",
       "maxTokens": 200, "temperature": 0.5}  # fmt: skip


def fetch_settings(producer: Producer) -> dict[str, Any]:
    response = producer.get(PATH)
    assert response.status_code == 200
    return {name: text for name, text in response.json.items() if name != "success"}


def test_by_default_all_fields_come_from_the_environment(alice: Producer) -> None:
    assert fetch_settings(alice) == {"provider": None, "model": None, "maxTokens": None, "temperature": None,
                                     "baseUrl": None, "hasApiKey": False}  # fmt: skip


def test_the_settings_are_readable_but_not_the_key(alice: Producer, charlie: Producer) -> None:
    response = alice.put(PATH, SETTINGS)
    assert response.status_code == 200
    assert fetch_settings(alice) == {"provider": "openai", "model": "llama", "maxTokens": 200, "temperature": 0.5,
                            "baseUrl": "https://ai.example.com/v1", "hasApiKey": True}  # fmt: skip
    assert "sk-secret" not in response.text
    with acting_as(alice.workspace_id):
        stored_key = str(fetch_value("select api_key from model_settings"))
        logged = fetch_row("select action, detail::text as detail from audit where action = 'model.changed'")
    assert "sk-secret" not in stored_key
    assert logged is not None
    assert "sk-secret" not in logged["detail"]
    assert fetch_settings(charlie)["provider"] is None


def test_omitted_fields_stay_and_null_clears(alice: Producer) -> None:
    alice.put(PATH, SETTINGS)
    assert alice.put(PATH, {"model": None, "maxTokens": 300}).status_code == 200
    now = fetch_settings(alice)
    assert (now["model"], now["maxTokens"], now["hasApiKey"]) == (None, 300, True)


def test_a_new_provider_or_base_url_deletes_the_key(alice: Producer) -> None:
    alice.put(PATH, SETTINGS)
    alice.put(PATH, {"baseUrl": "https://elsewhere.example.com"})
    assert fetch_settings(alice)["hasApiKey"] is False
    alice.put(PATH, {"apiKey": "sk-again"})
    alice.put(PATH, {"provider": "gemini"})
    assert (fetch_settings(alice)["hasApiKey"], fetch_settings(alice)["model"], fetch_settings(alice)["baseUrl"]) == (
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"provider": "skynet"}, "provider"),
        ({"model": "llama"}, "provider"),
        ({"provider": "gemini", "baseUrl": "https://ai.example.com"}, "baseUrl"),
        ({"provider": "openai", "baseUrl": "file:///etc/passwd"}, "baseUrl"),
        ({"provider": "openai", "baseUrl": "https://me:pw@ai.example.com"}, "baseUrl"),
        ({"provider": "openai", "baseUrl": "https://[broken"}, "baseUrl"),
        ({"maxTokens": 0}, "maxTokens"),
        ({"temperature": 3}, "temperature"),
        ({"provider": "openai", "apiKey": "with\nline"}, "apiKey"),
    ],
)
def test_invalid_values_are_rejected_by_field(alice: Producer, wrong: dict[str, Any], path: str) -> None:
    response = alice.put(PATH, wrong)
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, path)
    assert fetch_settings(alice)["provider"] is None


def test_an_owner_changes_the_model_on_the_page(alice: Producer, client: FlaskClient) -> None:
    owner = sign_in_as(client, alice, role="owner")
    assert post(owner, "/settings/model", provider="openai", model="llama", apiKey="sk-secret").status_code == 303
    page = owner.get("/settings").text
    assert "sk-secret" not in page
    assert 'value="llama"' in page
    assert "Delete the saved key" in read_text(page)
    # An empty key keeps the saved one; the checkbox deletes it.
    post(owner, "/settings/model", provider="openai", model="llama", temperature="0.5", apiKey="")
    assert (fetch_settings(alice)["hasApiKey"], fetch_settings(alice)["temperature"]) == (True, 0.5)
    post(owner, "/settings/model", provider="openai", forgetKey="1")
    assert (fetch_settings(alice)["hasApiKey"], fetch_settings(alice)["model"]) == (False, None)
    refused = post(owner, "/settings/model", provider="openai", temperature="hot")
    assert "Nothing was changed: temperature" in read_text(owner.get(refused.location).text)


def test_an_operator_cannot_change_the_model(alice: Producer, client: FlaskClient) -> None:
    operator = sign_in_as(client, alice)
    assert "Only an owner can change this" in read_text(operator.get("/settings").text)
    assert post(operator, "/settings/model", provider="openai").status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:11434", "localhost", "[::1]", "169.254.169.254", "2130706433"])
def test_a_base_url_in_a_private_network_is_rejected(alice: Producer, host: str) -> None:
    response = alice.put(PATH, {"provider": "openai", "baseUrl": f"http://{host}/v1"})
    assert response.status_code == 422
    assert [error["path"] for error in response.json["errors"]] == ["baseUrl"]
    assert fetch_settings(alice)["baseUrl"] is None
