"""Instagram from a signed webhook to the private reply through a running copy, with the errors that may occur.

One running copy serves the tests of this file. Each test has its own people, posts and comments.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.running_app import RunningApp
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

#: Meta's documented sample, byte for byte, about the demo workspace's account.
RECORDED = (
    b'{"object":"instagram","entry":[{"id":"17841405726653026","time":1520622968,"changes":[{"field":"comments",'
    b'"value":{"id":"17894227972186120","from":{"id":"1570000000000001","username":"customer_one"},'
    b'"text":"PRICE please","media":{"id":"17918195224117851","media_product_type":"FEED"}}}]}]}'
)
_numbers = itertools.count(1)


class Shop:
    """The owner of the Instagram account, and the actions of Meta and its users."""

    def __init__(self, app: RunningApp) -> None:
        self.access: dict[str, Any] = app.access()
        self.logs = app.home / "logs"

    def call(self, method: str, path: str, body: Any = None, base: str | None = None) -> Any:
        """Return the JSON response of the API, or of the server at `base`."""
        request = urllib.request.Request(
            (base or self.access["url"]) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.access['apiKey']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=15) as response:
            return json.loads(response.read())

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON response of the sandbox."""
        return self.call(method, path, body, base=self.access["sandboxUrl"])

    def create_automation(self, post: str, steps: list[dict[str, Any]] | None = None) -> str:
        """Create an automation for comments on the post: a private reply, or `steps`. Returns its id."""
        reply = {"channel": "instagram", "as": "private_reply", "body": "Hi {{ contact.username }}!"}
        definition = {
            "trigger": {"type": "instagram.comment", "with": {"posts": [post], "keywords": ["price"]}},
            "steps": steps or [{"id": "opening", "action": "send_message", "with": reply}],
        }
        body = {"name": f"On {post}", "type": "comment_to_dm", "enabled": True, "definition": definition}
        return str(self.call("POST", self.automations, body)["automation"]["id"])

    @property
    def automations(self) -> str:
        return f"/api/workspaces/{self.access['workspaceId']}/automations"

    def post_webhook(self, raw: bytes, secret: str | None = None) -> int:
        """Post the signed bytes as Meta does. Returns the status."""
        key = secret if secret is not None else self.access["webhookSecrets"]["meta"]
        signed = hmac.new(key.encode(), raw, hashlib.sha256).hexdigest()
        request = urllib.request.Request(
            f"{self.access['url']}/api/webhooks/instagram",
            method="POST",
            data=raw,
            headers={"X-Hub-Signature-256": f"sha256={signed}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def build_body(self, *comments: dict[str, Any]) -> bytes:
        """Build the body of a webhook about comments."""
        changes = [{"field": "comments", "value": value} for value in comments]
        entry = {"id": self.access["instagramId"], "time": int(time.time()), "changes": changes}
        return json.dumps({"object": "instagram", "entry": [entry]}).encode()

    def executions(self, automation_id: str) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/api/executions?automationId={automation_id}&limit=200")["executions"])

    def wait_until_finished(self, automation_id: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the automation's executions once there are `count` and all have finished."""

        def fetch_when_finished() -> list[dict[str, Any]] | None:
            executions = self.executions(automation_id)
            ended = [
                execution
                for execution in executions
                if execution["status"] in ("succeeded", "failed", "skipped", "cancelled")
            ]
            return ended if len(executions) == len(ended) == count else None

        return eventually(fetch_when_finished, timeout=90, interval=0.2)

    def runs(self, automation_id: str) -> list[str]:
        """Return the kinds of the automation's counted runs."""
        return [run["kind"] for run in self.call("GET", f"/api/automations/{automation_id}/runs")["runs"]]

    def count_log_lines(self, text: str) -> int:
        """Count the occurrences of the text in all logs."""
        return sum(path.read_text(encoding="utf-8").count(text) for path in self.logs.glob("*.log"))

    def list_messages(self, to: str) -> list[dict[str, Any]]:
        """List the messages that Instagram received for a person or a comment."""
        return list(self.sandbox("GET", f"/_sandbox/messages?provider=instagram&to={to}")["messages"])


def comment(post: str, text: str = "PRICE please", person: str | None = None) -> dict[str, Any]:
    number = next(_numbers)
    sender = {"id": person or f"15700{number:05}", "username": f"customer_{number}"}
    return {"id": f"{post}-{number}", "from": sender, "text": text, "media": {"id": post}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    app = RunningApp(tmp_path_factory.mktemp("instagram") / "home")
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield Shop(app)
    app.run("down")
    eventually(lambda: not app.processes(), timeout=35)


def test_a_recorded_webhook_sends_one_private_reply_however_often_it_arrives(shop: Shop) -> None:
    automation = shop.create_automation("17918195224117851")

    assert [shop.post_webhook(RECORDED) for _ in range(3)] == [200, 200, 200]

    (execution,) = shop.wait_until_finished(automation)
    assert execution["status"] == "succeeded"
    (reply,) = shop.list_messages("17894227972186120")
    assert reply["body"]["recipient"] == {"comment_id": "17894227972186120"}
    assert reply["body"]["message"]["text"] == "Hi customer_one!"
    assert reply["path"].split("/")[2] == shop.access["instagramId"]
    assert shop.post_webhook(RECORDED) == 200
    assert len(shop.executions(automation)) == 1
    assert shop.runs(automation) == ["opening_dm"]
    assert shop.count_log_lines(f"[TRACKING] Automation run tracked: {automation} (opening_dm)") == 1


def test_fifty_concurrent_comments_of_one_person_are_fifty_executions_and_one_run(shop: Shop) -> None:
    automation = shop.create_automation("fifty")
    bodies = [shop.build_body(comment("fifty", person="157009")) for _ in range(50)]

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(shop.post_webhook, bodies)) == {200}

    ended = shop.wait_until_finished(automation, 50)
    assert {execution["status"] for execution in ended} == {"succeeded"}
    automations = shop.call("GET", shop.automations)["automations"]
    stats = next(item["stats"] for item in automations if item["id"] == automation)
    assert (stats, shop.runs(automation)) == ({"totalRuns": 1, "last24Hours": 1}, ["opening_dm"])
    assert shop.count_log_lines(f"[TRACKING] Duplicate run skipped for user {ended[0]['contactId']}") == 49


def test_concurrent_webhooks_about_one_comment_start_one_execution(shop: Shop) -> None:
    automation = shop.create_automation("twice")
    body = shop.build_body(comment("twice"))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(shop.post_webhook, [body] * 8)) == {200}

    assert len(shop.wait_until_finished(automation)) == 1


def test_each_matching_comment_of_a_thousand_in_one_body_starts_one_execution(shop: Shop) -> None:
    automation = shop.create_automation(
        "thousand", [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["x"]}}]
    )
    comments = [comment("thousand", "PRICE?" if number % 10 == 0 else "How lovely") for number in range(1000)]
    body = shop.build_body(*comments)

    assert shop.post_webhook(body) == 200

    def is_done() -> bool:
        row = shop.call("GET", f"{shop.automations}/{automation}")["automation"]
        return bool(row["succeeded"] == row["executions"] == 100)

    eventually(is_done, timeout=90, interval=0.5)


