"""What the browser script withstands: strict pages, hostile playbooks that passed the server, and broken browsers.

`open_visit` fails every test in which something is thrown into the page.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.customer_site import BODY, BUILT, SITE_KEY, STRICT_POLICY, Site, make_playbook, replace_text
from tests.support.script_visits import DEBUG, OpenVisit

LOADED = f"() => !!localStorage.getItem('beckon:{SITE_KEY}:playbooks')"
EVERY_ACTION = [
    replace_text(),
    {"action": "replace_image", "selector": ".photo", "src": "/new.png"},
    {"action": "set_attribute", "selector": ".buy", "name": "href", "value": "/sale"},
    {"action": "set_style", "selector": ".buy", "style": {"color": "rgb(1, 2, 3)"}},
    {"action": "show", "selector": ".offer"},
    {"action": "hide", "selector": "#late"},
    {"action": "insert_banner", "position": "top", "text": "Sale", "url": "/sale"},
    {"action": "track_event", "name": "seen"},
]


def test_every_action_works_under_a_strict_policy_and_trusted_types(site: Site, open_visit: OpenVisit) -> None:
    site.policy = STRICT_POLICY.format(beckon=site.beckon)
    site.pages["/"] = site.pages["/sale"] = BODY.replace(' style="height: 4000px"', "")
    site.stand_in.playbooks = [
        make_playbook(*EVERY_ACTION),
        make_playbook({"action": "redirect", "url": "/sale"}, name="Leave", trigger={"event": "leave"}),
    ]
    visit = open_visit(prepare=DEBUG)
    page = visit.page
    visit.expect_hero("Welcome back")
    expect(page.locator(".buy")).to_have_css("color", "rgb(1, 2, 3)")
    banner = page.locator("beckon-banner").get_by_role("link", name="Sale")
    expect(banner).to_have_css("font-size", "15px")
    (body,) = visit.await_executions()
    assert body["status"] == "success", body
    page.evaluate("workflowSystem.emit('leave')")
    page.wait_for_url("**/sale")
    # The browser has reported no violation.
    assert [line for line in visit.lines if line not in visit.list_workflow_lines()] == []


def test_a_page_with_an_integrity_hash_runs_the_script(site: Site, open_visit: OpenVisit) -> None:
    manifest = json.loads((BUILT / "manifest.json").read_text(encoding="utf-8"))
    site.head = site.script_tag(f'integrity="{manifest["script"]["integrity"]}" crossorigin="anonymous" defer')
    site.stand_in.playbooks = [make_playbook(replace_text())]
    open_visit().expect_hero("Welcome back")


HOSTILE: list[dict[str, Any]] = [
    {"action": "set_attribute", "selector": ".buy", "name": "onclick", "value": "steal()"},
    {"action": "set_attribute", "selector": ".buy", "name": "ONMOUSEOVER", "value": "steal()"},
    {"action": "set_attribute", "selector": ".buy", "name": "style", "value": "color: red"},
    {"action": "set_attribute", "selector": ".buy", "name": "href", "value": "javascript:steal()"},
    {"action": "set_attribute", "selector": ".buy", "name": "HREF", "value": " \u0001Java\nScript:steal()"},
    {"action": "set_attribute", "selector": ".buy", "name": "href", "value": "data:text/html,<script>steal()</script>"},
    {"action": "set_attribute", "selector": "svg a", "name": "xlink:href", "value": "javascript:steal()"},
    {"action": "set_attribute", "selector": "svg animate", "name": "values", "value": "javascript:steal()"},
    {"action": "set_attribute", "selector": "form", "name": "action", "value": "vbscript:steal()"},
    {"action": "set_attribute", "selector": "form", "name": "x-on:click", "value": "steal()"},
    {"action": "set_attribute", "selector": "form", "name": "data-hx-on:click", "value": "steal()"},
    {"action": "set_attribute", "selector": "form", "name": "data-effect", "value": "steal()"},
    {"action": "set_attribute", "selector": "iframe", "name": "srcdoc", "value": "<script>parent.steal()</script>"},
    {"action": "set_attribute", "selector": "iframe", "name": "src", "value": "/evil"},
    {"action": "set_attribute", "selector": "#code", "name": "src", "value": "/evil.js"},
    {"action": "set_attribute", "selector": "base", "name": "href", "value": "https://evil.example/"},
    {"action": "set_attribute", "selector": "meta", "name": "content", "value": "0; url=https://evil.example/"},
    {"action": "replace_text", "selector": "#code", "text": "steal()"},
    {"action": "replace_text", "selector": "svg script", "text": "steal()"},
    {"action": "replace_text", "selector": "style", "text": "* { background: url(https://evil.example/) }"},
    {"action": "replace_text", "selector": "*", "text": "gone"},
    {"action": "replace_text", "selector": ".hero"},
    {"action": "replace_image", "selector": ".photo", "src": "javascript:steal()"},
    {"action": "replace_image", "selector": "iframe", "src": "/evil"},
    {"action": "set_style", "selector": ".buy", "style": {"background": "url(javascript:steal())"}},
    {"action": "set_style", "selector": ".buy", "style": {"background": "URL( 'data:image/svg+xml,<svg/>' )"}},
    {"action": "set_style", "selector": ".buy", "style": {"width": "expression(steal())"}},
    {"action": "set_style", "selector": ".buy", "style": {"behavior": "url(/evil.htc)"}},
    {"action": "set_style", "selector": ".buy", "style": {"-moz-binding": "url(/evil.xml)"}},
    {"action": "set_style", "selector": ".buy", "style": {"color": "red; } * { display: none"}},
    {"action": "set_style", "selector": ".buy", "style": {"background": "u\\72l(ftp://evil.example)"}},
    {"action": "redirect", "url": "javascript:steal()"},
    {"action": "redirect", "url": "data:text/html,<script>steal()</script>"},
    {"action": "redirect", "url": "\tjavascript:steal()"},
    {"action": "redirect", "url": {"href": "javascript:steal()"}},
    {"action": "insert_banner", "position": "top", "text": "x", "url": "javascript:steal()"},
    {"action": "insert_banner", "position": "top"},
    {"action": "constructor", "selector": ".buy"},
    {"action": "run_script", "selector": ".buy", "text": "steal()"},
    {"action": "hide", "selector": ""},
    {"action": "hide", "selector": ".buy >"},
    {"action": "hide", "selector": 7},
]
HOSTILE_BODY = (
    BODY + '<form></form><svg><a></a><animate></animate><script type="text/plain"></script></svg><style></style>'
    '<iframe></iframe><script id="code"></script><script>window.stolen = 0; window.steal = () => { stolen++ }</script>'
)


def test_no_hostile_action_is_carried_out(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = HOSTILE_BODY
    site.head = '<base href="/"><meta name="a" content="b">' + site.script_tag()
    site.stand_in.playbooks = [
        make_playbook(action, name=f"Hostile {number}", trigger={"event": "go"})
        for number, action in enumerate(HOSTILE)
    ] + [make_playbook(replace_text(), name="Last", trigger={"event": "check"})]
    visit = open_visit()
    visit.page.wait_for_function(LOADED)
    before = visit.page.evaluate("document.documentElement.outerHTML")
    visit.page.evaluate("workflowSystem.emit('go')")
    bodies = visit.await_executions(len(HOSTILE))
    outcomes = {body["workflowId"]: (body["status"], body["actions"][0].get("error")) for body in bodies}
    assert {name: outcome for name, outcome in outcomes.items() if outcome[0] != "error" or not outcome[1]} == {}
    # What is there can be clicked, and nothing runs.
    visit.page.evaluate(
        "document.querySelectorAll('*').forEach(element => element.click && element.tagName !== 'A' && element.click())"
    )
    assert visit.page.evaluate("[stolen, document.documentElement.outerHTML]") == [0, before]
    # One bad playbook does not disturb another.
    visit.page.evaluate("workflowSystem.emit('check')")
    visit.expect_hero("Welcome back")


def mark_rest_slow(cases: dict[str, Any], *names: str) -> list[Any]:
    """The cases as parameters; those that are not named are slow."""
    return [
        pytest.param(case, id=name, marks=[] if name in names else [pytest.mark.slow]) for name, case in cases.items()
    ]


BROKEN_BROWSERS = {
    "no storage": "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('denied') }});"
    "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('denied') }});",
    "full storage": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') };",
    "no crypto": "Object.defineProperty(window, 'crypto', {value: undefined});",
    "an old JSON library": "Object.prototype.toJSON = Array.prototype.toJSON = () => 'broken';",
    "polluted prototypes": "Object.prototype.url = '/nowhere'; Object.prototype.frequency = {max: 0};"
    "Object.prototype.exitIntent = true; Array.prototype.extra = () => {}; Object.prototype.device = ['none'];",
    "no observers": "delete window.MutationObserver; delete window.CSSStyleSheet;",
    "no clock": "performance.now = () => { throw new Error('no clock') };",
    "no history": "history.pushState = null; Object.freeze(history);",
    "no console": "window.console = null; window.workflowSystem = {config: {debug: true}};",
    "no beacons": "navigator.sendBeacon = undefined; delete window.AbortController;",
}


@pytest.mark.parametrize("prepare", mark_rest_slow(BROKEN_BROWSERS, "no storage", "polluted prototypes"))
def test_a_broken_browser_still_shows_the_playbook_and_throws_nothing(
    site: Site, open_visit: OpenVisit, prepare: str
) -> None:
    site.stand_in.playbooks = [
        make_playbook(replace_text(), {"action": "insert_banner", "position": "top", "text": "Sale"})
    ]
    visit = open_visit(prepare=prepare)
    visit.expect_hero("Welcome back")
    expect(visit.page.locator("beckon-banner")).to_have_count(1)
    (body,) = visit.await_executions()
    assert (body["status"], len(body["actions"])) == ("success", 2)
    assert len(body["executionId"]) == 36


BROKEN_ANSWERS = {
    "not JSON": (200, "<html>"),
    "no list": (200, '{"success": true}'),
    "nulls": (200, '{"playbooks": [null, 7, {"id": "a"}, {"id": "b", "trigger": 3, "actions": [null, {"with": 5}]}]}'),
    "wrong types": (
        200,
        '{"playbooks": [{"id": {}, "name": [], "trigger": {"device": "mobile", "utm": [], "url": {}},'
        '"frequency": {"max": "a"}, "actions": {"length": 5}}, {"id": 1, "__proto__": {"trigger": null}}]}',
    ),
    "refused": (403, '{"success": false}'),
    "away": (503, ""),
}


@pytest.mark.parametrize("answer", mark_rest_slow(BROKEN_ANSWERS, "wrong types", "away"))
def test_a_broken_answer_of_the_server_throws_nothing(
    site: Site, open_visit: OpenVisit, answer: tuple[int, str]
) -> None:
    site.stand_in.playbooks_answer = answer
    visit = open_visit(prepare=DEBUG)
    visit.page.wait_for_load_state("networkidle")
    for call in ("emit()", "emit({})", "consent()", "identify({toString: null})", "identify()"):
        visit.page.evaluate(f"window.workflowSystem.{call}")
    visit.page.evaluate("history.pushState({}, '', '/next'); dispatchEvent(new PageTransitionEvent('pagehide'))")
    visit.expect_hero("Simple prices")


def test_a_broken_copy_in_storage_is_ignored(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    prepare = "".join(
        f"localStorage['beckon:{SITE_KEY}:{name}'] = '{value}';"
        for name, value in {"playbooks": '{"at": 9e99}', "session": "7", "executed": "[", "visited": "null"}.items()
    )
    visit = open_visit(prepare=prepare)
    visit.expect_hero("Welcome back")
    visit.await_executions()


def test_a_revoked_key_ends_the_playbooks_of_the_copy(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit()
    visit.await_executions()
    site.stand_in.playbooks_answer = (401, '{"success": false}')
    visit.page.reload()
    visit.page.wait_for_function(f"() => localStorage['beckon:{SITE_KEY}:playbooks'] === 'null'")
    visit.expect_hero("Simple prices")
    visit.page.reload()
    visit.page.wait_for_load_state("networkidle")
    visit.expect_hero("Simple prices")


def test_the_older_entry_point_works_through_the_same_code(site: Site, open_visit: OpenVisit) -> None:
    site.head = (
        f'<script src="{site.beckon}/beckon.js"></script><script>addEventListener("load", () => {{'
        f'const executor = new WorkflowExecutor({{siteKey: "{SITE_KEY}", debug: true}}); executor.run();'
        "executor.run();"
        "new WorkflowExecutor().run() })</script>"
    )
    site.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit()
    visit.expect_hero("Welcome back")
    visit.await_line("✅")
    assert len(visit.list_workflow_lines()) == 3
    assert len(site.stand_in.playbook_requests) == 1


def test_a_second_copy_of_the_script_does_nothing(site: Site, open_visit: OpenVisit) -> None:
    site.head = site.script_tag() * 2
    site.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit()
    visit.await_executions()
    visit.page.wait_for_load_state("networkidle")
    assert len(site.stand_in.playbook_requests) == 1
    assert len(site.stand_in.reports) == 1
