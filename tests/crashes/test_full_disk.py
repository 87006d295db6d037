"""A full disk stops no program, loses nothing that was accepted, and heals by itself once there is space again.

A small tmpfs holds the home of a running copy with its embedded servers; it can only be mounted by root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.support.running_app import RunningApp
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(400)]

#: Seconds within which everything goes on after space was freed.
HEALED_SECONDS = 60.0
SEND = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hello."}}
AUTOMATION = {
    "name": "Full disk",
    "type": "workflow",
    "enabled": True,
    "definition": {"trigger": {"type": "disk.test"}, "steps": [SEND]},
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a tmpfs can only be mounted as root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def copy(small_disk: Path) -> Iterator[RunningApp]:
    """A copy on that disk, with an automation that sends an e-mail."""
    app = RunningApp(small_disk / "home")
    app.environ["BECKON_DISK_RESERVE_MB"] = "0"
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    app.call("POST", f"/api/workspaces/{app.access()['workspaceId']}/automations", AUTOMATION)
    yield app
    app.run("down")


def fill(folder: Path) -> None:
    """Leave no byte free."""
    size = 1 << 20
    with open(folder / "filler", "ab", buffering=0) as filler:
        while size:
            try:
                filler.write(b"x" * size)
            except OSError:
                size //= 2


def stop_postgres_for_lack_of_space(app: RunningApp) -> None:
    """Write more to PostgreSQL's log of changes than its files hold: it ends where it cannot make another one."""
    flood = "select pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) from generate_series(1, 40)"
    with closing(psycopg2.connect(str(app.access()["databaseUrl"]))) as connection, pytest.raises(psycopg2.Error):
        connection.cursor().execute(flood)
    eventually(lambda: find_program(app, "postgres")["state"] != "RUNNING", timeout=90)


def find_program(app: RunningApp, name: str) -> dict[str, Any]:
    return next(row for row in app.status()["programs"] if row["name"] == name)  # type: ignore[attr-defined]


class Producer:
    """Posts triggers, and remembers those that were accepted."""

    def __init__(self, app: RunningApp) -> None:
        self._app, self._count = app, 0
        self.accepted: list[str] = []

    def post(self) -> int:
        """Post a trigger of a new contact; return the status. A 503 must say when to come again."""
        self._count += 1
        email = f"disk-{self._count}@example.com"
        body = {"type": "disk.test", "contact": {"externalId": email, "email": email}}
        try:
            self._app.call("POST", "/api/triggers", body)
        except urllib.error.HTTPError as error:
            return error.code if "Retry-After" in error.headers else 0
        self.accepted.append(email)
        return 202


def count_sent(app: RunningApp) -> Counter[str]:
    """How many messages the sandbox accepted, by address."""
    sandbox = str(app.access()["sandboxUrl"])
    return Counter(
        row["to"] for row in app.call("GET", "/_sandbox/messages?provider=mailgun", base=sandbox)["messages"]
    )


def list_program_pids(app: RunningApp) -> dict[str, int]:
    """The process of each program that is no embedded server; PostgreSQL ends itself where it cannot write."""
    rows = app.status()["programs"]
    return {row["name"]: row["pid"] for row in rows if row["group"] == "beckon"}  # type: ignore[attr-defined]


def read_dropped_lines(app: RunningApp) -> float:
    with urllib.request.urlopen(f"{app.access()['url']}/metrics", timeout=20) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("beckon_log_lines_dropped "))


def test_a_full_disk_stops_nothing_and_every_accepted_trigger_is_sent_once(copy, small_disk):
    producer = Producer(copy)
    assert [producer.post() for _ in range(10)] == [202] * 10
    before = list_program_pids(copy)

    fill(small_disk)
    eventually(lambda: producer.post() == 503, timeout=10)
    stop_postgres_for_lack_of_space(copy)
    for _ in range(3):
        fill(small_disk)
        assert {producer.post() for _ in range(50)} == {503}
    assert not copy.is_ready()

    os.unlink(small_disk / "filler")
    eventually(copy.is_ready, timeout=HEALED_SECONDS)
    eventually(lambda: producer.post() == 202, timeout=HEALED_SECONDS)
    eventually(lambda: set(count_sent(copy)) >= set(producer.accepted), timeout=HEALED_SECONDS)
    assert set(count_sent(copy).values()) == {1}
    assert list_program_pids(copy) == before
    assert read_dropped_lines(copy) > 0


def test_a_start_on_a_full_disk_is_one_line_that_names_the_folder_and_the_need(small_disk):
    app = RunningApp(small_disk / "home")
    with contextlib.suppress(OSError):
        fill(small_disk)
    refused = app.run("up", "--detach")
    assert refused.returncode != 0
    assert refused.stderr == f"beckon: BECKON_HOME: 0 MB are free in {small_disk}; 300 MB are required\n"