def test_forged_malformed_or_too_large_webhooks_are_refused_and_start_nothing(shop: Shop) -> None:
    automation = shop.create_automation("forged")
    body = shop.build_body(comment("forged"))
    assert shop.post_webhook(body, secret="a guess") == 403
    assert shop.post_webhook(body[:-1]) == 400
    assert shop.post_webhook(b" " * (5 * 1024 * 1024 + 1)) == 413
    unknown = json.loads(shop.build_body(comment("forged")))
    unknown["entry"][0]["id"] = "1"
    assert shop.post_webhook(json.dumps(unknown).encode()) == 200
    assert shop.post_webhook(shop.build_body(comment("forged", text="nothing of the kind"), comment("forged"))) == 200
    assert len(shop.wait_until_finished(automation)) == 1


def test_a_comment_deleted_before_the_reply_fails_once_with_its_reason(shop: Shop) -> None:
    automation = shop.create_automation("gone")
    gone = comment("gone")
    fault = {"provider": "instagram", "fault": "refused", "code": 100, "subcode": 33, "times": 0,
             "match": {"to": gone["id"]}}  # fmt: skip
    shop.sandbox("POST", "/_sandbox/faults", fault)

    shop.post_webhook(shop.build_body(gone))

    (execution,) = shop.wait_until_finished(automation)
    assert (execution["status"], execution["error"]["class"], execution["error"]["retryable"]) == (
        "failed", "invalid", False,
    )  # fmt: skip
    assert shop.list_messages(gone["id"]) == []


def test_a_person_who_blocks_us_is_not_messaged_again(shop: Shop) -> None:
    automation = shop.create_automation("blocked")
    first, second = (comment("blocked", person="157007") for _ in range(2))
    fault = {"provider": "instagram", "fault": "refused", "code": 551, "subcode": 1545041, "times": 1,
             "match": {"to": first["id"]}}  # fmt: skip
    shop.sandbox("POST", "/_sandbox/faults", fault)

    shop.post_webhook(shop.build_body(first))
    shop.wait_until_finished(automation)
    shop.post_webhook(shop.build_body(second))

    later = next(execution for execution in shop.wait_until_finished(automation, 2) if execution["status"] == "skipped")
    timeline = shop.call("GET", f"/api/executions/{later['id']}")["execution"]
    assert timeline["skippedBecause"]["rule"] == "suppressed"
    assert shop.list_messages(second["id"]) == []


def test_the_sandbox_plays_the_conversation_after_the_demo_s_comment(shop: Shop) -> None:
    comment_event = {"provider": "instagram", "account": shop.access["instagramId"], "from": "1570001",
              "commentId": "demo-comment", "text": "the SPRING one, please"}  # fmt: skip
    assert shop.sandbox("POST", "/_sandbox/events", {"event": "comment", **comment_event})["success"] is True

    public, opening = eventually(
        lambda: len(messages := shop.list_messages("demo-comment")) == 2 and messages, timeout=30
    )
    assert "Thank you" in public["body"]["message"]
    postback = {"messageId": opening["id"], "event": "postback", "text": "Send me the link", "payload": "SEND_LINK"}
    assert shop.sandbox("POST", "/_sandbox/events", postback)["success"] is True

    (link,) = eventually(lambda: shop.list_messages("1570001"), timeout=30)
    assert "https://shop.example.com/spring" in link["body"]["message"]["text"]
    assert shop.sandbox("POST", "/_sandbox/events", {"messageId": link["id"], "event": "read"})["success"] is True
