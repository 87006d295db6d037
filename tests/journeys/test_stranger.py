"""A stranger's first hour: start it, ring once, read the story, kill things, stop, and come back days later.

One running copy serves the tests of this file, in their order: each takes up where the one before left off.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import settings
from copies import PROGRAM, Copy
from waiting import eventually

pytestmark = pytest.mark.timeout(240)

PATIENT = {
    "trigger": {"type": "trial.started"},
    "steps": [
        {"id": "pause", "action": "wait", "with": {"for": "3d"}},
        {"id": "ask", "action": "send_email", "with": {"subject": "How is it going?", "body": "Tell us."}},
    ],
}


class Stranger:
    """Somebody who has the README, access.json and curl."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy

    def call(self, method: str, path: str, body: Any = None, base: str | None = None) -> Any:
        """The JSON answer of the API, or of the sandbox where `base` says so."""
        access = self.copy.access()
        request = urllib.request.Request(
            (base or str(access["url"])) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {access['apiKey']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def trigger(self, type: str = "contact.created", **contact: Any) -> str:
        """Ring once; the execution's id."""
        told = {"externalId": "c-1", "firstName": "Ada", "email": "ada@example.com", **contact}
        answer = self.call("POST", "/api/triggers", {"type": type, "contact": told})
        assert answer["success"] is True
        return str(answer["executions"][0]["executionId"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        """The execution's story."""
        return dict(self.call("GET", f"/api/executions/{execution_id}")["execution"])

    def succeeded(self, execution_id: str, within: float = 60.0) -> dict[str, Any]:
        """The story, once it has come to its good end."""

        def found() -> dict[str, Any] | None:
            try:
                one = self.execution(execution_id)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                return None
            return one if one["status"] == "succeeded" else None

        return eventually(found, within=within, every=0.1)

    def received(self, to: str) -> list[dict[str, Any]]:
        """What arrived at the provider for an address."""
        base = str(self.copy.access()["sandboxUrl"])
        return list(self.call("GET", f"/_sandbox/messages?provider=mailgun&to={to}", base=base)["messages"])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    copy = Copy(tmp_path_factory.mktemp("stranger") / "home")
    copy.environ["BECKON_LEASE_SECONDS"] = "5"
    started = copy.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield Stranger(copy)
    copy.run("down")
    eventually(lambda: not copy.processes(), within=35)


def test_the_readmes_trigger_arrives_at_the_provider_and_its_story_is_in_the_api(stranger: Stranger) -> None:
    story = stranger.succeeded(stranger.trigger())

    assert [one["stage"] for one in story["stages"]] == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    (message,) = stranger.received("ada@example.com")
    assert message["body"]["text"] == story["messages"][0]["body"]


def test_the_story_is_told_in_the_terminal(stranger: Stranger) -> None:
    told = stranger.copy.run("trigger", "contact.created", "--email", "grace@example.com", "--follow")

    assert told.returncode == 0, told.stderr
    for word in ("generating", "sending", "completed", "grace@example.com"):
        assert word in told.stdout


def test_a_killed_worker_is_started_again_and_its_work_is_done_once(stranger: Stranger) -> None:
    base = str(stranger.copy.access()["sandboxUrl"])
    slow = {"provider": "gemini", "fault": "slow", "times": 1, "seconds": 30}
    stranger.call("POST", "/_sandbox/faults", slow, base=base)
    execution_id = stranger.trigger(externalId="c-2", email="kill@example.com")
    eventually(lambda: stranger.execution(execution_id)["stage"] == "generating", within=30)
    programs = {one["name"]: one for one in stranger.copy.status()["programs"]}  # type: ignore[attr-defined]

    os.kill(next(one["pid"] for name, one in programs.items() if "generation" in name), signal.SIGKILL)

    stranger.succeeded(execution_id)
    assert len(stranger.received("kill@example.com")) == 1


def test_redis_restarted_and_emptied_loses_nothing(stranger: Stranger) -> None:
    programs = {one["name"]: one for one in stranger.copy.status()["programs"]}  # type: ignore[attr-defined]
    os.kill(next(one["pid"] for name, one in programs.items() if "redis" in name), signal.SIGKILL)

    execution_id = stranger.trigger(externalId="c-3", email="redis@example.com")

    stranger.succeeded(execution_id, within=90)
    assert len(stranger.received("redis@example.com")) == 1


def test_postgresql_restarted_is_a_503_at_most_and_everything_goes_on(stranger: Stranger) -> None:
    programs = {one["name"]: one for one in stranger.copy.status()["programs"]}  # type: ignore[attr-defined]
    before = stranger.trigger(externalId="c-4", email="before@example.com")
    os.kill(next(one["pid"] for name, one in programs.items() if "postgres" in name), signal.SIGINT)

    refusals = []

    def accepted() -> str | None:
        try:
            return stranger.trigger(externalId="c-5", email="after@example.com")
        except urllib.error.HTTPError as error:
            refusals.append((error.code, bool(error.headers["Retry-After"])))
            return None

    after = eventually(accepted, within=60, every=0.2)
    assert set(refusals) <= {(503, True)}
    stranger.succeeded(before, within=90)
    stranger.succeeded(after, within=90)


def test_the_metrics_name_what_happened(stranger: Stranger) -> None:
    with urllib.request.urlopen(f"{stranger.copy.access()['url']}/metrics", timeout=10) as answer:
        text = answer.read().decode()

    assert 'beckon_sends_total{channel="email",outcome="sent",provider="mailgun"}' in text
    for line in text.splitlines():
        assert "ada@example.com" not in line
    assert "beckon_leader_up 1" in text


def test_a_wait_of_days_ends_after_a_restart_when_its_time_has_come(stranger: Stranger, tmp_path: Path) -> None:
    access = stranger.copy.access()
    made = {"name": "Trial", "type": "workflow", "enabled": True, "definition": PATIENT}
    stranger.call("POST", f"/api/workspaces/{access['workspaceId']}/automations", made)
    execution_id = stranger.trigger("trial.started", externalId="c-6", email="patient@example.com")
    eventually(lambda: stranger.execution(execution_id)["status"] == "waiting")

    assert stranger.copy.run("down").returncode == 0
    stranger.copy.environ["BECKON_CLOCK_OFFSET"] = str(3 * 86_400 + 60)
    started = stranger.copy.run("up", "--detach")
    assert started.returncode == 0, started.stderr

    story = stranger.succeeded(execution_id)
    assert [one["status"] for one in story["steps"]] == ["succeeded", "succeeded"]
    assert len(stranger.received("patient@example.com")) == 1


def test_after_all_this_the_whole_database_keeps_its_promises(stranger: Stranger) -> None:
    verified = subprocess.run(
        [*PROGRAM, "verify"], cwd=settings.ROOT, env=stranger.copy.environ, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert verified.returncode == 0, verified.stdout + verified.stderr
