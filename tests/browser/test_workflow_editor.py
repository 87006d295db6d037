"""The workflow editor in a real browser: an automation made by keyboard alone, text and form in step, two editors."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard.producers import Producer
from tests.dashboard.test_workflow_editor import TEXT, WARNED, create

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(180)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(120):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


def fetch(alice: Producer) -> dict[str, Any]:
    (row,) = alice.get(alice.automations).json["automations"]
    automation: dict[str, Any] = alice.get(f"{alice.automations}/{row['id']}").json["automation"]
    return automation


def add_step(page: Page, name: str) -> None:
    """Add a step after the open one, by keys."""
    page.keyboard.press("a")
    choice = page.locator(".action-choices button").filter(has_text=name).first
    expect(page.locator(".action-choices button").first).to_be_focused()
    while not choice.evaluate("element => element === document.activeElement"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2, name=name)).to_be_visible()


def test_comment_to_dm_is_made_by_keyboard_alone(visit: Any, alice: Producer) -> None:
    page = visit().go("/automations/new")
    tab_to(page, page.get_by_role("link", name="Empty"))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("select[name=type]"))
    page.keyboard.press("c")
    expect(page.locator(".tree")).to_contain_text("Instagram comment")
    expect(page.locator("select[name=type]")).to_be_focused()
    tab_to(page, page.locator("input[name=name]"))
    page.keyboard.type("Price comments")
    expect(page.locator("#saved")).to_contain_text("Draft saved")

    trigger = page.locator('[data-node="trigger"] button')
    tab_to(page, trigger)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Keywords"))
    page.keyboard.type("price")
    expect(page.locator('[data-node="trigger"]')).to_contain_text("Keywords: price")

    page.locator('[data-node="steps[0]"] button').focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2, name="Send e-mail")).to_be_visible()
    page.keyboard.press("Delete")
    expect(page.locator("#problem-count")).to_contain_text("1 problem")
    add_step(page, "Reply to comment")
    tab_to(page, page.locator('[data-node="steps[0]"] button'))
    add_step(page, "Send message")
    page.get_by_label("Send as").focus()
    page.keyboard.type("Private")
    expect(page.locator("#problem-count")).to_contain_text("Ready to publish")
    tab_to(page, page.get_by_role("button", name="Publish"))
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("Price comments")
    saved = fetch(alice)
    assert (saved["enabled"], saved["version"]) == (True, 1)
    assert saved["definition"]["trigger"] == {"type": "instagram.comment", "with": {"keywords": ["price"]}}
    assert [step["action"] for step in saved["definition"]["steps"]] == ["reply_comment", "send_message"]
    assert saved["definition"]["steps"][1]["with"]["as"] == "private_reply"


def test_form_and_text_edit_the_same_definition(visit: Any, alice: Producer) -> None:
    automation = create(alice)
    page = visit().go(f"/automations/{automation['id']}/edit")
    page.get_by_label("Subject").fill("Good morning")
    page.get_by_role("tab", name="YAML").click()
    text = page.locator(".yaml-holder .cm-content")
    expect(text).to_contain_text('subject: "Good morning"   # short')
    text.click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("  - id: bye\n    action: stop\n")
    expect(page.locator(".tree")).to_contain_text("Stop")
    page.keyboard.insert_text("- ][")
    expect(page.locator("#problem-count")).to_contain_text("1 problem")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    for _ in range(4):
        page.keyboard.press("Backspace")
    expect(page.locator("#problem-count")).to_contain_text("Ready to publish")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Leads")
    saved = alice.get(f"{alice.automations}/{automation['id']}").json["automation"]
    assert saved["source"].startswith(TEXT.replace('"Hi"', '"Good morning"').rstrip("\n"))
    assert saved["definition"]["steps"][-1] == {"id": "bye", "action": "stop"}


def test_what_would_happen_follows_the_text_and_the_assumptions(visit: Any, alice: Producer) -> None:
    steps = """
  - id: reply
    action: wait_until
    with: {event: contact.replied, timeout: 1d}
    then: [{id: yes, action: stop}]
    else: [{id: no, action: create_task, with: {title: "Call {{ contact.first_name }}"}}]
