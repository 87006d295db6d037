"""Do Not Track, Global Privacy Control and consent in a real browser: playbooks run, and nothing is sent or stored
until the visitor agrees."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.customer_site import SITE_KEY, Site, make_playbook, replace_text
from tests.support.script_visits import DEBUG, DO_NOT_TRACK, GLOBAL_PRIVACY_CONTROL, OpenVisit

HIDE_BUY = {"action": "hide", "selector": ".buy"}


def offer(site: Site) -> None:
    once = {"max": 1, "perMs": 86_400_000}
    site.stand_in.playbooks = [
        make_playbook(replace_text(), trigger={"utm": {"source": "x"}}, frequency=once),
        make_playbook(HIDE_BUY, name="On event", trigger={"event": "cart"}),
    ]


@pytest.mark.parametrize("signal", [DO_NOT_TRACK, GLOBAL_PRIVACY_CONTROL], ids=["DNT", "GPC"])
def test_with_a_privacy_signal_playbooks_run_and_nothing_is_kept(
    site: Site, open_visit: OpenVisit, signal: str
) -> None:
    offer(site)
    visit = open_visit("/?utm_source=x", prepare=signal + DEBUG)
    for _ in range(2):
        visit.expect_hero("Welcome back")
        visit.page.evaluate("workflowSystem.emit('cart'); dispatchEvent(new PageTransitionEvent('pagehide'))")
        expect(visit.page.locator(".buy")).to_be_hidden()
        visit.page.reload()
    visit.expect_hero("Welcome back")
    assert site.stand_in.reports == []
    assert visit.read_storage() == {}
    assert visit.page.context.cookies() == []
    assert {line[0] for line in visit.list_workflow_lines()} == {"🎯"}


def test_consent_sends_and_stores_what_happened_on_this_page(site: Site, open_visit: OpenVisit) -> None:
    offer(site)
    visit = open_visit("/?utm_source=x", prepare=DO_NOT_TRACK)
    visit.expect_hero("Welcome back")
    visit.page.evaluate("workflowSystem.consent(true)")
    visit.await_executions(1)
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.await_executions(2)
    assert any("executed" in name for name in visit.read_storage())
    # The answer holds on the next page.
    visit.go("/?utm_source=x")
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.await_executions(3)
    visit.expect_hero("Simple prices")


def test_refusal_clears_everything_and_stops_sending(site: Site, open_visit: OpenVisit) -> None:
    offer(site)
    visit = open_visit("/?utm_source=x", prepare=DO_NOT_TRACK)
    visit.page.evaluate("workflowSystem.consent(true)")
    visit.await_executions(1)
    visit.page.wait_for_function(f"() => localStorage['beckon:{SITE_KEY}:queue'] === '[]'")
    visit.page.evaluate("localStorage.mine = 'stays'; workflowSystem.consent(false); workflowSystem.emit('cart')")
    expect(visit.page.locator(".buy")).to_be_hidden()
    visit.go("/?utm_source=x")
    visit.expect_hero("Welcome back")
    assert visit.read_storage() == {"mine": "stays"}
    assert len(site.stand_in.reports) == 1


def test_a_refusal_without_a_signal_is_the_only_thing_remembered(site: Site, open_visit: OpenVisit) -> None:
    offer(site)
    visit = open_visit("/")
    visit.page.evaluate("workflowSystem.consent(false)")
    visit.go("/?utm_source=x")
    visit.expect_hero("Welcome back")
    assert visit.read_storage() == {f"beckon:{SITE_KEY}:consent": "0"}
    assert site.stand_in.reports == []
    visit.page.evaluate("workflowSystem.consent(true); workflowSystem.emit('cart')")
    visit.await_executions(1)


def test_a_refusal_forgets_what_was_about_to_be_sent(site: Site, open_visit: OpenVisit) -> None:
    offer(site)
    site.stand_in.answers = [(503, {"Retry-After": "1"})]
    visit = open_visit("/?utm_source=x", prepare=DEBUG)
    visit.await_line("status 503")
    visit.page.evaluate("workflowSystem.consent(false)")
    visit.page.clock.install()
    visit.page.clock.run_for(5000)
    visit.page.evaluate("dispatchEvent(new Event('online')); dispatchEvent(new PageTransitionEvent('pagehide'))")
    visit.go("/")
    visit.page.wait_for_function("() => !!window.workflowSystem")
    assert [report.status for report in site.stand_in.reports] == [503]


def test_the_session_is_one_over_pages_and_tabs(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(HIDE_BUY)]
    visit = open_visit()
    visit.await_executions(1)
    other = visit.page.context.new_page()
    other.goto(site.address + "/other")
    bodies = visit.await_executions(2)
    assert len({body["sessionId"] for body in bodies}) == 1


def test_no_cookie_goes_to_the_server(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit(None)
    visit.page.context.add_cookies([{"name": "session", "value": "operator", "url": site.beckon}])
    visit.go()
    visit.await_executions()
    assert site.stand_in.cookies == [None, None]
