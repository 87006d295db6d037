"""Webhooks: whatever a provider was answered with 200 is processed once, whenever the dashboard is killed."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import urllib3

from models import account
from models.queries import fetch_value
from settings import Settings
from tests.crashes.test_tracking import kill_with_children
from tests.support.factories import Alice
from tests.support.meta_world import IG, comment
from tests.support.programs import Programs
from tests.support.tracking import Shop
from tests.support.waiting import eventually
from workers import embedded

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(180)]

RECOVERY_SECONDS = 60.0
COMMENTS = 400


class Meta:
    """Meta, which repeats a webhook until it gets 200."""

    def __init__(self, port: int, secret: str) -> None:
        self._url = f"http://127.0.0.1:{port}/api/webhooks/instagram"
        self._secret = secret
        self.answered = 0

    def deliver(self, number: int) -> bool:
        """Deliver one comment until it is answered with 200."""
        raw = json.dumps(comment(number=number, person=str(number))).encode()
        signature = hmac.new(self._secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        return eventually(lambda: self._send(raw, headers), timeout=RECOVERY_SECONDS)

    def _send(self, raw: bytes, headers: dict[str, str]) -> bool:
        with suppress(urllib3.exceptions.HTTPError):
            response = urllib3.request("POST", self._url, body=raw, headers=headers, retries=False, timeout=20)
            self.answered += response.status == 200
            return response.status == 200
        return False


@pytest.fixture
def run_directory(settings: Settings) -> Iterator[None]:
    """The directory in which gunicorn keeps its workers' signs of life."""
    embedded.ensure_private_directory(settings.run)
    yield
    shutil.rmtree(settings.run)


def test_a_dashboard_killed_under_webhooks_loses_none_and_doubles_none(
    programs: Programs, settings: Settings, run_directory: None
) -> None:
    alice = Alice()
    account.add(alice.workspace_id, "instagram", IG, "Alice's shop")
    shop = Shop(alice, alice.automation())
    meta = Meta(shop.port, settings.meta_app_secrets[0])
    dashboard = programs.start("dashboard", BECKON_PORT=str(shop.port))
    programs.start("worker", "--queues", "tracking")
    programs.start("scheduler")
    eventually(shop.is_served, timeout=RECOVERY_SECONDS)

    with ThreadPoolExecutor(8) as pool:
        deliveries = [pool.submit(meta.deliver, number) for number in range(1, COMMENTS + 1)]
        for answered in (50, 200):
            eventually(lambda answered=answered: meta.answered >= answered, timeout=RECOVERY_SECONDS)
            kill_with_children(dashboard)
            dashboard = programs.start("dashboard", BECKON_PORT=str(shop.port))
        assert all(delivery.result(RECOVERY_SECONDS) for delivery in deliveries)

    def count_processed() -> int:
        return int(fetch_value("select count(*) from inbound_events where outcome = 'comment'"))

    eventually(lambda: count_processed() == COMMENTS, timeout=RECOVERY_SECONDS)
    assert fetch_value("select count(*) from inbound_events") == COMMENTS
    assert fetch_value("select count(*) from contacts") == COMMENTS
