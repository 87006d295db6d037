"""The conditions of playbooks in a real browser: each comes true when it should, and all present ones must hold."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.customer_site import SITE_KEY, Site, make_playbook, replace_text
from tests.support.script_visits import PHONE_OPTIONS, OpenVisit

LOADED = f"() => !!localStorage.getItem('beckon:{SITE_KEY}:playbooks')"
TABLET = {"user_agent": "Mozilla/5.0 (Linux; Android 15; SM-X510) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"}
SCROLL = "share => scrollTo(0, (document.documentElement.scrollHeight - innerHeight) * share)"


def offer(site: Site, **trigger: Any) -> None:
    """One playbook with these conditions, and one without any, whose execution shows that the script is at work."""
    marker = make_playbook({"action": "hide", "selector": ".buy"}, name="Marker")
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger=trigger), marker]


def await_marker(page: Page) -> None:
    expect(page.locator(".buy")).to_be_hidden()


@pytest.mark.parametrize(
    ("pattern", "path", "is_shown"),
    [
        ("/pricing*", "/pricing/teams?plan=1", True),
        ("http://localhost:*/pri*ing", "/pricing", True),
        pytest.param("/pricing", "/pricing/teams", False, marks=pytest.mark.slow),
        pytest.param("*/größe", "/de/größe", True, marks=pytest.mark.slow),
        pytest.param("https://localhost:*/pricing", "/pricing", False, marks=pytest.mark.slow),
    ],
)
def test_a_page_url_pattern_matches_the_path_or_the_address(
    site: Site, open_visit: OpenVisit, pattern: str, path: str, is_shown: bool
) -> None:
    offer(site, url=pattern)
    visit = open_visit(path)
    await_marker(visit.page)
    visit.expect_hero("Welcome back" if is_shown else "Simple prices")


def test_a_pattern_of_many_stars_takes_no_time(site: Site, open_visit: OpenVisit) -> None:
    offer(site, url="/" + "*a" * 200 + "b")
    visit = open_visit("/" + "a" * 2000)
    await_marker(visit.page)
    visit.expect_hero("Simple prices")


@pytest.mark.parametrize(
    ("options", "device"),
    [({}, "desktop"), (PHONE_OPTIONS, "mobile"), (TABLET, "tablet")],
    ids=lambda value: str(value)[:8],
)
def test_a_device_type_is_recognised(site: Site, open_visit: OpenVisit, options: Any, device: str) -> None:
    devices = ["desktop", "mobile", "tablet"]
    site.stand_in.playbooks = [
        make_playbook(replace_text(f"On a {name}"), name=name, trigger={"device": [name]}) for name in devices
    ]
    visit = open_visit(**options)
    visit.expect_hero(f"On a {device}")
    assert [body["deviceType"] for body in visit.await_executions()] == [device]


def test_utm_parameters_of_the_landing_page_hold_for_the_whole_session(site: Site, open_visit: OpenVisit) -> None:
    offer(site, utm={"source": "newsletter", "medium": "email"}, url="/second")
    visit = open_visit("/?utm_source=Newsletter&utm_medium=email")
    await_marker(visit.page)
    visit.go("/second")
    visit.expect_hero("Welcome back")
    visit.go("/second?utm_source=other")
    await_marker(visit.page)
    visit.expect_hero("Simple prices")


def test_scroll_depth_holds_once_the_visitor_has_scrolled_so_far(site: Site, open_visit: OpenVisit) -> None:
    offer(site, scrollDepth=50)
    visit = open_visit()
    await_marker(visit.page)
    visit.page.evaluate(SCROLL, 0.4)
    visit.page.wait_for_function("() => scrollY > 0")
    visit.expect_hero("Simple prices")
    visit.page.evaluate(SCROLL, 0.6)
    visit.expect_hero("Welcome back")
    assert visit.await_executions(2)[-1]["triggerName"] == "Scroll Depth"


def test_scroll_depth_counts_an_application_that_scrolls_its_main_part(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = (
        '<a class="buy">Buy</a><div id="main" style="height: 90vh; overflow: auto">'
        '<h1 class="hero">Simple prices</h1><div style="height: 4000px"></div></div>'
        '<ul id="menu" style="height: 40px; overflow: auto"><li style="height: 900px"></ul>'
    )
    offer(site, scrollDepth=50)
    visit = open_visit()
    await_marker(visit.page)
    visit.page.evaluate("menu.scrollTo(0, 9999)")
    visit.page.evaluate("main.scrollTo(0, 100)")
    visit.page.wait_for_function("() => main.scrollTop === 100")
    visit.expect_hero("Simple prices")
    visit.page.evaluate("main.scrollTo(0, 9999)")
    visit.expect_hero("Welcome back")


def test_time_on_page_counts_only_visible_time(site: Site, open_visit: OpenVisit) -> None:
    offer(site, timeOnPageMs=10_000)
    visit = open_visit(
        None, "window.isHidden = false; Object.defineProperty(document, 'hidden', {get: () => isHidden});"
    )
    visit.page.clock.install()
    page = visit.go()
    await_marker(page)
    page.clock.run_for(8000)
    page.evaluate("isHidden = true; document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(60_000)
    visit.expect_hero("Simple prices")
    page.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(1000)
    visit.expect_hero("Simple prices")
    page.clock.run_for(1500)
    visit.expect_hero("Welcome back")
    assert visit.await_executions(2)[-1]["triggerName"] == "Time on Page"


def test_exit_intent_is_a_pointer_that_leaves_over_the_top(site: Site, open_visit: OpenVisit) -> None:
    offer(site, exitIntent=True)
    visit = open_visit()
    await_marker(visit.page)
    leave = "y => document.documentElement.dispatchEvent(new MouseEvent('mouseout', {clientY: y, bubbles: true}))"
    visit.page.evaluate(leave, 500)
    visit.expect_hero("Simple prices")
    visit.page.evaluate(leave, -3)
    visit.expect_hero("Welcome back")
    assert visit.await_executions(2)[-1]["triggerName"] == "Exit Intent"


def test_exit_intent_on_a_touch_screen_is_a_quick_flick_back_up(site: Site, open_visit: OpenVisit) -> None:
    offer(site, exitIntent=True)
    visit = open_visit(**PHONE_OPTIONS)
    page = visit.page
    await_marker(page)
    page.evaluate("scrollTo(0, 3000)")
    page.wait_for_function("() => scrollY === 3000")
    # A script that scrolls up is no visitor.
    page.evaluate("scrollTo(0, 2000)")
    page.wait_for_function("() => scrollY === 2000")
    visit.expect_hero("Simple prices")
    page.evaluate(
        """() => new Promise(done => { window.dispatchEvent(new Event('touchmove')); scrollTo(0, 1990);
        addEventListener('scroll', () => { scrollTo(0, 1200); done() }, { once: true }) })"""
    )
    visit.expect_hero("Welcome back")


def test_a_visitor_returns_in_a_later_session(site: Site, open_visit: OpenVisit) -> None:
    new = make_playbook(replace_text("Hello"), name="New", trigger={"returning": False})
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger={"returning": True}), new]
    visit = open_visit()
    visit.expect_hero("Hello")
    visit.page.reload()
    visit.expect_hero("Hello")
    visit.page.evaluate(
        f"""() => {{ const name = 'beckon:{SITE_KEY}:session'; const session = JSON.parse(localStorage[name]);
        localStorage[name] = JSON.stringify({{ ...session, at: session.at - 31 * 60000 }}) }}"""
    )
    visit.page.reload()
    visit.expect_hero("Welcome back")
    assert visit.await_executions(3)[-1]["triggerName"] == "Returning Visitor"


def test_a_custom_event_executes_each_time_it_is_emitted(site: Site, open_visit: OpenVisit) -> None:
    offer(site, event="cart")
    visit = open_visit()
    await_marker(visit.page)
    visit.page.evaluate("workflowSystem.emit('other')")
    visit.expect_hero("Simple prices")
    visit.page.evaluate("workflowSystem.emit('cart'); workflowSystem.emit('cart')")
    visit.expect_hero("Welcome back")
    bodies = visit.await_executions(3)
    assert [body["triggerName"] for body in bodies if body["workflowId"] != "marker"] == ["Custom Event"] * 2


def test_an_event_emitted_before_the_playbooks_have_come_counts(site: Site, open_visit: OpenVisit) -> None:
    offer(site, event="cart")
    site.head = site.script_tag("") + '<script>workflowSystem.emit("cart")</script>'
    open_visit().expect_hero("Welcome back")


def test_all_conditions_must_hold_and_the_last_names_the_trigger(site: Site, open_visit: OpenVisit) -> None:
    offer(site, url="/pricing", device=["desktop"], utm={"source": "x"}, scrollDepth=20, event="cart")
    visit = open_visit("/pricing?utm_source=x")
    await_marker(visit.page)
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.expect_hero("Simple prices")
    visit.page.evaluate(SCROLL, 0.9)
    visit.expect_hero("Welcome back")
    assert visit.await_executions(2)[-1]["triggerName"] == "Scroll Depth"


def test_the_trigger_name_of_conditions_that_hold_at_once_is_the_most_specific(
    site: Site, open_visit: OpenVisit
) -> None:
    offer(site, url="/*", device=["desktop"], utm={"source": "x"})
    bodies = open_visit("/?utm_source=x").await_executions(2)
    assert {body["workflowId"]: body["triggerName"] for body in bodies} == {
        "mobile-cta-optimization": "UTM Parameters", "marker": "Page URL",
    }  # fmt: skip


def test_a_visitor_sees_a_playbook_as_often_as_its_frequency_allows(site: Site, open_visit: OpenVisit) -> None:
    offer(site)
    site.stand_in.playbooks[0]["frequency"] = {"max": 2, "perMs": 7 * 86_400_000}
    visit = open_visit()
    for text in ("Welcome back", "Welcome back", "Simple prices"):
        await_marker(visit.page)
        visit.expect_hero(text)
        visit.page.reload()
    visit.page.evaluate(
        f"""() => {{ const name = 'beckon:{SITE_KEY}:executed'; const all = JSON.parse(localStorage[name]);
        all['mobile-cta-optimization'] = all['mobile-cta-optimization'].map(time => time - 8 * 86400000);
        localStorage[name] = JSON.stringify(all) }}"""
    )
    visit.page.reload()
    visit.expect_hero("Welcome back")


def test_a_page_that_the_browser_only_prepares_executes_nothing(site: Site, open_visit: OpenVisit) -> None:
    offer(site)
    prepare = (
        "window.isPrepared = true; Object.defineProperty(Document.prototype, 'prerendering', {get: () => isPrepared});"
    )
    visit = open_visit(prepare=prepare)
    assert site.stand_in.playbook_requests == []
    visit.page.evaluate("isPrepared = false; document.dispatchEvent(new Event('prerenderingchange'))")
    visit.expect_hero("Welcome back")
