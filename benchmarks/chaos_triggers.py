"""The triggers of the chaos test, each with its own key and contact; what is not accepted is sent again."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress
from typing import Any

import psycopg2
import urllib3
from running_copy import Copy

import logs
from models import api_key, automation, database, workspace
from models.audit import SYSTEM

DEFINITION = {
    "trigger": {"type": "chaos.began"},
    "steps": [
        {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
    ],
}
BATCH_SIZE, MAX_OPEN = 10, 500
#: Seconds: of one request, and within which a probe must have been sent.
REQUEST_SECONDS, PROBE_SECONDS = 15.0, 120.0


class Producer:
    """Posts triggers at the pace that the faults permit, and reads what became of them past all proxies."""

    def __init__(self, copy: Copy, database_url: str, triggers: int) -> None:
        self.copy, self.database_url, self.triggers = copy, database_url, triggers
        self.accepted, self.retries, self.extra = 0, 0, 0
        #: The keys of the messages that the sandbox received, by their ids there.
        self.received: dict[str, str] = {}
        self._share, self._share_changed = 0.0, threading.Condition()
        self.error: BaseException | None = None
        self._client = urllib3.PoolManager(maxsize=4, retries=False, timeout=REQUEST_SECONDS)
        copy.publish_only_automation("Chaos", DEFINITION)
        self._flood_key = self._create_tenant()

    def _create_tenant(self) -> str:
        """Create a second workspace with the same automation; return its API key."""
        logs.set_up("chaos", "WARNING")
        database.open_pool(self.database_url, "beckon_service", 1)
        workspace_id = workspace.create("flood", "Flood", demo=True)
        automation.create(
            workspace_id, name="Flood", type="workflow", definition=DEFINITION, actor=SYSTEM, enabled=True
        )
        secret = api_key.issue(workspace_id, "chaos").secret
        database.db.close_all()
        return secret

    # Posting

    def post_all(self) -> None:
        """Post every trigger until it is accepted, and no more than the faults permit. Keeps an error."""
        try:
            self._post_all()
        except Exception as error:
            self.error = error

    def _post_all(self) -> None:
        for first in range(0, self.triggers, BATCH_SIZE):
            numbers = range(first, min(first + BATCH_SIZE, self.triggers))
            with self._share_changed:
                self._share_changed.wait_for(lambda end=numbers[-1]: end < self.triggers * self._share)
            self.post([f"chaos-{number}" for number in numbers])
            self.accepted += len(numbers)
            while self.accepted - self._count_finished() > MAX_OPEN:
                time.sleep(0.1)

    def permit(self, share: float) -> None:
        """Permit so much of the triggers to be posted."""
        with self._share_changed:
            self._share = share
            self._share_changed.notify_all()

    def wait_for_share(self, share: float) -> None:
        """Wait until so much of the triggers is accepted. Raises what ended the posting."""
        while self.accepted < self.triggers * share:
            if self.error is not None:
                raise self.error
            time.sleep(0.02)

    def flood(self, count: int) -> None:
        """Post so many triggers of another tenant."""
        names = [f"flood-{self.extra + number}" for number in range(count)]
        for first in range(0, count, 100):
            self.post(names[first : first + 100], self._flood_key)
        self.extra += count

    def measure_probe(self, name: str) -> float:
        """Post one trigger; return the seconds until its execution is finished."""
        began = time.monotonic()
        self.post([name])
        self.extra += 1
        self.await_rows(
            "select from executions e join contacts c on c.id = e.contact_id where c.external_id = %s "
            "and e.finished_at is not null", (name,), PROBE_SECONDS,
        )  # fmt: skip
        return time.monotonic() - began

    def post(self, names: list[str], key: str | None = None) -> None:
        """Post triggers until they are accepted."""
        body = {"triggers": [_build_trigger(name) for name in names]}
        headers = {"Authorization": f"Bearer {key or self.copy.access['apiKey']}"}
        while True:
            with suppress(urllib3.exceptions.HTTPError):
                response = self._client.request(
                    "POST", f"{self.copy.access['url']}/api/triggers/batch", json=body, headers=headers
                )
                if response.status == 202 and not response.json()["rejected"]:
                    return
                if response.status not in (202, 429, 503):
                    raise RuntimeError(f"{response.status}: {response.data[:300]!r}")
            self.retries += 1
            time.sleep(0.2)

    # Reading

    def collect_received(self) -> None:
        """Keep what the sandbox has received so far: it remembers 50,000 requests, those to the AI included."""
        response = self._client.request(
            "GET", f"{self.copy.access['sandboxUrl']}/_sandbox/messages?provider=mailgun", timeout=120.0
        )
        self.received |= {message["id"]: message["body"]["v:beckon_key"] for message in response.json()["messages"]}

    def fetch_rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Fetch the rows of a query; retries while PostgreSQL is unreachable."""
        deadline = time.monotonic() + 60
        while True:
            try:
                connecting = psycopg2.connect(self.database_url)
                with closing(connecting) as connection, connection.cursor() as cursor:
                    cursor.execute(sql, parameters)
                    return list(cursor.fetchall())
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def await_rows(self, sql: str, parameters: tuple[Any, ...], seconds: float) -> None:
        """Wait until a query has a row. RuntimeError after so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.fetch_rows(sql, parameters):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no row within {seconds:g} s: {sql} {parameters}")
            time.sleep(0.1)

    def _count_finished(self) -> int:
        rows = self.fetch_rows("select count(*) from executions where finished_at is not null")
        return int(rows[0][0]) - self.extra


def _build_trigger(name: str) -> dict[str, Any]:
    contact = {"externalId": name, "firstName": "Ada", "email": f"{name}@example.com"}
    return {"type": "chaos.began", "contact": contact, "idempotencyKey": name}
