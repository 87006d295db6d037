"""An SMS has at most ten parts, else it is refused or cut. Notices and webhooks get safe texts."""

from __future__ import annotations

from typing import Any

import pytest

from rules import sms_text
from sandbox.server import RunningSandbox
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, bob, messages, wait_until_finished


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def run_sms(alice: Alice, text: str, **with_: Any) -> dict[str, Any]:
    alice.automation([{"id": "sms", "action": "send_sms", "with": {"body": "{{ payload.text }}", **with_}}])
    return wait_until_finished(alice.trigger(contact=bob(), payload={"text": text}))


def test_a_text_of_more_parts_than_allowed_is_not_sent(alice: Alice, sandbox: RunningSandbox) -> None:
    result = run_sms(alice, "日" * 671)

    assert (result["status"], result["error_class"]) == ("failed", "invalid")
    assert "11 parts (671 units of UCS-2), and the limit is 10" in result["error_message"]
    assert sandbox.list_messages("telnyx") == []


def test_a_text_is_cut_to_the_parts_that_its_step_allows(alice: Alice, sandbox: RunningSandbox) -> None:
    result = run_sms(alice, "Hello dear Ada " * 40, max_segments=2, when_too_long="cut")

    sent = sandbox.list_messages("telnyx")[0]["body"]["text"]
    assert sms_text.measure(sent).segments == 2
    assert sent.endswith("...")
    (message,) = messages(result["id"])
    assert (message["body"], message["detail"]["shortenedFrom"]) == (sent, 600)


def test_an_sms_is_sent_without_control_characters(alice: Alice, sandbox: RunningSandbox) -> None:
    run_sms(alice, "Hi\tAda\r\nbye\x7f")
    assert sandbox.list_messages("telnyx")[0]["body"]["text"] == "Hi Ada\nbye"


def test_a_discord_notice_is_cut_and_a_slack_notice_is_escaped(alice: Alice, sandbox: RunningSandbox) -> None:
    texts = {"discord": "{{ payload.text }}", "slack": "<!here> {{ payload.name }}"}
    alice.automation([
        {"id": channel, "action": "notify", "with": {"channel": channel, "text": text}}
        for channel, text in texts.items()
    ])  # fmt: skip
    wait_until_finished(alice.trigger(contact=bob(), payload={"text": "word " * 1000, "name": "<!channel> & co"}))

    content = sandbox.list_messages("discord")[0]["body"]["content"]
    assert len(content) == 2000
    assert content.endswith("word…")
    assert sandbox.list_messages("slack")[0]["body"]["text"] == "<!here> &lt;!channel&gt; &amp; co"


def test_a_webhooks_json_keeps_the_types_of_its_values(alice: Alice, sandbox: RunningSandbox) -> None:
    body = {"amount": "{{ payload.amount }}", "note": "{{ payload.note }}", "to": "Hi {{ payload.name }}"}
    text = '{"amount": {{ payload.amount }}, "to": "{{ payload.name }}"}'
    url = "https://example.com/hook"
    alice.automation([
        {"id": f"call{n}", "action": "call_webhook", "with": {"url": url, "body": item}}
        for n, item in enumerate((body, text))
    ])  # fmt: skip
    name = 'Ada "the Countess"'
    wait_until_finished(alice.trigger(contact=bob(), payload={"amount": 12.5, "note": None, "name": name}, test=True))

    first, second = (message["body"] for message in sandbox.list_messages("webhook"))
    assert first == {"amount": 12.5, "note": None, "to": f"Hi {name}"}
    assert second == {"amount": 12.5, "to": name}
