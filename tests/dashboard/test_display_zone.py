"""Times on pages: in the browser's zone, the workspace's or UTC as the person chose; today is the workspace's."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient

import clock
from models.database import acting_as
from models.queries import execute
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, list_ids, post, read_text, sign_in_as


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> Browser:
    """Bob's browser, in a workspace whose zone is Tokyo's."""
    with acting_as(alice.workspace_id):
        execute("update workspaces set timezone = 'Asia/Tokyo' where id = %s", (alice.workspace_id,))
    return sign_in_as(client, alice)


def read_zone(browser: Browser) -> str:
    """The zone that the list of executions says."""
    return read_text(browser.get("/executions").text).split("times in ")[1].split()[0]


def test_the_browsers_zone_is_the_default_and_else_the_workspaces(bob: Browser) -> None:
    assert read_zone(bob) == "Asia/Tokyo"
    bob.set_cookie("beckon_browser_zone", "Europe%2FRome")
    assert read_zone(bob) == "Europe/Rome"


@pytest.mark.parametrize(("choice", "zone"), [("utc", "UTC"), ("workspace", "Asia/Tokyo"), ("browser", "Europe/Rome")])
def test_a_person_chooses_the_zone(bob: Browser, choice: str, zone: str) -> None:
    bob.set_cookie("beckon_browser_zone", "Europe%2FRome")
    assert post(bob, "/account/zone", zone=choice).status_code == 303
    assert read_zone(bob) == zone
    assert f"Pages show times in {zone} now" in read_text(bob.get("/account").text)


@pytest.mark.parametrize("text", ["Mars/Phobos", "..%2F..%2Fetc%2Fpasswd", "%00", "Europe", "x" * 200, "<script>"])
def test_an_unknown_zone_of_the_browser_is_ignored(bob: Browser, text: str) -> None:
    bob.set_cookie("beckon_browser_zone", text)
    assert read_zone(bob) == "Asia/Tokyo"


def test_a_choice_that_does_not_exist_is_refused(bob: Browser) -> None:
    assert post(bob, "/account/zone", zone="mars").status_code == 422


def test_the_exact_time_names_the_zone(bob: Browser, alice: Producer) -> None:
    at = clock.now()
    example_executions.create_execution(alice, alice.create(), created_at=at)
    bob.set_cookie("beckon_browser_zone", "Europe%2FRome")
    local = at.astimezone(ZoneInfo("Europe/Rome"))
    assert (
        f'title="{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} Europe/Rome"' in bob.get("/executions").text
    )


def test_today_is_the_workspaces_day_in_every_zone(bob: Browser, alice: Producer) -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    midnight = clock.now().astimezone(tokyo).replace(hour=0, minute=0, second=0, microsecond=0)
    automation = alice.create()
    example_executions.create_sent(alice, automation, midnight.astimezone(UTC))
    example_executions.create_sent(alice, automation, datetime.fromtimestamp(midnight.timestamp() - 1, UTC))
    for choice in ("utc", "workspace"):
        post(bob, "/account/zone", zone=choice)
        assert len(list_ids(bob, "/executions?sent=today")) == 1
