"""The way of a report to the server: once for each execution, kept while the server or the network is away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.customer_site import SITE_KEY, Site, make_playbook, replace_text
from tests.support.script_visits import DEBUG, OpenVisit, ScriptVisit
from tests.support.waiting import eventually

QUEUE = f"beckon:{SITE_KEY}:queue"
LOADED = f"() => !!localStorage.getItem('beckon:{SITE_KEY}:playbooks')"
EMPTY = f"() => localStorage.getItem('{QUEUE}') === '[]'"


def offer_event(site: Site) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger={"event": "cart"})]


def emit(visit: ScriptVisit) -> None:
    visit.page.wait_for_function(LOADED)
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.expect_hero("Welcome back")


def list_queue(visit: ScriptVisit) -> list[dict[str, Any]]:
    return list(json.loads(visit.page.evaluate(f"localStorage.getItem('{QUEUE}')") or "[]"))


def test_a_report_is_plain_text_for_the_site_key_and_needs_no_preflight(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit()
    visit.await_executions()
    (report,) = site.stand_in.reports
    assert report.path == f"/api/track-execution?k={SITE_KEY}"
    assert report.content_type.startswith("text/plain")
    assert report.origin == site.address


def test_what_happens_offline_is_sent_once_online_again(site: Site, open_visit: OpenVisit) -> None:
    offer_event(site)
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    visit.page.context.set_offline(True)
    emit(visit)
    eventually(lambda: list_queue(visit))
    assert site.stand_in.reports == []
    visit.page.context.set_offline(False)
    visit.await_executions()
    visit.page.wait_for_function(EMPTY)
    assert len(site.stand_in.reports) == 1


def test_what_happens_offline_is_sent_on_the_next_page(site: Site, open_visit: OpenVisit) -> None:
    offer_event(site)
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    visit.page.context.set_offline(True)
    emit(visit)
    (queued,) = eventually(lambda: list_queue(visit))
    visit.page.goto("about:blank")
    visit.page.context.set_offline(False)
    visit.go("/next")
    bodies = visit.await_executions()
    visit.page.wait_for_function(EMPTY)
    # The browser may also have kept the beacon of the page that was left: both have one id.
    assert {(body["executionId"], body["pageUrl"]) for body in bodies} == {(queued["id"], site.address + "/")}


@pytest.mark.parametrize("status", [503, *(pytest.param(status, marks=pytest.mark.slow) for status in (429, 500, 502))])
def test_a_temporary_fault_is_retried_after_a_delay(site: Site, open_visit: OpenVisit, status: int) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    site.stand_in.answers = [(status, {})] * 2
    visit = open_visit(None, DEBUG)
    visit.page.clock.install()
    visit.go()
    for fault in range(2):
        eventually(lambda count=fault + 1: visit.page.evaluate("0") == 0 and len(site.stand_in.reports) == count)
        visit.await_line(f"status {status}")
        visit.page.clock.run_for(400)
        assert len(site.stand_in.reports) == fault + 1
        visit.page.clock.run_for(3000)
    visit.await_line("✅")
    assert len({report.body["executionId"] for report in site.stand_in.reports}) == 1
    assert site.stand_in.count_executions() == 1


@pytest.mark.parametrize(
    "header", ["30", pytest.param("Thu, 01 Jan 2026 00:00:30 GMT", marks=pytest.mark.slow)], ids=["seconds", "date"]
)
def test_retry_after_is_respected(site: Site, open_visit: OpenVisit, header: str) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    site.stand_in.answers = [(429, {"Retry-After": header})]
    visit = open_visit(None, DEBUG)
    visit.page.clock.install(time="2026-01-01T00:00:00Z")
    visit.go()
    visit.await_line("status 429")
    visit.page.clock.run_for(25_000)
    # Neither another execution nor the browser's return to the network shortens it.
    visit.page.evaluate("dispatchEvent(new Event('online'))")
    visit.page.clock.run_for(1000)
    assert [report.status for report in site.stand_in.reports] == [429]
    visit.page.clock.run_for(10_000)
    visit.await_line("✅")
    assert [report.status for report in site.stand_in.reports] == [429, 201]


@pytest.mark.parametrize(
    "status", [404, *(pytest.param(status, marks=pytest.mark.slow) for status in (400, 401, 403, 413, 422))]
)
def test_a_refused_report_is_not_sent_again(site: Site, open_visit: OpenVisit, status: int) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    site.stand_in.answers = [(status, {})]
    visit = open_visit(prepare=DEBUG)
    visit.await_line(f"refused: status {status}")
    assert list_queue(visit) == []
    assert not [line for line in visit.lines if line.startswith("✅")]
    # The next page reports its own execution, and only that.
    visit.page.reload()
    visit.await_executions()
    assert [report.status for report in site.stand_in.reports] == [status, 201]
    assert site.stand_in.reports[0].body["executionId"] != site.stand_in.reports[1].body["executionId"]


def test_a_page_that_is_left_sends_beacons(site: Site, open_visit: OpenVisit) -> None:
    offer_event(site)
    site.pages["/"] = '<h1 class="hero"></h1>'
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    # In one task: three executions, and the page is gone before any could be sent.
    visit.page.evaluate(
        """() => { window.beacons = 0; const send = navigator.sendBeacon.bind(navigator);
        navigator.sendBeacon = (...all) => { localStorage.beacons = ++beacons; return send(...all) };
        for (let i = 0; i < 3; i++) workflowSystem.emit('cart'); dispatchEvent(new PageTransitionEvent('pagehide')) }"""
    )
    visit.await_executions(3)
    assert visit.read_storage()["beacons"] == "3"
    assert {report.content_type.split(";")[0] for report in site.stand_in.reports} == {"text/plain"}


def test_a_beacon_that_the_browser_refuses_goes_as_a_request(site: Site, open_visit: OpenVisit) -> None:
    offer_event(site)
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    visit.page.evaluate(
        """() => { navigator.sendBeacon = () => false; workflowSystem.emit('cart');
        dispatchEvent(new PageTransitionEvent('pagehide')) }"""
    )
    visit.page.goto("about:blank")
    visit.await_executions()


def test_an_execution_that_waits_is_reported_when_the_page_is_left(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), {"action": "hide", "selector": ".nowhere"})]
    visit = open_visit()
    visit.expect_hero("Welcome back")
    visit.page.goto("about:blank")
    (body,) = visit.await_executions()
    assert body["status"] == "timeout"


def test_what_was_sent_twice_has_the_same_id(site: Site, open_visit: OpenVisit) -> None:
    offer_event(site)
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    visit.page.evaluate("workflowSystem.emit('cart'); dispatchEvent(new PageTransitionEvent('pagehide'))")
    visit.await_executions()
    # A beacon has no answer: what it carried stays stored, and the next page confirms it.
    visit.page.wait_for_function(EMPTY)
    assert site.stand_in.count_executions() == 1


def test_a_large_report_is_trimmed_to_what_a_beacon_takes(site: Site, open_visit: OpenVisit) -> None:
    actions = [replace_text("€" * 2500, f".hero, .nowhere-{number}") for number in range(100)]
    site.stand_in.playbooks = [make_playbook(*actions)]
    (body,) = open_visit().await_executions()
    size = len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
    assert size <= 60_000
    assert len(body["actions"]) == 100
    assert body["actions"][0]["config"]["text"] == "€" * 100


def test_the_stored_queue_is_bounded(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [
        make_playbook(replace_text("€" * 2500), name=f"Playbook {number}", trigger={"event": "cart"})
        for number in range(70)
    ]
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    visit.page.context.set_offline(True)
    visit.page.evaluate("workflowSystem.emit('cart')")
    queue = eventually(lambda: list_queue(visit))
    assert len(queue) == 50
    assert json.loads(queue[-1]["body"])["workflowId"] == "playbook-69"
    assert sum(len(item["body"]) for item in queue) <= 250_000


def test_a_broken_queue_is_replaced(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    prepare = f"localStorage['{QUEUE}'] = localStorage['{QUEUE}'] || '[null, 7, {{\"id\": 3}}, {{}}'"
    visit = open_visit(prepare=prepare)
    visit.await_executions()
    visit.page.wait_for_function(EMPTY)
    assert len(site.stand_in.reports) == 1


def test_nothing_is_sent_while_tracking_is_switched_off(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    site.stand_in.tracking = False
    visit = open_visit(prepare=DEBUG)
    visit.expect_hero("Welcome back")
    # Also what an earlier page left is not sent, and the copy of the list says the same.
    visit.page.evaluate(f"localStorage['{QUEUE}'] = JSON.stringify([{{id: 'x', body: '{{}}', at: Date.now()}}])")
    visit.page.reload()
    visit.expect_hero("Welcome back")
    visit.page.wait_for_function(EMPTY)
    assert site.stand_in.reports == []
    assert visit.list_workflow_lines() == ["🎯 Workflow triggered: Mobile CTA Optimization by Page URL"] * 2
