"""The page Failures in a real browser: a group is opened, some or all of it is retried, and the progress is shown."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import clock
from models.audit import AuditActor
from models.database import acting_as
from models.execution_filters import ExecutionFilters
from tasks.operators import bulk
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def failed(alice: Producer) -> list[str]:
    """Three executions that failed in the same way."""
    automation = alice.create()
    error = {"error_class": "timeout", "provider": "telnyx", "attempt": 4}
    return [
        example_executions.create_failed(
            alice, automation, contact_id=example_executions.create_contact(alice, name), **error
        )
        for name in ("Nadia", "Paul", "Irene")
    ]


def open_group(page: Page) -> None:
    page.get_by_role("link", name="Open group: Telnyx is not answering").click()
    expect(page.get_by_text("All 3 in this group are selected")).to_be_visible()


def test_a_selection_is_retried_with_a_dry_run_and_a_result(visit: Any, failed: list[str]) -> None:
    page = visit().go("/failures")
    expect(page.get_by_role("link", name="3 need a decision").first).to_be_visible()
    open_group(page)

    page.get_by_label("Select Paul").check()
    expect(page.get_by_text("1 selected", exact=True)).to_be_visible()
    expect(page.get_by_text("1 matches, 1 can be retried, 0 conflicts")).to_be_visible()
    page.get_by_role("button", name="Retry 1 selected execution").click()

    page.wait_for_url(re.compile(r"/operations/[0-9a-f-]+$"))
    expect(page.get_by_role("heading", name="1 execution retried.")).to_be_visible()
    page.get_by_role("link", name="Go to failures").click()
    expect(page.get_by_role("link", name=re.compile("^Need a decision 2"))).to_be_visible()


@pytest.mark.slow
def test_a_group_is_discarded_as_a_whole(visit: Any, failed: list[str]) -> None:
    page = visit().go("/failures")
    open_group(page)
    page.get_by_role("button", name="Discard 3").click()
    expect(page.get_by_role("heading", name="3 executions discarded.")).to_be_visible()
    page.get_by_role("link", name="Go to failures").click()
    expect(page.get_by_role("heading", name="No failures")).to_be_visible()


def test_the_progress_of_a_large_operation_is_live(
    visit: Any, alice: Producer, failed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH_SIZE", 1)
    actor = AuditActor("command", None, "alice")
    row = bulk.start(alice.workspace_id, "discard", ExecutionFilters(status="failed"), actor)
    page = visit().go(f"/operations/{row['id']}")
    expect(page.get_by_role("heading", name="0 of 3 done")).to_be_visible()
    for done in ("1 of 3 done", "2 of 3 done", "3 executions discarded."):
        bulk.run_next_batch(alice.workspace_id, row["id"])
        expect(page.get_by_role("heading", name=done)).to_be_visible()


@pytest.mark.parametrize(
    ("look", "viewport"),
    [
        pytest.param("light", PHONE, id="phone"),
        pytest.param("dark", DESKTOP, id="dark-desktop", marks=pytest.mark.slow),
    ],
)
def test_the_pages_fit_and_every_control_has_a_name(
    visit: Any, alice: Producer, failed: list[str], look: str, viewport: dict[str, int]
) -> None:
    automation = alice.create(name="A name that goes on and on " + "without-a-break" * 8)
    example_executions.create_unknown(
        alice, automation, look_up_at=clock.now() + timedelta(minutes=4), to_address="a" * 60 + "@example.com"
    )
    with acting_as(alice.workspace_id):
        example_executions.create_failed(alice, automation, error_class="invalid", error_message="word" * 90)
    visitor = visit(viewport, look)
    for path in ("/failures", "/failures?open=timeout.telnyx.none", "/failures/retries"):
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not visitor.has_overflow(), path
        for kind in ("button", "link", "combobox", "checkbox", "switch"):
            for control in page.get_by_role(kind).all():  # type: ignore[arg-type]
                expect(control).to_have_accessible_name(re.compile(r"\S"))
