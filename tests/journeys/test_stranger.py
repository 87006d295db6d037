"""A new user's first hour: start a copy, send a trigger, read the timeline, kill processes, stop, restart days later.

One running copy serves the tests of this file. Each test has its own contact and passes alone and in any order.
"""

from __future__ import annotations

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
from tests.support.running_app import PROGRAM, RunningApp
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

WAITING_WORKFLOW = {
    "trigger": {"type": "trial.started"},
    "steps": [
        {"id": "pause", "action": "wait", "with": {"for": "3d"}},
        {"id": "ask", "action": "send_email", "with": {"subject": "How is it going?", "body": "Tell us."}},
    ],
}


class Stranger:
    """A new user with the README, access.json and curl."""

    def __init__(self, app: RunningApp) -> None:
        self.app = app

    def call(self, method: str, path: str, body: Any = None, base: str | None = None) -> Any:
        """Return the JSON response of the API, or of the server at `base`."""
        return self.app.call(method, path, body, base)

    def trigger(self, type: str = "contact.created", **contact: Any) -> str:
        """Send one trigger. Returns the execution's id."""
        fields = {"externalId": "c-1", "firstName": "Ada", "email": "ada@example.com", **contact}
        response = self.call("POST", "/api/triggers", {"type": type, "contact": fields})
        assert response["success"] is True
        return str(response["executions"][0]["executionId"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        """Return the execution with its timeline."""
        return dict(self.call("GET", f"/api/executions/{execution_id}")["execution"])

    def wait_for_success(self, execution_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """Return the execution once it has succeeded."""

        def fetch_when_succeeded() -> dict[str, Any] | None:
            try:
                execution = self.execution(execution_id)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                return None
            return execution if execution["status"] == "succeeded" else None

        return eventually(fetch_when_succeeded, timeout=timeout, interval=0.1)

    def read_metrics(self) -> str:
        """The metrics page."""
        with urllib.request.urlopen(f"{self.app.access()['url']}/metrics", timeout=10) as response:
            return str(response.read().decode())

    def list_messages(self, to: str) -> list[dict[str, Any]]:
        """List the messages that the provider received for an address."""
        base = str(self.app.access()["sandboxUrl"])
        return list(self.call("GET", f"/_sandbox/messages?provider=mailgun&to={to}", base=base)["messages"])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    app = RunningApp(tmp_path_factory.mktemp("stranger") / "home")
    app.environ["BECKON_LEASE_SECONDS"] = "5"
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield Stranger(app)
    app.run("down")
    eventually(lambda: not app.processes(), timeout=35)


def test_the_readme_s_trigger_reaches_the_provider_and_the_api_has_its_timeline(stranger: Stranger) -> None:
    timeline = stranger.wait_for_success(stranger.trigger())

    assert [stage["stage"] for stage in timeline["stages"]] == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    (message,) = stranger.list_messages("ada@example.com")
    assert message["body"]["text"] == timeline["messages"][0]["body"]


def test_the_timeline_is_shown_in_the_terminal(stranger: Stranger) -> None:
    result = stranger.app.run("trigger", "contact.created", "--email", "grace@example.com", "--follow")

    assert result.returncode == 0, result.stderr
    for word in ("generating", "sending", "completed", "grace@example.com"):
        assert word in result.stdout


def test_a_killed_worker_restarts_and_its_work_is_done_once(stranger: Stranger) -> None:
    base = str(stranger.app.access()["sandboxUrl"])
    slow = {"provider": "gemini", "fault": "slow", "times": 1, "seconds": 30}
    stranger.call("POST", "/_sandbox/faults", slow, base=base)
    execution_id = stranger.trigger(externalId="c-2", email="kill@example.com")
    eventually(lambda: stranger.execution(execution_id)["stage"] == "generating", timeout=30)
    programs = {program["name"]: program for program in stranger.app.status()["programs"]}  # type: ignore[attr-defined]

    for pid in [program["pid"] for name, program in programs.items() if "engine" in name]:
        os.kill(pid, signal.SIGKILL)

    stranger.wait_for_success(execution_id)
    assert len(stranger.list_messages("kill@example.com")) == 1


@pytest.mark.slow
def test_a_restarted_and_emptied_redis_loses_nothing(stranger: Stranger) -> None:
    programs = {program["name"]: program for program in stranger.app.status()["programs"]}  # type: ignore[attr-defined]
    os.kill(next(program["pid"] for name, program in programs.items() if "redis" in name), signal.SIGKILL)

    execution_id = stranger.trigger(externalId="c-3", email="redis@example.com")

    stranger.wait_for_success(execution_id, timeout=90)
    assert len(stranger.list_messages("redis@example.com")) == 1


def test_a_restart_of_postgresql_is_a_503_at_most_and_everything_continues(stranger: Stranger) -> None:
    programs = {program["name"]: program for program in stranger.app.status()["programs"]}  # type: ignore[attr-defined]
    before = stranger.trigger(externalId="c-4", email="before@example.com")
    os.kill(next(program["pid"] for name, program in programs.items() if "postgres" in name), signal.SIGINT)

    refusals = []

    def accepted() -> str | None:
        try:
            return stranger.trigger(externalId="c-5", email="after@example.com")
        except urllib.error.HTTPError as error:
            refusals.append((error.code, bool(error.headers["Retry-After"])))
            return None

    after = eventually(accepted, timeout=60, interval=0.2)
    assert set(refusals) <= {(503, True)}
    stranger.wait_for_success(before, timeout=90)
    stranger.wait_for_success(after, timeout=90)


def test_the_metrics_name_what_happened_and_no_person(stranger: Stranger) -> None:
    stranger.wait_for_success(stranger.trigger(externalId="c-7", email="counted@example.com"))
    metrics = eventually(lambda: "beckon_leader_up 1" in (text := stranger.read_metrics()) and text, timeout=30)

    assert 'beckon_sends_total{channel="email",outcome="sent",provider="mailgun"}' in metrics
    assert "counted@example.com" not in metrics


def test_a_wait_of_days_ends_after_a_restart_at_its_time(stranger: Stranger, tmp_path: Path) -> None:
    access = stranger.app.access()
    automation = {"name": "Trial", "type": "workflow", "enabled": True, "definition": WAITING_WORKFLOW}
    stranger.call("POST", f"/api/workspaces/{access['workspaceId']}/automations", automation)
    execution_id = stranger.trigger("trial.started", externalId="c-6", email="patient@example.com")
    eventually(lambda: stranger.execution(execution_id)["status"] == "waiting")

    assert stranger.app.run("down").returncode == 0
    stranger.app.environ["BECKON_CLOCK_OFFSET"] = str(3 * 86_400 + 60)
    started = stranger.app.run("up", "--detach")
    assert started.returncode == 0, started.stderr

    timeline = stranger.wait_for_success(execution_id)
    assert [step["status"] for step in timeline["steps"]] == ["succeeded", "succeeded"]
    assert len(stranger.list_messages("patient@example.com")) == 1


def test_every_invariant_holds(stranger: Stranger) -> None:
    stranger.wait_for_success(stranger.trigger(externalId="c-8", email="verified@example.com"))

    verified = subprocess.run(
        [*PROGRAM, "verify"], cwd=settings.ROOT, env=stranger.app.environ, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert verified.returncode == 0, verified.stdout + verified.stderr
