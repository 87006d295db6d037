"""A test run reaches no real provider, survives the process that started it, and leaves nothing behind when it dies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from models import test_run
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.health.facts import read_processes
from tasks.operators import test_runs
from tasks.runtime.broker import EXECUTION_QUEUES
from tasks.test_run_sweep import SILENCE_SECONDS
from tests.support.factories import Alice
from tests.support.programs import LONG_LEASE, Programs
from tests.support.waiting import eventually

#: Every table that a run writes, besides its own row and the audit log.
TABLES = ("automations", "contacts", "triggers", "executions", "steps", "messages", "stage_history", "stage_tallies",
          "contact_tasks", "automation_runs", "limit_counts")  # fmt: skip


class Listener:
    """A server that stands for every real provider, and counts connections."""

    def __init__(self) -> None:
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


@pytest.fixture
def provider() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def configure_everything(url: str) -> dict[str, str]:
    """The environment of a copy whose every provider is configured, and reached at `url`."""
    return {
        "MAILGUN_API_KEY": "key", "MAILGUN_DOMAIN": "mail.example.com", "MAILGUN_FROM": "Shop <shop@mail.example.com>",
        "MAILGUN_BASE_URL": url, "TELNYX_API_KEY": "key", "TELNYX_MESSAGING_PROFILE_ID": "profile",
        "TELNYX_BASE_URL": f"{url}/v2", "META_APP_SECRET": "secret", "META_PAGE_ACCESS_TOKEN": "token",
        "META_BASE_URL": f"{url}/v25.0", "GEMINI_API_KEY": "key", "GEMINI_BASE_URL": f"{url}/v1beta",
        "OPENAI_API_KEY": "key", "OPENAI_BASE_URL": f"{url}/v1",
        "SLACK_WEBHOOK_URL": f"{url}/services/T0/B0/secret", "DISCORD_WEBHOOK_URL": f"{url}/api/webhooks/1/secret",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip


def read(alice: Alice, run_id: str) -> Any:
    run = test_run.find(alice.workspace_id, run_id)
    assert run is not None
    return run


def wait_for_end(alice: Alice, run_id: str, timeout: float = 60.0) -> Any:
    return eventually(lambda: (run := read(alice, run_id))["status"] != "running" and run, timeout=timeout)


def is_every_queue_served() -> bool:
    """Whether the first heartbeats are there, which a run looks for."""
    return {queue for process in read_processes().live for queue in process.queues} >= set(EXECUTION_QUEUES)


def count_left() -> dict[str, int]:
    counts = {table: int(fetch_value(f"select count(*) from {table}")) for table in TABLES}
    return {table: count for table, count in counts.items() if count}


def test_a_test_run_passes_and_makes_no_connection_to_any_provider(
    programs: Programs, sandbox: RunningSandbox, settings: Settings, provider: Listener
) -> None:
    alice = Alice(demo=False)
    programs.start_workers(**LONG_LEASE, **configure_everything(provider.url))
    eventually(lambda: programs.are_ready() and is_every_queue_served(), timeout=60)
    run_id = test_runs.start(settings, alice.workspace_id, SYSTEM)
    test_runs.enqueue(run_id)

    run = wait_for_end(alice, run_id)

    assert [(step["name"], step["detail"]) for step in run["steps"] if step["status"] != "passed"] == []
    assert (run["status"], run["cleaned_up"], provider.connections) == ("passed", True, 0)
    assert {message["provider"] for message in sandbox.list_messages()} == {
        "gemini", "mailgun", "telnyx", "facebook", "instagram", "slack", "discord", "webhook",
    }  # fmt: skip
    assert count_left() == {}


def test_runs_of_several_workspaces_wait_for_a_place_and_all_pass(
    programs: Programs, sandbox: RunningSandbox, settings: Settings
) -> None:
    owners = [Alice(demo=False, name=name) for name in ("alice", "bea", "carla", "dora")]
    programs.start_workers(**LONG_LEASE)
    eventually(lambda: programs.are_ready() and is_every_queue_served(), timeout=60)
    runs = [(owner, test_runs.start(settings, owner.workspace_id, SYSTEM)) for owner in owners]
    for _, run_id in runs:
        test_runs.enqueue(run_id)

    assert [wait_for_end(owner, run_id)["status"] for owner, run_id in runs] == ["passed"] * 4
    assert count_left() == {}


def test_a_killed_run_is_marked_failed_and_removed_by_the_sweep(
    programs: Programs, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice(demo=False)
    # The text takes longer than the run's process lives.
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=60)
    running = programs.start_workers(**LONG_LEASE)
    eventually(lambda: programs.are_ready() and is_every_queue_served(), timeout=60)
    run_id = test_runs.start(settings, alice.workspace_id, SYSTEM)
    test_runs.enqueue(run_id)
    eventually(lambda: sandbox.list_messages(provider="gemini"), timeout=60)

    running["tracking"].kill()
    execute("update test_runs set seen_at = seen_at - make_interval(secs => %s)", (SILENCE_SECONDS,))

    run = wait_for_end(alice, run_id)
    assert (run["status"], run["cleaned_up"]) == ("failed", True)
    assert "The process that executed the run ended." in next(
        step["detail"] for step in run["steps"] if step["status"] == "failed"
    )
    assert count_left() == {}


def test_a_run_that_no_worker_takes_is_marked_failed(programs: Programs, settings: Settings) -> None:
    alice = Alice(demo=False)
    run_id = test_runs.start(settings, alice.workspace_id, SYSTEM)
    execute("update test_runs set seen_at = seen_at - make_interval(secs => %s)", (SILENCE_SECONDS,))
    # The next start ends it, without a scheduler.
    next_id = test_runs.start(settings, alice.workspace_id, SYSTEM)

    run = read(alice, run_id)
    assert (run["status"], run["cleaned_up"], read(alice, next_id)["status"]) == ("failed", True, "running")
    assert run["steps"][0]["detail"].startswith("No worker took the run.")
    # A late worker finds nothing to do.
    assert list(test_runs.execute(settings, alice.workspace_id, run_id)) == []


def test_what_an_ended_run_left_is_removed_by_the_sweep(programs: Programs, settings: Settings) -> None:
    from rules.test_workflows import WELCOME
    from tasks.test_run_sweep import end_silent_runs

    alice = Alice(demo=False)
    run_id = test_run.create(alice.workspace_id, SYSTEM)
    test_run.create_automation(alice.workspace_id, run_id, "Test run", WELCOME.definition)
    test_run.finish(alice.workspace_id, run_id, "failed", [], False)

    assert end_silent_runs() == 1
    assert (read(alice, run_id)["cleaned_up"], count_left(), end_silent_runs()) == (True, {}, 0)