"""
    automation = create(alice, TEXT.rstrip("\n") + steps)
    page = visit().go(f"/automations/{automation['id']}/edit")
    pane = page.get_by_role("tabpanel", name="What would happen")
    expect(pane).to_contain_text("Would it start? Yes")
    expect(pane).to_contain_text("Daily limit")
    expect(pane).to_contain_text("How are you?")
    expect(pane).to_contain_text("Create task")
    pane.get_by_label("Assume").select_option("It arrives at once")
    expect(pane).not_to_contain_text("Create task")
    page.get_by_label("Subject").fill("Dear {{ contact.first_name }}")
    expect(pane).to_contain_text("Dear Ada")
    assert alice.get("/api/executions").json["executions"] == []


def test_variables_are_offered_with_sample_values(visit: Any, alice: Producer) -> None:
    automation = create(alice)
    page = visit().go(f"/automations/{automation['id']}/edit")
    text = page.locator("#step-form .cm-content").first
    text.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("{{ contact.first")
    page.locator(".cm-tooltip-autocomplete li").filter(has_text="contact.first_name").click()
    expect(text).to_contain_text("{{ contact.first_name")
    page.locator(".variables summary").click()
    page.locator('[data-insert="contact.email"]').click()
    expect(text).to_contain_text("{{ contact.email }}")


def test_steps_move_by_keys_and_by_dragging(visit: Any, alice: Producer) -> None:
    automation = create(alice)
    page = visit().go(f"/automations/{automation['id']}/edit")
    page.locator('[data-node="steps[0]"] button').focus()
    page.keyboard.press("Alt+ArrowDown")
    expect(page.locator('[data-node="steps[1]"]')).to_contain_text("Send e-mail")
    page.locator('[data-step="steps[1]"]').drag_to(page.locator(".gap").first)
    expect(page.locator('[data-node="steps[0]"]')).to_contain_text("Send e-mail")
    expect(page.locator("#saved")).to_contain_text("Draft saved")


@pytest.mark.slow
def test_a_reload_loses_no_work(visit: Any, alice: Producer) -> None:
    automation = create(alice)
    page = visit().go(f"/automations/{automation['id']}/edit")
    page.get_by_label("Subject").fill("Kept")
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    page.reload()
    expect(page.get_by_label("Subject")).to_have_value("Kept")


@pytest.mark.slow
def test_the_second_editor_is_told_and_sees_the_other_s_change(visit: Any, alice: Producer) -> None:
    automation = create(alice)
    visitor = visit()
    page = visitor.go(f"/automations/{automation['id']}/edit")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_label("Subject").fill("Other")
    expect(other.locator("#saved")).to_contain_text("Draft saved")
    page.get_by_label("Subject").fill("Mine")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Your changes are not saved.")
    alert.get_by_text("What the saved text changes").click()
    expect(alert.locator(".changes")).to_contain_text('subject: "Other"')
    alert.get_by_role("button", name="Overwrite saved draft").click()
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    other.reload()
    expect(other.get_by_label("Subject")).to_have_value("Mine")
    visitor.complaints[:] = [line for line in visitor.complaints if "409" not in line]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_editor_fits(visit: Any, alice: Producer, viewport: dict[str, int]) -> None:
    automation = create(alice, TEXT.replace("Hello!", "x" * 400))
    visitor = visit(viewport)
    for part in ("trigger", "rules", "steps[0]", "steps[1]", "add:steps:1"):
        page = visitor.go(f"/automations/{automation['id']}/edit?part={part}")
        expect(page.locator(".tree")).to_be_visible()
        assert not visitor.has_overflow(), part


def test_a_warning_is_mended_by_its_key(visit: Any, alice: Producer) -> None:
    automation = create(alice, WARNED)
    page = visit().go(f"/automations/{automation['id']}/edit?part=steps[0]")
    expect(page.locator("#problem-badge")).to_have_text("2")
    expect(page.locator("#step-form .warning")).to_contain_text("must be a private reply")
    page.locator('[data-node="steps[0]"] button').focus()
    page.keyboard.press("Control+.")
    expect(page.locator("#problem-badge")).to_have_text("1")
    expect(page.get_by_label("Send as")).to_have_value("private_reply")
    page.keyboard.press("Control+.")
    expect(page.locator("#problem-badge")).to_have_text("0")
    expect(page.locator("#saved")).to_contain_text("Draft saved")
