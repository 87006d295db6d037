"""The live monitor in a real browser: it shows the current state, stays live, and shows when it is disconnected."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import flask
import pytest
from playwright.sync_api import Page, expect

import clock
from models.database import acting_as
from models.queries import execute
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard.producers import Producer
from tests.support import histories
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

#: The stages and their labels.
TABLE = {
    "queued": "Queued", "checking": "Checking", "eligible": "Eligible", "generating": "Generating",
    "ready_to_send": "Ready", "sending": "Sending", "sent": "Sent", "completed": "Completed", "failed": "Failed",
    "skipped": "Skipped",
}  # fmt: skip


@pytest.fixture
def target(alice: Producer) -> tuple[str, str]:
    """The ids of Alice's workspace and of an automation in it."""
    return alice.workspace_id, alice.create(name="Comment follow-up")["id"]


def build_path(target: tuple[str, str], query: str = "") -> str:
    return f"/automations/{target[1]}/monitor{query}"


def find_row(page: Page, name: str) -> Any:
    return page.locator(".monitor-contacts > li").filter(has_text=name)


def find_live_status(page: Page) -> Any:
    return page.locator(".beat")


def add_sample_contacts(target: tuple[str, str]) -> None:
    """Sample contacts, one or more per stage."""
    histories.insert_execution(*target, "generating", name="John Doe", ago=8)
    jane = histories.insert_execution(*target, "ready_to_send", name="Jane Smith", ago=252,
                      **histories.build_waiting_columns(waiting_for="time", due_in=355))  # fmt: skip
    histories.insert_message(
        *target, jane, "Hi Jane, following up on the pricing question you left under our reel last week"
    )
    mike = histories.insert_execution(
        *target, "ready_to_send", name="Mike Johnson", **histories.build_waiting_columns(waiting_for="time", due_in=40)
    )
    histories.insert_message(
        *target, mike, "Hi Mike, I noticed you were interested in the annual plan", generation_ms=1243
    )
    histories.insert_execution(
        *target, "failed", name="Sarah Williams", ago=100, follow_up_count=2, error_class="rate_limit", attempt=2,
        error_message="Rate limit exceeded: Mailgun asks to wait 4 minutes.", status="waiting", waiting_for="retry",
        finished_at=None, due_at=clock.now(), next_retry_at=clock.now(),
    )  # fmt: skip
    histories.insert_execution(*target, "sent", name="Tom Brown", ago=30, follow_up_count=1, round=1,
               **histories.build_waiting_columns(waiting_for="follow_up", due_in=86_390))  # fmt: skip
    histories.insert_execution(
        *target, "eligible", name="Lena Fischer", **histories.build_waiting_columns(waiting_for="window", due_in=2575)
    )
    rita = histories.insert_execution(
        *target, "ready_to_send", name="Rita Read", **histories.build_waiting_columns(waiting_for="review")
    )
    histories.insert_message(*target, rita, "Hi Rita, here is your offer", status="review")
    histories.insert_execution(*target, "failed", name="Ulf Unwell", ago=200)
    histories.insert_execution(*target, "queued", name="Noor Haddad", ago=5)
    histories.insert_execution(*target, "sending", name="Olu Adeyemi", test=True)
    for number in range(6):
        histories.insert_execution(*target, "completed", name=f"Done {number}", ago=60 + 400 * number)
    for number in range(3):
        histories.insert_execution(*target, "skipped", name=f"Night {number}", ago=90 + 700 * number)


def add_follow_ups(target: tuple[str, str]) -> None:
    with acting_as(target[0]):
        execute("update workflow_versions set definition = definition || "
                """'{"rules": {"follow_ups": {"max": 3, "every": "24h"}}}'""")  # fmt: skip


def test_every_stage_has_its_card_pill_and_icon(visit: Any, target: tuple[str, str]) -> None:
    for number, stage in enumerate(TABLE):
        histories.insert_execution(*target, stage, name=f"Contact {number}")
    page = visit().go(build_path(target))
    for number, (stage, label) in enumerate(TABLE.items()):
        card, row = page.locator(f'.stage-card[data-stage="{stage}"]'), find_row(page, f"Contact {number}")
        expect(card.locator("strong")).to_have_text("1")
        expect(card.locator(".title")).to_have_text("Ready to send" if stage == "ready_to_send" else label)
        expect(row.locator(".pill")).to_have_text(label)
        expect(row.locator(".pill use")).to_have_attribute("href", re.compile(f"#{stage}$"))
    expect(page.locator(".monitor-contacts > li")).to_have_count(len(TABLE))


