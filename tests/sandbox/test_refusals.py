"""What each provider refuses, the sandbox refuses with the provider's own status, code and text.

The cases come from the providers' OpenAPI documents and from their pages on errors and limits; `docs/sandbox.md` names
them.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from sandbox.server import RunningSandbox, run_sandbox


@pytest.fixture(scope="module")
def _module_sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as instance:
        yield instance


@pytest.fixture
def sandbox(_module_sandbox: RunningSandbox) -> RunningSandbox:
    """An empty sandbox."""
    _module_sandbox.clear()
    return _module_sandbox


def send(sandbox: RunningSandbox, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def send_json(sandbox: RunningSandbox, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, str]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(sandbox, path, content, {"Content-Type": "application/json", **(headers or {})})


BASIC, BEARER, GOOGLE_KEY = {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer x"}, {"x-goog-api-key": "x"}
#: A field that is left out.
GONE = object()


def change(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    changed = {**body, **fields}
    return {name: value for name, value in changed.items() if value is not GONE}


EMAIL = {"from": "Bob <bob@example.com>", "to": "ada@example.com", "subject": "Hi", "text": "Hello"}
ALIKE = [f"user{number}@example.com" for number in range(1_001)]


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 200, "Queued. Thank you."),
        ({"to": ["ada@example.com", "Bob <bob@example.com>"]}, 200, "Queued"),
        ({"to": "ada@example.com, bob@example.com"}, 200, "Queued"),
        ({"to": ALIKE[:1_000]}, 200, "Queued"),
        ({"text": GONE, "html": "<p>Hi</p>"}, 200, "Queued"),
        ({"text": GONE, "subject": GONE, "template": "welcome"}, 200, "Queued"),
        ({"o:testmode": "yes", "o:tracking": "htmlonly", "o:deliver-within": "1h30m"}, 200, "Queued"),
        ({"o:deliverytime": "Fri, 14 Oct 2026 23:10:10 -0000"}, 200, "Queued"),
        ({"from": GONE}, 400, "from parameter is missing"),
        ({"from": "bob"}, 400, "from parameter is not a valid address"),
        ({"from": "Byron, Ada <ada@example.com>"}, 400, "from parameter is not a valid address"),
        ({"to": GONE}, 400, "to parameter is missing"),
        ({"to": ""}, 400, "to parameter is missing"),
        ({"to": "ada"}, 400, "to parameter is not a valid address"),
        ({"to": ["ada@example.com", "bob@"]}, 400, "to parameter is not a valid address"),
        ({"cc": "ada@localhost"}, 400, "cc parameter is not a valid address"),
        ({"to": ALIKE}, 400, "Too many recipients, max is 1000"),
        ({"to": ALIKE[:600], "bcc": ALIKE[600:]}, 400, "Too many recipients, max is 1000"),
        ({"subject": GONE}, 400, "subject parameter is missing"),
        ({"text": GONE}, 400, "Need at least one of 'text', 'html'"),
        ({"text": ""}, 400, "Need at least one of 'text', 'html'"),
        ({"html": "<p>Hi</p>", "template": "welcome"}, 400, "Only one parameters 'html' or 'template'"),
        ({"o:testmode": "true"}, 400, "o:testmode"),
        ({"o:tracking": "perhaps"}, 400, "o:tracking"),
        ({"o:deliverytime": "tomorrow"}, 400, "o:deliverytime"),
        ({"o:deliver-within": "soon"}, 400, "o:deliver-within"),
        ({"recipient-variables": "{"}, 400, "'recipient-variables' parameter is not a valid JSON"),
        ({"recipient-variables": "[]"}, 400, "'recipient-variables' parameter is not a valid JSON"),
        ({"v:note": "x" * 16_400}, 400, "limited to 16KB total"),
    ],
)
def test_mailgun(sandbox: RunningSandbox, fields: dict[str, Any], status: int, text: str) -> None:
    body = urlencode(change(EMAIL, **fields), doseq=True).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", **BASIC}

    answer = send(sandbox, "/v3/mail.example.com/messages", body, headers)

    assert answer[0] == status, answer
    assert text in answer[1]
    assert bool(sandbox.list_messages()) is (status == 200)


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_mailgun_takes_forms_alone(sandbox: RunningSandbox, kind: str) -> None:
    headers = {"Content-Type": kind, **BASIC}

    assert send(sandbox, "/v3/mail.example.com/messages", json.dumps(EMAIL).encode(), headers)[0] == 400


def test_an_email_to_several_is_one_message_for_each_under_one_id(sandbox: RunningSandbox) -> None:
    body = urlencode({**EMAIL, "to": ["ada@example.com", "Bob <bob@example.com>"], "cc": "ada@example.com"}, doseq=True)
    headers = {"Content-Type": "application/x-www-form-urlencoded", **BASIC}

    send(sandbox, "/v3/mail.example.com/messages", body.encode(), headers)

    messages = sandbox.list_messages()
    assert [message["to"] for message in messages] == ["ada@example.com", "bob@example.com"]
    assert len({message["id"] for message in messages}) == 1
    assert messages[0]["body"]["to"] == ["ada@example.com", "Bob <bob@example.com>"]


SMS = {"to": "+15550100", "from": "+15550199", "text": "Hello"}
PROFILE = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 200, None),
        ({"from": GONE, "messaging_profile_id": PROFILE}, 200, None),
        ({"from": "Beckon", "messaging_profile_id": PROFILE}, 200, None),
        ({"from": "12345"}, 200, None),
        ({"text": GONE, "media_urls": ["https://example.com/a.png"], "type": "MMS"}, 200, None),
        ({"text": "x" * 1_530, "encoding": "gsm7"}, 200, None),
        ({"send_at": None, "webhook_url": "https://example.com/hook?x=1"}, 200, None),
        ({"send_at": "2026-12-01T10:00:00Z"}, 200, None),
        ({"to": GONE}, 400, "10004"),
        ({"to": ""}, 400, "10004"),
        ({"to": "5550100"}, 400, "40310"),
        ({"to": "+1555"}, 400, "40310"),
        ({"to": "+1 555 0100"}, 400, "40310"),
        ({"to": "+05550100"}, 400, "40310"),
        ({"to": ["+15550100"]}, 400, "40310"),
        ({"from": GONE}, 422, "40305"),
        ({"from": "Beckon"}, 422, "40305"),
        ({"from": "A name that is long", "messaging_profile_id": PROFILE}, 422, "40305"),
        ({"text": GONE}, 422, "40316"),
        ({"text": ""}, 422, "40316"),
        ({"type": "MMS"}, 422, "40316"),
        ({"text": "x" * 1_531}, 422, "40302"),
        ({"text": "é你" * 335 + "x"}, 422, "40302"),
        ({"text": 5}, 400, "10015"),
        ({"type": "sms"}, 400, "10015"),
        ({"encoding": "utf8"}, 400, "10015"),
        ({"auto_detect": "yes"}, 400, "10015"),
        ({"media_urls": "https://example.com/a.png"}, 400, "10015"),
        ({"send_at": "tomorrow"}, 400, "10015"),
        ({"text": "你好", "encoding": "gsm7"}, 400, "40009"),
        ({"webhook_url": "example.com"}, 400, "10003"),
        ({"webhook_failover_url": "https://" + "x" * 2_000}, 400, "10003"),
    ],
)
def test_telnyx(sandbox: RunningSandbox, fields: dict[str, Any], status: int, code: str | None) -> None:
    answer = send_json(sandbox, "/v2/messages", change(SMS, **fields), BEARER)

    assert answer[0] == status, answer
    errors = json.loads(answer[1]).get("errors")
    assert [error["code"] for error in errors or []] == ([code] if code else [])
    assert bool(sandbox.list_messages()) is (status == 200)


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/x-www-form-urlencoded", b"to=%2B15550100&text=Hi", 415, "10014"),
        ("text/plain", json.dumps(SMS).encode(), 415, "10014"),
        ("application/json", b"{", 400, "10015"),
        ("application/json", b"[]", 400, "10015"),
        ("application/json", b"", 400, "10015"),
    ],
)
def test_telnyx_takes_a_json_object_alone(
    sandbox: RunningSandbox, kind: str, body: bytes, status: int, code: str
) -> None:
    answer = send(sandbox, "/v2/messages", body, {"Content-Type": kind, **BEARER})

    assert answer[0] == status
    assert json.loads(answer[1])["errors"][0]["code"] == code


PROMPT = {"contents": [{"role": "user", "parts": [{"text": "Write to Ada."}]}]}


def turn(**fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "Write to Ada."}], **fields}]}


def configure(**fields: Any) -> dict[str, Any]:
    return {**PROMPT, "generationConfig": fields}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (PROMPT, None),
        ({"contents": {"parts": {"text": "Write to Ada."}}}, None),
        ({**PROMPT, "system_instruction": {"parts": [{"text": "Be short."}]}}, None),
        ({**PROMPT, "generation_config": {"max_output_tokens": 20, "temperature": 2}}, None),
        ({"contents": [*PROMPT["contents"], {"role": "model", "parts": [{"text": "Hi"}]}, *PROMPT["contents"]]}, None),
        ({**PROMPT, "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]}, None),
        ({}, "contents is not specified"),
        ({"contents": []}, "contents is not specified"),
        ({"contents": 5}, "Invalid value at 'contents[0]'"),
        (turn(role="assistant"), "Please use a valid role: user, model."),
        (turn(role="system"), "Please use a valid role: user, model."),
        (turn(parts=[]), "contents[0].parts: contents.parts must not be empty"),
        (turn(parts=[{"text": ""}]), "required oneof field 'data'"),
        (turn(parts=[{}]), "required oneof field 'data'"),
        (turn(parts=[{"text": 5}]), "Invalid value at 'contents[0].parts[0]'"),
        ({**PROMPT, "systemInstruction": {"parts": []}}, "system_instruction.parts"),
        ({**PROMPT, "prompt": "Hi"}, 'Unknown name "prompt": Cannot find field.'),
        ({**PROMPT, "messages": []}, 'Unknown name "messages": Cannot find field.'),
        (turn(name="Ada"), "Unknown name \"name\" at 'contents[0]': Cannot find field."),
        (turn(parts=[{"text": "Hi", "type": "text"}]), "Unknown name \"type\" at 'contents[0].parts[0]'"),
        (configure(maxTokens=5), "Unknown name \"maxTokens\" at 'generation_config'"),
        (configure(temperature=2.1), "generation_config.temperature"),
        (configure(temperature="hot"), "generation_config.temperature"),
        (configure(maxOutputTokens=0), "generation_config.maxOutputTokens"),
        (configure(maxOutputTokens=2.5), "generation_config.maxOutputTokens"),
        (configure(topP=1.5), "generation_config.topP"),
        (configure(candidateCount=9), "generation_config.candidateCount"),
        (configure(stopSequences=[""]), "stop_sequences"),
        ({**PROMPT, "generationConfig": []}, "generation_config"),
        ({**PROMPT, "safetySettings": [{"category": "RUDENESS", "threshold": "OFF"}]}, "safety_settings[0].category"),
        (
            {**PROMPT, "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "SOME"}]},
            "safety_settings[0].threshold",
        ),
        (b"{", "Invalid JSON payload received."),
        (b"[]", "Invalid JSON payload received."),
        (b"", "Invalid JSON payload received."),
    ],
)
def test_gemini(sandbox: RunningSandbox, body: Any, text: str | None) -> None:
    for call in ("generateContent", "streamGenerateContent?alt=sse"):
        status, answer = send_json(sandbox, f"/v1beta/models/gemini-2.5-flash:{call}", body, GOOGLE_KEY)

        assert status == (400 if text else 200), answer
        if text:
            error = json.loads(answer)["error"]
            assert text in error["message"]
            assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("gemini-2.5-flash", 200),
        ("gemini-2.5-flash-lite-preview-09-2025", 200),
        ("gemini-3-pro-preview", 200),
        ("gemini-flash-latest", 200),
        ("gemma-3-27b-it", 200),
        ("gemini-nope", 404),
        ("gemini-99-flash", 404),
        ("gpt-5", 404),
        ("Gemini-2.5-Flash", 404),
    ],
)
def test_geminis_models(sandbox: RunningSandbox, model: str, status: int) -> None:
    answer = send_json(sandbox, f"/v1beta/models/{model}:generateContent", PROMPT, GOOGLE_KEY)

    assert answer[0] == status
    if status == 404:
        assert json.loads(answer[1])["error"]["status"] == "NOT_FOUND"
        assert f"models/{model} is not found for API version v1beta" in answer[1]


def test_geminis_stream_is_a_list_or_server_sent_events(sandbox: RunningSandbox) -> None:
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    listed = json.loads(send_json(sandbox, path, PROMPT, GOOGLE_KEY)[1])
    events = send_json(sandbox, f"{path}?alt=sse", PROMPT, GOOGLE_KEY)[1].strip().split("\r\n\r\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    whole = json.loads(send_json(sandbox, path.replace("streamG", "g"), PROMPT, GOOGLE_KEY)[1])

    texts = [
        "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in form) for form in (listed, chunks)
    ]
    assert len(chunks) > 1
    assert texts == [whole["candidates"][0]["content"]["parts"][0]["text"]] * 2
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None] * (len(chunks) - 1) + ["STOP"]


@pytest.mark.parametrize(("fault", "reason"), [("blocked", "SAFETY"), ("empty", "STOP"), ("cut_short", "MAX_TOKENS")])
def test_geminis_stream_plays_the_faults_of_texts(sandbox: RunningSandbox, fault: str, reason: str) -> None:
    sandbox.add_fault("gemini", fault)

    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    answer = send_json(sandbox, path, PROMPT, GOOGLE_KEY)[1]

    chunk = json.loads(answer.removeprefix("data: "))
    assert chunk["candidates"][0]["finishReason"] == reason


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"text": "Hi"}, 200, "ok"),
        ({"blocks": [{"type": "divider"}]}, 200, "ok"),
        ({"attachments": [{"text": "Hi"}]}, 200, "ok"),
        ({"text": "x" * 50_000}, 200, "ok"),
        ({}, 400, "no_text"),
        ({"text": ""}, 400, "no_text"),
        ({"text": "  \n"}, 400, "no_text"),
        ({"text": None}, 400, "no_text"),
        ({"content": "Hi"}, 400, "no_text"),
        ({"text": 5}, 400, "invalid_payload"),
        ({"text": "Hi", "blocks": [{"type": "divider"}] * 51}, 400, "invalid_blocks"),
        ({"blocks": [{}]}, 400, "invalid_blocks"),
        ({"blocks": "Hi"}, 400, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]}, 400, "invalid_blocks"),
        ({"text": "Hi", "attachments": [{}] * 101}, 400, "too_many_attachments"),
        (b"{", 400, "invalid_payload"),
        (b"[]", 400, "invalid_payload"),
        (b"Hi", 400, "invalid_payload"),
        (b"", 400, "invalid_payload"),
    ],
)
def test_slack(sandbox: RunningSandbox, body: Any, status: int, text: str) -> None:
    assert send_json(sandbox, "/services/T0/B0/x", body) == (status, text)
    assert bool(sandbox.list_messages()) is (status == 200)


@pytest.mark.parametrize(
    ("kind", "body", "answer"),
    [
        ("application/json; charset=utf-8", b'{"text": "Hi"}', (200, "ok")),
        ("application/x-www-form-urlencoded", urlencode({"payload": '{"text": "Hi"}'}).encode(), (200, "ok")),
        ("application/x-www-form-urlencoded", b'{"text": "Hi"}', (400, "invalid_payload")),
        ("text/plain", b'{"text": "Hi"}', (400, "invalid_payload")),
    ],
)
def test_slack_takes_json_or_a_form_with_a_payload(
    sandbox: RunningSandbox, kind: str, body: bytes, answer: tuple[int, str]
) -> None:
    assert send(sandbox, "/services/T0/B0/x", body, {"Content-Type": kind}) == answer


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"content": "Hi"}, None, None),
        ({"content": "x" * 2_000}, None, None),
        ({"embeds": [{"title": "Hi"}]}, None, None),
        ({"content": "Hi", "username": "Beckon", "allowed_mentions": {"parse": []}}, None, None),
        ({"content": "x" * 2_001}, 50035, "content"),
        ({"content": 5}, 50035, "content"),
        ({}, 50006, None),
        ({"content": ""}, 50006, None),
        ({"content": " \n"}, 50006, None),
        ({"text": "Hi"}, 50006, None),
        ({"content": "Hi", "embeds": [{"title": "Hi"}] * 11}, 50035, "embeds"),
        ({"embeds": {"title": "Hi"}}, 50035, "embeds"),
        ({"embeds": [{"title": "x" * 257}]}, 50035, "embeds"),
        ({"embeds": [{"description": "x" * 4_000}] * 2}, 50035, "embeds"),
        ({"content": "Hi", "username": ""}, 50035, "username"),
        ({"content": "Hi", "username": "x" * 81}, 50035, "username"),
        ({"content": "Hi", "username": "Discord bot"}, 50035, "username"),
        ({"content": "Hi", "allowed_mentions": {"parse": ["everybody"]}}, 50035, "allowed_mentions"),
        (b"{", 50109, None),
        (b"[]", 50109, None),
    ],
)
def test_discord(sandbox: RunningSandbox, body: Any, code: int | None, field: str | None) -> None:
    status, answer = send_json(sandbox, "/api/v10/webhooks/1/x?wait=true", body)

    error = json.loads(answer)
    assert status == (400 if code else 200), answer
    assert error.get("code") == code
    assert list(error.get("errors", {})) == ([field] if field else [])


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b'{"content": "Hi"}', 400),
        ("application/x-www-form-urlencoded", b"content=Hi", 204),
        ("application/x-www-form-urlencoded", urlencode({"payload_json": '{"content": "Hi"}'}).encode(), 204),
        ("application/x-www-form-urlencoded", b"content=" + b"x" * 2_001, 400),
    ],
)
def test_discord_takes_json_and_forms(sandbox: RunningSandbox, kind: str, body: bytes, status: int) -> None:
    assert send(sandbox, "/api/v10/webhooks/1/x", body, {"Content-Type": kind})[0] == status


def test_a_discord_webhook_has_a_number(sandbox: RunningSandbox) -> None:
    assert send_json(sandbox, "/api/v10/webhooks/mine/x", {"content": "Hi"})[0] == 400


@pytest.mark.parametrize(("wait", "status"), [("true", 200), ("True", 200), ("1", 200), ("false", 204), ("", 204)])
def test_discord_returns_the_message_to_a_caller_that_waits(sandbox: RunningSandbox, wait: str, status: int) -> None:
    assert send_json(sandbox, f"/api/v10/webhooks/1/x?wait={wait}", {"content": "Hi"})[0] == status


DIRECT = {"recipient": {"id": "157"}, "messaging_type": "RESPONSE", "message": {"text": "Hi"}}
PAGE, INSTAGRAM = "1906385232743851", "17841405726653026"


def write(**message: Any) -> dict[str, Any]:
    return {**DIRECT, "message": message}


def add_buttons(*buttons: Any, text: str = "Hi") -> dict[str, Any]:
    payload = {"template_type": "button", "text": text, "buttons": list(buttons)}
    return write(attachment={"type": "template", "payload": payload})


SHOP = {"type": "web_url", "title": "Shop", "url": "https://example.com/"}
QUICK = {"content_type": "text", "title": "Yes", "payload": "yes"}


@pytest.mark.parametrize(
    ("account", "body", "text"),
    [
        (PAGE, DIRECT, None),
        (PAGE, {**DIRECT, "recipient": {"comment_id": "77_1"}}, None),
        (PAGE, {"recipient": {"id": "157"}, "sender_action": "typing_on"}, None),
        (PAGE, {**DIRECT, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, None),
        (PAGE, write(text="x" * 2_000), None),
        (PAGE, write(text="Hi", quick_replies=[QUICK] * 13), None),
        (PAGE, add_buttons(SHOP, SHOP, SHOP), None),
        (INSTAGRAM, write(text="é" * 500), None),
        (PAGE, {**DIRECT, "recipient": GONE}, "The parameter recipient is required"),
        (PAGE, {**DIRECT, "recipient": {}}, "The parameter recipient is required"),
        (PAGE, {**DIRECT, "recipient": "157"}, "must be a JSON object"),
        (PAGE, {**DIRECT, "recipient": {"id": 157}}, "must be a valid ID string"),
        (PAGE, {**DIRECT, "recipient": {"id": ""}}, "must be a valid ID string"),
        (PAGE, {**DIRECT, "recipient": {"psid": "157"}}, 'Invalid keys "psid" were found in param "recipient"'),
        (PAGE, {**DIRECT, "recipient": {"id": "1", "comment_id": "2"}}, "exactly one of"),
        (PAGE, {**DIRECT, "message": GONE}, "The parameter message is required"),
        (PAGE, {**DIRECT, "message": "Hi"}, "must be a JSON object"),
        (PAGE, write(), "Message cannot be empty"),
        (PAGE, write(text=" "), "Message cannot be empty"),
        (PAGE, write(text=5), "must be a string"),
        (PAGE, write(text="Hi", preview="x"), 'Invalid keys "preview" were found in param "message"'),
        (PAGE, write(text="x" * 2_001), "message[text] is too long"),
        (INSTAGRAM, write(text="é" * 501), "message[text] is too long"),
        (PAGE, write(text="Hi", metadata="x" * 1_001), "message[metadata]"),
        (PAGE, {**DIRECT, "messaging_type": "BROADCAST"}, "Param messaging_type must be one of"),
        (PAGE, {**DIRECT, "messaging_type": "MESSAGE_TAG"}, "Param tag must be one of"),
        (PAGE, {**DIRECT, "messaging_type": "MESSAGE_TAG", "tag": "ACCOUNT_UPDATE"}, "Param tag must be one of"),
        (PAGE, {**DIRECT, "notification_type": "LOUD"}, "Param notification_type must be one of"),
        (PAGE, write(text="Hi", quick_replies=[QUICK] * 14), "at most 13"),
        (PAGE, write(text="Hi", quick_replies=[{"title": "Yes"}]), "[content_type] is required"),
        (PAGE, write(text="Hi", quick_replies=[{"content_type": "text", "title": "Yes"}]), "[payload] are required"),
        (PAGE, write(attachment={"type": "image"}), "[payload] is required"),
        (PAGE, add_buttons(), "between 1 and 3"),
        (PAGE, add_buttons(SHOP, SHOP, SHOP, SHOP), "between 1 and 3"),
        (PAGE, add_buttons(SHOP, text="x" * 641), "640"),
        (PAGE, add_buttons({**SHOP, "title": "x" * 21}), "less than or equal to 20"),
        (PAGE, add_buttons({"type": "web_url", "title": "Shop"}), "[url] is required"),
        (PAGE, add_buttons({"type": "postback", "title": "Shop"}), "[payload] is required"),
        (PAGE, add_buttons({"type": "link", "title": "Shop"}), "not a valid type"),
    ],
)
def test_meta(sandbox: RunningSandbox, account: str, body: dict[str, Any], text: str | None) -> None:
    status, answer = send_json(sandbox, f"/v25.0/{account}/messages", change(body), BEARER)

    error = json.loads(answer).get("error", {})
    assert status == (400 if text else 200), answer
    assert error.get("code") == (100 if text else None)
    assert (text or "") in error.get("message", "")


@pytest.mark.parametrize("token", ["", "not a token", "tökén", "<token>"])
@pytest.mark.parametrize("place", ["header", "query", "form"])
def test_a_bad_token_is_metas_code_190(sandbox: RunningSandbox, token: str, place: str) -> None:
    fields = {"recipient": '{"id": "157"}', "message": '{"text": "Hi"}'}
    query = f"?{urlencode({'access_token': token})}" if place == "query" else ""
    headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")} if place == "header" else {}
    body = urlencode({**fields, **({"access_token": token} if place == "form" else {})}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    status, answer = send(sandbox, f"/v25.0/{PAGE}/messages{query}", body, {**form, **headers})

    assert (status, json.loads(answer)["error"]["code"]) == (401, 190)


@pytest.mark.parametrize("place", ["query", "form"])
def test_meta_takes_the_token_as_a_parameter_and_does_not_keep_it(sandbox: RunningSandbox, place: str) -> None:
    fields = {"recipient": '{"id": "157"}', "message": '{"text": "Hi"}'}
    query = "?access_token=hushhush" if place == "query" else ""
    body = urlencode({**fields, **({"access_token": "hushhush"} if place == "form" else {})}).encode()

    answer = send(
        sandbox, f"/v25.0/{PAGE}/messages{query}", body, {"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert answer[0] == 200
    assert sandbox.list_messages()[0]["body"] == {"recipient": {"id": "157"}, "message": {"text": "Hi"}}
    assert "hushhush" not in json.dumps(sandbox.list_messages())


@pytest.mark.parametrize(
    ("provider", "account", "code", "subcode", "status", "kind"),
    [
        ("facebook", PAGE, 10, 2018278, 400, "OAuthException"),
        ("instagram", INSTAGRAM, 10, 2534022, 403, "IGApiException"),
        ("facebook", PAGE, 190, 463, 400, "OAuthException"),
        ("facebook", PAGE, 551, 1545041, 400, "OAuthException"),
        ("facebook", PAGE, 200, None, 403, "OAuthException"),
        ("facebook", PAGE, 12345, None, 400, "OAuthException"),
    ],
)
def test_a_refusal_by_code_has_metas_status_type_and_text(
    sandbox: RunningSandbox, provider: str, account: str, code: int, subcode: int | None, status: int, kind: str
) -> None:
    sandbox.add_fault(provider, "refused", code=code, subcode=subcode)

    answer = send_json(sandbox, f"/v25.0/{account}/messages", DIRECT, BEARER)

    error = json.loads(answer[1])["error"]
    assert (answer[0], error["code"], error.get("error_subcode"), error["type"]) == (status, code, subcode, kind)
    assert sandbox.list_messages() == []


def test_a_public_reply_has_a_text(sandbox: RunningSandbox) -> None:
    for body in ({}, {"message": " "}, {"message": {"text": "Hi"}}):
        assert send_json(sandbox, "/v25.0/178c/replies", body, BEARER)[0] == 400
