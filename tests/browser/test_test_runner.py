"""The test runner in a real browser: it follows the steps without a reload, and can be cancelled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from models import test_run
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard.producers import Producer
from tests.dashboard.test_test_runs import begin

pytestmark = pytest.mark.timeout(120)


def advance(alice: Producer, run_id: str, passed: int) -> list[Any]:
    """Store that so many steps have passed, and that the next one runs."""
    run = test_run.find(alice.workspace_id, run_id)
    assert run is not None
    for number, step in enumerate(run["steps"]):
        if number < passed:
            step.update({"status": "passed", "duration_ms": 12, "detail": "as expected"})
        elif number == passed:
            step.update({"status": "running", "detail": "1 of 3 workflows has passed its wait"})
    test_run.save(alice.workspace_id, run_id, run["steps"])
    return run["steps"]


def test_the_panel_follows_the_steps_and_can_be_cancelled(visit: Any, alice: Producer) -> None:
    run_id = begin(alice)
    page = visit().go("/health")
    runner = page.get_by_role("region", name="Automation Test Runner")
    expect(runner.get_by_role("listitem")).to_have_count(13)
    advance(alice, run_id, 8)
    expect(runner.get_by_role("status")).to_have_text("8 of 13")
    expect(runner.locator('[aria-current="step"]')).to_contain_text("1 of 3 workflows has passed its wait")
    runner.get_by_role("button", name="Cancel").click()
    page.wait_for_url("**/health")
    expect(page.get_by_text("The test run is being cancelled.")).to_be_visible()
    steps = advance(alice, run_id, 13)
    test_run.finish(alice.workspace_id, run_id, "passed", steps, True)
    expect(runner.get_by_role("status")).to_have_text("Passed")
    expect(runner.get_by_role("button", name="Run test")).to_be_visible()


@pytest.mark.parametrize(
    ("viewport", "look"), [pytest.param(DESKTOP, "light", id="desktop"), pytest.param(PHONE, "dark", id="phone")]
)
def test_the_page_of_a_run_fits(visit: Any, alice: Producer, viewport: dict[str, int], look: str) -> None:
    run_id = begin(alice)
    advance(alice, run_id, 8)
    visitor = visit(viewport, look)
    page = visitor.go(f"/test-runs/{run_id}")
    expect(page.get_by_role("status").filter(has_text="8 of 13")).to_be_visible()
    assert not visitor.has_overflow()
    if "TEST_SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["TEST_SCREENSHOTS"]) / f"test-run-{look}.png", full_page=True)
        visitor.go("/health").screenshot(
            path=Path(os.environ["TEST_SCREENSHOTS"]) / f"health-{look}.png", full_page=True
        )