def test_the_monitor_shows_the_details_of_each_contact(visit: Any, target: tuple[str, str]) -> None:
    add_follow_ups(target)
    add_sample_contacts(target)
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    expect(find_row(page, "John Doe").locator(".says")).to_have_text("AI is writing the message")
    expect(find_row(page, "John Doe").locator(".since")).to_have_text(re.compile(r"^0:\d\d$"))
    expect(find_row(page, "Jane Smith").locator(".next")).to_have_text("Sends in 5 min")
    expect(find_row(page, "Jane Smith").locator(".says")).to_contain_text("“Hi Jane, following up")
    expect(find_row(page, "Mike Johnson").locator(".wrote")).to_have_text("1,243 ms")
    expect(find_row(page, "Sarah Williams").locator(".says")).to_contain_text("Rate limit exceeded")
    expect(find_row(page, "Sarah Williams").locator(".rounds")).to_have_text("2/3")
    expect(find_row(page, "Tom Brown").locator(".rounds")).to_have_text("1/3")
    expect(find_row(page, "Tom Brown").locator(".next")).to_contain_text("Next check in 23 h")
    expect(find_row(page, "Lena Fischer").locator(".next")).to_have_text("Active hours begin in 42 min")
    expect(find_row(page, "Olu Adeyemi").locator(".badge")).to_be_visible()
    expect(find_row(page, "John Doe").locator(".badge")).to_be_hidden()
    expect(page.locator(".reasons li").first).to_contain_text("Outside hours")
    # Rows that need an operator show what to do.
    expect(find_row(page, "Rita Read").locator(".says")).to_have_text("“Hi Rita, here is your offer”")
    expect(find_row(page, "Rita Read").locator(".next")).to_have_text("Waiting for approval")
    expect(find_row(page, "Ulf Unwell").locator(".says")).to_have_text("Network: No route to Mailgun.")
    expect(find_row(page, "Ulf Unwell").locator(".next")).to_have_text("Retry when the provider responds")
    # Three active executions can move, and some finished recently, so the backlog has an estimate.
    expect(page.locator('[data-fact="backlog"]')).to_have_text(re.compile(r"^≈ \d"))
    expect(page.locator('[data-fact="backlog-text"]')).to_contain_text("at the rate of the last ")
    expect(page.get_by_text("7 sent, 3 skipped, 1 failed")).to_be_visible()


def test_a_contact_changes_stage_and_keeps_its_node(visit: Any, target: tuple[str, str]) -> None:
    execution_id = histories.insert_execution(*target, "generating", name="John Doe")
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    find_row(page, "John Doe").evaluate("node => { node.dataset.mark = 'same' }")
    with acting_as(target[0]):
        execute(
            "update executions set stage = 'ready_to_send', stage_since = %s where id = %s", (clock.now(), execution_id)
        )
    expect(find_row(page, "John Doe").locator(".pill")).to_have_text("Ready")
    assert find_row(page, "John Doe").get_attribute("data-mark") == "same"
    expect(page.locator('.stage-card[data-stage="generating"] strong')).to_have_text("0")


@pytest.mark.slow
def test_the_time_in_a_stage_advances_between_snapshots(visit: Any, target: tuple[str, str]) -> None:
    histories.insert_execution(*target, "generating", name="John Doe", ago=100)
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.evaluate(
        "() => { const node = document.querySelector('.since'); window.seen = [];"
        "new MutationObserver(() => window.seen.push(node.textContent)).observe(node, { childList: true }) }"
    )
    seen = eventually(lambda: (values := page.evaluate("() => window.seen"))[5:] and values, timeout=20)
    seconds = [int(text.split(":")[0]) * 60 + int(text.split(":")[1]) for text in seen]
    # Without the timer it would advance by two seconds per snapshot.
    assert min(current - previous for previous, current in pairwise(seconds)) == 1


