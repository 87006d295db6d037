"""Our requests match the providers' own specifications, which are read from their files, not from our code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from providers import gemini
from providers.base import Button, OutgoingMessage
from providers.registry import SENDERS, build_sandbox_account
from providers.text_generation import Prompt
from sandbox.server import RunningSandbox

Validate = Callable[[str, str, Any], None]


@pytest.fixture(scope="session")
def assert_matches_spec(specs: Path) -> Validate:
    """Validate a value against a JSON pointer in a specification."""

    def validate(name: str, pointer: str, value: Any) -> None:
        uri = f"urn:{name}"
        document = Resource(json.loads((specs / name).read_text()), DRAFT202012)
        registry: Registry[Any] = Registry().with_resource(uri, document)
        schema = {"$ref": f"{uri}#{pointer}"}
        errors = list(
            Draft202012Validator(schema, registry=registry, format_checker=FormatChecker()).iter_errors(value)
        )
        assert not errors, errors[0]

    return validate


def send_message(sandbox: RunningSandbox, name: str, **more: Any) -> dict[str, Any]:
    fields = {"key": "exec-1/hello/0", "to": "+15550100", "body": "Hello Ada", **more}
    SENDERS[name].send(build_sandbox_account(name, sandbox.url), OutgoingMessage(**fields))
    return sandbox.list_messages(name)[0]


@pytest.mark.parametrize("kind", ["text", "html"])
def test_an_email_is_mailguns_form(sandbox: RunningSandbox, assert_matches_spec: Validate, kind: str) -> None:
    email = send_message(
        sandbox, "mailgun", to="ada@example.com", subject="Hi", format=kind, reply_to="bob@example.com"
    )

    assert email["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert email["path"] == "/v3/sandbox.example.com/messages"
    # The form may repeat `to`, which is a list in the specification.
    fields = {name: [value] if name == "to" else value for name, value in email["body"].items()}
    schema = "/components/schemas/POST-v3-domain_name-messages-multipart-form-data-RequestBody"
    assert_matches_spec("mailgun-messages.openapi.json", schema, fields)


@pytest.mark.parametrize("more", [{}, {"sender": "+15550199"}])
def test_an_sms_is_telnyxs_request(
    sandbox: RunningSandbox, assert_matches_spec: Validate, more: dict[str, str]
) -> None:
    sms = send_message(sandbox, "telnyx", **more)

    assert_matches_spec("telnyx-messaging.openapi.json", "/components/schemas/CreateMessageRequest", sms["body"])


@pytest.mark.parametrize("channel", ["facebook", "instagram"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"kind": "private_reply"},
        {"buttons": (Button("Shop", url="https://example.com/"),), "quick_replies": ("Yes", "No")},
    ],
)
def test_a_direct_message_matches_metas_documentation(
    sandbox: RunningSandbox, assert_matches_spec: Validate, channel: str, more: dict[str, Any]
) -> None:
    message = send_message(sandbox, channel, to="1570000000000001", **more)

    assert_matches_spec("meta-messaging.handmade.openapi.json", "/components/schemas/SendRequest", message["body"])


def test_metas_list_of_fields_has_all_fields_of_a_direct_message(sandbox: RunningSandbox, specs: Path) -> None:
    message = send_message(sandbox, "facebook", to="1570000000000001")

    specification = (specs / "meta-page-messages-edge.json").read_text()
    assert not [field for field in message["body"] if f'"{field}"' not in specification]
    assert '"RESPONSE"' in specification


def test_a_notice_is_discords_request(sandbox: RunningSandbox, assert_matches_spec: Validate) -> None:
    notice = send_message(sandbox, "discord")

    media = "/paths/~1webhooks~1{webhook_id}~1{webhook_token}/post/requestBody/content/application~1json/schema"
    assert_matches_spec("discord-webhooks.openapi.json", media, notice["body"])


def test_a_notice_matches_slacks_documentation(
    sandbox: RunningSandbox, assert_matches_spec: Validate, specs: Path
) -> None:
    notice = send_message(sandbox, "slack")

    document = json.loads((specs / "slack-incoming-webhook.handmade.openapi.json").read_text())
    path = next(iter(document["paths"])).replace("~", "~0").replace("/", "~1")
    media = f"/paths/{path}/post/requestBody/content/application~1json/schema"
    assert_matches_spec("slack-incoming-webhook.handmade.openapi.json", media, notice["body"])


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("gemini-2.5-flash", "Write to Ada."),
        Prompt("gemini-2.5-flash", "Write to Ada.", "You write one short message.", 300, 0.2),
    ],
)
def test_a_prompt_is_geminis_request(sandbox: RunningSandbox, assert_matches_spec: Validate, prompt: Prompt) -> None:
    gemini.generate(build_sandbox_account("gemini", sandbox.url), prompt)

    media = "/paths/~1v1beta~1models~1{model}:generateContent/post/requestBody/content/application~1json/schema"
    assert_matches_spec("gemini-generate-content.openapi.json", media, sandbox.list_messages("gemini")[0]["body"])


def test_the_sandboxs_responses_are_telnyxs_and_geminis(assert_matches_spec: Validate) -> None:
    from sandbox import generated_texts, telnyx_api
    from sandbox.store import Message, now

    message = Message("40385f64-5717-4562-b3fc-2c963f66afa6", "telnyx", "+15550100", now(), "", {}, {"text": "Hello"})
    assert_matches_spec(
        "telnyx-messaging.openapi.json",
        "/components/schemas/OutboundMessagePayload",
        telnyx_api.build_telnyx_message(message, "queued"),
    )
    media = "/paths/~1v1beta~1models~1{model}:generateContent/post/responses/200/content/application~1json/schema"
    assert_matches_spec(
        "gemini-generate-content.openapi.json",
        media,
        generated_texts.build_gemini_response("Write to Ada", "gemini-2.5-flash", "1"),
    )


def test_an_invalid_request_would_fail(assert_matches_spec: Validate) -> None:
    with pytest.raises(AssertionError):
        assert_matches_spec(
            "telnyx-messaging.openapi.json", "/components/schemas/CreateMessageRequest", {"text": "to is missing"}
        )
