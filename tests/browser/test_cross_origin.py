"""Pages of another origin report executions in a real browser: CORS, preflight requests and beacons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from models import site_key
from models.database import acting_as
from models.queries import count
from models.tables import TrackingIntake
from tests.dashboard.producers import Producer
from tests.dashboard.test_tracking import create_playbook
from tests.support.serving import serve
from tests.support.waiting import eventually

#: Sends a request and returns what the page's script can read of the response.
FETCH = """async ([url, body, type, headers]) => {
    const options = {method: "POST", body, keepalive: true, headers: {"Content-Type": type, ...headers}};
    try {
        const response = await fetch(url, options);
        return {status: response.status, answer: await response.json()};
    } catch (error) {
        return {error: error.name};
    }
}"""
JSON = "application/json"
BEACON = "text/plain;charset=UTF-8"


class ShopHandler(BaseHTTPRequestHandler):
    """Serves an empty page, with a referrer policy where the path asks for it."""

    def do_GET(self) -> None:
        """Answer with the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path == "/no-referrer":
            self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Shop</title>")

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def shop_origin() -> Iterator[str]:
    """The origin of a web page that is not the dashboard's."""
    with serve(ThreadingHTTPServer(("127.0.0.1", 0), ShopHandler)) as origin:
        yield origin


@dataclass
class Shop:
    """A page of the shop, in the browser."""

    page: Page
    producer: Producer
    address: str
    site_key: str
    playbook: str

    def fetch(self, path: str, body: str, content_type: str, **headers: str) -> dict[str, Any]:
        """Send a report with `fetch`, and return what the page can read."""
        result: dict[str, Any] = self.page.evaluate(FETCH, [f"{self.address}{path}", body, content_type, headers])
        return result

    def count_stored(self) -> int:
        """The accepted executions."""
        with acting_as(self.producer.workspace_id):
            return count(TrackingIntake.select())


@pytest.fixture
def shop(chromium: Browser, address: str, alice: Producer, shop_origin: str) -> Iterator[Shop]:
    """A page of the shop, whose origin Alice's site key allows."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(shop_origin)
    key = site_key.issue(alice.workspace_id, "shop", [shop_origin]).key
    yield Shop(page, alice, address, key, create_playbook(alice))
    context.close()


def test_a_page_of_another_origin_reports_and_reads_the_answer(shop: Shop) -> None:
    body = f'{{"workflowId": "{shop.playbook}"}}'
    single = shop.fetch(f"/api/track-execution?k={shop.site_key}", body, BEACON)
    assert (single["status"], single["answer"]["success"]) == (201, True)
    batch = shop.fetch("/api/track-executions", f'{{"executions": [{body}]}}', JSON, **{"X-Site-Key": shop.site_key})
    assert (batch["status"], batch["answer"]["accepted"]) == (202, 1)
    invalid = shop.fetch("/api/track-execution", "{}", JSON, **{"X-Site-Key": shop.site_key})
    assert (invalid["status"], invalid["answer"]["errors"][0]["path"]) == (422, "workflowId")
    assert shop.count_stored() == 2


def test_a_beacon_is_stored(shop: Shop) -> None:
    arguments = [f"{shop.address}/api/track-execution?k={shop.site_key}", f'{{"workflowId": "{shop.playbook}"}}']
    assert shop.page.evaluate("([url, body]) => navigator.sendBeacon(url, body)", arguments)
    eventually(lambda: shop.count_stored() == 1)


def test_a_page_without_referrer_reports_with_fetch(shop: Shop, shop_origin: str) -> None:
    shop.page.goto(f"{shop_origin}/no-referrer")
    body = f'{{"workflowId": "{shop.playbook}"}}'
    assert shop.fetch(f"/api/track-execution?k={shop.site_key}", body, BEACON)["status"] == 201


def test_a_page_reads_nothing_with_a_key_of_another_origin_or_an_api_key(shop: Shop) -> None:
    other = site_key.issue(shop.producer.workspace_id, "other", ["https://other.example"]).key
    body = f'{{"workflowId": "{shop.playbook}"}}'
    assert shop.fetch(f"/api/track-execution?k={other}", body, BEACON) == {"error": "TypeError"}
    secret = {"Authorization": f"Bearer {shop.producer.secret}"}
    assert shop.fetch("/api/track-execution", body, JSON, **secret) == {"error": "TypeError"}
    assert shop.fetch("/api/executions", body, JSON, **{"X-Site-Key": shop.site_key}) == {"error": "TypeError"}
    assert shop.count_stored() == 0
