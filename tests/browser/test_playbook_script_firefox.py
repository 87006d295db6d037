"""The script of customers' pages in a real Firefox, which Playwright cannot drive; see `make test-web`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_playbook_script_security import BROKEN_BROWSERS, EVERY_ACTION, HOSTILE, HOSTILE_BODY
from tests.support.customer_site import BODY, SITE_KEY, STRICT_POLICY, Site, make_playbook, replace_text
from tests.support.firefox import FirefoxPage, find_firefox, run_firefox
from tests.support.script_visits import DEBUG
from tests.support.waiting import eventually

pytestmark = [pytest.mark.web, pytest.mark.servers, pytest.mark.timeout(180)]

HERO = "document.querySelector('.hero').textContent"
LOADED = f"!!localStorage.getItem('beckon:{SITE_KEY}:playbooks')"
QUEUE = f"localStorage['beckon:{SITE_KEY}:queue']"

StartFirefox = Callable[..., FirefoxPage]


@pytest.fixture
def start_firefox(tmp_path: Path) -> Iterator[StartFirefox]:
    """`start_firefox(**preferences)`; fails if a page threw anything."""
    path = find_firefox()
    if path is None:
        pytest.skip("no Firefox is installed: apt-get install firefox-esr, or set TEST_FIREFOX to one")
    pages: list[FirefoxPage] = []
    with ExitStack() as stack:

        def start(**preferences: Any) -> FirefoxPage:
            names = {name.replace("__", "."): value for name, value in preferences.items()}
            page = stack.enter_context(run_firefox(path, tmp_path, names))
            pages.append(page)
            return page

        yield start
    assert [error for page in pages for error in page.errors] == []


def await_executions(site: Site, count: int = 1) -> list[dict[str, Any]]:
    eventually(lambda: site.stand_in.count_executions() >= count, timeout=20)
    return site.stand_in.list_accepted()


def test_firefox_executes_and_tracks_under_a_strict_policy(site: Site, start_firefox: StartFirefox) -> None:
    site.policy = STRICT_POLICY.format(beckon=site.beckon)
    site.pages["/pricing"] = BODY.replace(' style="height: 4000px"', "")
    site.stand_in.playbooks = [make_playbook(*EVERY_ACTION, trigger={"utm": {"source": "x"}})]
    page = start_firefox()
    page.prepare(DEBUG)
    page.go(site.address + "/pricing?utm_source=x")
    page.expect(HERO, "Welcome back")
    page.expect(
        "getComputedStyle(document.querySelector('beckon-banner').shadowRoot.querySelector('a')).fontSize", "15px"
    )
    (body,) = await_executions(site)
    assert (body["status"], body["deviceType"], len(body["actions"])) == ("success", "desktop", len(EVERY_ACTION))
    page.expect(QUEUE, "[]")
    assert page.lines == [
        "🎯 Workflow triggered: Mobile CTA Optimization by UTM Parameters",
        "📊 Tracking execution for workflow: Mobile CTA Optimization",
        f"✅ Execution tracked successfully: {body['executionId']}",
    ]


def test_firefox_reacts_to_scrolling_time_events_and_navigation(site: Site, start_firefox: StartFirefox) -> None:
    site.stand_in.playbooks = [
        make_playbook(replace_text("Scrolled"), name="Scroll", trigger={"scrollDepth": 50, "url": "/"}),
        make_playbook(replace_text("Emitted"), name="Event", trigger={"event": "cart", "timeOnPageMs": 0}),
        make_playbook(replace_text("Navigated"), name="Page", trigger={"url": "/next"}),
    ]
    page = start_firefox()
    page.resize(390, 844)
    page.go(site.address)
    page.expect(LOADED)
    page.evaluate("scrollTo(0, 4000)")
    page.expect(HERO, "Scrolled")
    page.evaluate("workflowSystem.emit('cart')")
    page.expect(HERO, "Emitted")
    page.evaluate("history.pushState({}, '', '/next')")
    page.expect(HERO, "Navigated")
    page.evaluate(
        "document.querySelector('.hero').replaceWith(Object.assign(document.createElement('h1'), {className: 'hero'}))"
    )
    page.expect(HERO, "Navigated")
    triggers = {body["workflowId"]: body["triggerName"] for body in await_executions(site, 3)}
    assert triggers == {"scroll": "Scroll Depth", "event": "Custom Event", "page": "Page URL"}


def test_firefox_retries_and_sends_what_is_left_on_the_next_page(site: Site, start_firefox: StartFirefox) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    site.stand_in.answers = [(503, {"Retry-After": "600"})]
    page = start_firefox()
    page.go(site.address)
    page.expect(f"JSON.parse({QUEUE} || '[]').length", 1)
    eventually(lambda: site.stand_in.reports, timeout=20)
    page.go(site.address + "/next")
    await_executions(site, 2)
    page.expect(QUEUE, "[]")


def test_firefox_with_global_privacy_control_keeps_nothing(site: Site, start_firefox: StartFirefox) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    page = start_firefox(privacy__globalprivacycontrol__enabled=True)
    page.go(site.address)
    page.expect("navigator.globalPrivacyControl")
    page.expect(HERO, "Welcome back")
    page.go(site.address + "/next")
    page.expect(HERO, "Welcome back")
    assert page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))") == []
    assert site.stand_in.reports == []
    page.evaluate("workflowSystem.consent(true)")
    await_executions(site)


def test_firefox_carries_out_no_hostile_action(site: Site, start_firefox: StartFirefox) -> None:
    site.pages["/"] = HOSTILE_BODY
    site.head = '<base href="/"><meta name="a" content="b">' + site.script_tag()
    site.stand_in.playbooks = [
        make_playbook(action, name=f"Hostile {number}", trigger={"event": "go"})
        for number, action in enumerate(HOSTILE)
    ]
    page = start_firefox()
    page.go(site.address)
    page.expect(LOADED)
    before = page.evaluate("document.documentElement.outerHTML")
    page.evaluate("workflowSystem.emit('go')")
    bodies = await_executions(site, len(HOSTILE))
    assert [body["workflowId"] for body in bodies if body["status"] != "error"] == []
    assert page.evaluate("[stolen, document.documentElement.outerHTML]") == [0, before]


@pytest.mark.parametrize("name", ["no storage", "full storage", "polluted prototypes", "no beacons"])
def test_firefox_with_a_broken_page_still_shows_the_playbook(
    site: Site, start_firefox: StartFirefox, name: str
) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    page = start_firefox()
    page.prepare(BROKEN_BROWSERS[name])
    page.go(site.address)
    page.expect(HERO, "Welcome back")
    await_executions(site)