def test_the_list_is_filtered_by_stage_and_name(visit: Any, target: tuple[str, str]) -> None:
    add_sample_contacts(target)
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.locator('.stage-card[data-stage="ready_to_send"]').click()
    expect(page.locator(".monitor-contacts > li")).to_have_count(3)
    expect(page).to_have_url(re.compile(r"stage=ready_to_send$"))
    expect(page.locator('[data-fact="listed"]')).to_have_text("3 of 3 listed · Ready to send")
    page.keyboard.press("/")
    page.keyboard.type("jane")
    expect(page.locator(".monitor-contacts > li")).to_have_count(1)
    page.locator('.stage-card[data-stage="checking"]').click()
    expect(page.get_by_role("heading", name="No matching contacts")).to_be_visible()
    page.get_by_role("link", name="All stages").click()
    expect(page).not_to_have_url(re.compile("stage="))
    expect(page.locator(".monitor-contacts > li")).to_have_count(1)


def test_without_a_script_the_page_is_a_complete_snapshot(chromium: Any, visit: Any, target: tuple[str, str]) -> None:
    add_sample_contacts(target)
    visitor = visit()
    context = chromium.new_context(java_script_enabled=False, storage_state=visitor.page.context.storage_state())
    page = context.new_page()
    page.goto(visitor.address + build_path(target, "?stage=ready_to_send"))
    expect(page.locator(".monitor-contacts > li")).to_have_count(3)
    expect(find_live_status(page)).to_contain_text("As of ")
    expect(page.locator(".replay")).to_be_hidden()
    context.close()


def test_a_paused_view_does_not_change_until_it_is_resumed(visit: Any, target: tuple[str, str]) -> None:
    execution_id = histories.insert_execution(*target, "generating", name="John Doe")
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.get_by_role("button", name="Pause view").click()
    expect(find_live_status(page)).to_contain_text("Paused at ")
    with page.expect_response("**/summary"), acting_as(target[0]):
        execute("update executions set stage = 'ready_to_send' where id = %s", (execution_id,))
    expect(find_row(page, "John Doe").locator(".pill")).to_have_text("Generating")
    page.get_by_role("button", name="Resume view").click()
    expect(find_row(page, "John Doe").locator(".pill")).to_have_text("Ready")
    expect(find_live_status(page)).to_have_text("Live")


def test_the_slider_replays_past_snapshots(visit: Any, target: tuple[str, str]) -> None:
    histories.insert_execution(*target, "completed", name="Ada Byron", ago=3000, each=600)
    page = visit().go(build_path(target))
    expect(find_row(page, "Ada Byron").locator(".pill")).to_have_text("Completed")
    page.locator("#moment").fill("-65")
    expect(find_row(page, "Ada Byron").locator(".pill")).to_have_text("Sending")
    expect(find_live_status(page)).to_have_text("Replaying")
    expect(page.locator("#replay-time")).to_have_text("1 h 5 min ago")
    page.locator("#moment").fill("0")
    expect(find_row(page, "Ada Byron").locator(".pill")).to_have_text("Completed")
    expect(find_live_status(page)).to_have_text("Live")


