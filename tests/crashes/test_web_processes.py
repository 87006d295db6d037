"""Web processes killed while triggers arrive: each trigger is accepted once, and the other process goes on serving."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

import pytest
import urllib3

from models import automation
from models.audit import SYSTEM
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually
from tests.support.web_processes import HELLO, Dashboard, dashboard

__all__ = ["dashboard"]

pytestmark = pytest.mark.timeout(120)

CLIENTS, TRIGGERS, KILLS = 4, 60, 3


class Client(threading.Thread):
    """Sends triggers, each until it is accepted, with one idempotency key."""

    def __init__(self, dashboard: Dashboard, number: int) -> None:
        super().__init__(daemon=True)
        self.statuses: Counter[int | str] = Counter()
        self._dashboard = dashboard
        self._number = number

    def run(self) -> None:
        for number in range(TRIGGERS):
            key = f"{self._number}-{number}"
            while not self._send({"type": "contact.created", "contact": {"externalId": key}, "idempotencyKey": key}):
                pass

    def _send(self, trigger: dict[str, object]) -> bool:
        url = f"http://127.0.0.1:{self._dashboard.port}/api/triggers"
        try:
            response = urllib3.request("POST", url, json=trigger, headers=self._dashboard.headers, retries=False)
        except urllib3.exceptions.HTTPError as error:
            self.statuses[type(error).__name__] += 1
            return False
        self.statuses[response.status] += 1
        return response.status in (200, 202)


def test_triggers_are_accepted_once_while_web_processes_are_killed(dashboard: Dashboard) -> None:
    automation.create(dashboard.workspace_id, name="Welcome", type="workflow", definition=HELLO, actor=SYSTEM)
    clients = [Client(dashboard, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for kill in range(KILLS):
        eventually(lambda n=kill + 1: count_accepted() >= n * CLIENTS * TRIGGERS // (KILLS + 1))
        killed = dashboard.list_processes()[0]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda pid=killed: pid not in (running := dashboard.list_processes()) and len(running) == 2)
    for client in clients:
        client.join(60)
    statuses = sum((client.statuses for client in clients), Counter())
    assert count_accepted() == CLIENTS * TRIGGERS
    assert fetch_rows("select count(*) as executions, count(distinct trigger_id) as triggers from executions") == [
        {"executions": CLIENTS * TRIGGERS, "triggers": CLIENTS * TRIGGERS}
    ]
    # A kill fails at most the request that each client waits for.
    assert sum(number for status, number in statuses.items() if status not in (200, 202)) <= KILLS * CLIENTS


def count_accepted() -> int:
    """How many triggers are stored."""
    return int(fetch_rows("select count(*) as number from triggers")[0]["number"])
