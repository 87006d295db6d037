"""The versions page in a real browser: comparing, moving executions, restoring, and ending an experiment."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE
from tests.dashboard.producers import Producer
from tests.dashboard.test_experiments import SOURCE as EXPERIMENT
from tests.dashboard.test_version_moves import automation as automation

pytestmark = pytest.mark.timeout(120)


def test_versions_are_compared_moved_and_restored(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    page = visit().go(f"/automations/{automation['id']}")
    page.get_by_role("link", name="Compare versions").click()
    expect(page.get_by_role("link", name="Queues", exact=True)).to_be_visible()
    page.get_by_label("Version A").select_option("1")
    page.wait_for_url(re.compile(r"from=1&to=3$"))
    expect(page.get_by_text("Daily limit: 200 → 300")).to_be_visible()
    page.get_by_role("button", name="Move to version 3").click()
    expect(page.get_by_text("2 executions moved to version 3.")).to_be_visible()
    page.goto(f"{page.url}?from=1&to=3")
    page.get_by_role("button", name="Restore version 1 as draft").click()
    expect(page.get_by_text("Version 1 is the draft now. Publish it to use it.")).to_be_visible()
    assert alice.get(f"{alice.automations}/{automation['id']}").json["automation"]["version"] == 3


def test_on_a_phone_the_pages_fit(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    split = alice.post(alice.automations, {"name": "Split", "source": EXPERIMENT}).json["automation"]
    visitor = visit(PHONE)
    paths = (
        f"/automations/{automation['id']}/versions?from=1&to=3",
        f"/automations/{split['id']}/experiment?step=fork&variant=short",
        f"/automations/{split['id']}",
    )
    for path in paths:
        page = visitor.go(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_an_experiment_is_ended_on_its_page(visit: Any, alice: Producer) -> None:
    split = alice.post(alice.automations, {"name": "Split", "source": EXPERIMENT}).json["automation"]
    page = visit().go(f"/automations/{split['id']}/experiment?step=fork&variant=short")
    expect(page.get_by_role("radio", name="short brief")).to_be_checked()
    page.get_by_role("radio", name="long-warm").check()
    page.get_by_role("button", name="End experiment and publish version 2").click()
    expect(page.get_by_text(re.compile('ended by variant "long-warm": version 2 published'))).to_be_visible()