def test_a_short_run_is_replayed_move_by_move(visit: Any, target: tuple[str, str]) -> None:
    # An older run, and one of seven moves in 12 seconds.
    histories.insert_execution(*target, "completed", name="Older", ago=3000)
    histories.insert_execution(*target, "sent", name="Ada Byron", ago=60, each=2)
    page = visit().go(build_path(target))
    pill = find_row(page, "Ada Byron").locator(".pill")
    expect(pill).to_have_text("Sent")
    page.get_by_role("button", name="Previous move").click()
    expect(find_live_status(page)).to_have_text("Replaying")
    expect(page.locator("#replay-time")).to_have_text(re.compile(r"^move (\d+) of \1$"))
    page.get_by_role("button", name="Previous move").click()
    expect(pill).to_have_text("Sending")
    page.keyboard.press("[")
    expect(pill).to_have_text("Ready")
    page.keyboard.press("]")
    expect(pill).to_have_text("Sending")
    expect(page.locator(".replay output")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    expect(page.locator('[data-fact="updates"]')).to_have_text("Replaying the past")
    page.get_by_role("button", name="Live").click()
    expect(pill).to_have_text("Sent")
    expect(find_live_status(page)).to_have_text("Live")


def test_playing_goes_through_every_move_of_the_newest_run(visit: Any, target: tuple[str, str]) -> None:
    histories.insert_execution(*target, "completed", name="Older", ago=3000)
    histories.insert_execution(*target, "sent", name="Ada Byron", ago=60, each=0.3)
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.evaluate(
        "() => { window.seen = []; const cards = document.querySelector('.stages');"
        "new MutationObserver(() => { const row = [...document.querySelectorAll('.monitor-contacts > li')]"
        ".find(row => row.textContent.includes('Ada')); if (row) window.seen.push(row.dataset.stage) })"
        ".observe(cards, { subtree: true, childList: true, characterData: true, attributes: true }) }"
    )
    page.get_by_role("button", name="Play").click()
    expect(find_live_status(page)).to_have_text("Playing")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    # At the end of the run the page is live again.
    expect(find_live_status(page)).to_have_text("Live")
    stages = list(dict.fromkeys(page.evaluate("() => window.seen")))
    assert [stage for stage in stages if stage in TABLE][:4] == ["queued", "checking", "eligible", "generating"]


def test_playing_can_be_paused(visit: Any, target: tuple[str, str]) -> None:
    histories.insert_execution(*target, "sent", name="Ada Byron", ago=60, each=2)
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.keyboard.press("r")
    expect(find_live_status(page)).to_have_text("Playing")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(find_live_status(page)).to_have_text("Replaying")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_the_list_has_headings_and_says_how_often_it_updates(visit: Any, target: tuple[str, str]) -> None:
    histories.insert_execution(*target, "generating", name="Ada Byron")
    page = visit().go(build_path(target))
    expect(page.locator('[data-fact="updates"]')).to_have_text("Updates every 2 s")
    expect(page.locator(".monitor-foot")).to_contain_text("Total active: 1")
    headings = page.locator(".monitor-headings span")
    expect(headings.filter(has_text="In stage")).to_be_visible()
    # Each heading stands above its column.
    heading, cell = headings.nth(2).bounding_box(), find_row(page, "Ada Byron").locator(".pill").bounding_box()
    assert heading is not None
    assert cell is not None
    assert abs(heading["x"] - cell["x"]) < 1
    page.get_by_role("button", name="Pause view").click()
    expect(page.locator('[data-fact="updates"]')).to_have_text("Paused")
    page.get_by_role("link", name="Close").click()
    page.wait_for_url("**/automations")


def test_no_cell_of_a_row_overlaps_another_on_a_phone(visit: Any, target: tuple[str, str]) -> None:
    add_follow_ups(target)
    add_sample_contacts(target)
    page = visit(PHONE).go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    overlapping = page.evaluate(
        """() => [...document.querySelectorAll(".monitor-contact, .stage-card")].flatMap((row) => {
            const cells = "strong, .says, .pill, .since, .next, .rounds, .wrote, .title, small";
            const boxes = [...row.querySelectorAll(cells)]
                .filter((cell) => cell.checkVisibility() && cell.textContent.trim())
                .map((cell) => [cell.textContent.trim(), cell.getBoundingClientRect()]);
            return boxes.flatMap(([one, a], at) => boxes.slice(at + 1)
                .filter(([two, b]) => a.left < b.right - 1 && b.left < a.right - 1)
                .filter(([two, b]) => a.top < b.bottom - 1 && b.top < a.bottom - 1)
                .map(([two]) => `${one} / ${two}`));
        })"""
    )
    assert overlapping == []


def test_the_page_shows_connecting_until_the_first_snapshot(visit: Any, target: tuple[str, str]) -> None:
    histories.insert_execution(*target, "generating", name="John Doe")
    visitor = visit()
    routes: list[Any] = []
    visitor.page.route("**/api/ai-automations/**", lambda route: routes.append(route))
    page = visitor.go(build_path(target))
    expect(find_live_status(page)).to_have_text("Connecting")
    # Until then the page shows the state at rendering.
    expect(find_row(page, "John Doe").locator(".pill")).to_have_text("Generating")
    eventually(lambda: routes or page.wait_for_timeout(20))
    routes[0].continue_()
    expect(find_live_status(page)).to_have_text("Live")


def test_the_page_shows_a_lost_and_a_restored_connection(visit: Any, target: tuple[str, str], app: flask.Flask) -> None:
    visitor = visit()
    page = visitor.go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.route("**/api/ai-automations/**", lambda route: route.abort())
    app.extensions["feeds"].close()
    expect(find_live_status(page)).to_contain_text("Disconnected, as of ")
    app.extensions["feeds"]._closed = False
    page.unroute("**/api/ai-automations/**")
    expect(find_live_status(page)).to_have_text("Live")
    visitor.complaints[:] = [complaint for complaint in visitor.complaints if "ERR_FAILED" not in complaint]


@pytest.mark.slow
def test_a_planned_reconnect_is_not_shown_as_lost(visit: Any, target: tuple[str, str], app: flask.Flask) -> None:
    page = visit().go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    page.evaluate(
        "() => { window.seen = []; new MutationObserver(() => window.seen.push(document.querySelector('.beat')"
        ".dataset.state)).observe(document.querySelector('.beat'), { attributes: true }) }"
    )
    for feed in list(app.extensions["feeds"]._feeds.values()):
        feed.end()
    with page.expect_request("**/api/ai-automations/**/monitor"):
        pass
    histories.insert_execution(*target, "generating", name="After the break")
    expect(find_row(page, "After the break")).to_have_count(1)
    assert page.evaluate("() => window.seen") == []


def test_an_unknown_automation_has_no_monitor(visit: Any, charlie: Producer) -> None:
    visitor = visit()
    page = visitor.go(build_path(("", charlie.create()["id"])))
    expect(page.get_by_text("There is no automation with that id.")).to_be_visible()
    visitor.complaints.clear()


def test_a_card_opens_the_monitor_without_active_contacts(visit: Any, target: tuple[str, str]) -> None:
    page = visit().go("/automations")
    page.get_by_role("article", name="Comment follow-up").get_by_role("link", name="Monitor").click()
    page.wait_for_url("**" + build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    expect(page.get_by_role("heading", name="No active contacts")).to_be_visible()


def test_a_test_trigger_opens_the_monitor(visit: Any, target: tuple[str, str]) -> None:
    page = visit().go("/automations")
    page.get_by_text("Test Trigger").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Start test")).to_be_hidden()
    page.get_by_text("Test Trigger").click()
    page.get_by_role("button", name="Start test").click()
    page.wait_for_url("**/monitor")
    expect(find_row(page, "Ada Byron").locator(".badge")).to_be_visible()
    page.get_by_text("Test Trigger").click()
    page.get_by_label("Sample contacts").fill("14")
    page.get_by_role("button", name="Start test").click()
    expect(page.locator('.stage-card[data-stage="queued"] strong')).to_have_text("15")


def test_a_test_trigger_goes_to_selected_contacts(visit: Any, target: tuple[str, str]) -> None:
    for name in ("Ada Byron", "Jane Smith", "John Doe"):
        histories.insert_contact(target[0], name)
    page = visit().go(f"/automations/{target[1]}/test")
    page.get_by_label("Jane Smith").check()
    page.get_by_label("Find a contact").fill("ada")
    page.keyboard.press("Enter")
    # A search keeps the selected contacts.
    expect(page.get_by_label("Jane Smith")).to_be_checked()
    expect(page.get_by_label("John Doe")).to_have_count(0)
    page.get_by_label("Ada Byron").check()
    page.get_by_role("button", name="Start test with selected contacts").click()
    page.wait_for_url("**/monitor")
    expect(page.locator(".monitor-contacts .badge:visible")).to_have_count(2)
    for name in ("Ada Byron", "Jane Smith"):
        expect(find_row(page, name).locator(".pill")).to_have_text("Queued")


@pytest.mark.parametrize(
    ("viewport", "look"),
    [
        pytest.param(DESKTOP, "light", id="desktop-light"),
        pytest.param(PHONE, "dark", id="phone-dark"),
        pytest.param(DESKTOP, "dark", id="desktop-dark", marks=pytest.mark.slow),
        pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.slow),
    ],
)
def test_the_monitor_fits_and_logs_no_errors(
    visit: Any, target: tuple[str, str], viewport: dict[str, int], look: str, tmp_path_factory: Any
) -> None:
    add_follow_ups(target)
    add_sample_contacts(target)
    visitor = visit(viewport, look)
    page = visitor.go(build_path(target))
    expect(find_live_status(page)).to_have_text("Live")
    assert not visitor.has_overflow()
    for kind in ("button", "link", "searchbox", "slider", "spinbutton"):
        for control in page.get_by_role(kind).all():  # type: ignore[arg-type]
            expect(control).to_have_accessible_name(re.compile(r"\S"))
